/** Small hand-written models as graphs, shaped as PyTorch runs them: for the gallery and for the tests of the layout. */

import type { Call, Graph, Module, Op, Value } from "../src/run/graph";

/** Records calls and ops in the order in which a forward would make them. */
export class Trace {
  readonly graph: Graph = { id: "0", partial: "", traced: true, modules: [], calls: [], values: [], ops: [], inputs: [], outputs: [], autograd: null };
  private stack: number[] = [];
  private readonly byFqn = new Map<string, Module>();
  private readonly calls = new Map<string, number>();

  constructor(type: string) {
    this.module("", type);
    this.enter("");
  }

  input(name: string, ...shape: number[]): number {
    const value = this.value("input", name, shape, false);
    this.graph.inputs.push(value);
    return value;
  }

  /** A module with its parameters' number; its parents must be there. */
  module(fqn: string, type: string, attrs = "", parameters = 0): Module {
    const found = this.byFqn.get(fqn);
    if (found) return found;
    const dot = fqn.lastIndexOf(".");
    const parent = fqn === "" ? -1 : (this.byFqn.get(dot < 0 ? "" : fqn.slice(0, dot))?.id ?? this.module(fqn.slice(0, dot), "ModuleList").id);
    const module: Module = { id: this.graph.modules.length, fqn, name: fqn.slice(dot + 1) || type, type, attrs, parent, children: [], params: [], parameterCount: 0 };
    this.graph.modules.push(module);
    this.byFqn.set(fqn, module);
    if (parent >= 0) this.graph.modules[parent].children.push(module.id);
    for (let m: Module | undefined = module; m; m = this.graph.modules[m.parent]) m.parameterCount += parameters;
    return module;
  }

  /** One call of a module; what it returns is what `run` returns. */
  call<T>(fqn: string, type: string, run: () => T, attrs = "", parameters = 0): T {
    this.module(fqn, type, attrs, parameters);
    this.enter(fqn);
    const result = run();
    this.stack.pop();
    return result;
  }

  op(op: string, inputs: number[], shape: number[], attrs: Record<string, unknown> = {}, more: Partial<Op> = {}): number {
    const out = this.value("op", "", shape, true);
    const id = this.graph.ops.length;
    this.graph.ops.push({
      id, op, scope: this.stack[this.stack.length - 1], inputs, outputs: [out], params: [], attrs, file: "model.py", line: id + 1, gradFn: "", opaque: "",
      inplace: false, view: false, failed: false, ...more,
    });
    return out;
  }

  /** A module that runs one op. */
  leaf(fqn: string, type: string, op: string, inputs: number[], shape: number[], attrs = "", parameters = 0): number {
    return this.call(fqn, type, () => this.op(op, inputs, shape), attrs, parameters);
  }

  shape(value: number): number[] {
    return this.graph.values[value].shape;
  }

  constant(...shape: number[]): number {
    return this.value("constant", "", shape, false);
  }

  private value(kind: Value["kind"], name: string, shape: number[], requiresGrad: boolean): number {
    return this.graph.values.push({ id: this.graph.values.length, kind, name, shape, dtype: "float32", device: "cpu", requiresGrad }) - 1;
  }

  private enter(fqn: string): void {
    const { calls } = this.graph;
    const nth = this.calls.get(fqn) ?? 0;
    this.calls.set(fqn, nth + 1);
    const call: Call = {
      id: calls.length, module: this.byFqn.get(fqn)!.id, fqn, call: nth,
      parent: this.stack.length ? this.stack[this.stack.length - 1] : -1, opaque: "", outputs: [],
    };
    calls.push(call);
    this.stack.push(call.id);
  }
}

