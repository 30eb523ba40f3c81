/** Pure questions about one module call at one step: is it healthy, and which number stands for it. */

import type { Call, Graph, Module, Op } from "./graph";
import type { Run } from "./run";
import { fixed, percent } from "../base/format";

export type ColorBy = "update" | "activation" | "gradient" | "zeros" | "none";
/** A step of the diverging scale; 0 is healthy. */
export type Stop = -3 | -2 | -1 | 0 | 1 | 2 | 3;

export interface Health {
  /** Decades from healthy (0), -3 to 3; null: not measured. */
  activation: number | null;
  gradient: number | null;
}

export interface Metric {
  value: number | null;
  text: string;
  stop: Stop | null;
}

interface Scale {
  label: string;
  menu: string;
  /** Where the six outer stops begin, rising; those of the low side are null if the metric has none. */
  bounds: readonly number[];
  text: (value: number) => string;
}

/** Bounds of the seven stops, from the look's encodings: update:weight is healthy from -3.2 to -1.7. */
export const SCALES: { readonly [K in Exclude<ColorBy, "none">]: Scale } = {
  update: { label: "update : weight, log₁₀", menu: "update ratio", bounds: [-4.5, -4, -3.2, -1.7, -1.3, -1], text: (x) => fixed(x, 1) },
  activation: { label: "activation RMS, log₁₀", menu: "activation", bounds: [-3, -2, -1, 1, 2, 3], text: (x) => fixed(x, 1) },
  gradient: { label: "gradient norm : median, log₁₀", menu: "gradient", bounds: [-3, -2, -1, 1, 2, 3], text: (x) => fixed(x, 1) },
  zeros: { label: "zeros in the output", menu: "zeros", bounds: [-1, -1, -1, 0.9, 0.99, 0.999], text: (x) => percent(x, 0) },
};

const clamp = (x: number) => Math.max(-3, Math.min(3, x));
const NOTHING: Metric = { value: null, text: "", stop: null };

/**
 * log10 of what stands for the size of a module's first output: its RMS, or of its gradient the L2 norm; -Infinity for
 * all zeros, null if it was not measured. The norm, since backward passes on norms: an element's share of it falls with
 * the number of elements, so that by RMS the small layers next to a loss would look large in each healthy network
 * (1.8 decades in a CNN with BatchNorm on MNIST, where norms stay within 0.3).
 */
function level(run: Run, graph: Graph, call: Call, role: "activation" | "gradient", step: number): number | null {
  if (role === "activation") return log(run.rms(call.fqn, call.call, role, step));
  const own = run.stat(call.fqn, call.call, role, step, "l2");
  if (own !== null) return log(own);
  // Where the module's own gradient is not known, that of the op which made its output is the same one.
  const op = opsByValue(graph).get(call.outputs[0] ?? -1);
  return op === undefined ? null : opLevel(run, graph, op, call.outputs[0]!, step);
}

const log = (size: number | null) => (size === null ? null : Math.log10(size));

const opLevel = (run: Run, graph: Graph, op: Op, made: number, step: number) => log(run.opGradients.norm(graph.id, op.id, step, op.outputs.indexOf(made)));

const makers = new WeakMap<Graph, Map<number, Op>>();

/** Value -> the op that made it. */
export function opsByValue(graph: Graph): Map<number, Op> {
  let found = makers.get(graph);
  if (!found) {
    makers.set(graph, (found = new Map()));
    for (const op of graph.ops) for (const output of op.outputs) found.set(output, op);
  }
  return found;
}

/** Decades from the median of the gradient that flowed through one output of an op; null where it is not known. */
export function opGradientLevel(run: Run, graph: Graph, op: Op, step: number, made = op.outputs[0]): number | null {
  if (made === undefined) return null;
  const [found, median] = [opLevel(run, graph, op, made, step), gradientMedian(run, graph, step)];
  return found === null || median === null ? null : found - median;
}

const medians = new WeakMap<Run, { graph: Graph; step: number; passes: number; ops: boolean; median: number | null }>();

