/**
 * Lays out levels in a worker, or in slices on the main thread where workers are refused (some webviews and policies do);
 * the result is the same. A scene that is no longer wanted is given up.
 */

import type { Graph } from "../run/graph";
import { compose, LayoutCache, type Wanted } from "./compose";
import { hierarchyOf } from "./hierarchy";
import type { Hierarchy } from "./items";
import { type LevelLayout, layoutLevel } from "./level";
import type { Measure, Scene } from "./scene";

/** Longest time on the main thread before the page gets a turn, ms. */
const SLICE = 12;
/** This many small levels are laid out at once rather than sent: the way to a worker and back takes longer. */
const AT_ONCE = 60;

export class LayoutClient {
  private readonly cache = new LayoutCache();
  private readonly hierarchies = new WeakMap<Graph, Hierarchy>();
  private worker: Worker | null = null;
  private latest = 0;
  private job = 0;
  private readonly pending = new Map<number, { wanted: Wanted[]; done: (layouts: LevelLayout[] | null) => void }>();

  /** `source`: the text of the worker (`worker.ts?inline`); null for the main thread alone. */
  constructor(private readonly measure: Measure, source: string | null) {
    if (source === null || typeof Worker !== "function") return;
    try {
      const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
      this.worker = new Worker(url);
      URL.revokeObjectURL(url);
    } catch {
      this.worker = null; // refused by a policy: slices on the main thread serve as well
      return;
    }
    this.worker.onerror = () => this.withoutWorker();
    this.worker.onmessage = ({ data }: MessageEvent<{ job: number; layouts?: LevelLayout[] }>) => {
      const waiting = this.pending.get(data.job);
      this.pending.delete(data.job);
      waiting?.done(data.layouts ?? null);
    };
  }

  /** The items of a graph; made once. */
  hierarchy(graph: Graph): Hierarchy {
    let hierarchy = this.hierarchies.get(graph);
    if (!hierarchy) this.hierarchies.set(graph, (hierarchy = hierarchyOf(graph)));
    return hierarchy;
  }

  /** The scene with these items open; null if another was asked for in the meantime. */
  async scene(graph: Graph, expanded: ReadonlySet<string>, onProgress?: (done: number, levels: number) => void): Promise<Scene | null> {
    const turn = ++this.latest;
    const steps = compose(this.hierarchy(graph), new Set(expanded), this.cache, this.measure);
    let done = 0;
    for (let step = steps.next(); ; step = steps.next()) {
      if (step.done) return turn === this.latest ? step.value : null;
      await this.layOut(step.value, turn);
      if (turn !== this.latest) return null;
      onProgress?.((done += step.value.length), done);
    }
  }

  dispose(): void {
    this.latest++;
    this.withoutWorker();
  }

  private async layOut(wanted: Wanted[], turn: number): Promise<void> {
    const size = wanted.reduce((sum, { level }) => sum + level.nodes.length + level.edges.length, 0);
    if (this.worker && size > AT_ONCE) {
      const layouts = await this.send(wanted);
      if (layouts) {
        wanted.forEach(({ key }, i) => this.cache.set(key, layouts[i]));
        return;
      }
    }
    let start = performance.now();
    for (const { key, level } of wanted) {
      this.cache.set(key, layoutLevel(level));
      if (performance.now() - start < SLICE) continue;
      await new Promise((resume) => setTimeout(resume, 0));
      if (turn !== this.latest) return;
      start = performance.now();
    }
  }

  private send(wanted: Wanted[]): Promise<LevelLayout[] | null> {
    return new Promise((done) => {
      const job = ++this.job;
      this.pending.set(job, { wanted, done });
      this.worker!.postMessage({ job, levels: wanted.map(({ level }) => level) });
    });
  }

  /** A worker that fails never answers: whoever waits for it goes on without. */
  private withoutWorker(): void {
    this.worker?.terminate();
    this.worker = null;
    for (const { done } of this.pending.values()) done(null);
    this.pending.clear();
  }
}

/** The scene at once, on this thread: for tests, pictures and exports. */
export function sceneNow(hierarchy: Hierarchy, expanded: ReadonlySet<string>, measure: Measure, cache = new LayoutCache()): Scene {
  const steps = compose(hierarchy, expanded, cache, measure);
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done) return step.value;
    for (const { key, level } of step.value) cache.set(key, layoutLevel(level));
  }
}
