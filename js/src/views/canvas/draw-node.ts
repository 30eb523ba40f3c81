/** Nodes and frames. Distances are those of the mock-ups, px at zoom 1. */

import type { Theme } from "../../base/theme";
import type { SceneNode } from "../../layout/scene";
import { badgeWidth, drawBadge, drawShape } from "./badge";
import type { Paint, Pen } from "./pen";
import type { TextRuler } from "./text";
import type { CellLook, Marks, NodeLook } from "./types";

const RADIUS = 4;
const STRIPE = 5;
export const HEADER = 24;
export const CELLS = { left: 11, top: 23.5, height: 17 };

/** How much is drawn at a zoom: letters under about 5 px are noise. */
export interface Detail {
  names: boolean;
  details: boolean;
  stripes: boolean;
}
export const detailAt = (zoom: number): Detail => ({ names: zoom >= 0.42, details: zoom >= 0.58, stripes: zoom >= 0.25 });

/** The ground of an open group; its header comes after the edges. */
export function drawFrame(pen: Pen, node: SceneNode, theme: Theme, marks: Marks): void {
  const { x, y, w, h } = node;
  halo(pen, node, theme, marks, 6);
  pen.rect(x + 0.5, y + 0.5, w - 1, h - 1, {
    fill: theme.bg, alpha: node.depth > 1 ? 0.8 : 0.6, stroke: marks.hovered === node.id ? theme.fg : theme.lineStrong,
  }, 6);
}

export function drawHeader(pen: Pen, node: SceneNode, theme: Theme, ruler: TextRuler, marks: Marks): void {
  const { x, y, w } = node;
  chevron(pen, x + 9, y + 10, true, theme.fg2);
  const name = ruler.width(node.label, 12, 600);
  const hit = marks.hits.has(node.id);
  if (hit) pen.rect(x + 20, y + 4, name + 4, 16, { fill: theme.match }, 2);
  pen.text(x + 22, y + 16, node.label, { size: 12, weight: 600, color: hit ? theme.matchFg : theme.fg });
  const room = w - 22 - name - 16 - 10;
  const short = node.detail.replace(/ parameters$/, "");
  const title = ruler.width(node.detail, 11) <= room ? node.detail : ruler.cut(short, room, 11);
  if (!title) return;
  const width = ruler.width(title, 11);
  // The main stream passes at its left, another may run through it: the words keep their ground.
  pen.rect(x + w - 12 - width, y + 4, width + 4, 16, { fill: theme.bg, alpha: 0.85 });
  pen.text(x + w - 10, y + 16, title, { size: 11, weight: 400, color: theme.fg2, anchor: "end" });
}

export function drawNode(pen: Pen, node: SceneNode, look: NodeLook, cell: (call: number) => CellLook, theme: Theme, ruler: TextRuler, marks: Marks, detail: Detail): void {
  if (node.glyph) drawCircle(pen, node, theme, marks, detail);
  else if (node.kind === "input" || node.kind === "output") drawPill(pen, node, theme, ruler, marks, detail);
  else drawBox(pen, node, look, cell, theme, ruler, marks, detail);
}

