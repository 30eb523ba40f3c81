/** A module or an op -> the few words beside its name: `3×3, 1→32`, `BN 32`, `p 0.25`, `9216→128`. */

import { count } from "../base/format";
import type { Graph, Module, Op } from "../run/graph";

type Args = Record<string, string>;
type Formatter = (args: Args, op: Op | null, graph: Graph) => string;

/** `1, 32, kernel_size=(3, 3), bias=False` -> { 0: "1", 1: "32", kernel_size: "(3, 3)", bias: "False" } */
export function argumentsOf(extraRepr: string): Args {
  const args: Args = {};
  let position = 0;
  // Bounded: an extra_repr can be of any length and is only shown in part.
  for (const [part] of extraRepr.slice(0, 400).matchAll(/(?:\([^()]*\)|\[[^[\]]*\]|[^,([])+/g)) {
    const [, name, value] = /^\s*([A-Za-z_]\w*)\s*=\s*(.*?)\s*$/s.exec(part) ?? [];
    if (name) args[name] = value ?? "";
    else if (part.trim()) args[position++] = part.trim();
  }
  return args;
}

/** `(3, 3)` or `3` -> `3×3`; `dims` repeats a single number. */
function square(text: string | undefined, dims = 2): string {
  const sizes = text?.match(/\d+|None/g);
  if (!sizes) return "";
  return (sizes.length === 1 ? Array<string>(dims).fill(sizes[0]) : sizes).join("×");
}

/** `(2, 2)` -> `2`, `(1, 2)` -> `1×2`; empty for one. */
function stride(text: string | undefined): string {
  const sizes = text?.match(/\d+/g) ?? [];
  if (sizes.every((s) => s === "1")) return "";
  return ` /${sizes.every((s) => s === sizes[0]) ? sizes[0] : sizes.join("×")}`;
}

/** Shape of what an op returned, without the batch. */
function resultShape(op: Op | null, graph: Graph): string {
  const shape = op ? graph.values[op.outputs[0]]?.shape : undefined;
  return shape && shape.length > 1 ? shape.slice(1).map((n) => count(n)).join(" × ") : "";
}

const conv = (dims: number): Formatter => (a) => `${square(a["kernel_size"], dims)}${stride(a["stride"])}, ${a[0]}→${a[1]}${a["groups"] && a["groups"] !== "1" ? `, ${a["groups"]} groups` : ""}`;
const pool = (kind: string, dims: number): Formatter => (a) => `${kind} ${square(a["kernel_size"], dims)}`;
const adaptive = (dims: number): Formatter => (a) => `→ ${square(a["output_size"], dims)}`;
const batchNorm: Formatter = (a) => `BN ${a[0]}`;
const probability: Formatter = (a) => `p ${a["p"]}`;
const recurrent: Formatter = (a) => `${a[0]}→${a[1]}${a["num_layers"] ? ` × ${a["num_layers"]}` : ""}`;
const shaped: Formatter = (_, op, graph) => resultShape(op, graph);

const MODULES: Record<string, Formatter> = {
  Conv1d: conv(1), Conv2d: conv(2), Conv3d: conv(3), ConvTranspose1d: conv(1), ConvTranspose2d: conv(2), ConvTranspose3d: conv(3),
  BatchNorm1d: batchNorm, BatchNorm2d: batchNorm, BatchNorm3d: batchNorm, SyncBatchNorm: batchNorm,
  InstanceNorm1d: (a) => `IN ${a[0]}`, InstanceNorm2d: (a) => `IN ${a[0]}`, InstanceNorm3d: (a) => `IN ${a[0]}`,
  LayerNorm: (a) => `LN ${square(a[0], 1)}`, RMSNorm: (a) => `RMS ${square(a[0], 1)}`, GroupNorm: (a) => `GN ${a[0]}, ${a[1]}`,
  Linear: (a) => `${a["in_features"]}→${a["out_features"]}`, Bilinear: (a) => `→${a["out_features"]}`,
  Embedding: (a) => `${count(Number(a[0]))} × ${a[1]}`, EmbeddingBag: (a) => `${count(Number(a[0]))} × ${a[1]}`,
  Dropout: probability, Dropout1d: probability, Dropout2d: probability, Dropout3d: probability, AlphaDropout: probability,
  FeatureAlphaDropout: probability,
  MaxPool1d: pool("max", 1), MaxPool2d: pool("max", 2), MaxPool3d: pool("max", 3),
  AvgPool1d: pool("avg", 1), AvgPool2d: pool("avg", 2), AvgPool3d: pool("avg", 3),
  AdaptiveAvgPool1d: adaptive(1), AdaptiveAvgPool2d: adaptive(2), AdaptiveAvgPool3d: adaptive(3),
  AdaptiveMaxPool1d: adaptive(1), AdaptiveMaxPool2d: adaptive(2), AdaptiveMaxPool3d: adaptive(3),
  RNN: recurrent, LSTM: recurrent, GRU: recurrent, RNNCell: recurrent, LSTMCell: recurrent, GRUCell: recurrent,
  Flatten: shaped, Unflatten: shaped, Softmax: (a) => `dim ${a["dim"]}`, LogSoftmax: (a) => `dim ${a["dim"]}`,
  LeakyReLU: (a) => a["negative_slope"] ?? "", Upsample: (a) => `× ${a["scale_factor"]}`,
};

const SHAPE_OPS = new Set([
  "flatten", "view", "reshape", "permute", "transpose", "squeeze", "unsqueeze", "cat", "stack", "getitem", "expand", "chunk", "split",
  "unbind", "mean", "sum", "matmul", "bmm", "einsum", "linear", "conv1d", "conv2d", "conv3d", "adaptive_avg_pool2d", "embedding",
]);

/** The words beside an op that has no module of its own. */
export function opDetail(op: Op, graph: Graph): string {
  if (op.opaque) return op.opaque;
  if (typeof op.attrs["p"] === "number") return `p ${op.attrs["p"]}`;
  if (op.op.includes("softmax") && typeof op.attrs["dim"] === "number") return `dim ${String(op.attrs["dim"]).replace("-", "−")}`;
  return SHAPE_OPS.has(op.op) ? resultShape(op, graph) : "";
}

/** The words beside a module that ran one op: by its class, else the class name, nothing where that repeats the name. */
export function moduleDetail(module: Module, op: Op | null, graph: Graph): string {
  const formatter = Object.hasOwn(MODULES, module.type) ? MODULES[module.type] : null;
  const text = formatter?.(argumentsOf(module.attrs), op, graph) ?? "";
  // A subclass or another version may print its arguments in another way: then the class name is the truth.
  if (text && !text.includes("undefined") && !text.includes("NaN")) return text;
  return sameWord(module.type, module.name) ? "" : module.type;
}

const sameWord = (a: string, b: string) => a.toLowerCase() === b.toLowerCase().replace(/[_\d]+$/, "");

const SHORT: [RegExp, string][] = [
  [/^Conv/, "conv"], [/BatchNorm/, "bn"], [/LayerNorm/, "ln"], [/Norm/, "norm"], [/Pool/, "pool"], [/Dropout/, "drop"], [/^Multihead/, "attn"],
];

/** What a closed container says: `conv, bn, relu` for a short Sequential, else its class. */
export function containerDetail(module: Module, childTypes: string[]): string {
  if (module.type !== "Sequential" || childTypes.length > 3) return sameWord(module.type, module.name) ? "" : module.type;
  return childTypes.map((type) => SHORT.find(([pattern]) => pattern.test(type))?.[1] ?? type.toLowerCase()).join(", ");
}
