/**
 * What is written into the search box -> ids that fit, in order of the graph.
 *
 * Words are matched in paths, class names and op names; `type:BatchNorm` looks at class names only, `op:add` at ops only.
 * All words must fit.
 */

import { callId } from "../layout/hierarchy";
import type { Hierarchy } from "../layout/items";
import type { Graph } from "../run/graph";

export interface Term {
  where: "any" | "type" | "op";
  word: string;
}

export function terms(query: string): Term[] {
  return query.trim().toLowerCase().split(/\s+/).filter(Boolean).flatMap((part): Term[] => {
    const [, where, word] = /^(type|op):(.*)$/s.exec(part) ?? [];
    if (where && !word) return []; // still being written
    return [where ? { where: where as "type" | "op", word: word! } : { where: "any", word: part }];
  });
}

export function search(graph: Graph, hierarchy: Hierarchy, query: string): string[] {
  const wanted = terms(query);
  if (!wanted.length) return [];
  const calls = new Map<number, string[]>();
  for (const call of graph.calls) calls.set(call.module, [...(calls.get(call.module) ?? []), callId(call)]);
  const hits: string[] = [];
  for (const module of graph.modules) {
    if (module.fqn === "") continue;
    const [fqn, type] = [module.fqn.toLowerCase(), module.type.toLowerCase()];
    const fits = ({ where, word }: Term) => (where === "op" ? false : type.includes(word) || (where === "any" && fqn.includes(word)));
    if (wanted.every(fits)) hits.push(...(calls.get(module.id) ?? [module.fqn]));
  }
  // An op under its module's name is that module; the others can be found by their own.
  for (const op of graph.ops) {
    const fits = ({ where, word }: Term) => where !== "type" && op.op.toLowerCase().includes(word);
    if (wanted.every(fits) && hierarchy.byId.has(`op:${op.id}`)) hits.push(`op:${op.id}`);
  }
  return hits;
}

/** Where the plain words of a query stand in a name, for marking: [start, end) pairs without overlap. */
export function marks(name: string, query: string): [number, number][] {
  const found: [number, number][] = [];
  for (const { where, word } of terms(query)) {
    const start = where === "any" ? name.toLowerCase().indexOf(word) : -1;
    if (start >= 0 && found.every(([from, to]) => start + word.length <= from || start >= to)) found.push([start, start + word.length]);
  }
  return found.sort((a, b) => a[0] - b[0]);
}
