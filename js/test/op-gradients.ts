/** Rows -> an OpGradients record, and backward columns of the small run's graph: for tests. */

import { type FixtureRecord, graphRecord } from "./small-run";

export interface GradientRow { node: number; l2: number; mean?: number; zeros?: number; nan?: number; inf?: number; flags?: number; output?: number }

export function opGradients(step: number, rows: GradientRow[], pass_index = 0): FixtureRecord {
  const all = (value: number) => rows.map(() => value);
  return {
    kind: "op_gradients", step, pass_index, graph_id: "00000000c0ffee00", node: rows.map((r) => r.node), output: rows.map((r) => r.output ?? 0), flags: rows.map((r) => r.flags ?? 0),
    count: all(100), mean: rows.map((r) => r.mean ?? 0.25), std: all(0.5), min: all(-1), max: all(2), absmax: all(2), l2: rows.map((r) => r.l2), zeros: rows.map((r) => r.zeros ?? 0),
    nan: rows.map((r) => r.nan ?? 0), pos_inf: rows.map((r) => r.inf ?? 0), neg_inf: all(0),
  };
}

/** The graph with the end of its backward: loss -> linear -> dropout, and the two leaves of `fc`. */
export function graphWithBackward(): FixtureRecord {
  const graph = graphRecord();
  const strings = [...(graph["strings"] as string[])];
  const text = (word: string) => (strings.includes(word) ? strings.indexOf(word) : strings.push(word) - 1);
  const nodes: [string, number, string, number[]][] = [
    ["NllLossBackward0", 12, "", [1, -1]], ["AddmmBackward0", 11, "", [2, 3, 4]], ["AccumulateGrad", -1, "fc.bias", []], ["MulBackward0", 10, "", [-1]], ["TBackward0", 11, "", [5]],
    ["AccumulateGrad", -1, "fc.weight", []],
  ];
  return {
    ...graph, strings, backward_name: nodes.map(([name]) => text(name)), backward_op: nodes.map(([, op]) => op), backward_variable: nodes.map(([, , variable]) => (variable ? text(variable) : 0)),
    backward_next_ptr: nodes.reduce<number[]>((out, [, , , next]) => [...out, out.at(-1)! + next.length], [0]), backward_next: nodes.flatMap(([, , , next]) => next),
    backward_input: nodes.flatMap(([, , , next]) => next.map(() => 0)), backward_roots: [0],
  };
}
