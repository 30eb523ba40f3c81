/** How large a closed item is drawn. Widths are multiples of 8, so that its middle is on the grid. */

import type { Item } from "./items";
import type { Measure } from "./scene";

const NODE = 24;
const FOLD = 44;
const PILL = 20;
const CIRCLE = 20;
const LEAST = 160;
/** Names may make a node wider than this, details are cut. */
const MOST = 240;
/** A guard against names of any length. */
const LIMIT = 640;
const VALUE = 44; // room for a value at the right
/** Room for two digits, in folds of up to so many members; more become a strip without letters. */
const CELL = 18;
const LABELLED = 12;

const ceil8 = (x: number) => Math.ceil(x / 8) * 8;

const isPlain = (item: Item) => !item.glyph && item.kind !== "input" && item.kind !== "output";

function natural(item: Item, measure: Measure): { name: number; all: number } {
  const name = (item.children.length ? 22 : 12) + measure(item.label, true) + 12; // the arrow that opens it stands before its name
  const extra = item.members ? 84 : VALUE; // a fold shows its least and its most
  const all = name + (item.detail ? 6 + measure(item.detail, false) : 0) + extra;
  return { name: name + extra + (item.members ? 6 + measure(item.detail, false) : 0), all: Math.max(all, Math.min(item.cells?.length ?? 0, LABELLED) * CELL + 22) };
}

/** One width for all plain nodes of a level: lanes then have straight sides. */
export function levelWidth(closed: Item[], measure: Measure): number {
  return closed.reduce((most, item) => (isPlain(item) ? Math.max(most, Math.min(MOST, ceil8(natural(item, measure).all))) : most), LEAST);
}

export function collapsedSize(item: Item, width: number, measure: Measure): { w: number; h: number } {
  if (item.glyph) return { w: CIRCLE, h: CIRCLE };
  if (!isPlain(item)) {
    return { w: Math.min(LIMIT, ceil8(Math.max(64, 24 + measure(`${item.label}  ${item.detail}`, false)))), h: PILL };
  }
  const { name } = natural(item, measure);
  return { w: Math.min(LIMIT, Math.max(width, ceil8(name))), h: item.cells ? FOLD : NODE };
}

/** Widths of the name and of the title of an open item. */
export function headerWidths(item: Item, measure: Measure): { name: number; title: number } {
  // Rounded, so that blocks.9 and blocks.10 are one layout.
  const ceil16 = (x: number) => Math.min(LIMIT / 2, 16 * Math.ceil(x / 16));
  return { name: ceil16(measure(item.label, true)), title: ceil16(measure(item.title.replace(/ parameters$/, ""), false)) };
}
