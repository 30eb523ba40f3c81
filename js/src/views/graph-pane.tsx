/** The graph: scenes from the layout, looks from the run, on the canvas engine; and what stands there without a graph. */

import { effect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { count, plural } from "../base/format";
import { Shape } from "../base/icons";
import { readTheme } from "../base/theme";
import { callId } from "../layout/hierarchy";
import { visibleAt } from "../layout/expansion";
import { GraphCanvas } from "./canvas/graph-canvas";
import { Legend } from "./legend";
import { type LooksOf, looksOf } from "./looks";
import { type Store, select, toggle, useStore } from "../store/state";
import { useSize } from "./use-size";

/** Where keys of the whole mount reach the picture. */
export const pictures = new WeakMap<Store, GraphCanvas>();

export function GraphPane() {
  const store = useStore();
  const host = useRef<HTMLElement>(null);
  const { width } = useSize(host);
  return (
    <section class="gs-graph" aria-label="Graph" ref={host}>
      {store.graph.value ? <Picture /> : <NoGraph />}
      {store.graph.value && <Legend width={width} />}
    </section>
  );
}

function Picture() {
  const store = useStore();
  const host = useRef<HTMLDivElement>(null);
  const progress = useSignal<number | null>(null);
  useEffect(() => attach(store, host.current!, progress), []);
  return (
    <div style={{ flex: 1, minHeight: 0, position: "relative", display: "flex" }}>
      <div class="gs-canvas" ref={host} />
      <Banner />
      <ValuesOf />
      {progress.value !== null && <Skeleton done={progress.value} />}
    </div>
  );
}

/** Starts an engine in `host` that follows the store; returns what ends it. */
function attach(store: Store, host: HTMLElement, progress: { value: number | null }): () => void {
  const root = host.closest<HTMLElement>(".gs")!;
  let described: LooksOf | null = null;
  let toggled: string | undefined;
  let wanted: string | null = null; // to be moved into view with the next scene
  const canvas = new GraphCanvas(host, {
    select: (id) => select(store, id === null || id.startsWith("input:") || id.startsWith("output:") ? "" : id.startsWith("fold:") || id.startsWith("page:") ? store.selection.peek() : id),
    selectMember: (call) => {
      const chosen = store.graph.peek()?.calls[call];
      if (chosen) select(store, callId(chosen));
    },
    toggle: (id) => {
      toggled = id;
      toggle(store, id);
    },
    describe: (target) => described?.describe(target) ?? [],
  }, readTheme(root));
  pictures.set(store, canvas);
  const visible = (id: string) => {
    const hierarchy = store.hierarchy.peek();
    return hierarchy && visibleAt(hierarchy, id, store.expanded.peek());
  };
  const mark = () => {
    canvas.setSelection(store.selection.peek() ? visible(store.selection.peek()) : null);
    canvas.setHits(store.hits.peek().map(visible).filter((id) => id !== null));
  };
  let last: unknown[] = [];
  const disposals = [
    effect(() => {
      const [graph, expanded] = [store.graph.value, store.expanded.value];
      if (!graph) return;
      const waiting = setTimeout(() => (progress.value = 0), 100);
      void store.layout.scene(graph, expanded, (done) => progress.value !== null && (progress.value = done)).then((scene) => {
        clearTimeout(waiting);
        if (!scene) return;
        progress.value = null;
        canvas.setScene(scene, toggled);
        toggled = undefined;
        mark();
        if (wanted !== null) canvas.reveal(visible(wanted) ?? wanted);
        wanted = null;
      });
    }),
    effect(() => {
      const id = store.selection.value;
      void store.hits.value;
      mark();
      if (!id) return;
      wanted = id;
      if (canvas.reveal(visible(id) ?? id)) queueMicrotask(() => (wanted = null));
    }),
    effect(() => {
      void store.version.value;
      void store.themed.value;
      const [graph, step, colorBy] = [store.graph.value, store.shown.value, store.colorBy.value];
      if (!graph) return;
      // The run's version rises ten times a second; what a picture shows mostly stays.
      const failed = store.run.backwardFailure(store.at.value);
      const measured = step !== null && store.run.opGradients.measured(graph.id, step);
      const key = [graph, step, colorBy, store.run.findings, step === null ? 0 : store.run.passesAt(step), measured, failed, store.themed.value];
      if (key.every((part, i) => part === last[i])) return;
      last = key;
      described = looksOf(store.run, graph, step, colorBy, failed);
      canvas.setLooks(described.looks);
    }),
    effect(() => {
      void store.themed.value;
      canvas.setTheme(readTheme(root));
    }),
  ];
  return () => {
    for (const dispose of disposals) dispose();
    if (pictures.get(store) === canvas) pictures.delete(store);
    canvas.dispose();
  };
}

/** What is not as it should be with this graph, in one sentence. */
function Banner() {
  const { graph, run, at, version } = useStore();
  void version.value;
  if (graph.value?.partial) {
    return <div class="gs-banner" role="status"><span><Shape kind="error" size={12} named /><span>The pass ended early: <bdi>{graph.value.partial}</bdi>. The graph up to there is shown.</span></span></div>;
  }
  const failed = run.backwardFailure(at.value);
  if (failed) {
    return <div class="gs-banner" role="status"><span><Shape kind="error" size={12} named /><span>Backward ended early at step {count(failed.step)}: <bdi>{failed.backward_error}</bdi>.</span></span></div>;
  }
  if (graph.value && !graph.value.traced) {
    return <div class="gs-banner" role="status"><span class="gs-info"><Shape kind="info" size={12} />Modules only. Ops appear with the first forward pass.</span></div>;
  }
  return null;
}

/** Which step's statistics the picture shows, where the playhead is on one that was not recorded in full. */
function ValuesOf() {
  const { shown, at, version } = useStore();
  void version.value;
  if (shown.value === null || at.value === null || shown.value === at.value) return null;
  return <p class="gs-valuesof" data-graphscope="values-of" title={`Step ${count(at.value)} was not recorded in full`}>values of step {count(shown.value)}</p>;
}

function Skeleton({ done }: { done: number }) {
  return (
    <div class="gs-state" style={{ position: "absolute", inset: 0, background: "var(--gs-canvas)" }} role="status" aria-label="Laying out">
      <svg class="gs-skeleton" width="200" height="150" aria-hidden="true">
        {[[10, 4], [10, 40], [110, 76], [10, 112]].map(([x, y], i) => <rect key={y} x={x} y={y} width="90" height="22" rx="4" stroke-dasharray={i > 1 ? "4 3" : undefined} />)}
        <path d="M55 26V40M55 62V112" fill="none" />
      </svg>
      <span class="gs-s">{done ? `${plural(done, "group")} laid out` : "laying out"}</span>
    </div>
  );
}

function NoGraph() {
  const { run, source, version } = useStore();
  void version.value;
  if (!source.live) {
    return (
      <div class="gs-state">
        {run.damaged > 0 && <Shape kind="error" size={20} named />}
        <p>{run.damaged > 0 ? <><b>{plural(run.damaged, "record is", "records are")} damaged</b><br />No graph could be read. What else was recorded is shown.</> : version.value ? "This run holds no graph: no pass was recorded in full." : "Reading the run …"}</p>
      </div>
    );
  }
  if (run.trainer) return <div class="gs-state"><p>{run.trainer.state === "loading" ? "Loading the data. The graph appears with the first batch." : "Press Start: the graph appears with the first batch."}</p></div>;
  return (
    <div class="gs-state">
      <p>No pass recorded yet. The graph appears with the first forward pass.</p>
      <code>session = graphscope.watch(model)</code>
    </div>
  );
}
