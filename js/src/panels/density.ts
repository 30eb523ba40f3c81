/**
 * Histograms over steps -> a grid of shares on a symmetric axis that is linear around 0 and logarithmic far from it.
 *
 * The axis is asinh(x / scale), with the scale of the values themselves: a bell stays a bell, and what lies decades out is
 * still in the picture. Shares inside an octave come from a monotone curve through the histogram's running sum. Pure.
 */

import { HISTOGRAM_BINS } from "../schema";
import { type TensorSummary, binBounds } from "../run/statistics";

const ROWS = 36;
const BULK = 3; // RMS that are drawn linearly on either side of 0
const TAIL = 0.0005; // share left out at either end

/** Rows from the greatest values to the least. */
export interface Axis {
  /** Where linear turns into logarithmic, in the tensor's units. */
  scale: number;
  /** Ends in asinh(x / scale). */
  top: number;
  bottom: number;
  rows: number;
  /** Row that holds 0; null if 0 is outside. */
  zero: number | null;
}

export interface Density {
  axis: Axis;
  /** Share of a tensor's finite values in each row, per step. */
  columns: { step: number; shares: Float64Array }[];
  /** Greatest share of any row but the one that holds 0. */
  most: number;
}

/** Bin edges by value: 64 negative ones, 0 twice (from below and above it), 64 positive ones. */
const EDGES = Float64Array.from({ length: HISTOGRAM_BINS + 2 }, (_, i) => {
  const half = HISTOGRAM_BINS / 2;
  if (i === half || i === half + 1) return i === half ? binBounds(half - 1)[1] : binBounds(half)[0];
  return i < half ? binBounds(i)[0] : binBounds(i - 2)[1];
});

/** Null if no summary has a histogram with a finite value. */
export function densityOf(summaries: readonly TensorSummary[]): Density | null {
  const measured = summaries.filter((summary) => summary.histogram !== null && finite(summary) > 0);
  if (!measured.length) return null;
  const levels = measured.map((summary) => summary.rms ?? 0).filter((rms) => rms > 0).sort((a, b) => a - b);
  const scale = BULK * (levels[levels.length >> 1] ?? 1);
  const curves = measured.map((summary) => new Curve(summary, scale));
  const bottom = Math.min(...curves.map((curve) => curve.at(TAIL)));
  const top = Math.max(...curves.map((curve) => curve.at(1 - TAIL)));
  const axis = axisOf(scale, bottom, top);
  const columns = measured.map((summary, i) => ({ step: summary.step, shares: curves[i]!.shares(axis) }));
  let most = 0;
  for (const { shares } of columns) shares.forEach((share, row) => row !== axis.zero && (most = Math.max(most, share)));
  return { axis, columns, most };
}

function axisOf(scale: number, low: number, high: number): Axis {
  // 0 belongs into the picture of an output; a picture of one value has some room around it.
  let [bottom, top] = [Math.min(0, low), Math.max(0, high)];
  if (top - bottom < 1e-6) [bottom, top] = [-1, 1];
  const rows = ROWS;
  const zero = Math.min(rows - 1, Math.max(0, Math.floor((top / (top - bottom)) * rows)));
  return { scale, top, bottom, rows, zero };
}

const finite = (summary: TensorSummary) => summary.zeros + (summary.histogram?.reduce((a, b) => a + b, 0) ?? 0);

/** Running share of a tensor's non-zero values over asinh(x / scale), as a monotone cubic (Fritsch and Carlson, 1980). */
class Curve {
  private readonly x: Float64Array;
  private readonly y: Float64Array;
  private readonly slope: Float64Array;
  private readonly zeros: number;

  constructor(summary: TensorSummary, scale: number) {
    const total = finite(summary);
    const histogram = summary.histogram!;
    this.zeros = summary.zeros / total;
    const half = HISTOGRAM_BINS / 2;
    // Only the edges around bins that hold something: flat ends would pull the curve.
    const x: number[] = [];
    const y: number[] = [];
    let sum = 0;
    const put = (value: number) => {
      const u = Math.asinh(value / scale);
      if (x.length && u - x.at(-1)! < 1e-4) y[y.length - 1] = sum;
      else if (x.length && sum === y.at(-1)! && y.length > 1 && sum === y.at(-2)!) x[x.length - 1] = u;
      else {
        x.push(u);
        y.push(sum);
      }
    };
    for (let bin = 0; bin < HISTOGRAM_BINS; bin++) {
      const low = EDGES[bin < half ? bin : bin + 1]!;
      const high = EDGES[bin < half ? bin + 1 : bin + 2]!;
      if (histogram[bin] || sum > 0 || (bin + 1 < HISTOGRAM_BINS && histogram[bin + 1])) {
        if (!x.length) put(clamped(low, summary));
        sum += histogram[bin]! / total;
        put(clamped(high, summary));
      }
    }
    if (!x.length) [x[0], y[0]] = [0, 0];
    this.x = Float64Array.from(x);
    this.y = Float64Array.from(y);
    this.slope = slopes(this.x, this.y);
  }

