/** Graph and what is open -> the rows of the module tree. */

import type { Call, Graph, Module } from "../run/graph";
import type { Finding, Severity } from "../schema";

export interface TreeRow {
  id: string;
  module: Module;
  /** First call; null for a module that did not run in this pass. */
  call: Call | null;
  depth: number;
  open: boolean;
  /** Class name, or `× 5` for a list of equal children. */
  detail: string;
  /** Worst finding in it; in what it hides as well while it is closed. */
  severity: Severity | null;
  /** 1-based place among its siblings, and how many they are. */
  place: number;
  siblings: number;
}

const ORDER: readonly Severity[] = ["error", "warning", "info"];

/** Worst severity per path, and per path including everything below. */
export function worstFindings(findings: readonly Finding[]): { own: Map<string, Severity>; below: Map<string, Severity> } {
  const [own, below] = [new Map<string, Severity>(), new Map<string, Severity>()];
  const worse = (map: Map<string, Severity>, fqn: string, severity: Severity) => {
    const old = map.get(fqn);
    if (!old || ORDER.indexOf(severity) < ORDER.indexOf(old)) map.set(fqn, severity);
  };
  for (const { fqn, severity } of findings) {
    worse(own, fqn, severity);
    for (let path = fqn; path; path = path.slice(0, Math.max(0, path.lastIndexOf(".")))) worse(below, path, severity);
  }
  return { own, below };
}

export function treeRows(graph: Graph, open: ReadonlySet<string>, findings: readonly Finding[]): TreeRow[] {
  const firstCall = new Map<number, Call>();
  for (const call of graph.calls) if (!firstCall.has(call.module)) firstCall.set(call.module, call);
  const { own, below } = worstFindings(findings);
  const rows: TreeRow[] = [];
  const root = graph.modules[0];
  const todo = root ? [{ module: root, depth: 0, place: 1, siblings: 1 }] : [];
  while (todo.length) {
    const { module, depth, place, siblings } = todo.pop()!;
    const isOpen = module.children.length > 0 && (depth === 0 || open.has(module.fqn));
    rows.push({
      id: module.fqn, module, call: firstCall.get(module.id) ?? null, depth, open: isOpen, place, siblings, detail: detailOf(graph, module),
      severity: (isOpen ? own : below).get(module.fqn) ?? own.get(module.fqn) ?? null,
    });
    if (!isOpen) continue;
    const children = module.children.map((child) => graph.modules[child]!);
    for (let i = children.length - 1; i >= 0; i--) todo.push({ module: children[i]!, depth: depth + 1, place: i + 1, siblings: children.length });
  }
  return rows;
}

function detailOf(graph: Graph, module: Module): string {
  if (module.parent < 0) return module.name === module.type ? "" : module.type;
  const types = new Set(module.children.map((child) => graph.modules[child]!.type));
  const isList = /^(Sequential|ModuleList)$/.test(module.type) && module.children.length > 2 && types.size === 1;
  return isList ? `× ${module.children.length}` : module.type;
}
