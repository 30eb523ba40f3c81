import { describe, expect, it } from "vitest";
import { axisLabels, columnsOver, densityOf } from "../../src/panels/density";
import type { TensorSummary } from "../../src/run/statistics";
import { HISTOGRAM_BINS } from "../../src/schema";

/** What the capture would say about these values. */
function summaryOf(values: number[], step = 0): TensorSummary {
  const histogram = new Uint32Array(HISTOGRAM_BINS);
  for (const x of values) {
    if (x === 0) continue;
    const exponent = Math.max(-40, Math.min(23, Math.floor(Math.log2(Math.abs(x)))));
    histogram[x > 0 ? 64 + exponent + 40 : 63 - (exponent + 40)]! += 1;
  }
  const zeros = values.filter((x) => x === 0).length;
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return {
    step, shape: [values.length], dtype: "float32", count: values.length, mean, std: 1, min: Math.min(...values), max: Math.max(...values), absmax: 1, l2: 1, zeros, nan: 0, posInf: 0,
    negInf: 0, zeroShare: zeros / values.length, rms: Math.sqrt(values.reduce((a, b) => a + b * b, 0) / values.length), estimate: false, unmeasured: "", histogram,
  };
}

/** Quantiles of a standard normal by its inverse error function (Winitzki's approximation), n of them. */
const normal = (n: number, mean = 0, std = 1) => Array.from({ length: n }, (_, i) => {
  const p = 2 * ((i + 0.5) / n) - 1;
  const l = Math.log(1 - p * p);
  const a = 2 / (Math.PI * 0.147) + l / 2;
  return mean + std * Math.SQRT2 * Math.sign(p) * Math.sqrt(Math.sqrt(a * a - l / 0.147) - a);
});

describe("density", () => {
  it("keeps every value: shares of a column sum to 1, zeros included", () => {
    for (const values of [normal(5000), normal(5000).map((x) => Math.max(0, x)), [0, 0, 0], [3], [-1e-6, 1e6]]) {
      const { columns } = densityOf([summaryOf(values)])!;
      expect(columns[0]!.shares.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 9);
    }
  });

  it("shows a bell as a bell: one peak at 0, falling on both sides", () => {
    const { axis, columns } = densityOf([summaryOf(normal(50_000))])!;
    const { shares } = columns[0]!;
    const peak = shares.indexOf(Math.max(...shares));
    expect(Math.abs(peak - axis.zero!)).toBeLessThanOrEqual(2);
    const smooth = (row: number) => shares[row - 1]! + shares[row]! + shares[row + 1]!;
    for (let row = peak + 3; row < axis.rows - 2; row++) expect(smooth(row)).toBeLessThanOrEqual(smooth(row - 2) + 1e-3);
  });

  it("agrees with counting the values themselves in each row", () => {
    const values = normal(100_000, 0.4, 0.8);
    const { axis, columns } = densityOf([summaryOf(values)])!;
    const counted = new Float64Array(axis.rows);
    for (const x of values) {
      const row = Math.floor(((axis.top - Math.asinh(x / axis.scale)) / (axis.top - axis.bottom)) * axis.rows);
      counted[Math.max(0, Math.min(axis.rows - 1, row))]! += 1 / values.length;
    }
    const apart = counted.reduce((sum, share, row) => sum + Math.abs(share - columns[0]!.shares[row]!), 0) / 2;
    expect(apart).toBeLessThan(0.06); // total variation: an octave is all that the histogram knows
  });

  it("puts zeros of a ReLU into the row of 0 and gives no room to negative values", () => {
    const { axis, columns } = densityOf([summaryOf(normal(10_000).map((x) => Math.max(0, x)))])!;
    expect(axis.zero).toBe(axis.rows - 1);
    expect(columns[0]!.shares[axis.zero!]).toBeGreaterThan(0.5);
    expect(axisLabels(axis).map(([, value]) => value >= 0)).toEqual([true, true]);
  });

  it("is null without a finite value", () => {
    expect(densityOf([])).toBeNull();
    expect(densityOf([{ ...summaryOf([1]), histogram: null }])).toBeNull();
  });
});

describe("columns over steps", () => {
  it("shows the nearest recorded step, and leaves gaps open", () => {
    expect([...columnsOver([0, 10, 20], 5)]).toEqual([0, 0, 1, 1, 2]);
    const gap = columnsOver([0, 1, 2, 3, 100], 101);
    expect([gap[0], gap[3], gap[50], gap[100]]).toEqual([0, 3, -1, 4]);
    expect([...columnsOver([7], 1)]).toEqual([0]);
    // Recorded ever more rarely: that is no gap.
    expect([...columnsOver([0, 1, 2, 4, 8, 16, 32, 64], 65)].includes(-1)).toBe(false);
  });
});
