/**
 * Scenes on a canvas: drawing, camera, marks and what the reader does with them. Knows no framework and no run.
 *
 * The accessible twin of the picture is the module tree beside it; the canvas names what it focuses in its label.
 */

import type { Theme } from "../../base/theme";
import type { Point, Scene, SceneNode } from "../../layout/scene";
import { type Camera, clamp, firstView, fitAll, mix, reveal, type Size, sizeOf, toWorld, zoomAt } from "./camera";
import { Controls } from "./controls";
import { drawScene } from "./draw-scene";
import { listen, type Meant } from "./gestures";
import { type Box, edgeBox, hitTest, onChevron } from "./hit";
import { lookAt, MapPicture } from "./minimap";
import { keepInPlace, type Motion, poseOf, progress } from "./motion";
import { CanvasPen } from "./pen";
import { sceneToSvg } from "./svg";
import { TextRuler } from "./text";
import { Tooltip, wordsFor } from "./tooltip";
import { type Callbacks, type Looks, type Marks, PLAIN, type Target } from "./types";
import { step } from "./walk";

const EMPTY: Scene = { nodes: [], edges: [], splits: [], width: 0, height: 0 };
/** Width of the buttons at the right, which a first view leaves free where it can. */
const CONTROLS = 40;

export class GraphCanvas {
  readonly element = document.createElement("canvas");
  private readonly ctx: CanvasRenderingContext2D | null;
  private readonly tooltip: Tooltip;
  private readonly controls: Controls;
  private readonly observer: ResizeObserver | null;
  private readonly unlisten: () => void;
  private ruler: TextRuler;
  private scene = EMPTY;
  private boxes: Box[] = [];
  private nodes = new Map<string, SceneNode>();
  private looks: Looks = PLAIN;
  private marks: Marks = { selected: null, focused: null, hovered: null, hits: new Set() };
  private camera: Camera = { x: 0, y: 0, zoom: 1 };
  private view: Size = { w: 0, h: 0 };
  private placed = false; // whether the camera has been set for this scene's graph
  private motion: Motion | null = null;
  private readonly map = new MapPicture();
  private keyboard = false;
  private walker: string | null = null;
  private frame = 0;

  constructor(private readonly host: HTMLElement, private readonly on: Callbacks, private theme: Theme) {
    const { element } = this;
    if (getComputedStyle(host).position === "static") host.style.position = "relative";
    element.dataset["graphscope"] = "graph";
    element.dataset["lmSuppressShortcuts"] = "true"; // JupyterLab: keys here are ours
    element.tabIndex = 0;
    element.setAttribute("role", "application");
    element.setAttribute("aria-roledescription", "graph");
    Object.assign(element.style, { display: "block", width: "100%", height: "100%", outline: "none", touchAction: "pan-y" });
    this.ctx = element.getContext("2d");
    this.ruler = new TextRuler(theme.font);
    host.append(element);
    this.controls = new Controls(host, (key) => (key === "fit" ? this.fit() : this.zoomBy(key === "closer" ? 1.25 : 0.8)));
    this.tooltip = new Tooltip(host);
    this.unlisten = listen(element, this.meant());
    this.observer = typeof ResizeObserver === "function" ? new ResizeObserver(() => this.resize()) : null;
    this.observer?.observe(host);
    this.setTheme(theme);
    this.resize();
    this.label();
  }

  /** Text widths in the current font, for the layout. */
  get measure(): TextRuler["measure"] {
    return this.ruler.measure;
  }

  /** `keep`: the node that stays where it is on the screen (the one that was opened or closed). */
  setScene(scene: Scene, keep?: string): void {
    const before = this.scene;
    const known = this.nodes;
    this.scene = scene;
    this.boxes = scene.edges.map(edgeBox);
    this.nodes = new Map(scene.nodes.map((node) => [node.id, node]));
    this.map.forget();
    this.motion = null;
    if (this.walker && !this.nodes.has(this.walker)) this.walker = keep && this.nodes.has(keep) ? keep : null;
    const same = before.nodes.length > 0 && [...known.keys()].some((id) => this.nodes.has(id));
    if (!this.placed || !same) this.home();
    else {
      const to = clamp(keepInPlace(this.camera, before, scene, keep), sizeOf(scene), this.view);
      if (!this.theme.still && known.size + this.nodes.size < 2000) {
        this.motion = { start: performance.now(), from: known, origin: (keep && known.get(keep)) || null, camera: { from: this.camera, to } };
      }
      this.camera = to;
    }
    this.hover(null);
    this.label();
    this.redraw();
  }

  setLooks(looks: Partial<Looks>): void {
    this.looks = { ...PLAIN, ...looks };
    this.map.forget();
    this.redraw();
  }

  setSelection(id: string | null): void {
    this.marks = { ...this.marks, selected: id };
    this.redraw();
  }

  setHits(ids: Iterable<string>): void {
    this.marks = { ...this.marks, hits: new Set(ids) };
    this.redraw();
  }