const conv = (t: Trace, fqn: string, x: number, out: number, k = 3, stride = 1) => {
  const [n, c, h, w] = t.shape(x);
  const attrs = `${c}, ${out}, kernel_size=(${k}, ${k}), stride=(${stride}, ${stride})${k > 1 ? `, padding=(${k >> 1}, ${k >> 1})` : ""}, bias=False`;
  return t.leaf(fqn, "Conv2d", "conv2d", [x], [n, out, h / stride, w / stride], attrs, c * out * k * k);
};
const bn = (t: Trace, fqn: string, x: number) => t.leaf(fqn, "BatchNorm2d", "batch_norm", [x], t.shape(x), `${t.shape(x)[1]}, eps=1e-05, momentum=0.1, affine=True`, 2 * t.shape(x)[1]);
const relu = (t: Trace, fqn: string, x: number) => t.leaf(fqn, "ReLU", "relu", [x], t.shape(x), "inplace=True");
const linear = (t: Trace, fqn: string, x: number, out: number) => {
  const shape = t.shape(x);
  const size = shape[shape.length - 1];
  return t.leaf(fqn, "Linear", "linear", [x], [...shape.slice(0, -1), out], `in_features=${size}, out_features=${out}, bias=True`, size * out + out);
};
const norm = (t: Trace, fqn: string, x: number) => t.leaf(fqn, "LayerNorm", "layer_norm", [x], t.shape(x), `(${t.shape(x).at(-1)},), eps=1e-05, elementwise_affine=True`, 2 * t.shape(x).at(-1)!);

/** The trainer's network for MNIST. */
export function smallCnn(): Graph {
  const t = new Trace("SmallCnn");
  let x = t.input("x", 64, 1, 28, 28);
  x = relu(t, "relu", bn(t, "bn1", conv(t, "conv1", x, 32)));
  x = t.op("relu", [bn(t, "bn2", conv(t, "conv2", x, 64))], [64, 64, 28, 28]);
  x = t.leaf("pool", "MaxPool2d", "max_pool2d", [x], [64, 64, 14, 14], "kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False");
  x = t.leaf("drop1", "Dropout2d", "dropout2d", [x], t.shape(x), "p=0.25, inplace=False");
  x = t.op("flatten", [x], [64, 12544]);
  x = t.op("relu", [linear(t, "fc1", x, 128)], [64, 128]);
  x = t.leaf("drop2", "Dropout", "dropout", [x], t.shape(x), "p=0.5, inplace=False");
  x = linear(t, "fc2", x, 10);
  t.graph.outputs.push(x);
  t.op("cross_entropy", [x, t.constant(64)], []);
  return t.graph;
}

function basicBlock(t: Trace, fqn: string, x: number, out: number, stride: number): number {
  return t.call(fqn, "BasicBlock", () => {
    let y = relu(t, `${fqn}.relu1`, bn(t, `${fqn}.bn1`, conv(t, `${fqn}.conv1`, x, out, 3, stride)));
    y = bn(t, `${fqn}.bn2`, conv(t, `${fqn}.conv2`, y, out));
    const way = t.shape(x)[1] === out ? x : t.call(`${fqn}.shortcut`, "Sequential", () => bn(t, `${fqn}.shortcut.1`, conv(t, `${fqn}.shortcut.0`, x, out, 1, stride)));
    return relu(t, `${fqn}.relu2`, t.op("add", [y, way], t.shape(y)));
  });
}

/** A residual network for 32 x 32 images: `blocks` in each of its stages. */
export function resNet(blocks: number, stages = [16, 32, 64]): Graph {
  const t = new Trace(`ResNet${2 * blocks * stages.length + 2}`);
  const image = t.input("x", 128, 3, 32, 32);
  let x = t.call("stem", "Sequential", () => relu(t, "stem.2", bn(t, "stem.1", conv(t, "stem.0", image, stages[0]))));
  stages.forEach((width, stage) => {
    x = t.call(`layer${stage + 1}`, "Sequential", () => {
      for (let i = 0; i < blocks; i++) x = basicBlock(t, `layer${stage + 1}.${i}`, x, width, i === 0 && stage > 0 ? 2 : 1);
      return x;
    });
  });
  x = t.leaf("pool", "AdaptiveAvgPool2d", "adaptive_avg_pool2d", [x], [128, stages.at(-1)!, 1, 1], "output_size=(1, 1)");
  x = linear(t, "fc", t.op("flatten", [x], [128, stages.at(-1)!]), 10);
  t.graph.outputs.push(x);
  t.op("cross_entropy", [x, t.constant(128)], []);
  return t.graph;
}

