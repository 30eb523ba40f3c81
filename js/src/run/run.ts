/**
 * Records, one at a time -> what is known about a run, and the queries views ask. The twin of `graphscope/run/run.py`:
 * no document, no signals. `version` rises with every change; caches hold until the part they came from changes.
 */

import {
  type AtenOps, type CommandError, type Finding, type LayerStats, type Note, type PassRecord, type Reply, type Role, type RunEnd,
  type RunHeader, type RunRanks, type RunRecord, SCHEMA_MAJOR, type SessionStatus, type StatName, type StepRecord,
  type TrainerSamples, type TrainerStatus,
} from "../schema";
import { type Graph, graphOf } from "./graph";
import { checkInside } from "./inside";
import { OpGradientIndex } from "./op-gradients";
import { addPass, backwardFailure, graphAt } from "./passes";
import { type Evaluation, ScalarIndex } from "./scalars";
import { insertSorted, lowerBound, nearest } from "./sorted";
import { StatsTable, type TensorSummary } from "./statistics";
import { type Series, TensorIndex } from "./tensors";

export type { Evaluation } from "./scalars";
export type { TensorSummary } from "./statistics";
export type { Series } from "./tensors";

const SEVERITIES = ["error", "warning", "info"];
const MAX_STEPS = 20_000;
const layerKey = (fqn: string, call: number) => `${call} ${fqn}`;

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
  private logged = new ScalarIndex();

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
      case "pass": return addPass(this.passes, record);
      case "step": return this.addStep(record);
      case "scalars": return this.logged.add(record);
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

  private addStep(record: StepRecord): void {
    const i = lowerBound(this.steps, record.step);
    this.steps.splice(i, this.steps[i]?.step === record.step ? 1 : 0, record);
    if (record.captured && this.captured) insertSorted(this.captured, record.step);
    if (this.steps.length > MAX_STEPS) {
      const half = this.steps.length >> 1;
      this.steps = this.steps.filter((step, k) => k > half || k % 2 === 0 || step.captured);
    }
    this.logged.forget();
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

  /** The graph of a step (null: of the last recorded pass); see `passes.ts`. */
  graphAt(step: number | null): Graph | null {
    return graphAt(this.graphs, this.passes, this.steps, step);
  }

  /** The pass of a step whose backward raised; at the end of the run also one behind its last step. */
  backwardFailure(at: number | null): PassRecord | null {
    return backwardFailure(this.passes, this.lastStep(), at);
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
    return this.logged.names(this.steps);
  }

  /** Scalars of single steps: logged for a step already done, or with a step but not with most of them. By step. */
  evaluations(): readonly Evaluation[] {
    return this.logged.evaluations(this.steps);
  }

  scalars(name: string): Series {
    return this.logged.series(name, this.steps);
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
