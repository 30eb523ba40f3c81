/** Scene, looks and marks -> strokes of a pen, from the ground up: frames, edges, splits, nodes, headers. */

import type { Theme } from "../../base/theme";
import type { Scene, SceneNode } from "../../layout/scene";
import { drawEdge, drawSplit, edgeWidth, flowColors } from "./draw-edge";
import { detailAt, drawFrame, drawHeader, drawNode } from "./draw-node";
import type { Box } from "./hit";
import type { Pen } from "./pen";
import type { TextRuler } from "./text";
import type { Looks, Marks } from "./types";

export interface View {
  zoom: number;
  /** The part that is seen, in the scene's coordinates; the rest is left out. */
  box: Box;
  edgeBoxes: readonly Box[];
  /** Moves and fades what an animation has not finished; null when nothing moves. */
  pose: ((node: SceneNode) => { node: SceneNode; alpha: number }) | null;
  /** 0 to 1, of the edges. */
  edgeAlpha: number;
  setAlpha(alpha: number): void;
}

const EVERYTHING: Box = { left: -Infinity, top: -Infinity, right: Infinity, bottom: Infinity };

/** All of a scene at zoom 1: for pictures. */
export const wholeView = (scene: Scene): View => ({
  zoom: 1, box: EVERYTHING, edgeBoxes: scene.edges.map(() => ({ left: 0, top: 0, right: 0, bottom: 0 })), pose: null, edgeAlpha: 1, setAlpha: () => {},
});

export function drawScene(pen: Pen, scene: Scene, looks: Looks, theme: Theme, ruler: TextRuler, marks: Marks, view: View): void {
  const { box, zoom } = view;
  const around = 24; // rings, badges and shadows of a fold reach beyond their node
  const badges = 160;
  const seen = (n: SceneNode) => n.x + n.w + badges >= box.left && n.x - around <= box.right && n.y + n.h + around >= box.top && n.y - around <= box.bottom;
  const detail = detailAt(zoom);
  const posed = (node: SceneNode) => view.pose?.(node) ?? { node, alpha: 1 };
  const nodes: { node: SceneNode; alpha: number }[] = [];
  for (const given of scene.nodes) {
    const one = posed(given);
    if (seen(one.node)) nodes.push(one);
  }
  const each = (expanded: boolean, draw: (node: SceneNode) => void) => {
    for (const { node, alpha } of nodes) {
      if (node.expanded !== expanded) continue;
      view.setAlpha(alpha);
      draw(node);
    }
    view.setAlpha(1);
  };
  each(true, (node) => drawFrame(pen, node, theme, marks));

  view.setAlpha(view.edgeAlpha);
  const colors = flowColors(theme);
  const shown = scene.edges.map((_, i) => i).filter((i) => {
    const b = view.edgeBoxes[i];
    return box === EVERYTHING || (b.right + around >= box.left && b.left - around <= box.right && b.bottom + around >= box.top && b.top - around <= box.bottom);
  });
  const look = shown.map((i) => looks.edge(scene.edges[i]));
  // Edges share their way with others: the one with most to say is drawn last.
  const order = shown.map((_, k) => k).sort((a, b) => Math.abs(look[a].flow) - Math.abs(look[b].flow) || a - b);
  for (const k of order) {
    const edge = scene.edges[shown[k]];
    if (marks.hovered === edge.id) pen.line(edge.points, { stroke: theme.accent, alpha: 0.35, width: edgeWidth(edge.bytes) + 5 }, 8);
    drawEdge(pen, edge, look[k], colors, zoom);
  }
  if (detail.stripes) {
    for (const split of scene.splits) {
      if (split.x < box.left - around || split.x > box.right + around || split.y < box.top - around || split.y > box.bottom + around) continue;
      drawSplit(pen, split, looks.edge(scene.edges[split.edge]), colors, theme);
    }
  }
  each(false, (node) => drawNode(pen, node, looks.node(node), (call) => looks.cell(call), theme, ruler, marks, detail));
  if (detail.names) each(true, (node) => drawHeader(pen, node, theme, ruler, marks));
}