function attention(t: Trace, fqn: string, x: number, mask: number | null): number {
  return t.call(fqn, "SelfAttention", () => {
    const [n, length, size] = t.shape(x);
    const heads = [n, 8, length, size / 8];
    const [q, k, v] = ["q", "k", "v"].map((name) => t.op("transpose", [t.op("view", [linear(t, `${fqn}.${name}`, x, size)], [n, length, 8, size / 8])], heads));
    const scores = t.op("div", [t.op("matmul", [q, t.op("transpose", [k], [n, 8, size / 8, length])], [n, 8, length, length])], [n, 8, length, length]);
    const masked = mask === null ? scores : t.op("masked_fill", [scores, mask], t.shape(scores));
    const weights = t.leaf(`${fqn}.drop`, "Dropout", "dropout", [t.op("softmax", [masked], t.shape(masked), { dim: -1 })], t.shape(scores), "p=0.1, inplace=False");
    const mixed = t.op("reshape", [t.op("transpose", [t.op("matmul", [weights, v], heads)], [n, length, 8, size / 8])], t.shape(x));
    return linear(t, `${fqn}.out`, mixed, size);
  });
}

/** Pre-norm encoder layers over tokens; every layer reads the mask. */
export function transformer(layers: number, size = 256): Graph {
  const t = new Trace("Encoder");
  const tokens = t.input("tokens", 32, 128);
  const mask = t.input("mask", 128, 128);
  let x = t.leaf("embed", "Embedding", "embedding", [tokens], [32, 128, size], `30522, ${size}`, 30522 * size);
  x = t.op("add", [x, t.leaf("position", "Embedding", "embedding", [t.op("arange", [], [128])], [128, size], `512, ${size}`, 512 * size)], t.shape(x));
  for (let i = 0; i < layers; i++) {
    const layer = `layers.${i}`;
    x = t.call(layer, "EncoderLayer", () => {
      x = t.op("add", [x, attention(t, `${layer}.attn`, norm(t, `${layer}.norm1`, x), mask)], t.shape(x));
      const y = t.call(`${layer}.mlp`, "Sequential", () => {
        const input = norm(t, `${layer}.mlp.0`, x);
        const h = t.leaf(`${layer}.mlp.2`, "GELU", "gelu", [linear(t, `${layer}.mlp.1`, input, 4 * size)], [32, 128, 4 * size], "approximate='none'");
        return linear(t, `${layer}.mlp.3`, h, size);
      });
      return t.op("add", [x, y], t.shape(x));
    });
  }
  x = linear(t, "head", norm(t, "norm", x), 30522);
  t.graph.outputs.push(x);
  return t.graph;
}

/** One expert for each pair of tokens, mixed by a gate. */
export function mixture(experts: number): Graph {
  const t = new Trace("MixtureOfExperts");
  const x = t.input("x", 64, 512);
  const gate = t.op("softmax", [linear(t, "gate", x, experts)], [64, experts], { dim: -1 });
  const outputs = Array.from({ length: experts }, (_, i) => t.call(`experts.${i}`, "Expert", () => linear(t, `experts.${i}.down`, t.op("gelu", [linear(t, `experts.${i}.up`, x, 2048)], [64, 2048]), 512)));
  const mixed = t.op("einsum", [gate, t.op("stack", outputs, [64, experts, 512])], [64, 512]);
  t.graph.outputs.push(linear(t, "head", t.op("add", [mixed, x], [64, 512]), 10));
  return t.graph;
}

