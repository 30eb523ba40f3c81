/** Which items are open: at the start, to a depth, and what must be open to see one. */

import type { Hierarchy, Item } from "./items";

/** A picture with more nodes than this is no longer read at a glance. */
const READABLE = 40;
/** With fewer than this the first fold is opened too, and its first member as an example of all. */
const SPARSE = 12;
/** Nor does opening to a depth draw more than this. */
const DRAWABLE = 3000;

/**
 * Ids of the items to open. Without `depth`: whole levels as long as the picture stays readable. With it: all items
 * above that depth (1 shows the children of the root). Folds stay closed: they are there to say the same once.
 */
export function openItems({ items }: Hierarchy, depth?: number): Set<string> {
  const open = new Set<string>();
  let shown = items[0].children.length;
  let row = items[0].children;
  for (let d = 1; row.length && (depth === undefined || d < depth); d++) {
    const next = row.filter((i) => items[i].children.length && items[i].kind !== "fold" && !items[i].members);
    const more = next.reduce((sum, i) => sum + items[i].children.length, 0);
    // A wrapper around everything says nothing: it is always opened.
    const wrapper = next.length === 1 && row.every((i) => i === next[0] || !["op", "call"].includes(items[i].kind));
    if (shown + more > (depth === undefined ? READABLE : DRAWABLE) && !(wrapper && more <= DRAWABLE)) break;
    for (const i of next) open.add(items[i].id);
    shown += more;
    row = next.flatMap((i) => items[i].children);
  }
  if (depth === undefined && shown < SPARSE) {
    const seen = ({ parent }: Item) => parent === 0 || (parent > 0 && open.has(items[parent].id));
    const fold = items.find((item) => item.cells && seen(item));
    const first = fold && items[fold.children[0]];
    for (const item of [fold, first]) {
      if (!item?.children.length || shown + item.children.length > READABLE) break;
      open.add(item.id);
      shown += item.children.length;
    }
  }
  return open;
}

/** The items around an id, outermost first: open them to see it. Null if the graph has no such item. */
export function around({ items, byId }: Hierarchy, id: string): string[] | null {
  const index = byId.get(id);
  if (index === undefined) return null;
  const ids: string[] = [];
  for (let i = items[index].parent; i > 0; i = items[i].parent) ids.unshift(items[i].id);
  return ids;
}

/** The id itself if it is visible, else the closed item that holds it; null if the graph has no such item. */
export function visibleAt(hierarchy: Hierarchy, id: string, expanded: ReadonlySet<string>): string | null {
  const path = around(hierarchy, id);
  return path && (path.find((outer) => !expanded.has(outer)) ?? id);
}
