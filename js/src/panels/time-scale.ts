/** Series over steps -> what a line of so many pixels can show. Pure. */

import type { PassRecord, StepRecord } from "../schema";
import type { Series } from "../run/run";

export type Scale = (value: number) => number;

export function linear(a: number, b: number, from: number, to: number): Scale {
  return (x) => (a === b ? (from + to) / 2 : from + ((x - a) / (b - a)) * (to - from));
}

export function logarithmic(a: number, b: number, from: number, to: number): Scale {
  const scale = linear(Math.log(a), Math.log(b), from, to);
  return (x) => scale(Math.log(x));
}

/** A moving average that looks back over about `span` points; starts unbiased; gaps stay gaps. */
export function smoothed({ steps, values }: Series, span = Math.max(1, values.length / 50)): Series {
  const keep = 1 - 2 / (span + 1);
  let [sum, weight] = [0, 0];
  const out = values.map((value) => {
    if (value === null || !Number.isFinite(value)) return null;
    sum = sum * keep + value;
    weight = weight * keep + 1;
    return sum / weight;
  });
  return { steps, values: out };
}

/** `M … L …` through the points; a gap lifts the pen. Several points on one pixel become their first, least, greatest and last. */
export function path({ steps, values }: Series, x: Scale, y: Scale): string {
  let out = "";
  let pen = false;
  let column = Number.NaN;
  let [first, low, high, last] = [0, 0, 0, 0];
  const put = (px: number, py: number) => {
    out += `${pen ? "L" : "M"}${px.toFixed(1)} ${py.toFixed(1)}`;
    pen = true;
  };
  const flush = () => {
    if (Number.isNaN(column)) return;
    put(column, first);
    if (low !== first) put(column, low);
    if (high !== low) put(column, high);
    if (last !== high) put(column, last);
    column = Number.NaN;
  };
  for (let i = 0; i < steps.length; i++) {
    const value = values[i];
    const py = value === null || value === undefined ? Number.NaN : y(value);
    if (!Number.isFinite(py)) {
      flush();
      pen = false;
      continue;
    }
    const px = Math.round(x(steps[i]!) * 2) / 2;
    if (px !== column) {
      flush();
      [column, first, low, high, last] = [px, py, py, py, py];
    } else {
      [low, high, last] = [Math.min(low, py), Math.max(high, py), py];
    }
  }
  flush();
  return out;
}

/** Round numbers from `low` to `high`, about `count` of them. */
export function ticks(low: number, high: number, count: number): number[] {
  if (!(high > low)) return [low];
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const apart = (factor: number) => Math.abs(Math.log((factor * power) / rough));
  const unit = [1, 2, 5, 10].reduce((best, factor) => (apart(factor) < apart(best) ? factor : best)) * power;
  const out: number[] = [];
  for (let i = Math.ceil(low / unit - 1e-9); i * unit <= high + unit * 1e-9; i++) out.push(Number((i * unit).toPrecision(12)));
  return out;
}

/** Least and greatest finite value; null without one. `share` leaves out that many of the greatest: single spikes. */
export function extent({ values }: Series, share = 0): [number, number] | null {
  const known = values.filter((value): value is number => value !== null && Number.isFinite(value)).sort((a, b) => a - b);
  if (!known.length) return null;
  return [known[0]!, known[Math.max(0, Math.ceil(known.length * (1 - share)) - 1)]!];
}

/** Where the learning rate jumps: a schedule that glides has no jumps, also where it glides towards nothing. */
export function jumps({ steps, values }: Series, factor = 1.5): { step: number; from: number; to: number }[] {
  const out: { step: number; from: number; to: number }[] = [];
  const most = Math.max(0, ...values.filter((value): value is number => value !== null && Number.isFinite(value)));
  for (let i = 1; i < values.length; i++) {
    const [from, to] = [values[i - 1], values[i]];
    if (!from || !to || from < 0 || to < 0) continue;
    if (Math.abs(to - from) < 0.05 * most) continue;
    if (to / from >= factor || from / to >= factor) out.push({ step: steps[i]!, from, to });
  }
  return out.length > 12 ? [] : out;
}

/** First step of each epoch, in order; empty if nobody said which epoch it is. */
export function epochStarts(steps: readonly StepRecord[]): { epoch: number; step: number }[] {
  const out: { epoch: number; step: number }[] = [];
  for (const { epoch, step } of steps) if (epoch !== null && epoch !== out.at(-1)?.epoch) out.push({ epoch, step });
  return out;
}

/** Steps at which a pass with gradients ran another graph than the one before. */
export function graphChanges(passes: readonly PassRecord[]): number[] {
  const out: number[] = [];
  let last: string | null = null;
  for (const { graph_id, grad_enabled, step } of passes) {
    if (graph_id === null || !grad_enabled) continue;
    if (last !== null && graph_id !== last && out.at(-1) !== step) out.push(step);
    last = graph_id;
  }
  return out;
}
