/**
 * Graph -> nested items with the values that run between them: what a viewer opens and closes.
 *
 * A module call holds the ops it ran itself and the calls it made, in order of execution. A call without calls that ran
 * one op is that op, under the module's name. A value is linked at every level that it crosses, so that each level can
 * be laid out and cached by itself.
 */

import { count } from "../base/format";
import type { Call, Graph, Op } from "../run/graph";
import { containerDetail, moduleDetail, opDetail } from "./details";
import { fold } from "./folds";
import { addItem, type Hierarchy, type Item, OUTSIDE } from "./items";

const SIGNS: Record<string, string> = { add: "+", sub: "−", mul: "×" };

export function hierarchyOf(graph: Graph): Hierarchy {
  const hierarchy: Hierarchy = { graph, items: [], byId: new Map(), stacked: !graph.traced };
  if (!graph.modules.length) {
    addItem(hierarchy, -1, { id: "", kind: "call", label: "" });
    return hierarchy;
  }
  if (graph.traced) linkValues(hierarchy, callItems(hierarchy));
  else moduleItems(hierarchy);
  fold(hierarchy);
  return hierarchy;
}

/** The id under which a call is selected. */
export const callId = (call: Call) => (call.call ? `${call.fqn}#${call.call}` : call.fqn);

const title = (type: string, parameters: number) => (parameters ? `${type}, ${count(parameters)} parameters` : type);

/** `blocks.0` inside the root where `blocks` itself is never called; `encoder, call 2` where a caller calls again. */
function callLabel(call: Call, callerFqn: string, nth: number): string {
  const name = callerFqn !== "" && call.fqn.startsWith(`${callerFqn}.`) ? call.fqn.slice(callerFqn.length + 1) : call.fqn;
  return nth > 1 ? `${name}, call ${nth}` : name;
}

/** Items of calls and ops. Returns the item of each op. */
function callItems(hierarchy: Hierarchy): Int32Array {
  const { graph } = hierarchy;
  const opsOf: Op[][] = graph.calls.map(() => []);
  const callsOf: number[][] = graph.calls.map(() => []);
  const first = new Float64Array(graph.calls.length).fill(Infinity);
  for (const op of graph.ops) {
    opsOf[op.scope].push(op);
    first[op.scope] = Math.min(first[op.scope], op.id);
  }
  // Calls come after their callers, so one walk from the end sees every inside before its outside.
  const shown = new Uint8Array(graph.calls.length);
  let next = Infinity;
  for (let i = graph.calls.length - 1; i >= 0; i--) {
    const call = graph.calls[i];
    shown[i] = opsOf[i].length || callsOf[i].length || call.opaque ? 1 : 0; // nn.Identity and the like did nothing: not drawn
    if (first[i] === Infinity) first[i] = next - 0.5;
    next = Math.min(next, first[i]);
    if (call.parent >= 0 && shown[i]) {
      callsOf[call.parent].push(i);
      if (Number.isFinite(first[i])) first[call.parent] = Math.min(first[call.parent], first[i]);
    }
  }
  const itemOfOp = new Int32Array(graph.ops.length).fill(-1);
  const root = addItem(hierarchy, -1, { id: "", kind: "call", label: graph.modules[0].name, call: 0, title: title(graph.modules[0].type, graph.modules[0].parameterCount) });
  for (const value of graph.inputs) inputItem(hierarchy, value);
  const open: { call: number; item: number }[] = [{ call: 0, item: root }];
  // Criteria and other modules called beside the root stand beside its children.
  for (const call of graph.calls) if (call.parent < 0 && call.id !== 0 && shown[call.id]) callsOf[0].push(call.id);
  for (let at = open.pop(); at; at = open.pop()) {
    const steps = [...opsOf[at.call].map((op) => ({ at: op.id, op, call: -1 })), ...callsOf[at.call].map((call) => ({ at: first[call], op: null, call }))];
    steps.sort((a, b) => a.at - b.at || a.call - b.call);
    const times = new Map<number, number>();
    for (const { op, call } of steps) {
      if (op) {
        itemOfOp[op.id] = addItem(hierarchy, at.item, {
          id: `op:${op.id}`, kind: "op", label: op.op, detail: opDetail(op, graph), op: op.id, failed: op.failed, opaque: op.opaque,
        });
        continue;
      }
      const record = graph.calls[call];
      const module = graph.modules[record.module];
      const nth = (times.get(record.module) ?? 0) + 1;
      times.set(record.module, nth);
      const single = callsOf[call].length === 0 && opsOf[call].length <= 1;
      const only = single ? (opsOf[call][0] ?? null) : null;
      const types = callsOf[call].map((c) => graph.modules[graph.calls[c].module].type).reverse();
      const opaque = record.opaque || only?.opaque || "";
      const item = addItem(hierarchy, at.item, {
        id: callId(record), kind: "call", label: callLabel(record, graph.calls[at.call].fqn, nth), call, op: only?.id ?? null,
        detail: opaque || (single ? moduleDetail(module, only, graph) : containerDetail(module, types)),
        title: title(module.type, module.parameterCount), failed: only?.failed ?? false, opaque,
      });
      if (only) itemOfOp[only.id] = item;
      else if (!single) open.push({ call, item });
    }
  }
  return itemOfOp;
}

