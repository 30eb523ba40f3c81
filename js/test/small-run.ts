/**
 * A made-up run of a small residual CNN as records: for tests of queries and views, where the numbers must be known.
 * Seeded: the same every time. Nothing of it reaches a bundle.
 */

import { HISTOGRAM_BINS, ROLES } from "../src/schema";

type Fields = { [field: string]: unknown };
export type FixtureRecord = Fields & { kind: string };

interface ModuleRow { fqn: string; type: string; attrs: string; params: [string, number[]][] }

const MODULES: ModuleRow[] = [
  { fqn: "", type: "SmallCnn", attrs: "", params: [] },
  { fqn: "stem", type: "Sequential", attrs: "", params: [] },
  { fqn: "stem.conv", type: "Conv2d", attrs: "1, 16, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1)", params: [["weight", [16, 1, 3, 3]]] },
  { fqn: "stem.bn", type: "BatchNorm2d", attrs: "16, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True", params: [["weight", [16]], ["bias", [16]]] },
  { fqn: "stem.relu", type: "ReLU", attrs: "", params: [] },
  { fqn: "block", type: "Block", attrs: "", params: [] },
  { fqn: "block.conv1", type: "Conv2d", attrs: "16, 16, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1)", params: [["weight", [16, 16, 3, 3]]] },
  { fqn: "block.bn1", type: "BatchNorm2d", attrs: "16, eps=1e-05, momentum=0.01, affine=True, track_running_stats=True", params: [["weight", [16]], ["bias", [16]]] },
  { fqn: "block.relu", type: "ReLU", attrs: "", params: [] },
  { fqn: "block.conv2", type: "Conv2d", attrs: "16, 16, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1)", params: [["weight", [16, 16, 3, 3]]] },
  { fqn: "pool", type: "AdaptiveAvgPool2d", attrs: "output_size=1", params: [] },
  { fqn: "drop", type: "Dropout", attrs: "p=0.3, inplace=False", params: [] },
  { fqn: "fc", type: "Linear", attrs: "in_features=16, out_features=10, bias=True", params: [["weight", [10, 16]], ["bias", [10]]] },
];

interface OpRow { op: string; fqn: string; in: string[]; out: string; shape: number[]; params?: string[]; attrs?: object; line: number; grad: string }

const MAP = [64, 16, 28, 28];
const OPS: OpRow[] = [
  { op: "conv2d", fqn: "stem.conv", in: ["x"], out: "a", shape: MAP, params: ["stem.conv.weight"], attrs: { stride: [1, 1], padding: [1, 1] }, line: 12, grad: "ConvolutionBackward0" },
  { op: "batch_norm", fqn: "stem.bn", in: ["a"], out: "b", shape: MAP, params: ["stem.bn.weight", "stem.bn.bias"], attrs: { momentum: 0.1, eps: 1e-5 }, line: 12, grad: "NativeBatchNormBackward0" },
  { op: "relu", fqn: "stem.relu", in: ["b"], out: "c", shape: MAP, line: 12, grad: "ReluBackward0" },
  { op: "conv2d", fqn: "block.conv1", in: ["c"], out: "d", shape: MAP, params: ["block.conv1.weight"], line: 21, grad: "ConvolutionBackward0" },
  { op: "batch_norm", fqn: "block.bn1", in: ["d"], out: "e", shape: MAP, params: ["block.bn1.weight", "block.bn1.bias"], line: 21, grad: "NativeBatchNormBackward0" },
  { op: "relu", fqn: "block.relu", in: ["e"], out: "f", shape: MAP, line: 22, grad: "ReluBackward0" },
  { op: "conv2d", fqn: "block.conv2", in: ["f"], out: "g", shape: MAP, params: ["block.conv2.weight"], line: 23, grad: "ConvolutionBackward0" },
  { op: "add", fqn: "block", in: ["c", "g"], out: "h", shape: MAP, line: 24, grad: "AddBackward0" },
  { op: "adaptive_avg_pool2d", fqn: "pool", in: ["h"], out: "i", shape: [64, 16, 1, 1], line: 13, grad: "MeanBackward1" },
  { op: "flatten", fqn: "", in: ["i"], out: "j", shape: [64, 16], attrs: { start_dim: 1 }, line: 14, grad: "ViewBackward0" },
  { op: "dropout", fqn: "drop", in: ["j"], out: "k", shape: [64, 16], attrs: { p: 0.3, training: true }, line: 14, grad: "MulBackward0" },
  { op: "linear", fqn: "fc", in: ["k"], out: "l", shape: [64, 10], params: ["fc.weight", "fc.bias"], line: 15, grad: "AddmmBackward0" },
  { op: "cross_entropy", fqn: "", in: ["l", "target"], out: "loss", shape: [], line: 40, grad: "NllLossBackward0" },
];