function drawBox(pen: Pen, node: SceneNode, look: NodeLook, cell: (call: number) => CellLook, theme: Theme, ruler: TextRuler, marks: Marks, detail: Detail): void {
  const { x, y, w, h } = node;
  const filled = look.fill !== null && !node.cells;
  const ink = look.absent ? theme.fg3 : filled ? theme.divFg : theme.fg;
  if (node.kind === "fold") for (const k of [6, 3]) pen.rect(x + k + 0.5, y + k + 0.5, w - 1, h - 1, { fill: theme.bg, stroke: theme.lineStrong }, RADIUS);
  halo(pen, node, theme, marks, RADIUS);
  pen.rect(x, y, w, h, { fill: filled ? theme.div[look.fill! + 3] : theme.raised }, RADIUS);
  if (detail.stripes && !look.absent) {
    if (look.activation !== null) stripe(pen, x, y, h, look.activation, theme.activation, theme, "left");
    if (look.gradient !== null) stripe(pen, x + w - STRIPE, y, h, look.gradient, theme.gradient, theme, "right");
  }
  pen.rect(x + 0.5, y + 0.5, w - 1, h - 1, outline(node, look, theme, marks), RADIUS - 0.5);
  if (!detail.names) {
    if (node.cells) drawCells(pen, node, cell, theme, ruler, false);
    return;
  }
  const base = node.cells ? y + 16 : y + h / 2 + 4;
  const left = x + (node.expandable ? 22 : 12);
  if (node.expandable) chevron(pen, x + 11, base - 4, false, filled ? theme.divFg : theme.fg2);
  const full = ruler.width(node.label, 12, 600);
  const name = ruler.cut(node.label, w - (left - x) - 10, 12, 600);
  const width = name === node.label ? full : ruler.width(name, 12, 600);
  const hit = marks.hits.has(node.id);
  if (hit) pen.rect(left - 2, base - 12, width + 4, 16, { fill: theme.match }, 2);
  pen.text(left, base, name, { size: 12, weight: 600, color: hit ? theme.matchFg : ink });

  let right = x + w - 11;
  if (look.value && detail.details) {
    pen.text(right, base, look.value, { size: 11, weight: 400, color: node.cells ? theme.fg2 : ink, anchor: "end" });
    right -= ruler.width(look.value, 11) + 6;
  }
  if (node.failed) {
    drawShape(pen, "error", right - 12, base - 10, 12, theme);
    right -= 18;
  }
  if (look.badge && detail.details) right = placeBadge(pen, node, look, left + width + 6, right, theme, ruler);
  const words = detail.details ? ruler.cut(node.detail, right - left - width - 6, 11) : "";
  if (words) pen.text(left + width + 6, base, words, { size: 11, weight: 400, color: ink });
  if (node.cells) drawCells(pen, node, cell, theme, ruler, detail.details);
}

/** Inside before the value, or on the upper edge where there is no room: beside it stands a neighbour. Returns the right end of what is left. */
function placeBadge(pen: Pen, node: SceneNode, look: NodeLook, from: number, right: number, theme: Theme, ruler: TextRuler): number {
  const width = badgeWidth(look.badge!, ruler);
  if (!node.cells && right - from >= width) {
    drawBadge(pen, look.badge!, right - width, node.y + node.h / 2 - 8, theme, ruler);
    return right - width - 6;
  }
  drawBadge(pen, look.badge!, node.x + node.w - width - 2, node.y - 12, theme, ruler);
  return right;
}

function drawCells(pen: Pen, node: SceneNode, cell: (call: number) => CellLook, theme: Theme, ruler: TextRuler, labels: boolean): void {
  const names = node.cells!;
  const width = (node.w - 2 * CELLS.left) / names.length;
  const fits = labels && names.every((name) => ruler.width(name, 11) <= width - 3);
  const outliers: number[] = [];
  const draw = (i: number, look: CellLook) => pen.rect(node.x + CELLS.left + i * width + 0.5, node.y + CELLS.top, Math.max(1, width - 1), CELLS.height, {
    fill: look.fill === null ? theme.raised : theme.div[look.fill + 3],
    ...(width >= 4 || look.outlier ? { stroke: look.outlier ? theme.fg : theme.lineStrong, width: look.outlier ? 1.5 : 1 } : {}),
  }, width >= 8 ? 2 : 0);
  names.forEach((_, i) => {
    const look = cellOf(node, i, cell);
    if (look.outlier) outliers.push(i);
    else draw(i, look);
  });
  for (const i of outliers) draw(i, cellOf(node, i, cell)); // on top: their outline is the point
  if (fits) {
    names.forEach((name, i) => {
      const ink = cellOf(node, i, cell).fill === null ? theme.fg : theme.divFg;
      pen.text(node.x + CELLS.left + (i + 0.5) * width, node.y + 36, name, { size: 11, weight: 400, color: ink, anchor: "middle" });
    });
  }
}

const cellOf = (node: SceneNode, i: number, cell: (call: number) => CellLook): CellLook => {
  const call = node.members?.[i];
  return call === undefined ? { fill: null, outlier: false } : cell(call);
};

