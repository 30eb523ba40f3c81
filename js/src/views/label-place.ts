/** Two lines and a name -> where the name touches neither. Pure. */

import type { Series } from "../run/run";
import type { Frame } from "./time-chart";
import type { Scale } from "../panels/time-scale";

const CHARACTER = 6.6; // px of bold 11 px text
const [ASCENT, DESCENT] = [9, 3];

interface Given {
  text: string;
  series: Series;
  other: Series | null;
  x: Scale;
  y: Scale;
  otherY: Scale | null;
  frame: Frame;
  shares: readonly number[];
}

/** Highest and lowest px of a line between two px; null where it has none there. */
function band(series: Series | null, x: Scale, y: Scale | null, from: number, to: number): [number, number] | null {
  if (!series || !y) return null;
  let found: [number, number] | null = null;
  const take = (py: number) => {
    found = found ? [Math.min(found[0], py), Math.max(found[1], py)] : [py, py];
  };
  let before: { x: number; y: number } | null = null;
  for (let i = 0; i < series.steps.length; i++) {
    const value = series.values[i];
    const point = { x: x(series.steps[i]!), y: value === null || value === undefined ? Number.NaN : y(value) };
    if (!Number.isFinite(point.y)) {
      before = null;
      continue;
    }
    if (point.x >= from && point.x <= to) take(point.y);
    // Where points are sparse the line between them passes through.
    for (const edge of before ? [from, to] : []) {
      if (before!.x < edge && point.x > edge) take(before!.y + ((edge - before!.x) / (point.x - before!.x)) * (point.y - before!.y));
    }
    before = point;
  }
  return found;
}

/** Above the line first, then below it, at each place in turn; the place with the widest gap where none is free. */
export function labelPlace({ text, series, other, x, y, otherY, frame, shares }: Given): { x: number; y: number } | null {
  if (series.values.every((value) => value === null)) return null;
  const width = text.length * CHARACTER;
  let best: { x: number; y: number; gap: number } | null = null;
  for (const share of shares) {
    const left = frame.left + share * (frame.right - frame.left);
    if (left + width > frame.right - 8) continue;
    const own = band(series, x, y, left - 6, left + width + 6);
    if (!own) continue;
    const others = band(other, x, otherY, left - 4, left + width + 4);
    for (const py of [own[0] - 5, own[1] + 13]) {
      if (py - ASCENT < frame.top - 4 || py + DESCENT > frame.bottom) continue;
      const gap = others ? Math.max(others[0] - (py + DESCENT), py - ASCENT - others[1]) : Number.POSITIVE_INFINITY;
      if (gap > 1) return { x: left, y: py };
      if (!best || gap > best.gap) best = { x: left, y: py, gap };
    }
  }
  return best;
}