/** The graph as the columns of a GraphRecord. */
export function graphRecord(): FixtureRecord {
  const strings: string[] = [""];
  const text = (word: string) => (strings.includes(word) ? strings.indexOf(word) : strings.push(word) - 1);
  const number = (fqn: string) => MODULES.findIndex((m) => m.fqn === fqn);
  const parentOf = (fqn: string) => (fqn === "" ? -1 : number(fqn.includes(".") ? fqn.slice(0, fqn.lastIndexOf(".")) : ""));
  const params = MODULES.flatMap((m, i) => m.params.map(([name, shape]) => ({ name: `${m.fqn}.${name}`, shape, owner: i })));
  const values: { name: string; kind: number; shape: number[]; grad: number; dtype: string }[] = [
    { name: "x", kind: 1, shape: [64, 1, 28, 28], grad: 0, dtype: "float32" }, { name: "target", kind: 1, shape: [64], grad: 0, dtype: "int64" },
    ...OPS.map((op) => ({ name: op.out, kind: 0, shape: op.shape, grad: 1, dtype: "float32" })),
  ];
  const value = (name: string) => values.findIndex((v) => v.name === name);
  const ptr = (lists: unknown[][]) => lists.reduce<number[]>((out, list) => [...out, out.at(-1)! + list.length], [0]);
  const results: { [fqn: string]: string } = { "": "l", stem: "c", block: "h", ...Object.fromEntries(OPS.filter((op) => op.fqn.includes(".") || ["pool", "drop", "fc"].includes(op.fqn)).map((op) => [op.fqn, op.out])) };
  const callOutputs = MODULES.map((m) => [value(results[m.fqn]!)]);
  return {
    kind: "graph", graph_id: "00000000c0ffee00", partial: "", traced: true,
    module_fqn: MODULES.map((m) => text(m.fqn)), module_type: MODULES.map((m) => text(m.type)), module_attrs: MODULES.map((m) => text(m.attrs)),
    module_parent: MODULES.map((m) => parentOf(m.fqn)),
    param_name: params.map((p) => text(p.name)), param_module: params.map((p) => p.owner), param_ndim: params.map((p) => p.shape.length),
    param_sizes: params.flatMap((p) => p.shape), param_trainable: params.map(() => 1), param_tied: params.map(() => -1),
    call_module: MODULES.map((_, i) => i), call_index: MODULES.map(() => 0), call_parent: MODULES.map((m) => parentOf(m.fqn)), call_opaque: MODULES.map(() => 0),
    call_outputs_ptr: ptr(callOutputs), call_outputs: callOutputs.flat(),
    value_kind: values.map((v) => v.kind), value_name: values.map((v) => (v.kind === 1 ? text(v.name) : 0)), value_dtype: values.map((v) => text(v.dtype)),
    value_device: values.map(() => text("cpu")), value_requires_grad: values.map((v) => v.grad), value_ndim: values.map((v) => v.shape.length),
    value_sizes: values.flatMap((v) => v.shape),
    op_name: OPS.map((op) => text(op.op)), op_call: OPS.map((op) => number(op.fqn)), op_file: OPS.map(() => text("models.py")), op_line: OPS.map((op) => op.line),
    op_grad_fn: OPS.map((op) => text(op.grad)), op_flags: OPS.map(() => 0), op_opaque: OPS.map(() => 0),
    op_attrs: OPS.map((op) => (op.attrs ? text(JSON.stringify(op.attrs)) : 0)),
    op_inputs_ptr: ptr(OPS.map((op) => op.in)), op_inputs: OPS.flatMap((op) => op.in.map(value)),
    op_outputs_ptr: ptr(OPS.map(() => [0])), op_outputs: OPS.map((op) => value(op.out)),
    op_params_ptr: ptr(OPS.map((op) => op.params ?? [])), op_params: OPS.flatMap((op) => (op.params ?? []).map((name) => params.findIndex((p) => p.name === name))),
    inputs: [0, 1], outputs: [value("l")], strings,
  };
}

function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface RowValues { address: number; role: number; shape: number[]; mean: number; std: number; zeros?: number; l2?: number }

