/** Scalars of steps, and what was logged for single steps: the numbers over time of a Run. */

import type { ScalarRecord, StepRecord } from "../schema";
import type { Series } from "./tensors";

/** What GraphScope itself knows of steps; the rest was logged by the user. */
const CORE: ReadonlySet<string> = new Set(["loss", "grad_norm", "lr"]);

/** Scalars that belong to a step but were not measured at every step: a test accuracy. */
export interface Evaluation {
  step: number;
  epoch: number | null;
  scalars: Record<string, number>;
}

export class ScalarIndex {
  private late: ScalarRecord[] = [];
  private cache = new Map<string, Series>();
  private evaluationCache: Evaluation[] | null = null;

  /** Takes what was logged for a step already done. */
  add(record: ScalarRecord): void {
    if (!this.late.some((old) => old.step === record.step && same(old.scalars, record.scalars))) this.late.push(record);
    this.forget();
  }

  /** To be called when the steps change. */
  forget(): void {
    this.cache.clear();
    this.evaluationCache = null;
  }

  /** Of the steps and of what was logged later. */
  names(steps: readonly StepRecord[]): string[] {
    const names = new Set<string>();
    for (const step of steps) for (const name of Object.keys(step.scalars)) names.add(name);
    for (const record of this.late) for (const name of Object.keys(record.scalars)) names.add(name);
    return [...names];
  }

  /** Scalars of single steps: logged for a step already done, or with a step but not with most of them. By step. */
  evaluations(steps: readonly StepRecord[]): readonly Evaluation[] {
    if (this.evaluationCache) return this.evaluationCache;
    const counts = new Map<string, number>();
    for (const { scalars } of [...steps, ...this.late]) for (const name of Object.keys(scalars)) counts.set(name, (counts.get(name) ?? 0) + 1);
    const rare = (name: string) => counts.get(name)! < steps.length / 2 && !CORE.has(name);
    const found: Evaluation[] = [];
    const pick = ({ step, epoch, scalars }: StepRecord | ScalarRecord, wanted: (name: string) => boolean) => {
      const picked = Object.entries(scalars).filter(([name]) => wanted(name));
      if (picked.length) found.push({ step, epoch, scalars: Object.fromEntries(picked) });
    };
    // Logged for a step already done: an evaluation, unless it is there for most steps (the accuracy of each batch).
    for (const record of this.late) pick(record, (name) => rare(name) || counts.get(name) === 1);
    for (const record of steps) pick(record, rare);
    return (this.evaluationCache = found.sort((a, b) => a.step - b.step));
  }

  series(name: string, steps: readonly StepRecord[]): Series {
    const cached = this.cache.get(name);
    if (cached) return cached;
    const points: { step: number; value: number }[] = [];
    for (const record of [...steps, ...this.late]) {
      if (Object.hasOwn(record.scalars, name)) points.push({ step: record.step, value: record.scalars[name]! });
    }
    if (this.late.length) points.sort((a, b) => a.step - b.step);
    const series = { steps: points.map((p) => p.step), values: points.map((p) => (Number.isNaN(p.value) ? null : p.value)) };
    this.cache.set(name, series);
    return series;
  }
}

function same(a: Record<string, number>, b: Record<string, number>): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => Object.is(a[name], b[name]));
}
