/** PackedStats -> StepStats: the twin of `graphscope/run/packing.py`. Throws a RangeError where columns do not fit together. */

import { HISTOGRAM_BINS, type PackedStats, type StepStats } from "../schema";

const MOST_ROWS = 1 << 17;
const BYTES = HISTOGRAM_BINS / 8;

function misfit(field: string): never {
  throw new RangeError(`packed_stats.${field} does not fit`);
}

export function unpack(packed: PackedStats): StepStats {
  const [rows, m] = [packed.address.length, packed.histogram_row.length];
  if (rows > MOST_ROWS || m > rows) misfit("histogram_row");
  const ends = packed.ends ?? packed.wide_ends;
  if (!ends || (packed.ends && packed.wide_ends) || ends.length !== 2 * rows) misfit("ends");
  if (packed.codes.length !== 4 * rows) misfit("codes");
  if (packed.whole.length < 2 * rows) misfit("whole");
  if (packed.exact.length !== 3 * rows) misfit("exact");
  if (packed.nonfinite && packed.nonfinite.length !== 3 * rows) misfit("nonfinite");
  if (packed.absmax && packed.absmax.length !== rows) misfit("absmax");
  if (packed.cosine && packed.cosine.length !== rows) misfit("cosine");
  const code = (i: number) => packed.codes.subarray(i * rows, (i + 1) * rows);
  const exact = (i: number) => packed.exact.subarray(i * rows, (i + 1) * rows);
  const nonfinite = (i: number) => Float64Array.from(packed.nonfinite?.subarray(i * rows, (i + 1) * rows) ?? new Uint32Array(rows));
  const whole = (from: number, to?: number) => Float64Array.from(packed.whole.subarray(from, to));
  const [min, max] = [Float64Array.from(ends.subarray(0, rows)), Float64Array.from(ends.subarray(rows))];
  return {
    kind: "step_stats", step: packed.step, pass_index: packed.pass_index, address: packed.address,
    role: code(0), flags: code(1), dtype: code(2), ndim: code(3),
    count: whole(0, rows), zeros: whole(rows, 2 * rows), sizes: whole(2 * rows),
    nan: nonfinite(0), pos_inf: nonfinite(1), neg_inf: nonfinite(2),
    mean: exact(0), std: exact(1), l2: exact(2), min, max,
    absmax: packed.absmax ?? min.map((low, i) => Math.max(Math.abs(low), Math.abs(max[i]!))),
    histogram_row: packed.histogram_row, histogram: histograms(packed, m),
    cosine: packed.cosine, dtypes: packed.dtypes, unmeasured: packed.unmeasured,
    gradient_state: packed.gradient_state,
  };
}

/** [m, 128] counts. */
function histograms({ used, bins, over_at, over }: PackedStats, m: number): Uint32Array {
  if (used.length !== m * BYTES) misfit("used");
  if (over.length !== over_at.length || over_at.some((at) => at >= bins.length)) misfit("over_at");
  const counts = Uint32Array.from(bins);
  over_at.forEach((at, i) => (counts[at]! += over[i]! * 65_536));
  const histogram = new Uint32Array(m * HISTOGRAM_BINS);
  let next = 0;
  used.forEach((byte, at) => {
    for (let bit = 0; byte; bit++, byte = (byte << 1) & 255) if (byte & 128) histogram[at * 8 + bit] = counts[next++]!;
  });
  if (next !== bins.length) misfit("bins");
  return histogram;
}
