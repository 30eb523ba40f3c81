/**
 * The module tree: the graph as text, for the keyboard and for those who hear the page. Only the rows in sight are in the
 * document when there are many.
 */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { count, plural } from "../base/format";
import { Icon, Shape } from "../base/icons";
import { health } from "../run/queries";
import { MicroBar, levelText } from "./bars";
import { marks } from "../store/search";
import { select, toggle, useStore } from "../store/state";
import { type TreeRow, treeRows } from "./tree-rows";

const ROW = 24;
const MANY = 300;

export function ModuleTree() {
  const store = useStore();
  const { run, version, graph, expanded, selection } = store;
  void version.value;
  const scroller = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  const typed = useRef({ text: "", at: 0 });
  const wantsFocus = useRef(false);
  const rows = graph.value ? treeRows(graph.value, expanded.value, run.findings) : [];
  const chosen = selection.value.replace(/#\d+$/, "");
  const active = Math.max(0, rows.findIndex((row) => row.id === chosen));

  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const row = element.querySelector<HTMLElement>('[aria-selected="true"]');
    if (wantsFocus.current) row?.focus({ preventScroll: true });
    wantsFocus.current = false;
    const top = active * ROW;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + ROW > element.scrollTop + element.clientHeight) element.scrollTop = top + ROW - element.clientHeight;
  }, [selection.value, active]);

  if (!graph.value) return <div class="gs-tree" role="tree" aria-label="Modules" />;
  const [first, last] = rows.length > MANY
    ? [Math.max(0, Math.floor(view.top / ROW) - 20), Math.min(rows.length, Math.ceil((view.top + view.height) / ROW) + 20)]
    : [0, rows.length];
  const move = (to: number) => {
    const row = rows[Math.max(0, Math.min(rows.length - 1, to))];
    if (!row) return;
    wantsFocus.current = true;
    select(store, row.id);
  };
  const onKey = (event: KeyboardEvent) => {
    const row = rows[active];
    if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 240) / ROW) - 1);
    switch (event.key) {
      case "ArrowDown": move(active + 1); break;
      case "ArrowUp": move(active - 1); break;
      case "PageDown": move(active + page); break;
      case "PageUp": move(active - page); break;
      case "Home": move(0); break;
      case "End": move(rows.length - 1); break;
      case "ArrowRight":
        if (row.open) move(active + 1);
        else if (row.module.children.length) toggle(store, row.id, true);
        break;
      case "ArrowLeft":
        if (row.open && row.depth > 0) toggle(store, row.id, false);
        else move(rows.findLastIndex((other, i) => i < active && other.depth < row.depth));
        break;
      case "Enter":
      case " ":
        if (row.module.children.length && row.depth > 0) toggle(store, row.id);
        break;
      default: {
        if (event.key.length !== 1 || event.key === "/" || (event.key === "f" && !typed.current.text)) return;
        const now = performance.now();
        typed.current = { text: now - typed.current.at < 700 ? typed.current.text + event.key.toLowerCase() : event.key.toLowerCase(), at: now };
        const from = typed.current.text.length > 1 ? active : active + 1;
        const order = [...rows.slice(from), ...rows.slice(0, from)];
        const hit = order.find((other) => other.module.name.toLowerCase().startsWith(typed.current.text));
        if (!hit) return;
        move(rows.indexOf(hit));
      }
    }
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div class="gs-tree" role="tree" aria-label="Modules" ref={scroller} onKeyDown={onKey}
      onScroll={(event) => rows.length > MANY && setView({ top: event.currentTarget.scrollTop, height: event.currentTarget.clientHeight })}>
      <div style={{ height: `${first * ROW}px` }} />
      {rows.slice(first, last).map((row, i) => <Row key={row.id} row={row} tabbable={first + i === active} />)}
      <div style={{ height: `${(rows.length - last) * ROW}px` }} />
    </div>
  );
}

function Row({ row, tabbable }: { row: TreeRow; tabbable: boolean }) {
  const store = useStore();
  const { run, graph, shown, selection, query } = store;
  const { module, call } = row;
  const step = shown.value;
  const levels = call && graph.value && step !== null && module.parent >= 0 ? health(run, graph.value, call, step) : { activation: null, gradient: null };
  const isSelected = selection.value.replace(/#\d+$/, "") === row.id;
  const words = [levelText(levels.activation, "activation"), levelText(levels.gradient, "gradient"), call ? "" : "did not run", row.severity ?? ""].filter(Boolean);
  return (
    <div class={`gs-treerow ${call || !graph.value?.traced ? "" : "gs-idle"}`} role="treeitem" aria-level={row.depth + 1} aria-posinset={row.place} aria-setsize={row.siblings}
      aria-expanded={module.children.length ? row.open : undefined} aria-selected={isSelected} tabIndex={tabbable ? 0 : -1} data-fqn={row.id}
      aria-label={[module.name, module.type, ...words].join(", ")} style={{ paddingLeft: `${6 + row.depth * 10}px` }}
      onClick={() => select(store, row.id)} onDblClick={() => module.children.length && row.depth > 0 && toggle(store, row.id)}>
      <span class="gs-twist" onClick={(event) => {
        if (!module.children.length || row.depth === 0) return;
        event.stopPropagation();
        toggle(store, row.id);
      }}>
        {module.children.length > 0 && <Icon name={row.open ? "down" : "right"} size={12} />}
      </span>
      <bdi class="gs-name"><Marked text={module.name} query={query.value} /></bdi>
      <bdi class="gs-type gs-ell" title={row.detail}>{row.detail}</bdi>
      {row.severity && <Shape kind={row.severity} size={11} />}
      <span class="gs-bars"><MicroBar level={levels.activation} role="activation" /><MicroBar level={levels.gradient} role="gradient" /></span>
    </div>
  );
}

function Marked({ text, query }: { text: string; query: string }) {
  const parts = query ? marks(text, query) : [];
  if (!parts.length) return <>{text}</>;
  const out = [];
  let at = 0;
  for (const [from, to] of parts) {
    out.push(text.slice(at, from), <mark>{text.slice(from, to)}</mark>);
    at = to;
  }
  return <>{out}{text.slice(at)}</>;
}

/** The tree with its head and foot. */
export function ModulesPane() {
  const { graph, version, run } = useStore();
  void version.value;
  const modules = graph.value?.modules;
  const measured = run.loadedList().length > 0;
  return (
    <div class="gs-panel">
      <div class="gs-treehead gs-label">
        <span>{modules ? plural(modules.length, "module") : "no model yet"}</span>
        {measured && <span class="gs-bars" title="Level of the output and of its gradient; half full is healthy"><span>act</span><span>grad</span></span>}
      </div>
      <ModuleTree />
      {modules?.[0] && (
        <div class="gs-foot gs-label">
          <span>{count(modules[0].parameterCount)} parameters</span>
          <span class="gs-space" />
          <bdi>{run.header?.device || graph.value?.values.find((value) => value.kind === "op")?.device || ""}</bdi>
        </div>
      )}
    </div>
  );
}