/** Four branches of different lengths, concatenated. */
export function inception(): Graph {
  const t = new Trace("Inception");
  let x = conv(t, "stem", t.input("image", 16, 3, 64, 64), 64);
  for (let i = 0; i < 2; i++) {
    const name = `mixed${i}`;
    x = t.call(name, "Mixed", () => {
      const a = conv(t, `${name}.b1x1`, x, 64, 1);
      const b = conv(t, `${name}.b5x5_2`, conv(t, `${name}.b5x5_1`, x, 48, 1), 64, 5);
      const c = conv(t, `${name}.b3x3_3`, conv(t, `${name}.b3x3_2`, conv(t, `${name}.b3x3_1`, x, 64, 1), 96), 96);
      const d = conv(t, `${name}.pool_proj`, t.op("avg_pool2d", [x], t.shape(x)), 32, 1);
      return t.op("cat", [a, b, c, d], [16, 256, 64, 64], { dim: 1 });
    });
  }
  t.graph.outputs.push(t.op("mean", [x], [16, 256]));
  return t.graph;
}

/** Encoder and decoder with a skip at every size. */
export function uNet(depth: number): Graph {
  const t = new Trace("UNet");
  const block = (name: string, x: number, out: number) => t.call(name, "Double", () => t.op("relu", [conv(t, `${name}.1`, t.op("relu", [conv(t, `${name}.0`, x, out)], [1, out, 1, 1]), out)], t.shape(x).map((s, i) => (i === 1 ? out : s))));
  let x = t.input("image", 4, 3, 128, 128);
  const skips: number[] = [];
  for (let i = 0; i < depth; i++) {
    x = block(`down${i}`, x, 32 << i);
    skips.push(x);
    x = t.op("max_pool2d", [x], t.shape(x).map((s, k) => (k > 1 ? s / 2 : s)));
  }
  x = block("middle", x, 32 << depth);
  for (let i = depth - 1; i >= 0; i--) {
    x = t.leaf(`up${i}`, "ConvTranspose2d", "conv_transpose2d", [x], t.shape(skips[i]), `${64 << i}, ${32 << i}, kernel_size=(2, 2), stride=(2, 2)`, 1000);
    x = block(`dec${i}`, t.op("cat", [x, skips[i]], t.shape(skips[i]).map((s, k) => (k === 1 ? 2 * s : s))), 32 << i);
  }
  t.graph.outputs.push(conv(t, "head", x, 2, 1));
  return t.graph;
}

/** One long row of ops in a single forward. */
export function chain(length: number): Graph {
  const t = new Trace("Chain");
  let x = t.input("x", 8, 64);
  for (let i = 0; i < length; i++) x = t.op(["sin", "mul", "tanh", "exp"][i % 4], [x], [8, 64]);
  t.graph.outputs.push(x);
  return t.graph;
}

/** The same encoder for two inputs, compared. */
export function siamese(): Graph {
  const t = new Trace("Siamese");
  const [a, b] = [t.input("a", 32, 64), t.input("b", 32, 64)];
  const encode = (x: number) => t.call("encoder", "Sequential", () => linear(t, "encoder.2", t.leaf("encoder.1", "ReLU", "relu", [linear(t, "encoder.0", x, 128)], [32, 128]), 32));
  t.graph.outputs.push(t.op("cosine_similarity", [encode(a), encode(b)], [32]));
  return t.graph;
}

/** Modules in modules in modules. */
export function nested(depth: number): Graph {
  const t = new Trace("Nested");
  let x = t.input("x", 8, 64);
  const down = Array.from({ length: depth }, (_, i) => Array(i + 1).fill("inner").join("."));
  const stack: string[] = [];
  // Written as a loop, since the recursion of `call` would end before the model does.
  const trace = t as unknown as { enter(fqn: string): void; stack: number[] };
  for (const fqn of down) {
    t.module(fqn, "Wrap");
    trace.enter(fqn);
    stack.push(fqn);
    x = t.op("tanh", [x], [8, 64]);
  }
  while (stack.pop()) trace.stack.pop();
  t.graph.outputs.push(x);
  return t.graph;
}
