/** Arrow keys: down and up along the edges, left and right to what stands beside, with Shift out of and into frames. */

import type { Scene, SceneNode } from "../../layout/scene";

export type Direction = "up" | "down" | "left" | "right" | "out" | "in";

/** The node a step leads to, or null if there is none. Without a start: the first node. */
export function step(scene: Scene, from: string | null, direction: Direction): string | null {
  const start = scene.nodes.find((node) => node.id === from);
  if (!start) return scene.nodes.find((node) => !node.expanded)?.id ?? scene.nodes[0]?.id ?? null;
  switch (direction) {
    case "out":
      return innermost(scene, start)?.id ?? null;
    case "in":
      return start.expanded ? (scene.nodes.find((node) => inside(node, start))?.id ?? null) : null;
    case "up":
    case "down":
      return along(scene, start, direction) ?? beside(scene, start, direction);
    case "left":
    case "right":
      return beside(scene, start, direction);
    default:
      return direction satisfies never;
  }
}

/** Over the straightest of its edges; a frame leads to what it holds, or out of itself to what is below. */
function along(scene: Scene, start: SceneNode, direction: "up" | "down"): string | null {
  const down = direction === "down";
  const middle = start.x + start.w / 2;
  let best: { id: string; bend: number } | null = null;
  for (const edge of scene.edges) {
    if ((down ? edge.from : edge.to) !== start.id) continue;
    const end = down ? edge.points[edge.points.length - 1] : edge.points[0];
    const bend = Math.abs(end.x - middle) + edge.points.length;
    if (!best || bend < best.bend) best = { id: down ? edge.to : edge.from, bend };
  }
  return best?.id ?? null;
}

function beside(scene: Scene, start: SceneNode, direction: "up" | "down" | "left" | "right"): string | null {
  const [cx, cy] = [start.x + start.w / 2, start.y + (start.expanded ? 12 : start.h / 2)];
  let best: { id: string; cost: number } | null = null;
  for (const node of scene.nodes) {
    if (node.id === start.id || (node.expanded && inside(start, node))) continue;
    const [dx, dy] = [node.x + node.w / 2 - cx, node.y + (node.expanded ? 12 : node.h / 2) - cy];
    const [ahead, off] = { left: [-dx, dy], right: [dx, dy], up: [-dy, dx], down: [dy, dx] }[direction];
    if (ahead <= 4) continue;
    const cost = ahead + 3 * Math.abs(off);
    if (!best || cost < best.cost) best = { id: node.id, cost };
  }
  return best?.id ?? null;
}

const inside = (node: SceneNode, frame: SceneNode) =>
  node.depth > frame.depth && node.x >= frame.x && node.y >= frame.y && node.x + node.w <= frame.x + frame.w && node.y + node.h <= frame.y + frame.h;

function innermost(scene: Scene, node: SceneNode): SceneNode | undefined {
  return scene.nodes.filter((frame) => frame.expanded && inside(node, frame)).sort((a, b) => b.depth - a.depth)[0];
}
