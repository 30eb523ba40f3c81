/** The module tree of one session as rows with two small bars: activation and gradient of the last captured step. */

import { useState } from "preact/hooks";
import { fixed } from "../base/format";
import { Icon, Shape } from "../base/icons";
import type { Call, Graph, Module } from "../run/graph";
import { health } from "../run/queries";
import type { Run } from "../run/run";
import type { Severity } from "../schema";

const MAX_ROWS = 300;

interface Row {
  module: Module;
  depth: number;
  open: boolean;
}

/** Rows in the order of the tree: open modules show their children; a query shows what matches, flat, with full paths. */
export function rowsOf(graph: Graph, open: ReadonlySet<string>, query: string): Row[] {
  if (query) {
    return graph.modules.filter((module) => module.parent >= 0 && `${module.fqn} ${module.type}`.toLowerCase().includes(query))
      .map((module) => ({ module, depth: 0, open: false }));
  }
  const rows: Row[] = [];
  const todo = [...(graph.modules[0]?.children ?? [])].reverse().map((id) => ({ id, depth: 0 }));
  while (todo.length) {
    const { id, depth } = todo.pop()!;
    const module = graph.modules[id]!;
    const isOpen = open.has(module.fqn);
    rows.push({ module, depth, open: isOpen });
    if (isOpen) todo.push(...[...module.children].reverse().map((child) => ({ id: child, depth: depth + 1 })));
  }
  return rows;
}

export function ModuleRows({ run, graph, query, select }: { run: Run; graph: Graph; query: string; select: (fqn: string) => void }) {
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const [current, setCurrent] = useState("");
  const [chosen, setChosen] = useState<string | null>(null);
  const rows = rowsOf(graph, open, query);
  const shown = rows.slice(0, MAX_ROWS);
  const calls = new Map<number, Call>();
  for (const call of graph.calls) if (!calls.has(call.module)) calls.set(call.module, call);
  const worst = severities(run);
  const active = shown.some((row) => row.module.fqn === current) ? current : (shown[0]?.module.fqn ?? "");
  const choose = (fqn: string): void => {
    setCurrent(fqn);
    setChosen(fqn);
    select(fqn);
  };
  const toggle = (fqn: string, to: boolean): void => {
    const next = new Set(open);
    if (to) next.add(fqn);
    else next.delete(fqn);
    setOpen(next);
  };
  const focus = (tree: Element, fqn: string | undefined): void => {
    if (fqn === undefined) return;
    setCurrent(fqn);
    for (const item of tree.querySelectorAll<HTMLElement>("[data-fqn]")) if (item.dataset["fqn"] === fqn) item.focus();
  };
  const onKeyDown = (event: KeyboardEvent & { currentTarget: Element }): void => {
    const at = shown.findIndex((row) => row.module.fqn === active);
    const row = shown[at];
    if (!row) return;
    switch (event.key) {
      case "ArrowDown": focus(event.currentTarget, shown[at + 1]?.module.fqn); break;
      case "ArrowUp": focus(event.currentTarget, shown[at - 1]?.module.fqn); break;
      case "Home": focus(event.currentTarget, shown[0]?.module.fqn); break;
      case "End": focus(event.currentTarget, shown.at(-1)?.module.fqn); break;
      case "ArrowRight": if (row.module.children.length && !row.open) toggle(active, true); break;
      case "ArrowLeft":
        if (row.open) toggle(active, false);
        else focus(event.currentTarget, graph.modules[row.module.parent]?.fqn || undefined);
        break;
      case "Enter":
      case " ": choose(active); break;
      default: return;
    }
    event.preventDefault();
  };
  if (!rows.length) return <p class="gs-side-empty">{query ? "No module matches." : "This model has no submodules."}</p>;
  return (
    <>
      <div class="gs-side-tree" role="tree" aria-label="Modules" onKeyDown={onKeyDown}>
        {shown.map(({ module, depth, open: isOpen }) => {
          const expandable = module.children.length > 0 && !query;
          const severity = worst.get(module.fqn);
          return (
            <div key={module.fqn} class="gs-side-module" role="treeitem" aria-level={depth + 1} aria-expanded={expandable ? isOpen : undefined}
              tabIndex={module.fqn === active ? 0 : -1} data-fqn={module.fqn} style={{ paddingLeft: `${8 + depth * 12}px` }}
              title={`${module.fqn}: ${module.type}`} aria-selected={module.fqn === chosen} onClick={() => choose(module.fqn)}>
              <span class="gs-side-twist" onClick={(event) => { if (expandable) { event.stopPropagation(); toggle(module.fqn, !isOpen); } }}>
                {expandable && <Icon name={isOpen ? "down" : "right"} size={12} />}
              </span>
              <b>{query ? module.fqn : module.name}</b><span class="gs-side-type">{module.type}</span>
              {severity && <Shape kind={severity} size={11} named />}
              <Bars run={run} graph={graph} call={calls.get(module.id)} />
            </div>
          );
        })}
      </div>
      {rows.length > MAX_ROWS && <p class="gs-side-empty">and {rows.length - MAX_ROWS} more: narrow the search</p>}
    </>
  );
}

/** Worst severity of the findings at or below each module. */
function severities(run: Run): Map<string, Severity> {
  const worst = new Map<string, Severity>();
  // Errors come first in run.findings, so that the first that is seen stays.
  for (const finding of run.findings) {
    for (let fqn = finding.fqn; fqn; fqn = fqn.slice(0, Math.max(0, fqn.lastIndexOf(".")))) if (!worst.has(fqn)) worst.set(fqn, finding.severity);
  }
  return worst;
}

function Bars({ run, graph, call }: { run: Run; graph: Graph; call: Call | undefined }) {
  const step = run.loadedAt(null);
  if (!call || step === null) return null;
  const levels = health(run, graph, call, step);
  return <span class="gs-side-bars"><MicroBar name="activation" level={levels.activation} /><MicroBar name="gradient" level={levels.gradient} /></span>;
}

/** The level meter lying down: half is healthy, 3 decades to each side; within 0.4 it is drawn at half. */
function MicroBar({ name, level }: { name: "activation" | "gradient"; level: number | null }) {
  if (level === null) return <svg width="24" height="12" role="img" aria-label={`${name}: not measured`}><rect x="0" y="3" width="24" height="6" rx="1" fill="var(--gs-hover)" /></svg>;
  const drawn = Math.abs(level) <= 0.4 ? 0 : level;
  const colour = drawn < -1 ? "edge-low" : drawn > 1 ? "edge-high" : name;
  return (
    <svg width="24" height="12" role="img" aria-label={`${name}: ${fixed(level, 1)} decades from healthy`}>
      <rect x="0" y="3" width="24" height="6" rx="1" fill="var(--gs-hover)" />
      <rect x="0" y="3" width={Math.max(2, ((drawn + 3) / 6) * 24)} height="6" rx="1" fill={`var(--gs-${colour})`} />
      <path d="M12 1v10" stroke="var(--gs-bg)" stroke-width="1.5" />
    </svg>
  );
}