/** Rows -> StepStats; the histogram is that of a normal distribution with this mean and std, zeros apart. */
export function stepStats(step: number, rows: RowValues[], pass_index = 0): FixtureRecord {
  const size = (row: RowValues) => row.shape.reduce((a, b) => a * b, 1);
  return {
    kind: "step_stats", step, pass_index, address: rows.map((r) => r.address), role: rows.map((r) => r.role), flags: rows.map(() => 0), dtype: rows.map(() => 0),
    ndim: rows.map((r) => r.shape.length), sizes: rows.flatMap((r) => r.shape), count: rows.map(size), mean: rows.map((r) => r.mean), std: rows.map((r) => r.std),
    min: rows.map((r) => (r.zeros ? 0 : r.mean - 4 * r.std)), max: rows.map((r) => r.mean + 4 * r.std), absmax: rows.map((r) => Math.abs(r.mean) + 4 * r.std),
    l2: rows.map((r) => r.l2 ?? Math.sqrt(size(r) * (r.mean ** 2 + r.std ** 2))), zeros: rows.map((r) => r.zeros ?? 0), nan: rows.map(() => 0), pos_inf: rows.map(() => 0),
    neg_inf: rows.map(() => 0), histogram_row: rows.map((_, i) => i), histogram: rows.flatMap((r) => histogram(r, size(r))), dtypes: ["float32"], unmeasured: {},
  };
}

function histogram(row: RowValues, count: number): number[] {
  const density = (x: number) => Math.exp(-(((x - row.mean) / row.std) ** 2) / 2) / (row.std * Math.sqrt(2 * Math.PI));
  return Array.from({ length: HISTOGRAM_BINS }, (_, bin) => {
    const sign = bin >= 64 ? 1 : -1;
    if (sign < 0 && row.zeros) return 0;
    const low = 2 ** ((bin >= 64 ? bin - 64 : 63 - bin) - 40);
    let sum = 0;
    for (let k = 0; k < 8; k++) sum += density(sign * low * (1 + (k + 0.5) / 8)) * (low / 8);
    return Math.round(sum * count);
  });
}

