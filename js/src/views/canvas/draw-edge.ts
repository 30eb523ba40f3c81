/** Edges: width says how many bytes run there, colour and dashes how the gradient comes back. */

import { ramp, type Theme } from "../../base/theme";
import type { Point, Scene, SceneEdge } from "../../layout/scene";
import type { Pen } from "./pen";
import type { EdgeLook } from "./types";

const RADIUS = 8;

/** 5 KiB 1.1, 32 KiB 1.9, 2 MiB 3.7, 8 MiB 4.3. */
export const edgeWidth = (bytes: number) => Math.max(1, Math.min(5, 1 + 0.3 * (Math.log2(Math.max(1, bytes)) - 12)));

/** The five colours of edges, far too small to far too large. */
export function flowColors(theme: Theme): string[] {
  const mix = (color: string) => `rgb(${ramp([theme.edgeMid, color])(0.55).join(" ")})`;
  return [theme.edgeLow, mix(theme.edgeLow), theme.edgeMid, mix(theme.edgeHigh), theme.edgeHigh];
}

/** `zoom` is told so that lines stay at least one pixel wide. */
export function drawEdge(pen: Pen, edge: SceneEdge, look: EdgeLook, colors: string[], zoom: number): void {
  const color = colors[look.flow + 2];
  const width = Math.max(edgeWidth(edge.bytes), 0.75 / zoom);
  const { points } = edge;
  if (points.length < 2) return;
  if (zoom < 0.3) {
    pen.line(points, { stroke: color, width });
    return;
  }
  const half = Math.max(4, width / 2 + 2.2);
  const { shaft, head } = arrow(points, half, 1.5 * half);
  pen.line(shaft, { stroke: color, width, ...(look.dashed ? { dash: [4, 4] } : {}) }, RADIUS);
  pen.polygon(head, { fill: color });
}

/** The line up to the arrow, and the arrow. */
function arrow(points: readonly Point[], half: number, length: number): { shaft: Point[]; head: Point[] } {
  const [a, b] = [points[points.length - 2], points[points.length - 1]];
  const run = Math.hypot(b.x - a.x, b.y - a.y) || 1;
  const [dx, dy] = [(b.x - a.x) / run, (b.y - a.y) / run];
  const back = Math.min(length - 1, run);
  const base = { x: b.x - dx * length, y: b.y - dy * length };
  return {
    shaft: [...points.slice(0, -1), { x: b.x - dx * back, y: b.y - dy * back }],
    head: [b, { x: base.x - dy * half, y: base.y + dx * half }, { x: base.x + dy * half, y: base.y - dx * half }],
  };
}

/** An open circle where a value splits off. */
export function drawSplit(pen: Pen, split: Scene["splits"][number], look: EdgeLook, colors: string[], theme: Theme): void {
  pen.circle(split.x, split.y, 4, { fill: theme.bg, stroke: colors[look.flow + 2], width: 2 });
}
