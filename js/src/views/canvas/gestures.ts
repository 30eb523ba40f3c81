/**
 * Pointer, wheel and keys on the canvas -> what is meant.
 *
 * The page keeps its scroll: the plain wheel moves the graph only while the canvas has the focus and only as far as
 * there is more to see; with Ctrl or Cmd (or a pinch) it zooms. One finger scrolls the page, two move the graph.
 */

import type { Point } from "../../layout/scene";
import type { Direction } from "./walk";

export interface Meant {
  /** Returns whether the point begins a drag of its own (the minimap); then `drag` gets positions instead of distances. */
  press(at: Point): boolean;
  dragTo(at: Point): void;
  pan(dx: number, dy: number): boolean;
  zoom(at: Point, factor: number): void;
  click(at: Point): void;
  doubleClick(at: Point): void;
  move(at: Point | null): void;
  step(direction: Direction): void;
  enter(): void;
  choose(): void;
  fit(): void;
  closer(factor: number): void;
  /** Whether there was anything to clear. */
  clear(): boolean;
  focus(on: boolean, byKey: boolean): void;
}

const SLACK = 4; // px a click may wander
const LINE = 16;
/** A pinch comes in small steps, a mouse wheel in large ones: those are shortened. */
const NOTCH = 30;

const STEPS: Record<string, Direction> = { ArrowUp: "up", ArrowDown: "down", ArrowLeft: "left", ArrowRight: "right" };

/** Listens until the returned function is called. */
export function listen(canvas: HTMLCanvasElement, meant: Meant): () => void {
  const stop = new AbortController();
  const on = <K extends keyof HTMLElementEventMap>(type: K, handle: (event: HTMLElementEventMap[K]) => void, passive = true) =>
    canvas.addEventListener(type, handle as EventListener, { signal: stop.signal, passive });
  const at = (event: MouseEvent): Point => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const fingers = new Map<number, Point>();
  let pointing = false;
  let pressed: { from: Point; last: Point; own: boolean; moved: boolean } | null = null;

  on("pointerdown", (event) => {
    if (event.button !== 0) return;
    pointing = true;
    canvas.focus({ preventScroll: true });
    pointing = false;
    const p = at(event);
    fingers.set(event.pointerId, p);
    if (fingers.size > 1) {
      pressed = null;
      return;
    }
    canvas.setPointerCapture?.(event.pointerId);
    pressed = { from: p, last: p, own: meant.press(p), moved: false };
    if (pressed.own) meant.dragTo(p);
  });
  on("pointermove", (event) => {
    const p = at(event);
    const before = fingers.get(event.pointerId);
    if (before) fingers.set(event.pointerId, p);
    if (fingers.size === 2 && before) {
      const other = [...fingers].find(([id]) => id !== event.pointerId)![1];
      const [was, is] = [Math.hypot(before.x - other.x, before.y - other.y), Math.hypot(p.x - other.x, p.y - other.y)];
      meant.pan((p.x - before.x) / 2, (p.y - before.y) / 2);
      if (was > 0 && is > 0) meant.zoom({ x: (p.x + other.x) / 2, y: (p.y + other.y) / 2 }, is / was);
      return;
    }
    if (!pressed) {
      if (event.pointerType !== "touch") meant.move(p);
      return;
    }
    if (!pressed.moved && Math.hypot(p.x - pressed.from.x, p.y - pressed.from.y) < SLACK) return;
    pressed.moved = true;
    if (pressed.own) meant.dragTo(p);
    else meant.pan(p.x - pressed.last.x, p.y - pressed.last.y);
    pressed.last = p;
    canvas.style.cursor = "grabbing";
  });
  const release = (event: PointerEvent) => {
    fingers.delete(event.pointerId);
    if (pressed && !pressed.moved && !pressed.own && event.type === "pointerup") meant.click(at(event));
    pressed = null;
    canvas.style.cursor = "";
  };
  on("pointerup", release);
  on("pointercancel", release);
  on("pointerleave", () => meant.move(null));
  on("dblclick", (event) => meant.doubleClick(at(event)));
  on("wheel", (event) => {
    const unit = event.deltaMode === 1 ? LINE : event.deltaMode === 2 ? canvas.clientHeight : 1;
    const [dx, dy] = event.shiftKey && !event.deltaX ? [event.deltaY, 0] : [event.deltaX, event.deltaY];
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      meant.zoom(at(event), Math.exp(-Math.max(-NOTCH, Math.min(NOTCH, dy * unit)) / 100));
    } else if (document.activeElement === canvas || canvas.getRootNode() instanceof ShadowRoot && (canvas.getRootNode() as ShadowRoot).activeElement === canvas) {
      if (meant.pan(-dx * unit, -dy * unit)) event.preventDefault(); // nothing more that way: the page scrolls on
    }
  }, false);
  on("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !key(event)) return;
    // Jupyter has its own meaning for most of these keys.
    event.preventDefault();
    event.stopPropagation();
  }, false);
  on("focus", () => meant.focus(true, !pointing && canvas.matches(":focus-visible")));
  on("blur", () => meant.focus(false, false));

  /** Whether the key means something here. */
  function key(event: KeyboardEvent): boolean {
    const direction = STEPS[event.key];
    if (direction) {
      meant.step(event.shiftKey && direction === "up" ? "out" : event.shiftKey && direction === "down" ? "in" : direction);
      return true;
    }
    switch (event.key) {
      case "Enter": meant.enter(); return true;
      case " ": meant.choose(); return true;
      case "f": meant.fit(); return true;
      case "+": case "=": meant.closer(1.25); return true;
      case "-": meant.closer(0.8); return true;
      case "Escape": return meant.clear();
      default: return false;
    }
  }
  return () => stop.abort();
}
