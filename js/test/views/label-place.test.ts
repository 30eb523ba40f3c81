import { describe, expect, it } from "vitest";
import { labelPlace } from "../../src/views/label-place";
import { linear } from "../../src/panels/time-scale";

const frame = { height: 124, left: 0, right: 400, top: 10, bottom: 100, lane: 0, axis: 0 };
const x = linear(0, 10, 0, 400);
const y = linear(0, 10, 100, 10);
const line = (points: [number, number][]) => ({ steps: points.map(([step]) => step), values: points.map(([, value]) => value) });

describe("a line's name", () => {
  it("stands above its own line, also between two points far apart", () => {
    const place = labelPlace({ text: "loss", series: line([[0, 2], [10, 2]]), other: null, x, y, otherY: null, frame, shares: [0.5] })!;
    expect(place.x).toBe(200);
    expect(place.y).toBeLessThan(y(2));
    expect(place.y).toBeGreaterThan(y(2) - 12);
  });

  it("goes below, or elsewhere, where the other line would cross it", () => {
    const own = line([[0, 5], [10, 5]]);
    const below = labelPlace({ text: "norm", series: own, other: line([[0, 6], [10, 6]]), x, y, otherY: y, frame, shares: [0.5] })!;
    expect(below.y).toBeGreaterThan(y(5));
    const elsewhere = labelPlace({ text: "norm", series: own, other: line([[0, 5.5], [6, 5.5], [6.1, 10], [10, 10]]), x, y, otherY: y, frame, shares: [0.2, 0.7] })!;
    expect(elsewhere).toEqual({ x: expect.any(Number), y: expect.any(Number) });
  });

  it("is absent without a point, and inside the frame otherwise", () => {
    expect(labelPlace({ text: "loss", series: line([]), other: null, x, y, otherY: null, frame, shares: [0.5] })).toBeNull();
    const top = labelPlace({ text: "loss", series: line([[0, 10], [10, 10]]), other: null, x, y, otherY: null, frame, shares: [0.5] })!;
    expect(top.y).toBeGreaterThan(y(10));
  });
});
