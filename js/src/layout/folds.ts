/**
 * Repeats -> one card "name × n", and levels too long to draw -> pages.
 *
 * A run is consecutive sibling calls of equal structure (classes, arguments, ops and wiring, not sizes) that either feed
 * one another in a chain or, as items of one list, all read and feed the same. A container that holds nothing but a run
 * is the card itself.
 */

import { count } from "../base/format";
import { gather, type Hierarchy, type Item, OUTSIDE } from "./items";

const LEAST = 3;
/** More than this many children are paged: the first few stay, the rest go into frames of at most PAGE. */
export const MOST = 500;
const PAGE = 480;
const KEPT = 20;

export function fold(hierarchy: Hierarchy): void {
  const { items } = hierarchy;
  orderPorts(items, hierarchy);
  hashStructure(hierarchy);
  const last = items.length; // gather() appends
  for (let i = 0; i < last; i++) {
    if (items[i].children.length >= LEAST) foldRuns(hierarchy, i);
    if (items[i].children.length > MOST && !items[i].members) page(hierarchy, i);
  }
}

/** Sorts `ins` and `outs` by first use: the main stream comes first, and equal blocks get equal orders. */
function orderPorts(items: Item[], { graph }: Hierarchy): void {
  for (let i = items.length - 1; i >= 0; i--) {
    const item = items[i];
    if (!item.children.length && item.ins.length < 2 && item.outs.length < 2) continue;
    const [entry, exit] = [new Map<number, number>(), new Map<number, number>()];
    if (item.op !== null) {
      graph.ops[item.op].inputs.forEach((value, k) => entry.has(value) || entry.set(value, k));
      graph.ops[item.op].outputs.forEach((value, k) => exit.set(value, k));
    }
    const position = new Map(item.children.map((child, k) => [child, k]));
    const rank = (child: number, list: number[], value: number) => position.get(child)! + list.indexOf(value) / (list.length + 1);
    for (const { from, to, value } of item.links) {
      if (from === OUTSIDE) entry.set(value, Math.min(entry.get(value) ?? Infinity, rank(to, items[to].ins, value)));
      else if (to === OUTSIDE) exit.set(value, rank(from, items[from].outs, value));
    }
    const key = (at: number, value: number, list: "ins" | "outs") => (at === OUTSIDE ? -1 : rank(at, items[at][list], value));
    item.links.sort((a, b) => key(a.from, a.value, "outs") - key(b.from, b.value, "outs") || key(a.to, a.value, "ins") - key(b.to, b.value, "ins") || a.value - b.value);
    item.ins.sort((a, b) => (entry.get(a) ?? 0) - (entry.get(b) ?? 0) || a - b);
    item.outs.sort((a, b) => (exit.get(a) ?? 0) - (exit.get(b) ?? 0) || a - b);
  }
}

function hashStructure({ graph, items }: Hierarchy): void {
  const numbers = new Map<string, number>();
  const moduleAt = new Map(graph.modules.map((module) => [module.fqn, module]));
  for (let i = items.length - 1; i >= 0; i--) {
    const item = items[i];
    const position = new Map(item.children.map((child, k) => [child, k]));
    const links = item.links.map(({ from, to, value }) => {
      const source = from === OUTSIDE ? `i${item.ins.indexOf(value)}` : `${position.get(from)}.${items[from].outs.indexOf(value)}`;
      return to === OUTSIDE ? `${source}>o${item.outs.indexOf(value)}` : `${source}>${position.get(to)}.${items[to].ins.indexOf(value)}`;
    });
    const module = item.call !== null ? graph.modules[graph.calls[item.call].module] : item.kind === "module" ? moduleAt.get(item.id) : undefined;
    const op = item.op !== null ? graph.ops[item.op] : null;
    const text = [
      item.kind, module ? `${module.type}(${module.attrs})` : "", op ? `${op.op} ${JSON.stringify(op.attrs)} ${op.inplace} ${op.failed}` : "", item.opaque,
      item.ins.length, item.outs.length, item.children.map((child) => items[child].hash).join(), links.sort().join(),
    ].join("|");
    let number = numbers.get(text);
    if (number === undefined) numbers.set(text, (number = numbers.size + 1));
    item.hash = number;
  }
}