  /** asinh(x / scale) below which this share of the non-zero values lies. */
  at(share: number): number {
    const wanted = share * this.y.at(-1)!;
    let [low, high] = [this.x[0]!, this.x.at(-1)!];
    for (let i = 0; i < 40; i++) {
      const middle = (low + high) / 2;
      if (this.below(middle) < wanted) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  }

  shares(axis: Axis): Float64Array {
    const out = new Float64Array(axis.rows);
    const size = (axis.top - axis.bottom) / axis.rows;
    for (let row = 0; row < axis.rows; row++) {
      const upper = axis.top - row * size;
      out[row] = Math.max(0, this.below(row === 0 ? Number.POSITIVE_INFINITY : upper) - this.below(row === axis.rows - 1 ? Number.NEGATIVE_INFINITY : upper - size));
    }
    blur(out);
    blur(out);
    if (axis.zero !== null) out[axis.zero]! += this.zeros;
    return out;
  }

  private below(u: number): number {
    const { x, y, slope } = this;
    const last = x.length - 1;
    if (u <= x[0]!) return 0;
    if (u >= x[last]!) return y[last]!;
    let i = 0;
    while (x[i + 1]! < u) i++;
    const h = x[i + 1]! - x[i]!;
    const t = (u - x[i]!) / h;
    return y[i]! * (1 + 2 * t) * (1 - t) ** 2 + slope[i]! * h * t * (1 - t) ** 2 + y[i + 1]! * t ** 2 * (3 - 2 * t) + slope[i + 1]! * h * t ** 2 * (t - 1);
  }
}

/** [1 2 1] / 4, in place, keeping the sum: an octave is wider than a row, so finer corners are the curve's, not the data's. */
function blur(row: Float64Array): void {
  const last = row.length - 1;
  let before = row[0]!;
  for (let i = 0; i <= last; i++) {
    const now = row[i]!;
    row[i] = (before + 2 * now + row[Math.min(last, i + 1)]!) / 4;
    before = now;
  }
}

/** The outermost octaves end where the tensor's own extremes are, not at the next power of two. */
function clamped(value: number, { min, max }: TensorSummary): number {
  return Math.max(min ?? Number.NEGATIVE_INFINITY, Math.min(max ?? Number.POSITIVE_INFINITY, value));
}

function slopes(x: Float64Array, y: Float64Array): Float64Array {
  const n = x.length;
  const out = new Float64Array(n);
  const secant = (i: number) => (y[i + 1]! - y[i]!) / (x[i + 1]! - x[i]!);
  for (let i = 1; i < n - 1; i++) {
    const [a, b] = [secant(i - 1), secant(i)];
    out[i] = a * b <= 0 ? 0 : (2 * a * b) / (a + b);
  }
  return out;
}

/** Values worth a label: [row from the top, value]. */
export function axisLabels({ top, bottom, rows, scale }: Axis): [number, number][] {
  const place = (u: number): [number, number] => [((top - u) / (top - bottom)) * rows, scale * Math.sinh(u)];
  const labels = [place(0)];
  if (top > 0.1) labels.push(place(top));
  if (bottom < -0.1) labels.push(place(bottom));
  return labels;
}

/** For each of `count` columns from the first to the last step: which recorded step it shows; -1 in a gap. */
export function columnsOver(steps: readonly number[], count: number): Int32Array {
  const out = new Int32Array(count).fill(-1);
  const [first, last] = [steps[0]!, steps[steps.length - 1]!];
  const apart = (i: number) => (steps[i + 1] ?? Number.NaN) - (steps[i] ?? Number.NaN); // NaN at the ends
  let i = 0;
  for (let column = 0; column < count; column++) {
    const step = count === 1 || last === first ? last : first + ((last - first) * column) / (count - 1);
    while (i + 1 < steps.length && steps[i + 1]! <= step) i++;
    const [before, after] = [step - steps[i]!, (steps[i + 1] ?? Number.POSITIVE_INFINITY) - step];
    // Recording may thin out over time; a gap is where far more is missing than on either side of it.
    const usual = Math.max(...[apart(i - 1), apart(i + 1)].filter((gap) => !Number.isNaN(gap)), (last - first) / count);
    const gap = apart(i) > 4 * usual && Math.min(before, after) > usual;
    out[column] = gap ? -1 : before <= after ? i : i + 1;
  }
  return out;
}
