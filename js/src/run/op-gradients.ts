/** OpGradients records -> the gradient that flowed through each op of a step. The twin of `graphscope/run/op_gradients.py`. */

import { ESTIMATE, NOT_MEASURED, type OpGradients } from "../schema";

/** The gradient of one output of one op. Null: unknown, or not defined (the mean of no finite value). */
export interface OpGradient {
  step: number;
  /** Which of the op's outputs. */
  output: number;
  count: number;
  mean: number | null;
  std: number | null;
  min: number | null;
  max: number | null;
  absmax: number | null;
  l2: number | null;
  zeros: number;
  nan: number;
  posInf: number;
  negInf: number;
  /** Zeros / count, 0 to 1. */
  zeroShare: number | null;
  /** Taken from a sample of the gradient. */
  estimate: boolean;
  /** Its numbers are not known; that it came by is. */
  unmeasured: boolean;
}

const known = (x: number | undefined) => (x === undefined || Number.isNaN(x) ? null : x);

interface Table {
  record: OpGradients;
  /** Op -> its rows. */
  rows: Map<number, number[]>;
}

export class OpGradientIndex {
  private tables = new Map<number, Table>(); // step -> its last pass
  private steps: number[] = [];

  /** `most`: how many steps are kept; above it every second old one is let go. */
  constructor(private readonly most: number) {}

  /** Throws a RangeError where columns do not fit together. */
  add(record: OpGradients): void {
    const n = record.node.length;
    const columns = [
      record.output, record.flags, record.count, record.mean, record.std, record.min, record.max, record.absmax, record.l2,
      record.zeros, record.nan, record.pos_inf, record.neg_inf,
    ];
    if (columns.some((column) => column.length !== n)) throw new RangeError("columns of different length");
    if ((this.tables.get(record.step)?.record.pass_index ?? -1) > record.pass_index) return;
    const rows = new Map<number, number[]>();
    record.node.forEach((node, row) => rows.set(node, [...(rows.get(node) ?? []), row]));
    this.tables.set(record.step, { record, rows });
    this.steps = [...this.tables.keys()].sort((a, b) => a - b);
    if (this.steps.length <= this.most) return;
    const half = this.steps.length >> 1;
    for (const step of this.steps.filter((_, i) => i < half && i % 2 === 1)) this.tables.delete(step);
    this.steps = [...this.tables.keys()].sort((a, b) => a - b);
  }

  /** Whether the ops of a graph were measured at a step: then an op without a gradient got none. */
  measured(graph: string, step: number): boolean {
    return this.tables.get(step)?.record.graph_id === graph;
  }

  /** The nearest step not after `step`, else the first later one, at which the ops of a graph were measured; null: none. */
  at(graph: string, step: number): number | null {
    const steps = this.steps.filter((one) => this.measured(graph, one));
    return steps.filter((one) => one <= step).at(-1) ?? steps[0] ?? null;
  }

  /** What flowed through an op, by output; none where nothing did or nobody looked. */
  of(graph: string, op: number, step: number): OpGradient[] {
    const table = this.tables.get(step);
    if (!table || table.record.graph_id !== graph) return [];
    return (table.rows.get(op) ?? []).map((row) => gradientOf(table.record, row)).sort((a, b) => a.output - b.output);
  }

  /** L2 norm of the gradient of an op's output; null where it is not known. */
  norm(graph: string, op: number, step: number, output = 0): number | null {
    return this.of(graph, op, step).find((gradient) => gradient.output === output)?.l2 ?? null;
  }
}

function gradientOf(r: OpGradients, row: number): OpGradient {
  const unmeasured = (r.flags[row]! & NOT_MEASURED) !== 0;
  const stat = (column: Float64Array) => (unmeasured ? null : known(column[row]));
  const [count, zeros] = [r.count[row]!, r.zeros[row]!];
  return {
    step: r.step, output: r.output[row]!, count,
    mean: stat(r.mean), std: stat(r.std), min: stat(r.min), max: stat(r.max), absmax: stat(r.absmax), l2: stat(r.l2),
    zeros, nan: r.nan[row]!, posInf: r.pos_inf[row]!, negInf: r.neg_inf[row]!,
    zeroShare: unmeasured || count === 0 ? null : zeros / count,
    estimate: (r.flags[row]! & ESTIMATE) !== 0, unmeasured,
  };
}
