/** Widths of texts, measured once, and texts cut to a width. */

import type { Measure } from "../../layout/scene";

export class TextRuler {
  private readonly widths = new Map<string, number>();
  private readonly ctx: CanvasRenderingContext2D | null;

  constructor(private readonly font: string, ctx?: CanvasRenderingContext2D | null) {
    this.ctx = ctx ?? document.createElement("canvas").getContext("2d");
  }

  width(text: string, size: number, weight: 400 | 500 | 600 = 400): number {
    const key = `${size} ${weight} ${text}`;
    let width = this.widths.get(key);
    if (width === undefined) {
      if (this.ctx) {
        this.ctx.font = `${weight} ${size}px ${this.font}`;
        width = this.ctx.measureText(text).width;
      } else width = 0.58 * size * text.length; // no canvas at all: an average letter
      if (this.widths.size > 20_000) this.widths.clear();
      this.widths.set(key, width);
    }
    return width;
  }

  /** The text, or as much of its beginning as fits with `…`; empty if not even a letter does. */
  cut(text: string, most: number, size: number, weight: 400 | 500 | 600 = 400): string {
    if (this.width(text, size, weight) <= most) return text;
    let [low, high] = [0, text.length];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.width(`${text.slice(0, middle).trimEnd()}…`, size, weight) <= most) low = middle;
      else high = middle - 1;
    }
    const kept = text.slice(0, low).replace(/[\s,]+$/, "");
    return kept ? `${kept}…` : "";
  }

  /** For the layout: names in 12 px, everything else in 11 px. */
  readonly measure: Measure = (text, strong) => (strong ? this.width(text, 12, 600) : this.width(text, 11));
}
