/** StepStats columns -> the summary of one tensor. */

import {
  ESTIMATE, HISTOGRAM_BINS, HISTOGRAM_MIN_EXPONENT, NOT_MEASURED, ROLES, type Role, type StatName, type StepStats,
} from "../schema";

/** What stands for a tensor. Null: unknown, or not defined (the mean of no finite value). */
export interface TensorSummary {
  step: number;
  shape: number[];
  dtype: string;
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
  /** Root of the mean square over the finite values. */
  rms: number | null;
  /** Taken from a sample of the tensor. */
  estimate: boolean;
  /** Why nothing was measured; empty if it was. */
  unmeasured: string;
  /** See HISTOGRAM_BINS. */
  histogram: Uint32Array | null;
}

/** One number for an address and a role, for maps. */
export const tensorKey = (address: number, role: number) => address * ROLES.length + role;
export const roleCode = (role: Role) => ROLES.indexOf(role);

const known = (x: number | undefined) => (x === undefined || Number.isNaN(x) ? null : x);

/** The rows of one pass by address and role. Throws a RangeError where columns do not fit together. */
export class StatsTable {
  readonly step: number;
  readonly pass: number;
  private readonly rows = new Map<number, number>();
  private readonly sizesFrom: Uint32Array;
  private readonly histograms = new Map<number, number>();

  constructor(private readonly record: StepStats) {
    const n = record.address.length;
    const columns = [
      record.role, record.flags, record.dtype, record.ndim, record.count, record.mean, record.std, record.min, record.max,
      record.absmax, record.l2, record.zeros, record.nan, record.pos_inf, record.neg_inf,
    ];
    if (columns.some((column) => column.length !== n)) throw new RangeError("columns of different length");
    if (record.histogram.length !== record.histogram_row.length * HISTOGRAM_BINS) throw new RangeError("histograms do not fit");
    this.step = record.step;
    this.pass = record.pass_index;
    this.sizesFrom = new Uint32Array(n + 1);
    for (let i = 0; i < n; i++) {
      this.sizesFrom[i + 1] = this.sizesFrom[i]! + record.ndim[i]!;
      this.rows.set(tensorKey(record.address[i]!, record.role[i]!), i);
    }
    if (this.sizesFrom[n] !== record.sizes.length) throw new RangeError("sizes do not fit");
    record.histogram_row.forEach((row, i) => this.histograms.set(row, i));
  }

  row(key: number): number | null {
    return this.rows.get(key) ?? null;
  }

  keys(): Iterable<number> {
    return this.rows.keys();
  }

  summary(row: number): TensorSummary {
    const r = this.record;
    const [count, zeros, nan, posInf, negInf] = [r.count[row]!, r.zeros[row]!, r.nan[row]!, r.pos_inf[row]!, r.neg_inf[row]!];
    const unmeasured = r.flags[row]! & NOT_MEASURED ? r.unmeasured[String(row)] || "no reason given" : "";
    const histogram = this.histograms.get(row);
    const stat = (column: Float64Array) => (unmeasured ? null : known(column[row]));
    return {
      step: this.step, shape: Array.from(r.sizes.subarray(this.sizesFrom[row], this.sizesFrom[row + 1])),
      dtype: r.dtypes[r.dtype[row]!] ?? "", count,
      mean: stat(r.mean), std: stat(r.std), min: stat(r.min), max: stat(r.max), absmax: stat(r.absmax), l2: stat(r.l2),
      zeros, nan, posInf, negInf, zeroShare: unmeasured || count === 0 ? null : zeros / count,
      rms: this.rms(row),
      estimate: (r.flags[row]! & ESTIMATE) !== 0, unmeasured,
      histogram: histogram === undefined ? null : r.histogram.subarray(histogram * HISTOGRAM_BINS, (histogram + 1) * HISTOGRAM_BINS),
    };
  }

  /** Root of the mean square over the finite values; null where it is not known. */
  rms(row: number): number | null {
    const r = this.record;
    const l2 = r.flags[row]! & NOT_MEASURED ? null : known(r.l2[row]);
    const finite = r.count[row]! - r.nan[row]! - r.pos_inf[row]! - r.neg_inf[row]!;
    return l2 === null || finite <= 0 ? null : l2 / Math.sqrt(finite);
  }

  /** One statistic of a row; null where it is not known. */
  stat(row: number, name: StatName): number | null {
    const r = this.record;
    if (r.flags[row]! & NOT_MEASURED) return null;
    switch (name) {
      case "inf": return r.pos_inf[row]! + r.neg_inf[row]!;
      case "zero_share": return r.count[row]! ? r.zeros[row]! / r.count[row]! : null;
      default: return known(r[name][row]);
    }
  }
}

/** Lower and upper bound of a histogram's bin, in the tensor's units; end bins hold everything beyond. */
export function binBounds(bin: number): [number, number] {
  const half = HISTOGRAM_BINS / 2;
  const low = (exponent: number) => 2 ** (exponent + HISTOGRAM_MIN_EXPONENT);
  if (bin >= half) return [low(bin - half), low(bin - half + 1)];
  return [-low(half - 1 - bin + 1), -low(half - 1 - bin)];
}
