/**
 * Records, one at a time -> what is known about a run, and the queries views ask. The twin of `graphscope/run/run.py`:
 * no document, no signals. `version` rises with every change; caches hold until the part they came from changes.
 */

import {
  type AtenOps, type CommandError, type Finding, type LayerStats, type Note, type PassRecord, type Reply, type Role, type RunEnd,
  type RunHeader, type RunRanks, type RunRecord, SCHEMA_MAJOR, type ScalarRecord, type SessionStatus, type StatName, type StepRecord,
  type TrainerSamples, type TrainerStatus,
} from "../schema";
import { type Graph, graphOf } from "./graph";
import { checkInside } from "./inside";
import { OpGradientIndex } from "./op-gradients";
import { StatsTable, type TensorSummary } from "./statistics";
import { type Series, TensorIndex, insertSorted } from "./tensors";

export type { TensorSummary } from "./statistics";
export type { Series } from "./tensors";

const SEVERITIES = ["error", "warning", "info"];
const MAX_STEPS = 20_000;
/** What GraphScope itself knows of steps; the rest was logged by the user. */
const CORE: ReadonlySet<string> = new Set(["loss", "grad_norm", "lr"]);

/** Scalars that belong to a step but were not measured at every step: a test accuracy. */
export interface Evaluation {
  step: number;
  epoch: number | null;
  scalars: Record<string, number>;
}
const layerKey = (fqn: string, call: number) => `${call} ${fqn}`;

/** First index whose step is not below `step`, in a list that rises. */
export function lowerBound(list: readonly { step: number }[], step: number): number {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle]!.step < step) low = middle + 1;
    else high = middle;
  }
  return low;
}

export class Run {
  version = 0;
  header: RunHeader | null = null;
  end: RunEnd | null = null;
  /** Records that could not be read. */
  damaged = 0;
  /** Records of kinds that this page does not know. */
  unknown = 0;
  notes: Note[] = [];
  status: SessionStatus | null = null;
  trainer: TrainerStatus | null = null;
  samples: TrainerSamples | null = null;
  /** Processes of a run read from several files; null: one process, or not said. */
  ranks: RunRanks | null = null;
  lastError: CommandError | null = null;
  graphs = new Map<string, Graph>();
  steps: StepRecord[] = [];
  passes: PassRecord[] = [];
  /** The latest of each rule and place, errors first. */
  findings: Finding[] = [];
  /** What flowed through ops, where they were measured. */
  readonly opGradients: OpGradientIndex;

  private tensors: TensorIndex;
  private captured: number[] | null = null;
  private layerStats = new Map<string, LayerStats[]>();
  private looks = new Map<string, AtenOps>();
  private late: ScalarRecord[] = [];
  private scalarCache = new Map<string, Series>();
  private evaluationCache: Evaluation[] | null = null;

  /** `maxLoaded`: how many steps' statistics are kept; above it every second old one is let go and can be asked for again. */
  constructor(private readonly maxLoaded = Number.POSITIVE_INFINITY) {
    this.tensors = new TensorIndex(maxLoaded);
    this.opGradients = new OpGradientIndex(maxLoaded);
  }

  add(record: RunRecord | Reply): void {
    this.version++;
    try {
      this.take(record);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.damaged++; // columns that do not fit together
    }
  }

