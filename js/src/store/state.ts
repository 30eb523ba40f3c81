/**
 * One mount's state: the Run, what the reader looks at, and what follows from both. A page holds many mounts, so nothing
 * here is global. Views read signals; only the functions below write them.
 */

import { type ReadonlySignal, type Signal, batch, computed, signal } from "@preact/signals";
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { LayoutClient } from "../layout/client";
import { around, openItems } from "../layout/expansion";
import type { Hierarchy } from "../layout/items";
import type { Call, Graph, Module, Op } from "../run/graph";
import type { ColorBy } from "../run/queries";
import { Run } from "../run/run";
import type { Command } from "../schema";
import type { KernelState, Source } from "../sources/source";
import { search } from "./search";

export type Tab = "trainer" | "modules" | "graph" | "findings";

/** What a selection stands for in the graph of the step that is shown. */
export type Selected =
  | { kind: "run" }
  | { kind: "module"; module: Module; call: Call | null }
  | { kind: "op"; op: Op }
  | { kind: "unknown"; id: string };

export interface Store {
  source: Source;
  layout: LayoutClient;
  run: Run;
  /** Rises with the run's own version; read it before asking the run. */
  version: Signal<number>;
  /** Where the playhead was put; the last step is shown instead while following. */
  step: Signal<number>;
  follow: Signal<boolean>;
  playing: Signal<boolean>;
  selection: Signal<string>;
  colorBy: Signal<ColorBy>;
  compareStep: Signal<number | null>;
  /** Ids of the items that are open, in the tree and in the graph. */
  expanded: Signal<ReadonlySet<string>>;
  query: Signal<string>;
  /** Which of the hits was jumped to. */
  hit: Signal<number>;
  tab: Signal<Tab>;
  /** Index into the findings of the one that is open. */
  openFinding: Signal<string | null>;
  kernel: Signal<KernelState>;
  /** What the kernel said last about something the reader asked for. */
  answer: Signal<{ text: string; failed: boolean } | null>;
  narrow: Signal<boolean>;
  /** Rises with every change of the page's theme, for what is drawn on a canvas. */
  themed: Signal<number>;
  /** The reader's own depth; null until one was chosen. */
  depth: Signal<number | null>;

  /** Step of the playhead; null before the first. */
  at: ReadonlySignal<number | null>;
  /** Step whose statistics are shown: the nearest recorded one that is loaded. */
  shown: ReadonlySignal<number | null>;
  graph: ReadonlySignal<Graph | null>;
  hierarchy: ReadonlySignal<Hierarchy | null>;
  selected: ReadonlySignal<Selected>;
  hits: ReadonlySignal<readonly string[]>;
}

export function createStore(source: Source, layout: LayoutClient): Store {
  const run = new Run(source.live ? 400 : undefined);
  const version = signal(0);
  const step = signal(0);
  const follow = signal(true);
  const selection = signal("");
  const query = signal("");
  const at = computed(() => {
    void version.value;
    const last = run.lastStep();
    if (!follow.value && last !== null) return Math.min(step.value, last);
    // A report opens where there is most to see.
    return source.live ? last : run.loadedAt(last) ?? last;
  });
  const shown = computed(() => {
    void version.value;
    return run.loadedAt(at.value);
  });
  const graph = computed(() => {
    void version.value;
    return run.graphAt(follow.value ? null : at.value);
  });
  const hierarchy = computed(() => (graph.value ? layout.hierarchy(graph.value) : null));
  return {
    source, layout, run, version, step, follow, selection, query, at, shown, graph, hierarchy,
    playing: signal(false), colorBy: signal<ColorBy>("update"), compareStep: signal<number | null>(null),
    expanded: signal<ReadonlySet<string>>(new Set([""])), hit: signal(0), tab: signal<Tab>("graph"), openFinding: signal<string | null>(null),
    kernel: signal<KernelState>({ answering: true, lastAnswer: null }), answer: signal<{ text: string; failed: boolean } | null>(null),
    narrow: signal(false), themed: signal(0), depth: signal<number | null>(null),
    selected: computed(() => resolve(graph.value, selection.value)),
    hits: computed(() => (graph.value && hierarchy.value ? search(graph.value, hierarchy.value, query.value) : [])),
  };
}

/** `fqn`, `fqn#call` or `op:<id>` -> what it is in a graph. */
export function resolve(graph: Graph | null, id: string): Selected {
  if (id === "" || !graph) return { kind: "run" };
  const module = graph.modules.find((candidate) => candidate.fqn === id);
  if (module) return { kind: "module", module, call: graph.calls.find((call) => call.module === module.id) ?? null };
  const [, fqn, number] = /^(.*)#(\d+)$/s.exec(id) ?? [];
  const called = graph.modules.find((candidate) => candidate.fqn === fqn);
  const call = graph.calls.find((candidate) => candidate.fqn === fqn && candidate.call === Number(number)) ?? null;
  if (called && (call || !graph.traced)) return { kind: "module", module: called, call };
  const op = id.startsWith("op:") ? graph.ops[Number(id.slice(3))] : undefined;
  return op ? { kind: "op", op } : { kind: "unknown", id };
}

export function select(store: Store, id: string): void {
  batch(() => {
    store.selection.value = id;
    reveal(store, id);
  });
}

/** Opens everything around an item. */
export function reveal(store: Store, id: string): void {
  const hierarchy = store.hierarchy.value;
  const open = new Set([...store.expanded.value, ...((hierarchy && around(hierarchy, id)) ?? [])]);
  // A module that ran no op of its own is in the tree only.
  for (let dot = id.lastIndexOf("."); dot > 0 && !id.startsWith("op:"); dot = id.lastIndexOf(".", dot - 1)) open.add(id.slice(0, dot));
  if (open.size !== store.expanded.value.size) store.expanded.value = open;
}

export function toggle(store: Store, id: string, open = !store.expanded.value.has(id)): void {
  const next = new Set(store.expanded.value);
  if (open) next.add(id);
  else next.delete(id);
  store.expanded.value = next;
}

export function openTo(store: Store, depth: number): void {
  const hierarchy = store.hierarchy.value;
  batch(() => {
    store.depth.value = depth;
    if (hierarchy) store.expanded.value = new Set(["", ...openItems(hierarchy, depth)]);
  });
}

/** Puts the playhead on a step and ends following. */
export function goTo(store: Store, step: number): void {
  batch(() => {
    store.follow.value = false;
    store.step.value = Math.max(0, Math.round(step));
  });
}

/** To the next recorded step in a direction; null where there is none. */
export function neighbour(store: Store, direction: -1 | 1): number | null {
  const at = store.at.value;
  if (at === null) return null;
  const steps = store.run.capturedSteps();
  const list = steps.length ? steps : store.run.steps.map((record) => record.step);
  return (direction > 0 ? list.find((step) => step > at) : list.findLast((step) => step < at)) ?? null;
}

/** A tab that this width has: the graph is one of several only where there is one column. */
export function shownTab(store: Store): Tab {
  const tab = store.tab.value;
  if (tab === "trainer" && !store.run.trainer) return store.narrow.value ? "graph" : "modules";
  return tab === "graph" && !store.narrow.value ? "modules" : tab;
}

/** Sends a command where something can answer. */
export function ask(store: Store, command: Command): void {
  store.source.send?.(command);
}

export const StoreContext = createContext<Store | null>(null);

export function useStore(): Store {
  const store = useContext(StoreContext);
  if (!store) throw new Error("useStore: called outside a mount(); views live inside App.");
  return store;
}
