/** StepStats by address, role and step: the tensors' part of a Run. */

import type { AddressTable, Role, SeriesReply, StatName } from "../schema";
import { insertSorted } from "./sorted";
import { StatsTable, type TensorSummary, roleCode, tensorKey } from "./statistics";

/** Values over steps; a gap is null, never 0. */
export interface Series {
  steps: number[];
  values: (number | null)[];
}

const REPLIED = new Set<string>(["mean", "std", "absmax", "l2", "zero_share"]);
const addressKey = (fqn: string, call: number, output: number) => `${call} ${output} ${fqn}`;

export class TensorIndex {
  /** Steps whose statistics are here, rising. */
  steps: number[] = [];
  private numbers = new Map<string, number>();
  private tables = new Map<number, StatsTable[]>(); // step -> its passes, the last first
  private replies = new Map<number, SeriesReply>();
  private cache = new Map<string, Series>();

  /** `most`: how many steps are kept; above it every second old one is let go. */
  constructor(private readonly most: number) {}

  addAddresses(table: AddressTable): void {
    if (table.call.length !== table.fqn.length || table.output.length !== table.fqn.length) throw new RangeError("addresses do not fit");
    table.fqn.forEach((fqn, i) => this.numbers.set(addressKey(fqn, table.call[i]!, table.output[i]!), table.start + i));
  }

  addTable(table: StatsTable): void {
    const others = (this.tables.get(table.step) ?? []).filter((old) => old.pass !== table.pass);
    insertSorted(this.steps, table.step);
    this.tables.set(table.step, [...others, table].sort((a, b) => b.pass - a.pass));
    if (this.steps.length > this.most) {
      const half = this.steps.length >> 1;
      for (const step of this.steps.filter((_, i) => i < half && i % 2 === 1)) this.tables.delete(step);
      this.steps = this.steps.filter((step) => this.tables.has(step));
    }
    this.cache.clear();
  }

  addReply(reply: SeriesReply): void {
    this.replies.set(tensorKey(reply.address, reply.role), reply);
    this.cache.clear();
  }

  number(fqn: string, call: number, output: number): number | null {
    return this.numbers.get(addressKey(fqn, call, output)) ?? null;
  }

  /** How many passes of a step are here. */
  passesAt(step: number): number {
    return this.tables.get(step)?.length ?? 0;
  }

  summary(fqn: string, call: number, role: Role, step: number, output: number): TensorSummary | null {
    return this.find(fqn, call, role, step, output, (table, row) => table.summary(row));
  }

  rms(fqn: string, call: number, role: Role, step: number): number | null {
    return this.find(fqn, call, role, step, 0, (table, row) => table.rms(row));
  }

  stat(fqn: string, call: number, role: Role, step: number, name: StatName, output: number): number | null {
    return this.find(fqn, call, role, step, output, (table, row) => table.stat(row, name));
  }

  series(fqn: string, call: number, name: StatName, role: Role, output: number): Series {
    const key = `${name} ${role} ${addressKey(fqn, call, output)}`;
    const cached = this.cache.get(key);
    if (cached) return cached;
    const points = new Map<number, number | null>();
    const address = this.number(fqn, call, output);
    const reply = address === null ? undefined : this.replies.get(tensorKey(address, roleCode(role)));
    if (reply && REPLIED.has(name)) {
      const column = reply[name as "mean"];
      reply.step.forEach((step, i) => points.set(step, Number.isNaN(column[i]!) ? null : (column[i] ?? null)));
    }
    let measured = points.size > 0;
    for (const step of this.steps) {
      const found = this.find(fqn, call, role, step, output, (table, row) => ({ value: table.stat(row, name) }));
      measured ||= found !== null;
      if (found || !points.has(step)) points.set(step, found?.value ?? null);
    }
    const steps = measured ? [...points.keys()].sort((a, b) => a - b) : [];
    const series = { steps, values: steps.map((step) => points.get(step)!) };
    this.cache.set(key, series);
    return series;
  }

  /** Newest pass of a step first. */
  private find<T>(fqn: string, call: number, role: Role, step: number, output: number, read: (table: StatsTable, row: number) => T): T | null {
    const address = this.number(fqn, call, output);
    if (address === null) return null;
    const key = tensorKey(address, roleCode(role));
    for (const table of this.tables.get(step) ?? []) {
      const row = table.row(key);
      if (row !== null) return read(table, row);
    }
    return null;
  }
}