/** Median over all module calls of log10(L2 norm of the gradient) at a step: what a gradient is compared with. */
export function gradientMedian(run: Run, graph: Graph, step: number): number | null {
  const cached = medians.get(run);
  const passes = run.passesAt(step);
  const ops = run.opGradients.measured(graph.id, step);
  if (cached && cached.graph === graph && cached.step === step && cached.passes === passes && cached.ops === ops) return cached.median;
  const levels = graph.calls.map((call) => level(run, graph, call, "gradient", step)).filter((x): x is number => x !== null && Number.isFinite(x));
  levels.sort((a, b) => a - b);
  const middle = levels.length >> 1;
  const median = levels.length === 0 ? null : levels.length % 2 ? levels[middle]! : (levels[middle - 1]! + levels[middle]!) / 2;
  medians.set(run, { graph, step, passes, ops, median });
  return median;
}

export function health(run: Run, graph: Graph, call: Call, step: number): Health {
  const activation = level(run, graph, call, "activation", step);
  const gradient = level(run, graph, call, "gradient", step);
  const median = gradientMedian(run, graph, step);
  return {
    activation: activation === null ? null : clamp(activation),
    gradient: gradient === null || median === null ? null : clamp(gradient - median),
  };
}

const below = new WeakMap<Module, string[]>();

/** Parameters of a module and everything below it. */
export function paramsBelow(graph: Graph, module: Module): string[] {
  const cached = below.get(module);
  if (cached) return cached;
  const names: string[] = [];
  const todo = [module];
  while (todo.length) {
    const next = todo.pop()!;
    names.push(...next.params.map((param) => param.name));
    for (const child of next.children) todo.push(graph.modules[child]!);
  }
  below.set(module, names);
  return names;
}

const matrices = new WeakMap<Module, boolean>();

/** Whether the healthy band is meant for a module: it is one of weight matrices; gains and biases move at their own pace. */
export function hasMatrix(graph: Graph, module: Module): boolean {
  let found = matrices.get(module);
  if (found === undefined) {
    const todo = [module];
    found = false;
    while (todo.length && !found) {
      const next = todo.pop()!;
      found = next.params.some((param) => param.shape.length > 1);
      for (const child of next.children) todo.push(graph.modules[child]!);
    }
    matrices.set(module, found);
  }
  return found;
}

export function stopOf(value: number, bounds: readonly number[]): Stop {
  return (bounds.filter((bound) => value > bound).length - 3) as Stop;
}

/** The number that colours a module call; no value: it has none, or it was not measured at this step. */
export function metric(run: Run, graph: Graph, kind: ColorBy, call: Call, step: number): Metric {
  if (kind === "none") return NOTHING;
  const scale = SCALES[kind];
  const value = valueOf(run, graph, kind, call, step);
  if (value === null) return NOTHING;
  const module = graph.modules[call.module];
  const judged = kind === "update" ? module !== undefined && hasMatrix(graph, module) : kind !== "zeros" || !dropsOut(graph, call);
  return { value, text: value === Number.NEGATIVE_INFINITY ? "0" : scale.text(value), stop: judged ? stopOf(value, scale.bounds) : null };
}

/** The number that colours an op outside of modules: only gradients are measured there. */
export function opMetric(run: Run, graph: Graph, kind: ColorBy, op: Op, step: number): Metric {
  const value = kind === "gradient" ? opGradientLevel(run, graph, op, step) : null;
  if (value === null) return NOTHING;
  return { value, text: value === Number.NEGATIVE_INFINITY ? "0" : SCALES.gradient.text(value), stop: stopOf(value, SCALES.gradient.bounds) };
}

const dropouts = new WeakMap<Graph, Set<number>>();

/** Whether a call's output is that of a dropout, at most reshaped: its zeros are drawn, not dead. */
export function dropsOut(graph: Graph, call: Call): boolean {
  let values = dropouts.get(graph);
  if (!values) {
    values = new Set();
    for (const op of graph.ops) {
      if (/dropout/.test(op.op) || (op.view && op.inputs.some((input) => values!.has(input)))) for (const output of op.outputs) values.add(output);
    }
    dropouts.set(graph, values);
  }
  return call.outputs[0] !== undefined && values.has(call.outputs[0]);
}

function valueOf(run: Run, graph: Graph, kind: Exclude<ColorBy, "none">, call: Call, step: number): number | null {
  switch (kind) {
    case "update": {
      const module = graph.modules[call.module];
      return module ? run.updateRatio(paramsBelow(graph, module), step) : null;
    }
    case "activation": return level(run, graph, call, "activation", step);
    case "gradient": {
      const [gradient, median] = [level(run, graph, call, "gradient", step), gradientMedian(run, graph, step)];
      return gradient === null || median === null ? null : gradient - median;
    }
    case "zeros": return run.stat(call.fqn, call.call, "activation", step, "zero_share");
  }
}
