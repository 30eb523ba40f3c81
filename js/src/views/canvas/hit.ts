/** A point of the scene -> what is there. Of a frame only its header counts: its inside is ground. */

import type { Point, Scene, SceneEdge, SceneNode } from "../../layout/scene";
import { edgeWidth } from "./draw-edge";
import { CELLS, HEADER } from "./draw-node";
import type { Target } from "./types";

export interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

export function edgeBox(edge: SceneEdge): Box {
  const box = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
  for (const { x, y } of edge.points) {
    box.left = Math.min(box.left, x);
    box.right = Math.max(box.right, x);
    box.top = Math.min(box.top, y);
    box.bottom = Math.max(box.bottom, y);
  }
  return box;
}

export function hitTest(scene: Scene, boxes: readonly Box[], at: Point, zoom: number): Target | null {
  const near = Math.min(12, 4 / zoom);
  for (let i = scene.nodes.length - 1; i >= 0; i--) {
    const node = scene.nodes[i];
    const h = node.expanded ? HEADER : node.h;
    if (at.x < node.x || at.x > node.x + node.w || at.y < node.y || at.y > node.y + h) continue;
    return { kind: "node", node, cell: cellAt(node, at) };
  }
  let best: { edge: SceneEdge; distance: number } | null = null;
  scene.edges.forEach((edge, i) => {
    const box = boxes[i];
    const reach = near + edgeWidth(edge.bytes) / 2;
    if (at.x < box.left - reach || at.x > box.right + reach || at.y < box.top - reach || at.y > box.bottom + reach) return;
    const distance = distanceTo(edge.points, at);
    if (distance <= reach && (!best || distance < best.distance)) best = { edge, distance };
  });
  return best && { kind: "edge", edge: (best as { edge: SceneEdge }).edge };
}

/** The arrow before a name, which opens and closes. */
export function onChevron(node: SceneNode, at: Point): boolean {
  return node.expandable && at.x < node.x + 22 && at.y < node.y + HEADER;
}

function cellAt(node: SceneNode, at: Point): number | null {
  if (!node.cells || node.expanded) return null;
  const i = Math.floor(((at.x - node.x - CELLS.left) / (node.w - 2 * CELLS.left)) * node.cells.length);
  const y = at.y - node.y - CELLS.top;
  return y >= 0 && y <= CELLS.height && i >= 0 && i < node.cells.length ? i : null;
}

function distanceTo(points: readonly Point[], p: Point): number {
  let least = Infinity;
  for (let i = 1; i < points.length; i++) {
    const [a, b] = [points[i - 1], points[i]];
    const [dx, dy] = [b.x - a.x, b.y - a.y];
    const t = Math.max(0, Math.min(1, ((p.x - a.x) * dx + (p.y - a.y) * dy) / (dx * dx + dy * dy || 1)));
    least = Math.min(least, Math.hypot(p.x - a.x - t * dx, p.y - a.y - t * dy));
  }
  return least;
}