/** All records of the run: `steps` optimizer steps, every `every`-th captured. */
export function smallRun({ steps = 480, every = 8, closed = false } = {}): FixtureRecord[] {
  const rand = random(7);
  const normal = () => Math.sqrt(-2 * Math.log(1 - rand())) * Math.cos(2 * Math.PI * rand());
  const graph = graphRecord();
  const outputs = MODULES.map((m) => ({ fqn: m.fqn, shape: OPS.filter((op) => op.fqn === m.fqn || op.fqn.startsWith(`${m.fqn}.`)).at(-1)?.shape ?? MAP, zero: m.type === "ReLU" || m.fqn === "stem" ? 0.5 : m.type === "Dropout" ? 0.3 : 0 }));
  outputs[0]!.shape = [64, 10];
  const params = MODULES.flatMap((m) => m.params.map(([name, shape]) => ({ fqn: `${m.fqn}.${name}`, shape })));
  const addresses = [...outputs.map((o) => o.fqn), ...params.map((p) => p.fqn)];
  const out: FixtureRecord[] = [
    { kind: "run_header", run_id: "feed0001", name: "SmallCnn-1", model: "SmallCnn", created: "2026-11-22T10:00:00+01:00", graphscope: "0.1.0", torch: "2.13.0", python: "3.11.7", device: "cpu" },
    graph, { kind: "addresses", start: 0, fqn: addresses, call: addresses.map(() => 0), output: addresses.map(() => 0) },
  ];
  const [activation, gradient, parameter, update] = ["activation", "gradient", "parameter", "update"].map((role) => ROLES.indexOf(role as "activation")) as [number, number, number, number];
  const drift = (step: number) => Math.max(0, Math.min(1, (step - 300) / 60));
  for (let step = 0; step < steps; step++) {
    const captured = step % every === 0 || step === steps - 1;
    const loss = 0.08 + 2.2 * Math.exp(-step / 70) + 0.06 * drift(step) + Math.abs(0.06 * normal());
    if (captured) {
      out.push({ kind: "pass", step, pass_index: 0, graph_id: "00000000c0ffee00", training: true, grad_enabled: true, input_shapes: [[64, 1, 28, 28], [64]] });
      out.push(stepStats(step, [
        ...outputs.map((o, i) => ({ address: i, role: activation, shape: o.shape, mean: (o.zero ? 0.3 : -0.1) + 0.1 * Math.exp(-step / 60), std: (i === 12 ? 3 : 0.7) * (1 - 0.3 * Math.exp(-step / 90)), zeros: Math.round(o.zero * o.shape.reduce((a, b) => a * b, 1)) })),
        ...outputs.map((o, i) => ({ address: i, role: gradient, shape: o.shape, mean: 1e-9 * normal(), std: 3e-5 * 10 ** ((i - 7) / 8) * (i === 2 ? 0.02 : 1) * (1 + 2 * drift(step)) })),
        ...params.flatMap((p, i) => {
          const address = outputs.length + i;
          const ratio = 10 ** (-2.4 + (p.fqn.startsWith("block.conv1") ? 1.3 * drift(step) : 0) - (p.fqn.startsWith("fc") ? 1.4 : 0));
          const weight = { address, role: parameter, shape: p.shape, mean: p.fqn.endsWith("n.weight") || p.fqn.endsWith("1.weight") ? 0.64 : -0.01, std: 0.21 };
          return [weight, { address, role: update, shape: p.shape, mean: 0, std: 0.21 * ratio, l2: ratio * Math.sqrt(p.shape.reduce((a, b) => a * b, 1) * (weight.mean ** 2 + weight.std ** 2)) }];
        }),
      ]));
      for (const fqn of ["stem.bn", "block.bn1"]) {
        const push = fqn === "block.bn1" ? drift(step) : 0;
        const lag = fqn === "block.bn1" ? 0.6 * Math.exp(-Math.max(0, step - 360) / 200) : 0;
        out.push({
          kind: "batchnorm_stats", step, fqn, call: 0, training: true, momentum: fqn === "stem.bn" ? 0.1 : 0.01, eps: 1e-5, count: 64 * 784, batches_tracked: step + 1,
          batch_mean: Array.from({ length: 16 }, (_, c) => Math.sin(c) * (1 + push) + 0.02 * normal()), batch_var: Array.from({ length: 16 }, (_, c) => 1 + 0.3 * Math.cos(c)),
          running_mean: Array.from({ length: 16 }, (_, c) => Math.sin(c) * (1 + push * (1 - 2 * lag))), running_var: Array.from({ length: 16 }, (_, c) => 1 + 0.3 * Math.cos(c)),
          weight: Array.from({ length: 16 }, (_, c) => 1 - c / 20), bias: Array.from({ length: 16 }, (_, c) => -c / 40),
        });
      }
      const nonzero = 64 * 16;
      out.push({ kind: "dropout_stats", step, fqn: "drop", call: 0, p: 0.3, dropped: 0.3 + normal() * Math.sqrt(0.21 / nonzero), nonzero, count: nonzero, training: true, drops: "values", units: nonzero });
    }
    out.push({ kind: "step", step, captured, passes: 1, seconds: step * 0.04, step_seconds: 0.04, self_seconds: 0.0003, scalars: { loss, grad_norm: 1.2 + 2 * Math.exp(-step / 40) + 2 * drift(step) * Math.exp(-(step - 300) / 60) + 0.1 * normal(), lr: step < 300 ? 0.02 : 0.1 }, stale_gradients: false, epoch: Math.floor(step / 96) });
    if (step % 96 === 95) out.push({ kind: "scalars", step, scalars: { test_accuracy: 0.97 - 0.5 * Math.exp(-step / 120) }, epoch: Math.floor(step / 96) });
  }
  out.push(
    { kind: "finding", rule: "running-stats-drift", severity: "warning", title: "Running mean lags the batch", message: "block.bn1: the running mean is 0.58 σ away from the batch's (limit 0.50) since step 312.", advice: "Use a larger momentum, or refresh the averages with update_bn(loader, model) before evaluating.", why: "eval() normalises with the running averages. If they lag, evaluation sees another network than training does.", fqn: "block.bn1", step: 312, last_step: steps - 1, count: 20, value: 0.58, limit: 0.5, file: "models.py", line: 7, fix: "- self.bn1 = nn.BatchNorm2d(c, momentum=0.01)\n+ self.bn1 = nn.BatchNorm2d(c)  # 0.1" },
    { kind: "finding", rule: "missing-zero-grad", severity: "error", title: "Gradients add up over steps", message: "Gradients of an earlier step were still there when backward began, in 3 of the last 3 steps.", advice: "Call optimizer.zero_grad() once per step.", why: "Sums of old gradients point where the network no longer is.", step: 40, last_step: 48, count: 3, fix: "+ optimizer.zero_grad()\n  loss.backward()" },
    { kind: "finding", rule: "dead-relu", severity: "info", title: "Dead ReLU channels, 58 %", message: "stem.relu: 58 % of channels were zero in each of the last 20 recorded steps (limit 50 %).", advice: "Lower the learning rate, or use a leaky ReLU.", why: "No gradient passes a zero output. Fine for sparse inputs.", fqn: "stem.relu", step: 180, value: 0.58, limit: 0.5 },
    { kind: "note", severity: "info", text: "Every 8th step is captured to stay under 1 % of step time." },
    closed
      ? { kind: "run_end", steps, records: out.length }
      : { kind: "session_status", session: "feed0001", name: "SmallCnn-1", model: "SmallCnn", state: "live", step: steps - 1, captured_steps: Math.ceil(steps / every), steps_per_second: 24.1, overhead: 0.006, loss: 0.12, epoch: Math.floor((steps - 1) / 96), errors: 1, warnings: 1, infos: 1, run_dir: "runs/SmallCnn-1" },
  );
  return out;
}