  private take(record: RunRecord | Reply): void {
    switch (record.kind) {
      case "run_header":
        return this.addHeader(record);
      case "graph":
        // The same again comes with what its backward runs; without, it says nothing new about that.
        if (record.backward_name || !this.graphs.get(record.graph_id)?.autograd) this.graphs.set(record.graph_id, graphOf(record));
        return;
      case "addresses": return this.tensors.addAddresses(record);
      case "step_stats": {
        const table = new StatsTable(record);
        insertSorted(this.capturedSteps(), table.step); // stays captured when it is let go
        return this.tensors.addTable(table);
      }
      case "op_gradients": return this.opGradients.add(record);
      case "batchnorm_stats":
      case "dropout_stats": return this.addLayer(record);
      case "pass": return this.addPass(record);
      case "step": return this.addStep(record);
      case "scalars":
        if (!this.late.some((old) => old.step === record.step && same(old.scalars, record.scalars))) this.late.push(record);
        this.forgetScalars();
        return;
      case "finding": return this.addFinding(record);
      case "note":
        if (!this.notes.some((old) => old.text === record.text && old.step === record.step)) this.notes.push(record);
        return;
      case "run_end": this.end = record; return;
      case "session_status": this.status = record; return;
      case "trainer_status": this.trainer = record; return;
      case "trainer_samples": this.samples = record; return;
      case "run_ranks":
        if (this.ranks && this.ranks.shown !== record.shown) this.clear(); // what follows is of other processes
        this.ranks = record;
        return;
      case "series": return this.tensors.addReply(record);
      case "command_error": this.lastError = record; return;
      case "aten_ops": this.looks.set(layerKey(record.fqn, record.call), checkInside(record)); return;
      case "pong":
      case "kernel_list": return; // for the source and the sidebar
      default: return record satisfies never;
    }
  }

  private addHeader(record: RunHeader): void {
    if (record.schema_major !== SCHEMA_MAJOR) {
      const text = `This run was written in version ${record.schema_major} of the format; this view reads version ${SCHEMA_MAJOR}. Open it with the GraphScope that wrote it (${record.graphscope || "unknown"}).`;
      return this.take({ kind: "note", severity: "error", text, step: null });
    }
    if (this.header && this.header.run_id !== record.run_id) this.clear();
    this.header ??= record;
  }

  /** Another run took the place of this one: the trainer was started again. */
  private clear(): void {
    const { version, trainer, damaged, unknown, maxLoaded } = this;
    Object.assign(this, new Run(maxLoaded), { version, trainer, damaged, unknown });
  }

  private addLayer(stats: LayerStats): void {
    const key = layerKey(stats.fqn, stats.call);
    const list = this.layerStats.get(key) ?? [];
    const i = lowerBound(list, stats.step);
    list.splice(i, list[i]?.step === stats.step ? 1 : 0, stats);
    this.layerStats.set(key, list);
  }

  private addPass(record: PassRecord): void {
    const i = lowerBound(this.passes, record.step);
    for (let k = i; this.passes[k]?.step === record.step; k++) {
      if (this.passes[k]!.pass_index === record.pass_index) {
        this.passes[k] = record;
        return;
      }
    }
    let k = i;
    while (this.passes[k]?.step === record.step && this.passes[k]!.pass_index < record.pass_index) k++;
    this.passes.splice(k, 0, record);
  }

  private addStep(record: StepRecord): void {
    const i = lowerBound(this.steps, record.step);
    this.steps.splice(i, this.steps[i]?.step === record.step ? 1 : 0, record);
    if (record.captured && this.captured) insertSorted(this.captured, record.step);
    if (this.steps.length > MAX_STEPS) {
      const half = this.steps.length >> 1;
      this.steps = this.steps.filter((step, k) => k > half || k % 2 === 0 || step.captured);
    }
    this.forgetScalars();
  }

  private forgetScalars(): void {
    this.scalarCache.clear();
    this.evaluationCache = null;
  }

  private addFinding(record: Finding): void {
    const others = this.findings.filter((old) => old.rule !== record.rule || old.fqn !== record.fqn || old.call !== record.call);
    this.findings = [...others, record].sort(
      (a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity) || (b.step ?? 0) - (a.step ?? 0),
    );
  }

  /** Steps with statistics, loaded or not, rising. */
  capturedSteps(): number[] {
    this.captured ??= [...new Set([...this.steps.filter((step) => step.captured).map((step) => step.step), ...this.tensors.steps])].sort((a, b) => a - b);
    return this.captured;
  }

  /** Steps whose statistics are here, rising. */
  loadedList(): readonly number[] {
    return this.tensors.steps;
  }