  setTheme(theme: Theme): void {
    if (theme.font !== this.theme.font) this.ruler = new TextRuler(theme.font);
    this.theme = theme;
    this.map.forget();
    this.host.style.backgroundColor = theme.canvas;
    this.controls.setTheme(theme);
    this.redraw();
  }

  /** All of the scene in view. */
  fit(): void {
    this.moveTo(fitAll(sizeOf(this.scene), this.view, CONTROLS));
  }

  /** Moves no further than needed to see a node. Returns whether the scene has it. */
  reveal(id: string): boolean {
    const node = this.nodes.get(id);
    if (node) this.moveTo(reveal(this.camera, node.expanded ? { ...node, h: Math.min(node.h, this.view.h / this.camera.zoom) } : node, this.view));
    return node !== undefined;
  }

  /** The scene as an SVG document, in this theme. */
  toSvg(): string {
    return sceneToSvg(this.scene, this.looks, this.theme, this.ruler);
  }

  focus(): void {
    this.element.focus({ preventScroll: true });
  }

  dispose(): void {
    cancelAnimationFrame(this.frame);
    this.observer?.disconnect();
    this.unlisten();
    this.tooltip.dispose();
    this.controls.dispose();
    this.element.remove();
  }

  private home(): void {
    if (!this.view.w || !this.scene.nodes.length) return;
    this.camera = firstView(sizeOf(this.scene), this.view, CONTROLS);
    this.placed = true;
  }

  private resize(): void {
    const [w, h] = [this.host.clientWidth, this.host.clientHeight];
    if (!w || !h) return;
    const before = this.view;
    this.view = { w, h };
    if (!this.placed) this.home();
    else if (before.w) this.camera = { ...this.camera, x: Math.round(this.camera.x + (w - before.w) / 2) };
    this.redraw(true);
  }

  private moveTo(camera: Camera): void {
    const to = clamp(camera, sizeOf(this.scene), this.view);
    if (!this.theme.still) this.motion = { start: performance.now(), from: this.nodes, origin: null, camera: { from: this.camera, to } };
    this.camera = to;
    this.hover(null);
    this.redraw();
  }

  private setCamera(camera: Camera): void {
    this.motion = null;
    this.camera = clamp(camera, sizeOf(this.scene), this.view);
    this.tooltip.hide();
    this.redraw();
  }

  private zoomBy(factor: number): void {
    this.moveTo(zoomAt(this.camera, { x: this.view.w / 2, y: this.view.h / 2 }, factor));
  }

  /** Draws with the next frame, or at once: a resized canvas is empty until then. */
  private redraw(now = false): void {
    cancelAnimationFrame(this.frame);
    if (now) this.draw();
    else this.frame = requestAnimationFrame(() => this.draw());
  }

  private draw(): void {
    const { ctx, element, view, scene, theme } = this;
    if (!ctx || !view.w) return;
    const ratio = window.devicePixelRatio || 1;
    const [w, h] = [Math.round(view.w * ratio), Math.round(view.h * ratio)];
    if (element.width !== w || element.height !== h) Object.assign(element, { width: w, height: h });
    const { motion } = this;
    const t = motion ? progress(motion, performance.now()) : 1;
    const camera = motion ? mix(motion.camera.from, motion.camera.to, t) : this.camera;
    const moves = motion && t < 1 && motion.from !== this.nodes;

    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.clearRect(0, 0, w, h);
    // Whole device pixels: hairlines stay hairlines while the picture moves.
    ctx.setTransform(ratio * camera.zoom, 0, 0, ratio * camera.zoom, Math.round(camera.x * ratio), Math.round(camera.y * ratio));
    const [a, b] = [toWorld(camera, { x: 0, y: 0 }), toWorld(camera, { x: view.w, y: view.h })];
    const pen = new CanvasPen(ctx, theme);
    drawScene(pen, scene, this.looks, theme, this.ruler, this.shownMarks(), {
      zoom: camera.zoom, box: { left: a.x, top: a.y, right: b.x, bottom: b.y }, edgeBoxes: this.boxes,
      pose: moves ? (node) => poseOf(motion, node, t) : null, edgeAlpha: moves ? t * t : 1,
      setAlpha: (alpha) => (ctx.globalAlpha = alpha),
    });
    this.drawGround(camera);
    this.map.draw(ctx, scene, camera, view, ratio, this.looks, theme);
    if (motion && t < 1) this.redraw();
    else this.motion = null;
  }

  /** The dots of the grid, as a background: they cost nothing to move. */
  private drawGround(camera: Camera): void {
    const { style } = this.host;
    const cell = 16 * camera.zoom;
    style.backgroundImage = cell < 9 ? "none" : `radial-gradient(circle, ${this.theme.line} ${Math.min(1, 0.8 * camera.zoom)}px, transparent ${Math.min(1.6, 1.3 * camera.zoom)}px)`;
    style.backgroundSize = `${cell}px ${cell}px`;
    style.backgroundPosition = `${camera.x}px ${camera.y}px`;
  }

