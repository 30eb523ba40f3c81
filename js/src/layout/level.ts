/**
 * One level of a graph -> positions and orthogonal routes, all on a grid of 4 px.
 *
 * A layered drawing: rank (longest path), order within ranks (barycentre sweeps), lanes (vertical runs that stay
 * straight), tracks between ranks (horizontal runs). What sets it apart is the spine: the residual stream is one x for
 * the whole level, branches leave to the right and come back. Deterministic; nothing here recurses.
 *
 * Source: Sugiyama, Tagawa, Toda 1981; Brandes, Koepf 2001 for straight lanes without conflicts.
 */

import { orderRows } from "./order";
import { placeLanes } from "./place";
import { rankNodes } from "./rank";
import { routeEdges } from "./route";
import type { Point } from "./scene";
import { spineOf } from "./spine";

export interface LevelNode {
  w: number;
  h: number;
  /** x of the ports on its upper and lower border, from its left edge. */
  ins: number[];
  outs: number[];
  /** A circle where branches join: takes an edge at its side. */
  join?: boolean;
  /** A frame: edges go on inside, so no arrow ends at it. */
  frame?: boolean;
  /** Joins streams by its nature (`add`, `cat`), so that a way around it is the main stream. */
  merges?: boolean;
}

/** From a node's lower port to a node's upper port; the node BORDER is the level's own border, its ports are entries and exits. */
export interface LevelEdge {
  from: number;
  fromPort: number;
  to: number;
  toPort: number;
}
export const BORDER = -1;

export interface Level {
  /** In order of execution. */
  nodes: LevelNode[];
  edges: LevelEdge[];
  entries: number;
  exits: number;
  /** Space for the header; 0 for the outermost level. */
  top: number;
  pad: number;
  /** Widths of the name and the title in the header, which the main stream passes between. */
  name: number;
  title: number;
  /** No edges by nature: nodes are put under one another. */
  stacked: boolean;
}

export interface LevelLayout {
  width: number;
  height: number;
  x: number[];
  y: number[];
  entries: number[];
  exits: number[];
  /** x of the spine. */
  axis: number;
  /** For each edge, downward, in the level's coordinates. */
  routes: Point[][];
  splits: { x: number; y: number; edge: number }[];
}

/** A node, an entry, an exit, or the place where a tall node or a long edge passes a row. */
export interface Vertex {
  /** Index into nodes; -1 for the rest. */
  node: number;
  /** The node whose lower part it is; -1 for the rest. */
  body: number;
  rank: number;
  w: number;
  h: number;
  axis: number;
}

/** Between two rows: one source and all that hang on it there; edges of one port share their way. */
export interface Hub {
  from: number;
  /** x of the port, from the left edge of `from`. */
  port: number;
  to: { vertex: number; port: number }[];
  /** An edge that takes this way; the split's colour is its. */
  edge: number;
}

export interface Rows {
  vertices: Vertex[];
  /** Vertices of each rank, left to right. */
  rows: number[][];
  /** Hubs between rank r and r + 1. */
  gaps: Hub[][];
  /** The parts of tall nodes between rank r and r + 1. */
  bodies: { from: number; to: number; port: number }[][];
  /** Vertices of the spine. */
  spine: Set<number>;
  /** For each edge the vertices on its way, and the hubs between them. */
  paths: number[][];
  ways: Hub[][];
  /** Which edges were given against the order of execution and are drawn from their end. */
  reversed: boolean[];
}

/** A row of ordinary nodes with the gap below it. */
const ROW = 40;
const TALL = 64;
const MOST_ROWS = 60;

export function layoutLevel(level: Level): LevelLayout {
  const single = level.nodes.map(() => 1);
  // A tall frame takes as many rows as it is high, so that what stands beside it need not wait for its end.
  const spans = level.nodes.map(({ h }) => (h > TALL ? Math.min(MOST_ROWS, Math.round(h / ROW)) : 1));
  return (besideTall(level, single) ? attempt(level, spans) : null) ?? attempt(level, single)!;
}

/** Null where a tall node could not be kept in one piece. */
function attempt(level: Level, spans: number[]): LevelLayout | null {
  const rows = rowsOf(level, rankNodes(level, spans), spans);
  const free = orderRows(rows);
  const x = placeLanes(rows, free);
  return x && !cut(rows, x) ? routeEdges(level, rows, x) : null;
}