  /** What ran inside a call of a module when it was last looked into; null if nobody did. */
  inside(fqn: string, call: number): AtenOps | null {
    return this.looks.get(layerKey(fqn, call)) ?? null;
  }

  loaded(step: number): boolean {
    return this.passesAt(step) > 0;
  }

  /** How many passes of a step are here. */
  passesAt(step: number): number {
    return this.tensors.passesAt(step);
  }

  /** Nearest captured step not after `step`, else the first; null if there is none. */
  capturedAt(step: number | null): number | null {
    return nearest(this.capturedSteps(), step);
  }

  /** The same among those that are loaded: what can be shown now. */
  loadedAt(step: number | null): number | null {
    return nearest(this.tensors.steps, step);
  }

  /** The last step there is anything about. */
  lastStep(): number | null {
    const steps = [this.steps.at(-1)?.step, this.tensors.steps.at(-1)].filter((step) => step !== undefined);
    return steps.length ? Math.max(...steps) : null;
  }

  /**
   * The graph of a step: of its last recorded pass with gradients, else of the topology its fingerprint says (null: that
   * was never recorded), else the one in force. Without a step: of the last recorded pass, whole ones first.
   */
  graphAt(step: number | null): Graph | null {
    const all = [...this.graphs.values()];
    if (step === null) {
      const whole = this.passes.filter((pass) => this.graphs.get(pass.graph_id ?? "")?.partial === "");
      return this.graphOf(whole.length ? whole : this.passes) ?? all.at(-1) ?? null;
    }
    const [from, until] = [lowerBound(this.passes, step), lowerBound(this.passes, step + 1)];
    const here = this.graphOf(this.passes.slice(from, until).filter((pass) => pass.grad_enabled));
    if (here) return here;
    const record = this.steps[lowerBound(this.steps, step)];
    const topology = record?.step === step ? record.topology : null;
    const before = this.passes.slice(0, until);
    if (topology === null) return this.graphOf(before) ?? this.graphOf(this.passes.filter((pass) => pass.graph_id !== null).slice(0, 1)) ?? all[0] ?? null;
    const same = (pass: PassRecord) => pass.topology === topology && pass.graph_id !== null;
    return this.graphOf(before.filter(same)) ?? this.graphOf(this.passes.filter(same).slice(0, 1));
  }

  /** Graph of the last of these passes that has one; with gradients, if one had. */
  private graphOf(passes: readonly PassRecord[]): Graph | null {
    let other: Graph | null = null;
    for (let i = passes.length - 1; i >= 0; i--) {
      const graph = this.graphs.get(passes[i]!.graph_id ?? "");
      if (graph && passes[i]!.grad_enabled) return graph;
      other ??= graph ?? null;
    }
    return other;
  }

  /** The pass of a step whose backward raised; at the end of the run also one behind its last step, which it kept from ending. */
  backwardFailure(at: number | null): PassRecord | null {
    const last = this.lastStep();
    const open = at === null || last === null || at >= last;
    for (let i = this.passes.length - 1; i >= 0 && this.passes[i]!.step >= (at ?? 0); i--) {
      const pass = this.passes[i]!;
      if (pass.backward_error !== null && (open || pass.step === at)) return pass;
    }
    return null;
  }

  addressNumber(fqn: string, call: number, output = 0): number | null {
    return this.tensors.number(fqn, call, output);
  }

  /** The newest pass of the step that measured it; null if none did or the step is not loaded. */
  summary(fqn: string, call: number, role: Role, step: number, output = 0): TensorSummary | null {
    return this.tensors.summary(fqn, call, role, step, output);
  }

  /** Root of the mean square of an output, without the rest of its summary. */
  rms(fqn: string, call: number, role: Role, step: number): number | null {
    return this.tensors.rms(fqn, call, role, step);
  }

  stat(fqn: string, call: number, role: Role, step: number, name: StatName, output = 0): number | null {
    return this.tensors.stat(fqn, call, role, step, name, output);
  }