  private shownMarks(): Marks {
    return { ...this.marks, focused: this.keyboard ? this.walker : null };
  }

  private label(): void {
    const { expanded = false, label = "", detail = "", expandable = false } = this.nodes.get(this.walker ?? "") ?? {};
    const state = expandable ? (expanded ? ", open" : ", closed") : "";
    const focused = label ? `${label} ${detail}${state}. ` : "";
    this.element.setAttribute("aria-label", `${focused}Graph of ${this.scene.nodes.length} nodes. Arrow keys walk along the edges, Enter opens and closes, f fits.`);
  }

  private targetAt(at: Point): Target | null {
    return this.map.covers(at) ? null : hitTest(this.scene, this.boxes, toWorld(this.camera, at), this.camera.zoom);
  }

  private hover(target: Target | null, at?: Point): void {
    const id = target ? (target.kind === "node" ? target.node.id : target.edge.id) : null;
    this.element.style.cursor = target?.kind === "node" ? "pointer" : "";
    if (id !== this.marks.hovered || (target?.kind === "node" && target.cell !== null)) {
      this.on.hover?.(target);
      if (!target) this.tooltip.hide();
      else this.tooltip.show(wordsFor(target, (node) => this.nodes.get(node)?.label ?? node, this.on.describe?.(target) ?? []), this.beside(target, at), this.theme);
    }
    if (id === this.marks.hovered) return;
    this.marks = { ...this.marks, hovered: id };
    this.redraw();
  }

  /** What a tooltip must not cover, on the screen. */
  private beside(target: Target, at: Point = { x: 0, y: 0 }): { x: number; y: number; w: number; h: number } {
    const { zoom } = this.camera;
    if (target.kind === "edge") {
      // Beside the nodes it joins, so that it covers neither, unless they end far away.
      const ends = [target.edge.from, target.edge.to].flatMap((id) => this.nodes.get(id) ?? []).map((node) => (node.x + node.w) * zoom + this.camera.x);
      const right = Math.max(at.x + 8, ...ends.filter((end) => end < at.x + 240));
      return { x: at.x - 8, y: at.y - 12, w: right - at.x + 8, h: 24 };
    }
    const { x, y, w, h, expanded } = target.node;
    return { x: x * zoom + this.camera.x, y: y * zoom + this.camera.y, w: (expanded ? Math.min(w, 160) : w) * zoom, h: (expanded ? 24 : h) * zoom };
  }

  private meant(): Meant {
    return {
      press: (at) => {
        this.keyboard = false; // a ring would stay where the keys had been
        return this.map.covers(at);
      },
      dragTo: (at) => this.map.at && this.setCamera(lookAt(this.map.at, this.scene, this.camera, this.view, at)),
      pan: (dx, dy) => {
        const before = this.camera;
        this.setCamera({ ...before, x: before.x + dx, y: before.y + dy });
        return before.x !== this.camera.x || before.y !== this.camera.y;
      },
      zoom: (at, factor) => this.setCamera(zoomAt(this.camera, at, factor)),
      click: (at) => {
        const target = this.targetAt(at);
        if (target?.kind !== "node") {
          this.walker = null;
          this.label();
          this.redraw();
          return this.on.select(null);
        }
        const { node, cell } = target;
        this.walker = node.id;
        this.label();
        if (onChevron(node, toWorld(this.camera, at))) return this.on.toggle(node.id);
        const member = cell === null ? undefined : node.members?.[cell];
        if (member !== undefined && this.on.selectMember) return this.on.selectMember(member);
        this.on.select(node.id);
      },
      doubleClick: (at) => {
        const target = this.targetAt(at);
        if (target?.kind === "node" && target.node.expandable && !onChevron(target.node, toWorld(this.camera, at))) this.on.toggle(target.node.id);
      },
      move: (at) => this.hover(at && this.targetAt(at), at ?? undefined),
      step: (direction) => {
        const next = step(this.scene, this.walker ?? this.marks.selected, direction);
        if (next === null) return;
        this.keyboard = true;
        this.walker = next;
        this.label();
        this.reveal(next);
      },
      enter: () => {
        const node = this.nodes.get(this.walker ?? this.marks.selected ?? "");
        if (!node) return;
        if (node.expandable) this.on.toggle(node.id);
        else this.on.select(node.id);
      },
      choose: () => this.walker !== null && this.on.select(this.walker),
      fit: () => this.fit(),
      closer: (factor) => this.zoomBy(factor),
      clear: () => {
        const any = this.marks.selected !== null || (this.keyboard && this.walker !== null);
        this.keyboard = false;
        this.walker = null;
        this.label();
        this.on.select(null);
        this.redraw();
        return any;
      },
      focus: (on, byKey) => {
        this.keyboard = on && byKey;
        if (this.keyboard && this.walker === null) this.walker = this.marks.selected ?? step(this.scene, null, "down");
        this.label();
        this.redraw();
      },
    };
  }
}
