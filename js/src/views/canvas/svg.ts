/** The same strokes as SVG text: the picture of a scene for a paper or a slide. */

import type { Theme } from "../../base/theme";
import type { Point, Scene } from "../../layout/scene";
import { drawScene, wholeView } from "./draw-scene";
import { cornerRadius, type Letters, type Paint, type Pen } from "./pen";
import type { TextRuler } from "./text";
import type { Looks } from "./types";

const escape = (text: string) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`).replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "");
const n = (x: number) => String(Math.round(x * 100) / 100);

class SvgPen implements Pen {
  readonly parts: string[] = [];

  constructor(private readonly theme: Theme) {}

  rect(x: number, y: number, w: number, h: number, paint: Paint, radius: number | readonly number[] = 0): void {
    if (typeof radius === "number") {
      this.parts.push(`<rect x="${n(x)}" y="${n(y)}" width="${n(w)}" height="${n(h)}"${radius ? ` rx="${n(Math.min(radius, h / 2))}"` : ""}${ink(paint)}/>`);
      return;
    }
    const [a, b, c, d] = radius.map((r) => Math.min(r, w, h));
    const arc = (r: number, dx: number, dy: number) => (r ? `a${n(r)} ${n(r)} 0 0 1 ${n(dx)} ${n(dy)}` : "");
    this.parts.push(`<path d="M${n(x + a)} ${n(y)}H${n(x + w - b)}${arc(b, b, b)}V${n(y + h - c)}${arc(c, -c, c)}H${n(x + d)}${arc(d, -d, -d)}V${n(y + a)}${arc(a, a, -a)}Z"${ink(paint)}/>`);
  }

  circle(x: number, y: number, r: number, paint: Paint): void {
    this.parts.push(`<circle cx="${n(x)}" cy="${n(y)}" r="${n(r)}"${ink(paint)}/>`);
  }

  line(points: readonly Point[], paint: Paint, radius = 0): void {
    let d = "";
    points.forEach((p, i) => {
      const r = i === 0 || i === points.length - 1 ? 0 : cornerRadius(points, i, radius);
      if (i === 0) d = `M${n(p.x)} ${n(p.y)}`;
      else if (!r) d += `L${n(p.x)} ${n(p.y)}`;
      else {
        const toward = (q: Point) => {
          const run = Math.hypot(q.x - p.x, q.y - p.y);
          return `${n(p.x + ((q.x - p.x) / run) * r)} ${n(p.y + ((q.y - p.y) / run) * r)}`;
        };
        d += `L${toward(points[i - 1])}Q${n(p.x)} ${n(p.y)} ${toward(points[i + 1])}`;
      }
    });
    this.parts.push(`<path d="${d}"${ink({ ...paint, fill: undefined })}/>`);
  }

  polygon(points: readonly Point[], paint: Paint): void {
    this.parts.push(`<path d="M${points.map((p) => `${n(p.x)} ${n(p.y)}`).join("L")}Z"${ink(paint)}/>`);
  }

  text(x: number, y: number, text: string, { size, weight, color, anchor = "start", mono = false }: Letters): void {
    const family = mono ? ` font-family="${escape(this.theme.mono)}"` : "";
    this.parts.push(`<text x="${n(x)}" y="${n(y)}" font-size="${size}" font-weight="${weight}" fill="${escape(color)}" text-anchor="${anchor}"${family}>${escape(text)}</text>`);
  }
}

function ink({ fill, stroke, width = 1, dash, alpha = 1 }: Paint): string {
  const filled = fill ? ` fill="${escape(fill)}"${alpha < 1 ? ` fill-opacity="${alpha}"` : ""}` : ' fill="none"';
  const lined = stroke ? ` stroke="${escape(stroke)}" stroke-width="${n(width)}"${!fill && alpha < 1 ? ` stroke-opacity="${alpha}"` : ""}${dash ? ` stroke-dasharray="${dash.join(" ")}"` : ""}` : "";
  return filled + lined;
}

/** The whole scene as one SVG document. */
export function sceneToSvg(scene: Scene, looks: Looks, theme: Theme, ruler: TextRuler): string {
  const pen = new SvgPen(theme);
  drawScene(pen, scene, looks, theme, ruler, { selected: null, focused: null, hovered: null, hits: new Set() }, wholeView(scene));
  const [w, h] = [n(scene.width), n(scene.height)];
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${w}" height="${h}" viewBox="0 0 ${w} ${h}" font-family="${escape(theme.font)}" style="font-variant-numeric:tabular-nums"><rect width="${w}" height="${h}" fill="${escape(theme.canvas)}"/>${pen.parts.join("")}</svg>`;
}