function foldRuns(hierarchy: Hierarchy, owner: number): void {
  const { items } = hierarchy;
  const runs = runsOf(hierarchy, owner);
  const all = items[owner].children.length;
  for (const [start, end] of runs.reverse()) {
    const run = items[owner].children.slice(start, end);
    const labels = run.map((i) => items[i].label);
    const prefix = listPrefix(labels);
    const cells = labels.map((label) => label.slice(prefix.length));
    const members = run.flatMap((i) => items[i].call ?? []);
    const detail = `× ${count(run.length)}`;
    if (run.length === all && owner !== 0) {
      Object.assign(items[owner], { members, cells, detail });
      return;
    }
    // `blocks × 12` where the run is the whole list, `1 … 4 × 4` and `blocks.1 … 4` where it is a part.
    const whole = prefix !== "" && cells[0] === "0" && !items[owner].children.some((c) => !run.includes(c) && items[c].label.startsWith(prefix));
    const label = whole ? prefix.slice(0, -1) : `${labels[0]} … ${cells.at(-1)}`;
    const box = gather(hierarchy, owner, start, end, { id: `fold:${items[run[0]].id}`, kind: "fold", label, detail });
    Object.assign(items[box], { members, cells, title: `${count(run.length)} alike` });
  }
}

/** `blocks.` of blocks.0, blocks.1, ...; empty if the labels share no list. */
function listPrefix(labels: string[]): string {
  const prefix = labels[0].slice(0, labels[0].lastIndexOf(".") + 1);
  return labels.every((label) => label.startsWith(prefix) && /^\d+$/.test(label.slice(prefix.length))) ? prefix : "";
}

/** Runs as [start, end) of the children. */
function runsOf({ items, stacked }: Hierarchy, owner: number): [number, number][] {
  const { children, links } = items[owner];
  const runs: [number, number][] = [];
  const arrive = new Map<number, [number, number][]>(); // child -> [source, value]
  const leave = new Map<number, number[]>(); // child -> where to
  for (const { from, to, value } of links) {
    if (to !== OUTSIDE) (arrive.get(to) ?? arrive.set(to, []).get(to)!).push([from, value]);
    if (from !== OUTSIDE) (leave.get(from) ?? leave.set(from, []).get(from)!).push(to);
  }
  const position = new Map(children.map((child, k) => [child, k]));
  const before = (source: number, start: number) => source === OUTSIDE || position.get(source)! < start;
  for (let start = 0; start < children.length; ) {
    const head = items[children[start]];
    let end = start + 1;
    const shared = new Set((arrive.get(children[start]) ?? []).map(([, value]) => value));
    const chained = (k: number) => {
      const arrivals = arrive.get(children[k]) ?? [];
      const onlyNext = (leave.get(children[k - 1]) ?? []).every((to) => to === children[k]);
      return onlyNext && arrivals.some(([source]) => source === children[k - 1]) && arrivals.every(([source, value]) => source === children[k - 1] || (before(source, start) && shared.has(value)));
    };
    const parallel = (k: number) => {
      const arrivals = arrive.get(children[k]) ?? [];
      const same = [leave.get(children[start]), leave.get(children[k])].map((list) => [...new Set(list)].sort().join());
      return arrivals.length > 0 && arrivals.every(([, value]) => shared.has(value)) && same[0] === same[1] && listPrefix([head.label, items[children[k]].label]) !== "";
    };
    const alike = (k: number) => k < children.length && items[children[k]].hash === head.hash && (head.kind === "call" || head.kind === "module");
    for (const fits of stacked ? [() => true] : [chained, parallel]) {
      end = start + 1;
      while (alike(end) && fits(end)) end++;
      if (end - start >= LEAST) break;
    }
    if (end - start >= LEAST) runs.push([start, end]);
    else end = start + 1;
    start = end;
  }
  return runs;
}

function page(hierarchy: Hierarchy, owner: number): void {
  const { items } = hierarchy;
  const rest = items[owner].children.length - KEPT;
  const pages = Math.ceil(rest / PAGE);
  const size = Math.ceil(rest / pages);
  for (let k = pages - 1; k >= 0; k--) {
    const [start, end] = [KEPT + k * size, Math.min(KEPT + (k + 1) * size, KEPT + rest)];
    const inside = items[owner].children.slice(start, end);
    const what = inside.every((i) => items[i].kind === "op") ? "op" : "module";
    const label = `… ${count(end - start)} more ${what}s`;
    const box = gather(hierarchy, owner, start, end, { id: `page:${items[owner].id}:${k + 1}`, kind: "fold", label, detail: "" });
    items[box].title = `${count(start + 1)} to ${count(end)}`;
  }
}