/** Whether an edge would have to run across a tall node. */
function cut({ vertices, gaps, bodies }: Rows, x: Float64Array): boolean {
  return bodies.some((parts, gap) => parts.length > 0 && gaps[gap].some((hub) => {
    const ends = [x[hub.from] + hub.port, ...hub.to.map((to) => x[to.vertex] + to.port)];
    const [low, high] = [Math.min(...ends), Math.max(...ends)];
    return low !== high && parts.some(({ from }) => low < x[from] + vertices[from].w && high > x[from]);
  }));
}

/** Whether anything stands in the same row as a tall node. */
function besideTall(level: Level, single: number[]): boolean {
  if (level.stacked || !level.nodes.some((node) => node.h > TALL)) return false;
  const { rank } = rankNodes(level, single);
  const count = new Map<number, number>();
  for (const r of rank) count.set(r, (count.get(r) ?? 0) + 1);
  return level.nodes.some((node, i) => node.h > TALL && count.get(rank[i])! > 1);
}

/** Ranks -> rows with a vertex wherever a tall node or a long edge passes one; edges of one port share these. */
function rowsOf(level: Level, ranked: ReturnType<typeof rankNodes>, spans: number[]): Rows {
  const { nodes, edges } = level;
  const { rank, last, reversed } = ranked;
  const vertices: Vertex[] = nodes.map((node, i) => ({
    node: i, body: -1, rank: rank[i], w: node.w, h: node.h, axis: node.ins[0] ?? node.outs[0] ?? node.w / 2,
  }));
  const add = (at: number) => vertices.push({ node: -1, body: -1, rank: at, w: 0, h: 0, axis: 0 }) - 1;
  const entries = Array.from({ length: level.entries }, () => add(0));
  const exits = Array.from({ length: level.exits }, () => add(last));
  const bodies: Rows["bodies"] = Array.from({ length: last }, () => []);
  const tail = nodes.map((_, i) => {
    let end = i;
    for (let k = 1; k < spans[i]; k++) {
      const next = vertices.push({ node: -1, body: i, rank: rank[i] + k, w: nodes[i].w, h: 0, axis: vertices[i].axis }) - 1;
      bodies[rank[i] + k - 1].push({ from: end, to: next, port: vertices[i].axis });
      end = next;
    }
    return end;
  });
  const gaps: Hub[][] = Array.from({ length: last }, () => []);
  const hubs = new Map<string, Map<number, Hub>>(); // port -> gap -> hub
  const passes = new Map<string, number[]>(); // port -> its vertices row by row
  const ways: Hub[][] = edges.map(() => []);
  const paths = edges.map((edge, i) => {
    const [a, b] = [edge.from === BORDER ? entries[edge.fromPort] : edge.from, edge.to === BORDER ? exits[edge.toPort] : edge.to];
    const [first, v] = reversed[i] ? [b, a] : [a, b];
    if (first === v) return [];
    const u = tail[first] ?? first;
    const key = reversed[i] ? `r${i}` : `${u}:${edge.fromPort}`;
    if (!passes.has(key)) {
      passes.set(key, [u]);
      hubs.set(key, new Map());
    }
    const [way, byGap] = [passes.get(key)!, hubs.get(key)!];
    const outPort = reversed[i] ? vertices[u].axis : (nodes[first]?.outs[edge.fromPort] ?? 0);
    const inPort = reversed[i] ? vertices[v].axis : (nodes[v]?.ins[edge.toPort] ?? 0);
    const steps = vertices[v].rank - vertices[u].rank;
    for (let k = 0; k < steps; k++) {
      const gap = vertices[u].rank + k;
      let hub = byGap.get(gap);
      if (!hub) {
        hub = { from: way[k], port: k ? 0 : outPort, to: [], edge: i };
        byGap.set(gap, hub);
        gaps[gap].push(hub);
      }
      const target = k === steps - 1 ? { vertex: v, port: inPort } : { vertex: (way[k + 1] ??= add(gap + 1)), port: 0 };
      if (!hub.to.some((t) => t.vertex === target.vertex && t.port === target.port)) hub.to.push(target);
      ways[i].push(hub);
    }
    return [...way.slice(0, steps), v];
  });
  const spine = new Set<number>();
  if (level.stacked) nodes.forEach((_, i) => spine.add(i));
  else {
    const main = spineOf(level, ranked);
    for (const i of main.nodes) spine.add(i);
    for (const i of main.edges) for (const vertex of paths[i]) spine.add(vertex);
    vertices.forEach((vertex, i) => vertex.body >= 0 && spine.has(vertex.body) && spine.add(i));
  }
  const rows: number[][] = Array.from({ length: last + 1 }, () => []);
  vertices.forEach((vertex, i) => rows[vertex.rank].push(i));
  return { vertices, rows, gaps, bodies, spine, paths, ways, reversed };
}
