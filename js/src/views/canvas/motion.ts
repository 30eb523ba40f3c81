/** From one scene to the next: what stays moves, what is new fades in, and one node stays where it is on the screen. */

import type { Point, Scene, SceneNode } from "../../layout/scene";
import type { Camera } from "./camera";

const DURATION = 160; // ms, --gs-motion

export interface Motion {
  start: number;
  from: ReadonlyMap<string, SceneNode>;
  /** Where new nodes come from: the node that was opened or closed. */
  origin: SceneNode | null;
  /** Camera before and after. */
  camera: { from: Camera; to: Camera };
}

/** The camera that keeps `id` where it is on the screen; the same camera if it is in only one of the scenes. */
export function keepInPlace(camera: Camera, before: Scene, after: Scene, id: string | undefined): Camera {
  const find = (scene: Scene) => scene.nodes.find((node) => node.id === id);
  const [a, b] = [find(before), find(after)];
  if (!a || !b) return camera;
  // Its name stays: a frame has it at the left, and so has a node.
  const shift: Point = { x: (a.x - b.x) * camera.zoom, y: (a.y - b.y) * camera.zoom };
  return { ...camera, x: Math.round(camera.x + shift.x), y: Math.round(camera.y + shift.y) };
}

/** 0 to 1, slowing down; 1 when it is over. */
export function progress(motion: Motion, now: number): number {
  const t = Math.min(1, Math.max(0, (now - motion.start) / DURATION));
  return 1 - (1 - t) ** 3;
}

/** A node on its way. */
export function poseOf(motion: Motion, node: SceneNode, t: number): { node: SceneNode; alpha: number } {
  const before = motion.from.get(node.id);
  if (!before && !motion.origin) return { node, alpha: t };
  const from = before ?? { ...node, x: motion.origin!.x + (node.x - motion.origin!.x) * 0.9, y: motion.origin!.y + (node.y - motion.origin!.y) * 0.9 };
  const at = (a: number, b: number) => a + (b - a) * t;
  return { node: { ...node, x: at(from.x, node.x), y: at(from.y, node.y), w: at(from.w, node.w), h: at(from.h, node.h) }, alpha: before ? 1 : t };
}
