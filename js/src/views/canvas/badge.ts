/** A shape and a word: what a finding says on a node. The shapes are those of `base/icons`, drawn with a pen. */

import type { Theme } from "../../base/theme";
import type { Point } from "../../layout/scene";
import type { Pen } from "./pen";
import type { TextRuler } from "./text";
import type { Badge } from "./types";

export const badgeWidth = (badge: Badge, ruler: TextRuler) => Math.ceil(22 + ruler.width(badge.text, 11, 500));

export function drawBadge(pen: Pen, badge: Badge, x: number, y: number, theme: Theme, ruler: TextRuler): void {
  const [fill, ink] = {
    error: [theme.errorBg, theme.errorFg], warning: [theme.warnBg, theme.warnFg], info: [theme.infoBg, theme.infoFg], state: [theme.bg, theme.fg2],
  }[badge.shape];
  pen.rect(x + 0.5, y + 0.5, badgeWidth(badge, ruler) - 1, 15, { fill, stroke: ink }, 3);
  drawShape(pen, badge.shape, x + 5, y + 3, 10, theme);
  pen.text(x + 18, y + 12, badge.text, { size: 11, weight: 500, color: ink });
}

export function drawShape(pen: Pen, shape: Badge["shape"], x: number, y: number, size: number, theme: Theme): void {
  const k = size / 12;
  const points = (...list: [number, number][]): Point[] => list.map(([a, b]) => ({ x: x + a * k, y: y + b * k }));
  const line = (color: string, width: number, ...list: [number, number][]) => pen.line(points(...list), { stroke: color, width });
  switch (shape) {
    case "error":
      pen.polygon(points([3.6, 0.6], [8.4, 0.6], [11.4, 3.6], [11.4, 8.4], [8.4, 11.4], [3.6, 11.4], [0.6, 8.4], [0.6, 3.6]), { fill: theme.error });
      line(theme.errorBg, 1.6 * k, [4.1, 4.1], [7.9, 7.9]);
      line(theme.errorBg, 1.6 * k, [7.9, 4.1], [4.1, 7.9]);
      return;
    case "warning":
      pen.polygon(points([6, 0.8], [11.4, 11], [0.6, 11]), { fill: theme.warn, stroke: theme.warnFg });
      line("#2b2300", 1.5 * k, [6, 4.3], [6, 7.4]);
      line("#2b2300", 1.5 * k, [6, 8.6], [6, 9.8]);
      return;
    case "info":
      pen.circle(x + 6 * k, y + 6 * k, 5 * k, { stroke: theme.info, width: 1.5 * k });
      line(theme.info, 1.5 * k, [6, 5.5], [6, 8.9]);
      line(theme.info, 1.5 * k, [6, 3.1], [6, 4.3]);
      return;
    case "state":
      pen.rect(x + 1.5 * k, y + 1.5 * k, 9 * k, 9 * k, { stroke: theme.info, width: 1.5 * k });
      return;
    default:
      return shape satisfies never;
  }
}