  /** One statistic over the loaded steps and those that a Select answered; null where this tensor was not measured. Empty if it never was. */
  series(fqn: string, call: number, name: StatName, role: Role, output = 0): Series {
    return this.tensors.series(fqn, call, name, role, output);
  }

  /** Layer statistics at a step, else the nearest earlier ones. */
  layer(fqn: string, call: number, step: number | null): LayerStats | null {
    const list = this.layers(fqn, call);
    if (step === null) return list.at(-1) ?? null;
    const i = lowerBound(list, step + 1) - 1;
    return list[Math.max(0, i)] ?? null;
  }

  layers(fqn: string, call: number): readonly LayerStats[] {
    return this.layerStats.get(layerKey(fqn, call)) ?? [];
  }

  scalarNames(): string[] {
    const names = new Set<string>();
    for (const step of this.steps) for (const name of Object.keys(step.scalars)) names.add(name);
    for (const record of this.late) for (const name of Object.keys(record.scalars)) names.add(name);
    return [...names];
  }

  /** Scalars of single steps: logged for a step already done, or with a step but not with most of them. By step. */
  evaluations(): readonly Evaluation[] {
    if (this.evaluationCache) return this.evaluationCache;
    const counts = new Map<string, number>();
    for (const { scalars } of [...this.steps, ...this.late]) for (const name of Object.keys(scalars)) counts.set(name, (counts.get(name) ?? 0) + 1);
    const rare = (name: string) => counts.get(name)! < this.steps.length / 2 && !CORE.has(name);
    const found: Evaluation[] = [];
    const pick = ({ step, epoch, scalars }: StepRecord | ScalarRecord, wanted: (name: string) => boolean) => {
      const picked = Object.entries(scalars).filter(([name]) => wanted(name));
      if (picked.length) found.push({ step, epoch, scalars: Object.fromEntries(picked) });
    };
    // Logged for a step already done: an evaluation, unless it is there for most steps (the accuracy of each batch).
    for (const record of this.late) pick(record, (name) => rare(name) || counts.get(name) === 1);
    for (const record of this.steps) pick(record, rare);
    return (this.evaluationCache = found.sort((a, b) => a.step - b.step));
  }

  scalars(name: string): Series {
    const cached = this.scalarCache.get(name);
    if (cached) return cached;
    const points: { step: number; value: number }[] = [];
    for (const record of [...this.steps, ...this.late]) {
      if (Object.hasOwn(record.scalars, name)) points.push({ step: record.step, value: record.scalars[name]! });
    }
    if (this.late.length) points.sort((a, b) => a.step - b.step);
    const series = { steps: points.map((p) => p.step), values: points.map((p) => (Number.isNaN(p.value) ? null : p.value)) };
    this.scalarCache.set(name, series);
    return series;
  }

  /** The step record at or before a step. */
  stepAt(step: number | null): StepRecord | null {
    if (step === null) return this.steps.at(-1) ?? null;
    return this.steps[lowerBound(this.steps, step + 1) - 1] ?? null;
  }

  /** log10 of |update| / |parameters| over several parameters at a step; −∞ where nothing moved, null where unknown. */
  updateRatio(params: readonly string[], step: number): number | null {
    let [update, weight, found] = [0, 0, false];
    for (const name of params) {
      const moved = this.stat(name, 0, "update", step, "l2");
      const size = this.stat(name, 0, "parameter", step, "l2");
      if (moved === null || size === null) continue;
      found = true;
      update += moved ** 2;
      weight += size ** 2;
    }
    if (!found || weight === 0) return null;
    return Math.log10(Math.sqrt(update / weight));
  }
}

function nearest(list: readonly number[], step: number | null): number | null {
  if (step === null) return list.at(-1) ?? null;
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle]! <= step) low = middle + 1;
    else high = middle;
  }
  return list[Math.max(0, low - 1)] ?? null;
}

function same(a: Record<string, number>, b: Record<string, number>): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => Object.is(a[name], b[name]));
}