function inputItem(hierarchy: Hierarchy, value: number): number {
  const { name, shape } = hierarchy.graph.values[value];
  return addItem(hierarchy, 0, { id: `input:${value}`, kind: "input", label: name || "input", detail: shape.join(" × ") });
}

/** Fills `ins`, `outs` and `links` of every item from what each op reads. */
function linkValues(hierarchy: Hierarchy, itemOfOp: Int32Array): void {
  const { graph, items, byId } = hierarchy;
  const makers = new Int32Array(graph.values.length).fill(-1);
  for (const op of graph.ops) for (const value of op.outputs) makers[value] = itemOfOp[op.id];
  for (const value of graph.inputs) makers[value] = byId.get(`input:${value}`) ?? -1;
  const readers = new Map<number, number[]>();
  const outside = new Set<number>();
  for (const op of graph.ops) {
    for (const value of op.inputs) {
      const { kind } = graph.values[value];
      if (kind === "input" && makers[value] < 0) makers[value] = inputItem(hierarchy, value);
      if (makers[value] < 0 && kind !== "op") continue; // parameters, buffers and constants are no edges
      const list = readers.get(value);
      if (list) list.push(itemOfOp[op.id]);
      else readers.set(value, [itemOfOp[op.id]]);
      if (op.scope === 0 || items[itemOfOp[op.id]].parent === 0) outside.add(value);
    }
  }
  // What an opaque call returned has no op that made it: then the innermost call that returned it stands for it.
  for (const call of graph.calls) {
    for (const value of call.outputs) {
      if (makers[value] < 0 && graph.values[value].kind === "op") makers[value] = byId.get(callId(call)) ?? -1;
    }
  }
  for (const value of graph.outputs) {
    // A loss behind the output says where it goes; a pill would only repeat it.
    if (makers[value] < 0 || outside.has(value)) continue;
    const { shape } = graph.values[value];
    const pill = addItem(hierarchy, 0, { id: `output:${value}`, kind: "output", label: "output", detail: shape.length ? shape.join(" × ") : "scalar" });
    readers.set(value, [...(readers.get(value) ?? []), pill]);
  }
  for (const [value, list] of readers) if (makers[value] >= 0) linkValue(items, value, makers[value], list);
  for (const item of items) {
    const sign = item.op !== null && item.kind === "op" ? SIGNS[item.label] : undefined;
    if (sign && item.ins.length === 2 && !item.failed) item.glyph = sign;
  }
}

function linkValue(items: Item[], value: number, maker: number, readers: number[]): void {
  const above = new Map<number, number>(); // item that holds the maker -> which of its children does
  for (let i = maker; items[i].parent >= 0; i = items[i].parent) above.set(items[i].parent, i);
  const entered = new Set<number>([maker]);
  let left = maker; // how far up it has been led out of the maker's frames
  for (const reader of readers) {
    for (let at = reader; !entered.has(at) && at !== 0; ) {
      entered.add(at);
      const { parent } = items[at];
      items[at].ins.push(value);
      const source = above.get(parent);
      items[parent].links.push({ from: source ?? OUTSIDE, to: at, value });
      if (source === undefined) {
        at = parent;
        continue;
      }
      for (; left !== source && items[left].depth >= items[source].depth; left = items[left].parent) {
        lead(items[left], value);
        items[items[left].parent].links.push({ from: left, to: OUTSIDE, value });
      }
      lead(items[source], value);
      break;
    }
  }
}

/** Values come one after the other, so one that is there already is the last. */
function lead({ outs }: Item, value: number): void {
  if (outs[outs.length - 1] !== value) outs.push(value);
}

/** The module tree alone, in order of registration. */
function moduleItems(hierarchy: Hierarchy): void {
  const { graph } = hierarchy;
  const itemOf: number[] = [];
  for (const module of graph.modules) {
    itemOf[module.id] = addItem(hierarchy, module.parent < 0 ? -1 : itemOf[module.parent], {
      id: module.fqn, kind: module.parent < 0 ? "call" : "module", label: module.name,
      detail: module.children.length ? containerDetail(module, module.children.map((c) => graph.modules[c].type)) : moduleDetail(module, null, graph),
      title: title(module.type, module.parameterCount),
    });
  }
  const [root] = graph.modules;
  if (root && graph.modules.length === 1) { // the root is the paper; alone, it is also what is drawn on it
    addItem(hierarchy, itemOf[root.id], { id: `${root.fqn}#0`, kind: "module", label: root.name, detail: moduleDetail(root, null, graph), title: title(root.type, root.parameterCount) });
  }
}
