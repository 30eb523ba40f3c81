/** mount(): the whole screen in an element, over any Source. A page may hold many; each has its own state and leaves nothing behind. */

import { render } from "preact";
import { STYLES } from "../base/css/styles";
import { pageIsDark, readTheme, watchPageTheme } from "../base/theme";
import { LayoutClient } from "../layout/client";
import worker from "../layout/worker.ts?inline";
import type { Source } from "../sources/source";
import { TextRuler } from "./canvas/text";
import { Details } from "./details";
import { type TraitStore, startEffects } from "./effects";
import { FindingsPane } from "./findings";
import { GraphPane } from "./graph-pane";
import { listenToKeys } from "./keys";
import { makeReachable } from "./reachable";
import { type Store, StoreContext, type Tab, ask, createStore, shownTab, useStore } from "../store/state";
import { StatusLine } from "./statusline";
import { NarrowControls, TimeBar } from "./timebar";
import { TimeChart } from "./time-chart";
import { SearchBox, TopBar } from "./topbar";
import { TrainerPanel } from "./trainer-panel";
import { ModulesPane } from "./tree";

export interface MountOptions {
  /** What the notebook shares; null without a widget behind it. */
  traits?: TraitStore | null;
  /** Fills its element and has no frame: a tab or a page of its own. */
  page?: boolean;
}

const NARROW = 720; // px; below it one column

/** Returns what ends it. */
export function mount(el: HTMLElement, source: Source, { traits = null, page = false }: MountOptions = {}): () => void {
  const style = document.createElement("style");
  style.textContent = STYLES;
  const root = document.createElement("div");
  root.className = "gs";
  root.dataset["lmSuppressShortcuts"] = "true"; // JupyterLab: keys pressed in here are ours
  root.dataset["graphscope"] = "view";
  if (page) Object.assign(root.style, { height: "100%", minHeight: "0", overflow: "auto" });
  el.append(style, root);
  const paintTheme = () => {
    root.dataset["gsTheme"] = pageIsDark() ? "dark" : "light";
  };
  paintTheme();
  const layout = new LayoutClient(new TextRuler(readTheme(root).font).measure, worker);
  const store = createStore(source, layout);
  const measure = () => {
    const width = root.clientWidth;
    if (width) store.narrow.value = width < NARROW;
  };
  measure();
  const observer = typeof ResizeObserver === "function" ? new ResizeObserver(measure) : null;
  observer?.observe(root);
  const endTheme = watchPageTheme(() => {
    paintTheme();
    store.themed.value++;
  });
  const endKeys = listenToKeys(root, store, page && source.send === null);
  render(<StoreContext.Provider value={store}><App page={page} /></StoreContext.Provider>, root);
  const endEffects = startEffects(store, traits);
  const endReach = makeReachable(root, store);
  return () => {
    endEffects();
    endReach();
    endKeys();
    endTheme();
    observer?.disconnect();
    render(null, root);
    layout.dispose();
    root.remove();
    style.remove();
  };
}

function App({ page }: { page: boolean }) {
  const store = useStore();
  void store.version.value;
  const { narrow, run } = store;
  const hasTime = run.steps.length > 0 || run.loadedList().length > 0 || run.status !== null || run.trainer !== null;
  const classes = ["gs-app", narrow.value && "gs-narrow", page ? "gs-page" : "gs-resizable", run.trainer && "gs-with-trainer"].filter(Boolean).join(" ");
  const style = page && !narrow.value ? { height: "100%" } : undefined;
  if (narrow.value) {
    return (
      <div class={classes} style={style}>
        <TopBar /><StatusLine />
        {hasTime && <TimeChart />}
        {hasTime && <NarrowControls />}
        <Tabs tabs={["trainer", "modules", "graph", "findings"]} />
        <NarrowPane />
        <Details />
      </div>
    );
  }
  return (
    <div class={classes} style={style}>
      <TopBar /><StatusLine />
      <div class="gs-left"><Tabs tabs={["trainer", "modules", "findings"]} /><LeftPane /></div>
      <GraphPane />
      <Details />
      {hasTime && <TimeBar />}
    </div>
  );
}

const TITLES: { [K in Tab]: string } = { trainer: "Trainer", modules: "Modules", graph: "Graph", findings: "Findings" };

function Tabs({ tabs }: { tabs: Tab[] }) {
  const store = useStore();
  void store.version.value;
  const list = tabs.filter((tab) => tab !== "trainer" || store.run.trainer !== null);
  const now = shownTab(store);
  const onKey = (event: KeyboardEvent) => {
    const to = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = list[(list.indexOf(now) + to + list.length) % list.length]!;
    store.tab.value = next;
    (event.currentTarget as HTMLElement).querySelector<HTMLElement>(`[data-tab="${next}"]`)?.focus();
  };
  return (
    <div class="gs-tabs" role="tablist" onKeyDown={onKey}>
      {list.map((tab) => (
        <button key={tab} type="button" role="tab" data-tab={tab} aria-selected={tab === now} tabIndex={tab === now ? 0 : -1} onClick={() => { store.tab.value = tab; }}>
          {TITLES[tab]}{tab === "findings" && store.run.findings.length > 0 && <> <b>{store.run.findings.length}</b></>}
        </button>
      ))}
    </div>
  );
}

function LeftPane() {
  const store = useStore();
  void store.version.value;
  switch (shownTab(store)) {
    case "trainer": return <div class="gs-panel" style={{ overflow: "auto" }}><TrainerPanel status={store.run.trainer!} error={store.run.lastError} selected={selectedPath(store)} send={store.source.send && ((command) => ask(store, command))} /></div>;
    case "findings": return <div class="gs-panel"><FindingsPane /></div>;
    case "modules":
    case "graph": return <ModulesPane />;
  }
}

/** Path of the selected module, the root's left out: where a step is to stop. */
function selectedPath({ selected }: Store): string {
  return selected.value.kind === "module" ? selected.value.module.fqn : "";
}

function NarrowPane() {
  const store = useStore();
  void store.version.value;
  if (shownTab(store) === "graph") return <GraphPane />;
  return <div class="gs-left">{shownTab(store) === "modules" && <div style={{ padding: "8px 12px" }}><SearchBox /></div>}<LeftPane /></div>;
}
