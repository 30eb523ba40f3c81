import { describe, expect, it } from "vitest";
import { epochStarts, extent, graphChanges, jumps, linear, logarithmic, path, smoothed, ticks } from "../../src/panels/time-scale";

const series = (values: (number | null)[]) => ({ steps: values.map((_, i) => i), values });

describe("lines over steps", () => {
  it("lifts the pen at a gap and keeps the extremes of what shares a pixel", () => {
    const one = linear(0, 1, 0, 1);
    expect(path(series([1, null, 2, 3]), one, one)).toBe("M0.0 1.0M2.0 2.0L3.0 3.0");
    const many = { steps: Array.from({ length: 1000 }, (_, i) => i), values: Array.from({ length: 1000 }, (_, i) => (i === 500 ? 99 : i === 501 ? -99 : 0)) };
    const drawn = path(many, linear(0, 999, 0, 10), one);
    expect(drawn).toContain(" 99.0");
    expect(drawn).toContain(" -99.0");
    expect(drawn.length).toBeLessThan(600);
  });

  it("smooths a constant to itself, from the first point on, and leaves gaps", () => {
    expect(smoothed(series([2, 2, null, 2, 2]), 4).values).toEqual([2, 2, null, 2, 2].map((v) => (v === null ? null : expect.closeTo(v, 12))));
    const step = smoothed(series([...Array<number>(50).fill(0), ...Array<number>(50).fill(1)]), 9).values;
    expect(step[49]).toBe(0);
    expect(step[54]!).toBeGreaterThan(0.5);
    expect(step[99]!).toBeCloseTo(1, 3);
  });

  it("finds round ticks", () => {
    expect(ticks(0, 2.4, 3)).toEqual([0, 1, 2]);
    expect(ticks(0, 2480, 5)).toEqual([0, 500, 1000, 1500, 2000]);
    expect(ticks(-0.15, 0.1, 2)).toEqual([-0.1, 0, 0.1]);
    expect(ticks(3, 3, 4)).toEqual([3]);
  });

  it("scales, also where there is only one value", () => {
    expect([linear(0, 10, 100, 0)(5), linear(4, 4, 0, 10)(4), logarithmic(1, 100, 0, 10)(10)]).toEqual([50, 5, expect.closeTo(5, 12)]);
    expect(extent(series([null, 3, 1, Number.NaN, 2]))).toEqual([1, 3]);
    expect(extent(series([1, 2, 3, 4, 1000]), 0.2)).toEqual([1, 4]);
    expect(extent(series([null]))).toBeNull();
  });

  it("marks jumps of the learning rate, not a schedule that glides", () => {
    expect(jumps(series([0.1, 0.1, 0.01, 0.01]))).toEqual([{ step: 2, from: 0.1, to: 0.01 }]);
    expect(jumps(series(Array.from({ length: 200 }, (_, i) => 0.1 * Math.cos(i / 130))))).toEqual([]);
  });

  it("finds epochs and changes of the graph among passes with gradients", () => {
    const step = (step: number, epoch: number | null) => ({ kind: "step", step, epoch }) as never;
    expect(epochStarts([step(0, 0), step(1, 0), step(2, 1), step(3, null), step(4, 1)])).toEqual([{ epoch: 0, step: 0 }, { epoch: 1, step: 2 }]);
    const pass = (step: number, graph_id: string | null, grad_enabled = true) => ({ kind: "pass", step, graph_id, grad_enabled }) as never;
    expect(graphChanges([pass(0, "a"), pass(1, null), pass(2, "e", false), pass(3, "a"), pass(4, "b"), pass(5, "b")])).toEqual([4]);
  });
});
