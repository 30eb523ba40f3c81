/** What the engine is told about looks, and what it tells its owner. */

import type { SceneEdge, SceneNode } from "../../layout/scene";

/** A stop of the diverging scale, -3 (far too small) to 3 (far too large). */
export type Stop = -3 | -2 | -1 | 0 | 1 | 2 | 3;

export interface Badge {
  shape: "error" | "warning" | "info" | "state";
  text: string;
}

export interface NodeLook {
  /** Null: plain, nothing measured. */
  fill: Stop | null;
  /** Printed at the right; a range for a fold. */
  value: string;
  /** Levels of the stripes in decades, 0 healthy, from -3 to 3; null: no stripe. */
  activation: number | null;
  gradient: number | null;
  badge: Badge | null;
  /** Not in this step. */
  absent: boolean;
}

export interface EdgeLook {
  /** Gradient against its healthy band: -2 far below ... 2 far above. */
  flow: -2 | -1 | 0 | 1 | 2;
  /** No gradient flows. */
  dashed: boolean;
}

export interface CellLook {
  fill: Stop | null;
  /** Differs from its neighbours: outlined in ink. */
  outlier: boolean;
}

export interface Looks {
  node(node: SceneNode): NodeLook;
  edge(edge: SceneEdge): EdgeLook;
  /** A member of a fold. */
  cell(call: number): CellLook;
}

export const PLAIN: Looks = {
  node: () => ({ fill: null, value: "", activation: null, gradient: null, badge: null, absent: false }),
  edge: (edge) => ({ flow: 0, dashed: !edge.requiresGrad }),
  cell: () => ({ fill: null, outlier: false }),
};

export type Target = { kind: "node"; node: SceneNode; cell: number | null } | { kind: "edge"; edge: SceneEdge };

export interface Callbacks {
  /** A click on a node; null on the ground. */
  select(id: string | null): void;
  /** A click on one member of a fold: its call. */
  selectMember?(call: number): void;
  /** Double click, Enter or the arrow before a name. */
  toggle(id: string): void;
  hover?(target: Target | null): void;
  /** More lines for a tooltip, for instance the gradient on an edge. */
  describe?(target: Target): string[];
}

/** What is marked in the picture. */
export interface Marks {
  selected: string | null;
  focused: string | null;
  hovered: string | null;
  hits: ReadonlySet<string>;
}
