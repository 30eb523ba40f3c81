/** Which part of a scene is seen, and how large: screen = world * zoom + offset. */

import type { Point, Scene } from "../../layout/scene";

export interface Camera {
  x: number;
  y: number;
  zoom: number;
}

export interface Size {
  w: number;
  h: number;
}

export const LEAST_ZOOM = 0.02;
export const MOST_ZOOM = 3;
/** At the start letters can be read, even if not everything is seen. */
const READABLE = 0.7;
const EDGE = 24; // so much of the scene always stays in view

export const toWorld = (camera: Camera, p: Point): Point => ({ x: (p.x - camera.x) / camera.zoom, y: (p.y - camera.y) / camera.zoom });

/** The same world point stays under `at`. */
export function zoomAt(camera: Camera, at: Point, factor: number): Camera {
  const zoom = Math.min(MOST_ZOOM, Math.max(LEAST_ZOOM, camera.zoom * factor));
  const k = zoom / camera.zoom;
  return { x: at.x - (at.x - camera.x) * k, y: at.y - (at.y - camera.y) * k, zoom };
}

/** All of the scene, never enlarged. `free`: px at the right that something else covers. */
export function fitAll(scene: Size, view: Size, free = 0): Camera {
  const zoom = Math.max(LEAST_ZOOM, Math.min(1, view.w / scene.w, view.h / scene.h));
  const roomy = scene.w * zoom + free <= view.w ? view.w - free : view.w;
  return { x: Math.round((roomy - scene.w * zoom) / 2), y: Math.round(Math.max(0, (view.h - scene.h * zoom) / 2)), zoom };
}

/** What is shown first: everything if it can be read then, else its beginning at a size that can. */
export function firstView(scene: Size, view: Size, free = 0): Camera {
  const all = fitAll(scene, view, free);
  if (all.zoom >= READABLE) return { ...all, y: Math.min(all.y, 24) };
  const zoom = Math.max(READABLE, Math.min(1, (view.w - free) / scene.w, view.w / scene.w));
  return { x: Math.round(Math.max(0, (view.w - free - scene.w * zoom) / 2)), y: 0, zoom };
}

/** Keeps some of the scene in view. */
export function clamp(camera: Camera, scene: Size, view: Size): Camera {
  const within = (offset: number, size: number, room: number) => Math.min(room - EDGE, Math.max(EDGE - size * camera.zoom, offset));
  return { ...camera, x: within(camera.x, scene.w, view.w), y: within(camera.y, scene.h, view.h) };
}

/** Moves no further than needed to see a box, with some room around it. */
export function reveal(camera: Camera, box: { x: number; y: number; w: number; h: number }, view: Size): Camera {
  const zoom = Math.max(camera.zoom, READABLE);
  const moved = zoom === camera.zoom ? camera : zoomAt(camera, { x: view.w / 2, y: view.h / 2 }, zoom / camera.zoom);
  const shift = (offset: number, from: number, size: number, room: number) => {
    const pad = Math.min(48, room / 4);
    const [low, high] = [from * zoom + offset, (from + size) * zoom + offset];
    if (high > room - pad && low - (high - room + pad) >= pad) return offset - (high - room + pad);
    if (low < pad || high > room - pad) return offset + pad - low;
    return offset;
  };
  return { zoom, x: Math.round(shift(moved.x, box.x, box.w, view.w)), y: Math.round(shift(moved.y, box.y, Math.min(box.h, view.h / zoom), view.h)) };
}

export const mix = (a: Camera, b: Camera, t: number): Camera => ({ x: a.x + (b.x - a.x) * t, y: a.y + (b.y - a.y) * t, zoom: a.zoom + (b.zoom - a.zoom) * t });

export const sizeOf = (scene: Scene): Size => ({ w: Math.max(1, scene.width), h: Math.max(1, scene.height) });
