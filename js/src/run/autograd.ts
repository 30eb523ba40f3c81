/** The backward columns of a GraphRecord -> what backward runs, by op and by parameter. The twin of `graphscope/graph/autograd.py`. */

import type { GraphRecord } from "../schema";

/** One backward node. */
export interface AutogradNode {
  id: number;
  /** Class of the grad_fn, for instance `AddmmBackward0`. */
  name: string;
  /** Op that made it; null for a leaf, and for what no recorded op made. */
  op: number | null;
  /** Of a leaf (AccumulateGrad) the name of its parameter or input; empty for others. */
  variable: string;
  /** Where the gradient of each input of the op goes; null: nowhere. */
  next: (number | null)[];
}

export interface Autograd {
  nodes: AutogradNode[];
  /** Whether it goes on behind these nodes. */
  cut: boolean;
}

/** Reads the columns; null where no backward was looked at. Throws a RangeError where they do not fit together. */
export function autogradOf(record: GraphRecord, text: (i: number) => string, ops: number): Autograd | null {
  const { backward_name: names, backward_op: made, backward_variable: variables, backward_next_ptr: pointers, backward_next: next } = record;
  if (!names && !made && !variables && !pointers && !next) return null;
  if (!names || !made || !variables || !pointers || !next) throw new RangeError("some backward columns are missing");
  const n = names.length;
  if (made.length !== n || variables.length !== n || pointers.length !== n + 1 || pointers[0] !== 0 || pointers[n] !== next.length) throw new RangeError("backward columns do not fit");
  if (made.some((op) => op < -1 || op >= ops) || next.some((node) => node < -1 || node >= n)) throw new RangeError("backward points outside");
  const orNull = (i: number) => (i < 0 ? null : i);
  const nodes = Array.from(names, (name, id): AutogradNode => {
    const [from, to] = [pointers[id]!, pointers[id + 1]!];
    if (to < from) throw new RangeError("backward rows overlap");
    return { id, name: text(name), op: orNull(made[id]!), variable: text(variables[id]!), next: Array.from(next.subarray(from, to), orNull) };
  });
  return { nodes, cut: record.backward_cut };
}

/** Backward nodes of an op, in their order. */
export const nodesOf = (autograd: Autograd, op: number) => autograd.nodes.filter((node) => node.op === op);

/** The leaf that adds to a parameter's gradient; null: this backward has none. */
export const leafOf = (autograd: Autograd, variable: string) => autograd.nodes.find((node) => node.variable === variable) ?? null;
