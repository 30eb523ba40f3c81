/** Brand, path of the selection, search, depth, colour and report. */

import { date, plural } from "../base/format";
import { Brand, Icon } from "../base/icons";
import { type ColorBy, SCALES } from "../run/queries";
import { saveReport } from "./effects";
import { Menu } from "./menu";
import { RankMenu } from "./ranks";
import { openTo, select, useStore } from "../store/state";

const COLOURS: { value: ColorBy; label: string }[] = [
  ...(Object.keys(SCALES) as (keyof typeof SCALES)[]).map((value) => ({ value, label: SCALES[value].menu })), { value: "none", label: "nothing" },
];

export function TopBar() {
  const { narrow, graph, source } = useStore();
  return narrow.value ? <NarrowTop /> : (
    <header class="gs-row gs-top">
      <Brand />
      <Crumbs />
      <span class="gs-space" />
      {graph.value && <SearchBox />}
      <RankMenu />
      <DepthMenu />
      <ColourMenu />
      <ReportButton />
      {source.send === null && <Offline />}
    </header>
  );
}

function NarrowTop() {
  const { run, version, source } = useStore();
  void version.value;
  const recorded = run.header ? date(run.header.created) : "";
  const steps = run.lastStep();
  return (
    <header class="gs-row gs-top">
      <Brand />
      <h1><bdi>{run.header?.name ?? run.status?.name ?? run.graphAt(null)?.modules[0]?.type ?? "GraphScope"}</bdi></h1>
      <span class="gs-2">{[steps === null ? "" : plural(steps + 1, "step"), recorded && `recorded ${recorded}`].filter(Boolean).join(", ")}</span>
      <span class="gs-space" />
      <RankMenu />
      {source.live ? <ReportButton /> : <Offline />}
    </header>
  );
}

const Offline = () => <span class="gs-chip gs-chip-outline" title="A file of its own: no kernel stands behind it">Offline report</span>;

/** `ResNet32 / layer2 / 0 / bn1`, each a way back up. */
function Crumbs() {
  const store = useStore();
  const graph = store.graph.value;
  const selected = store.selected.value;
  const parts: { id: string; label: string }[] = [];
  if (graph?.modules[0]) parts.push({ id: "", label: graph.modules[0].name });
  const path = selected.kind === "module" ? selected.module.fqn : selected.kind === "op" ? graph?.calls[selected.op.scope]?.fqn ?? "" : "";
  const names = path ? path.split(".") : [];
  names.forEach((name, i) => parts.push({ id: names.slice(0, i + 1).join("."), label: name }));
  if (selected.kind === "module" && selected.call && selected.call.call > 0) parts.push({ id: store.selection.value, label: `call ${selected.call.call + 1}` });
  if (selected.kind === "op") parts.push({ id: store.selection.value, label: selected.op.op });
  return (
    <nav aria-label="Selection" style={{ minWidth: 0, flex: "0 1 auto", overflow: "hidden" }}>
      <ul class="gs-crumbs">
        {parts.map((part, i) => (
          <li key={part.id}>
            <button type="button" title={part.id || part.label} aria-current={i === parts.length - 1 ? "location" : undefined} onClick={() => select(store, part.id)}>
              <bdi>{part.label}</bdi>
            </button>
          </li>
        ))}
      </ul>
    </nav>
  );
}

export function SearchBox() {
  const store = useStore();
  const hits = store.hits.value;
  const asked = store.query.value.trim() !== "";
  const jump = (direction: 1 | -1) => {
    if (!hits.length) return;
    const now = hits.indexOf(store.selection.value);
    const next = now < 0 ? (direction > 0 ? 0 : hits.length - 1) : (now + direction + hits.length) % hits.length;
    store.hit.value = next;
    select(store, hits[next]!);
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "Enter") jump(event.shiftKey ? -1 : 1);
    else if (event.key === "Escape") {
      store.query.value = "";
      (event.target as HTMLElement).blur();
    } else return;
    event.preventDefault();
  };
  const now = hits.indexOf(store.selection.value);
  return (
    <div class="gs-field gs-search" role="search">
      <Icon name="search" />
      <input type="search" data-graphscope="search" aria-label="Find modules and ops" placeholder="Find module, op, type:Conv2d" autocomplete="off" spellcheck={false}
        value={store.query.value} onKeyDown={onKey}
        onInput={(event) => {
          store.query.value = event.currentTarget.value;
          store.hit.value = 0;
        }} />
      {asked && <span class="gs-3 gs-s" role="status">{hits.length === 0 ? "none" : `${now < 0 ? "" : `${now + 1} of `}${hits.length}`}</span>}
      <kbd aria-hidden="true">/</kbd>
    </div>
  );
}

export function DepthMenu() {
  const store = useStore();
  const hierarchy = store.hierarchy.value;
  if (!hierarchy) return null;
  const frames = hierarchy.items.filter((item) => item.depth > 0 && item.children.length && item.kind !== "fold");
  const deepest = Math.min(8, 1 + Math.max(0, ...frames.map((item) => item.depth)));
  if (deepest === 1) return null; // nothing can be opened
  const open = store.expanded.value;
  // What is really open, not what was last chosen: single frames can be opened by hand.
  const now = Math.min(deepest, 1 + Math.max(0, ...frames.filter((item) => open.has(item.id)).map((item) => item.depth)));
  const choices = Array.from({ length: deepest }, (_, i) => ({ value: i + 1, label: i + 1 === deepest ? `${i + 1}, everything` : `${i + 1}` }));
  return (
    <Menu label={`Depth ${now}`} title="How many levels of modules are open" value={now} choices={choices} onChoose={(depth) => openTo(store, depth)}>
      <Icon name="depth" />{store.narrow.value ? now : `Depth ${now}`}
    </Menu>
  );
}

export function ColourMenu() {
  const { colorBy, shown } = useStore();
  if (shown.value === null) return null; // nothing was measured yet
  const name = COLOURS.find((choice) => choice.value === colorBy.value)?.label ?? "";
  return (
    <Menu label={`Colour ${name}`} title="What fills the nodes" value={colorBy.value} choices={COLOURS} onChoose={(value) => { colorBy.value = value; }}>
      <span class="gs-2">Colour</span> {name}
    </Menu>
  );
}

export function ReportButton() {
  const store = useStore();
  void store.version.value;
  if (!store.source.send || !(store.run.status || store.run.steps.length)) return null;
  return (
    <button type="button" class="gs-button" title="Write a self-contained HTML report beside the run" onClick={() => saveReport(store)}>
      <Icon name="export" />Report
    </button>
  );
}
