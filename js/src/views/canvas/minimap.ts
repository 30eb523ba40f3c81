/** The whole scene in a corner, in the same colours: trouble shows while it is off screen. */

import type { Theme } from "../../base/theme";
import type { Scene } from "../../layout/scene";
import { type Camera, sizeOf, type Size } from "./camera";
import { CanvasPen, type Pen } from "./pen";
import type { Looks } from "./types";

const LONG = 164;
const SHORT = 100;
const INSET = 6;
const MARGIN = 8;
/** In a narrow pane the map is smaller. */
const NARROW = { below: 600, scale: 0.65 };
/** A long row may be squeezed this much: else it would be a hair. */
const SQUEEZE = 12;

export interface Minimap {
  x: number;
  y: number;
  w: number;
  h: number;
  /** World -> map, from its inset corner. */
  kx: number;
  ky: number;
}

/** Where the map lies on the screen; null while everything is in view or there is no room for it. */
export function placeMinimap(scene: Scene, camera: Camera, view: Size): Minimap | null {
  const { w, h } = sizeOf(scene);
  const all = camera.x >= -1 && camera.y >= -1 && camera.x + w * camera.zoom <= view.w + 1 && camera.y + h * camera.zoom <= view.h + 1;
  if (all || view.w < 3 * SHORT || view.h < 2 * SHORT) return null;
  const scale = view.w < NARROW.below ? NARROW.scale : 1;
  const [most, tall] = (h >= w ? [SHORT, LONG] : [LONG, SHORT]).map((side) => side * scale);
  const least = Math.min((most - 2 * INSET) / w, (tall - 2 * INSET) / h);
  const [kx, ky] = [Math.min((most - 2 * INSET) / w, least * SQUEEZE), Math.min((tall - 2 * INSET) / h, least * SQUEEZE)];
  const size = { w: Math.max(48, Math.ceil(w * kx) + 2 * INSET), h: Math.max(48, Math.ceil(h * ky) + 2 * INSET) };
  return { x: view.w - size.w - MARGIN, y: view.h - size.h - MARGIN, ...size, kx, ky };
}

/** Everything but the part in view; changes only with the scene, the looks and the theme. */
function drawMap(pen: Pen, map: Minimap, scene: Scene, looks: Looks, theme: Theme): void {
  pen.rect(0.5, 0.5, map.w - 1, map.h - 1, { fill: theme.raised, stroke: theme.lineStrong }, 4);
  const [ox, oy] = [(map.w - scene.width * map.kx) / 2, (map.h - scene.height * map.ky) / 2];
  for (const node of scene.nodes) {
    if (node.expanded) pen.rect(ox + node.x * map.kx, oy + node.y * map.ky, node.w * map.kx, node.h * map.ky, { fill: theme.hover, alpha: 0.7 });
  }
  for (const { points } of scene.edges) {
    pen.line(points.map((p) => ({ x: ox + p.x * map.kx, y: oy + p.y * map.ky })), { stroke: theme.edgeMid, width: 0.75 });
  }
  for (const node of scene.nodes) {
    if (node.expanded || node.glyph) continue;
    const [x, y, w, h] = [ox + node.x * map.kx, oy + node.y * map.ky, node.w * map.kx, Math.max(node.h * map.ky, 1)];
    const color = (fill: number | null) => (fill === null ? theme.bg : theme.div[fill + 3]);
    const outline = h >= 3 ? { stroke: theme.lineStrong, width: 0.5 } : {};
    if (node.cells && node.members && node.cells.length <= w / 2) {
      const width = w / node.members.length;
      node.members.forEach((call, i) => pen.rect(x + i * width, y, width, h, { fill: color(looks.cell(call).fill), ...outline }));
    } else {
      const { fill } = looks.node(node);
      pen.rect(x, y, w, h, { fill: h < 3 && fill === null ? theme.lineStrong : color(fill), ...outline });
    }
  }
}

function drawWindow(pen: Pen, map: Minimap, scene: Scene, camera: Camera, view: Size, theme: Theme): void {
  const part = windowOf(map, scene, camera, view);
  pen.rect(part.x, part.y, part.w, part.h, { fill: theme.accent, alpha: 0.06, stroke: theme.accent, width: 1.5 }, 2);
}

/** The part in view, on the map. */
function windowOf(map: Minimap, scene: Scene, camera: Camera, view: Size): { x: number; y: number; w: number; h: number } {
  const [ox, oy] = [(map.w - scene.width * map.kx) / 2, (map.h - scene.height * map.ky) / 2];
  const x = Math.max(2, ox + (-camera.x / camera.zoom) * map.kx);
  const y = Math.max(2, oy + (-camera.y / camera.zoom) * map.ky);
  const right = Math.min(map.w - 2, ox + ((view.w - camera.x) / camera.zoom) * map.kx);
  const bottom = Math.min(map.h - 2, oy + ((view.h - camera.y) / camera.zoom) * map.ky);
  return { x: Math.min(x, map.w - 6), y: Math.min(y, map.h - 6), w: Math.max(4, right - x), h: Math.max(4, bottom - y) };
}

/** The camera that shows the place of a map point in the middle. */
export function lookAt(map: Minimap, scene: Scene, camera: Camera, view: Size, at: { x: number; y: number }): Camera {
  const [ox, oy] = [(map.w - scene.width * map.kx) / 2, (map.h - scene.height * map.ky) / 2];
  const [x, y] = [(at.x - map.x - ox) / map.kx, (at.y - map.y - oy) / map.ky];
  return { zoom: camera.zoom, x: view.w / 2 - x * camera.zoom, y: view.h / 2 - y * camera.zoom };
}

/** The map on the canvas; its picture is kept until scene, looks, theme or place change. */
export class MapPicture {
  /** Where it lies now; null while it is not shown. */
  at: Minimap | null = null;
  private image: HTMLCanvasElement | null = null;

  forget(): void {
    this.image = null;
  }

  draw(ctx: CanvasRenderingContext2D, scene: Scene, camera: Camera, view: Size, ratio: number, looks: Looks, theme: Theme): void {
    const at = placeMinimap(scene, camera, view);
    this.at = at;
    if (!at) return;
    const [w, h] = [Math.ceil(at.w * ratio), Math.ceil(at.h * ratio)];
    if (!this.image || this.image.width !== w || this.image.height !== h) {
      const image = document.createElement("canvas");
      Object.assign(image, { width: w, height: h });
      const inner = image.getContext("2d");
      if (!inner) return;
      inner.scale(ratio, ratio);
      drawMap(new CanvasPen(inner, theme), at, scene, looks, theme);
      this.image = image;
    }
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.drawImage(this.image, Math.round(at.x * ratio), Math.round(at.y * ratio));
    ctx.setTransform(ratio, 0, 0, ratio, Math.round(at.x * ratio), Math.round(at.y * ratio));
    drawWindow(new CanvasPen(ctx, theme), at, scene, camera, view, theme);
  }

  covers({ x, y }: { x: number; y: number }): boolean {
    const { at } = this;
    return at !== null && x >= at.x && x <= at.x + at.w && y >= at.y && y <= at.y + at.h;
  }
}
