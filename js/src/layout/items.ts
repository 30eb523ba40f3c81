/** The nested items of a graph: what can be drawn as a node or as a frame around nodes. All loops are iterative: models nest deep. */

import type { Graph } from "../run/graph";
import type { NodeKind } from "./scene";

/** A value that runs between two children of an item; OUTSIDE stands for the item's own border. */
export interface Link {
  from: number;
  to: number;
  value: number;
}
export const OUTSIDE = -1;

export interface Item {
  id: string;
  kind: NodeKind;
  label: string;
  detail: string;
  /** Beside the name of the open frame: class and number of parameters. */
  title: string;
  parent: number;
  depth: number;
  /** In order of execution. */
  children: number[];
  call: number | null;
  op: number | null;
  members?: number[];
  cells?: string[];
  glyph?: string;
  failed: boolean;
  opaque: string;
  /** Values that enter and leave, in order of first use. */
  ins: number[];
  outs: number[];
  /** Between its children. */
  links: Link[];
  /** Equal for equal structure. */
  hash: number;
}

export interface Hierarchy {
  graph: Graph;
  /** Item 0 is the root. */
  items: Item[];
  byId: Map<string, number>;
  /** Whether children have an order only (a module tree without a traced pass). */
  stacked: boolean;
}

/** Adds an item whose id is made unique: names come from the model and may collide. */
export function addItem(hierarchy: Hierarchy, parent: number, given: Partial<Item> & Pick<Item, "id" | "kind" | "label">): number {
  const { items, byId } = hierarchy;
  const index = items.length;
  let id = given.id;
  while (byId.has(id)) id += "'";
  byId.set(id, index);
  items.push({
    detail: "", title: "", parent, depth: parent < 0 ? 0 : items[parent].depth + 1, children: [], call: null, op: null, failed: false, opaque: "",
    ins: [], outs: [], links: [], hash: 0, ...given, id,
  });
  if (parent >= 0) items[parent].children.push(index);
  return index;
}

/** Puts the children [start, end) of an item into a new child and hands their links on. */
export function gather(hierarchy: Hierarchy, owner: number, start: number, end: number, given: Pick<Item, "id" | "kind" | "label" | "detail">): number {
  const { items } = hierarchy;
  const group = items[owner];
  const inside = group.children.slice(start, end);
  const box = addItem(hierarchy, -1, { ...given, parent: owner, depth: group.depth + 1 });
  group.children.splice(start, inside.length, box);
  const member = new Set(inside);
  for (const child of inside) items[child].parent = box;
  deepen(items, inside);

  const item = items[box];
  item.children = inside;
  const kept: Link[] = [];
  const seen = new Set<string>();
  const add = (list: Link[], link: Link, at: string) => {
    const key = `${at} ${link.from} ${link.to} ${link.value}`;
    if (!seen.has(key)) {
      seen.add(key);
      list.push(link);
    }
  };
  for (const link of group.links) {
    const [from, to] = [member.has(link.from), member.has(link.to)];
    if (from && to) add(item.links, link, "in");
    else if (!from && !to) kept.push(link);
    else if (from) {
      add(item.links, { ...link, to: OUTSIDE }, "in");
      add(kept, { ...link, from: box }, "out");
    } else {
      add(item.links, { ...link, from: OUTSIDE }, "in");
      add(kept, { ...link, to: box }, "out");
    }
  }
  group.links = kept;
  // By first use, as everywhere: the main stream comes first.
  const place = new Map(inside.map((child, k) => [child, k]));
  const ordered = (list: Link[], end: "to" | "from", ports: "ins" | "outs") => {
    const rank = ({ value, [end]: child }: Link) => place.get(child)! + items[child][ports].indexOf(value) / (items[child][ports].length + 1);
    return [...new Set(list.map((link) => ({ value: link.value, rank: rank(link) })).sort((p, q) => p.rank - q.rank).map(({ value }) => value))];
  };
  item.ins = ordered(item.links.filter((l) => l.from === OUTSIDE), "to", "ins");
  item.outs = ordered(item.links.filter((l) => l.to === OUTSIDE), "from", "outs");
  return box;
}

function deepen(items: Item[], roots: number[]): void {
  const open = [...roots];
  for (let i = open.pop(); i !== undefined; i = open.pop()) {
    items[i].depth = items[items[i].parent].depth + 1;
    open.push(...items[i].children);
  }
}