function drawPill(pen: Pen, node: SceneNode, theme: Theme, ruler: TextRuler, marks: Marks, detail: Detail): void {
  const { x, y, w, h } = node;
  halo(pen, node, theme, marks, h / 2);
  pen.rect(x + 0.5, y + 0.5, w - 1, h - 1, { fill: theme.raised, stroke: marks.hovered === node.id ? theme.fg : theme.lineStrong }, h / 2);
  if (detail.names) pen.text(x + w / 2, y + h / 2 + 4, ruler.cut(`${node.label}  ${node.detail}`, w - 12, 11), { size: 11, weight: 400, color: theme.fg, anchor: "middle" });
}

function drawCircle(pen: Pen, node: SceneNode, theme: Theme, marks: Marks, detail: Detail): void {
  const [cx, cy, r] = [node.x + node.w / 2, node.y + node.h / 2, node.w / 2];
  halo(pen, node, theme, marks, r);
  pen.circle(cx, cy, r - 0.5, { fill: theme.raised, stroke: marks.hovered === node.id ? theme.fg : theme.lineStrong });
  if (!detail.stripes) return;
  const paint: Paint = { stroke: theme.fg, width: 1.5 };
  const bar = (dx: number, dy: number) => pen.line([{ x: cx - dx, y: cy - dy }, { x: cx + dx, y: cy + dy }], paint);
  if (node.glyph === "×") bar(3.5, 3.5), bar(3.5, -3.5);
  else bar(5, 0);
  if (node.glyph === "+") bar(0, 5);
}

/** Level meter: half height is healthy, beyond one decade it takes the colour of its side. */
function stripe(pen: Pen, x: number, y: number, h: number, level: number, role: string, theme: Theme, side: "left" | "right"): void {
  const shown = Math.abs(level) <= 0.4 ? 0 : Math.max(-3, Math.min(3, level));
  const length = Math.max(3, ((shown + 3) / 6) * h);
  const color = level < -1 ? theme.edgeLow : level > 1 ? theme.edgeHigh : role;
  const corners = (top: number, bottom: number) => (side === "left" ? [top, 0, 0, bottom] : [0, top, bottom, 0]);
  pen.rect(x, y, STRIPE, h, { fill: theme.bg }, corners(RADIUS, RADIUS));
  pen.rect(x, y + h - length, STRIPE, length, { fill: color }, corners(length > h - 2 ? RADIUS : 0, RADIUS));
  pen.rect(x, y + h / 2 - 0.75, STRIPE, 1.5, { fill: theme.bg });
}

function outline(node: SceneNode, look: NodeLook, theme: Theme, marks: Marks): Paint {
  if (node.failed) return { stroke: theme.error, width: 1.5 };
  if (marks.hovered === node.id) return { stroke: theme.fg };
  if (look.absent) return { stroke: theme.lineStrong, dash: [4, 3] };
  if (node.opaque) return { stroke: theme.fg3, dash: [1.5, 2.5], width: 1.5 };
  return { stroke: theme.lineStrong };
}

/** Selection, search hit and keyboard focus; they differ in distance and can show together. */
function halo(pen: Pen, node: SceneNode, theme: Theme, marks: Marks, radius: number): void {
  const around = (by: number, paint: Paint) => pen.rect(node.x - by, node.y - by, node.w + 2 * by, node.h + 2 * by, paint, radius + by - 0.5);
  const tint = node.expanded ? {} : { fill: theme.accent, alpha: 0.16 };
  if (marks.selected === node.id) around(3, { ...tint, stroke: theme.accent, width: 2 });
  else if (marks.hits.has(node.id)) around(2.5, { stroke: theme.match, width: 3 });
  if (marks.focused === node.id) around(6, { stroke: theme.accent, width: 2 });
}

function chevron(pen: Pen, x: number, y: number, open: boolean, color: string): void {
  const points = open ? [{ x, y }, { x: x + 3.5, y: y + 4 }, { x: x + 7, y }] : [{ x: x, y: y - 3.5 }, { x: x + 4, y }, { x: x, y: y + 3.5 }];
  pen.line(points, { stroke: color, width: 1.5 });
}
