/** The few things the engine draws with; a canvas and an SVG file are two ways to hold the pen. */

import type { Theme } from "../../base/theme";
import type { Point } from "../../layout/scene";

export interface Paint {
  fill?: string | undefined;
  stroke?: string | undefined;
  width?: number;
  dash?: readonly number[];
  /** Of the fill; of the line where nothing is filled. */
  alpha?: number;
}

export interface Letters {
  size: number;
  weight: 400 | 500 | 600;
  color: string;
  anchor?: "start" | "middle" | "end";
  mono?: boolean;
}

export interface Pen {
  /** `radius`: of all corners, or from the upper left on, clockwise. */
  rect(x: number, y: number, w: number, h: number, paint: Paint, radius?: number | readonly number[]): void;
  circle(x: number, y: number, r: number, paint: Paint): void;
  /** A line through points, its corners rounded. */
  line(points: readonly Point[], paint: Paint, radius?: number): void;
  polygon(points: readonly Point[], paint: Paint): void;
  /** `y` is the baseline. */
  text(x: number, y: number, text: string, letters: Letters): void;
}

export class CanvasPen implements Pen {
  constructor(private readonly ctx: CanvasRenderingContext2D, private readonly theme: Pick<Theme, "font" | "mono">) {}

  rect(x: number, y: number, w: number, h: number, paint: Paint, radius: number | readonly number[] = 0): void {
    this.ctx.beginPath();
    if (radius === 0) this.ctx.rect(x, y, w, h);
    else this.ctx.roundRect(x, y, w, h, radius as number | number[]);
    this.ink(paint);
  }

  circle(x: number, y: number, r: number, paint: Paint): void {
    this.ctx.beginPath();
    this.ctx.arc(x, y, r, 0, 2 * Math.PI);
    this.ink(paint);
  }

  line(points: readonly Point[], paint: Paint, radius = 0): void {
    const { ctx } = this;
    ctx.beginPath();
    points.forEach(({ x, y }, i) => {
      if (i === 0) ctx.moveTo(x, y);
      else if (i === points.length - 1 || radius === 0) ctx.lineTo(x, y);
      else ctx.arcTo(x, y, points[i + 1].x, points[i + 1].y, cornerRadius(points, i, radius));
    });
    this.ink(paint);
  }

  polygon(points: readonly Point[], paint: Paint): void {
    const { ctx } = this;
    ctx.beginPath();
    points.forEach(({ x, y }, i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
    ctx.closePath();
    this.ink(paint);
  }

  text(x: number, y: number, text: string, { size, weight, color, anchor = "start", mono = false }: Letters): void {
    const { ctx } = this;
    ctx.font = `${weight} ${size}px ${mono ? this.theme.mono : this.theme.font}`;
    ctx.textAlign = anchor === "middle" ? "center" : anchor;
    ctx.fillStyle = color;
    ctx.fillText(text, x, y);
  }

  private ink({ fill, stroke, width = 1, dash, alpha = 1 }: Paint): void {
    const { ctx } = this;
    const before = ctx.globalAlpha;
    if (fill) {
      ctx.globalAlpha = before * alpha;
      ctx.fillStyle = fill;
      ctx.fill();
      ctx.globalAlpha = before;
    }
    if (stroke) {
      ctx.strokeStyle = stroke;
      ctx.lineWidth = width;
      if (dash) ctx.setLineDash(dash as number[]);
      if (!fill) ctx.globalAlpha = before * alpha;
      ctx.stroke();
      ctx.globalAlpha = before;
      if (dash) ctx.setLineDash([]);
    }
  }
}

/** A corner takes at most half of the shorter side at it. */
export function cornerRadius(points: readonly Point[], i: number, radius: number): number {
  const [a, b, c] = [points[i - 1], points[i], points[i + 1]];
  if (b.split) return 0;
  const reach = (p: Point) => Math.abs(p.x - b.x) + Math.abs(p.y - b.y);
  return Math.min(radius, reach(a) / (i === 1 ? 1 : 2), reach(c) / (i === points.length - 2 ? 1 : 2));
}
