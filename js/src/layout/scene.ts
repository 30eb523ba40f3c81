/** What the layout hands to a renderer: boxes and lines with absolute positions, in px at zoom 1. */

export interface Point {
  x: number;
  y: number;
  /** Where another edge splits off: this corner is not rounded. */
  split?: true;
}

export type NodeKind = "op" | "call" | "input" | "output" | "fold" | "module";

export interface SceneNode {
  /** `fqn`, `fqn#call` or `op:<id>`; `input:`/`output:<value>`, `fold:<first member>` and `page:<owner>:<n>` for what has no address. */
  id: string;
  kind: NodeKind;
  x: number;
  y: number;
  w: number;
  h: number;
  depth: number;
  /** Drawn as a frame around its children. */
  expanded: boolean;
  expandable: boolean;
  /** Never truncated. */
  label: string;
  detail: string;
  call: number | null;
  op: number | null;
  /** Calls that a fold stands for, and what to write into their cells. */
  members?: number[];
  cells?: string[];
  /** Drawn as a circle with this sign where two branches join. */
  glyph?: string;
  failed?: boolean;
  /** Why its inside cannot be seen. */
  opaque?: string;
}

export interface SceneEdge {
  id: string;
  from: string;
  to: string;
  /** The widest of the values that run this way. */
  value: number;
  points: Point[];
  bytes: number;
  shape: string;
  dtype: string;
  requiresGrad: boolean;
  /** How many values run this way. */
  values: number;
}

export interface Scene {
  /** Parents before children. */
  nodes: SceneNode[];
  edges: SceneEdge[];
  /** Where a value splits off, drawn as an open circle; `edge` is an index into `edges`. */
  splits: { x: number; y: number; edge: number }[];
  width: number;
  height: number;
}

/** Text -> its width in px; `strong` is the weight of names (12 px), else 11 px. */
export type Measure = (text: string, strong: boolean) => number;
