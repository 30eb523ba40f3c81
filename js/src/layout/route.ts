/** Placed rows -> heights of the rows, tracks for the horizontal runs between them, and the way of every edge. */

import type { Hub, Level, LevelLayout, Rows } from "./level";
import type { Point } from "./scene";
import { tracksOf } from "./tracks";

const GAP = 16;
const BEFORE = 12; // above the first track
const TRACK = 12;
const AFTER = 16; // below the last: a corner and an arrow

export function routeEdges(level: Level, rows: Rows, x: Float64Array): LevelLayout {
  const { vertices } = rows;
  const sides = sideEntries(level, rows, x);
  const bent = (hub: Hub) => hub.to.filter((to) => x[to.vertex] + to.port !== x[hub.from] + hub.port && !sides.has(sideKey(hub, to.vertex)));
  const [top, height] = [new Float64Array(rows.rows.length), new Float64Array(rows.rows.length)];
  const trackY = new Map<Hub, number>();
  const real = (row: number[]) => row.some((v) => vertices[v].node >= 0);
  let y = level.top;
  rows.rows.forEach((row, r) => {
    height[r] = row.reduce((most, v) => Math.max(most, vertices[v].h), 0);
    if (r > 0) {
      const { track, count } = tracksOf(rows.gaps[r - 1], bent, x);
      const [outer, leaves] = [!real(rows.rows[r - 1]), !real(row)];
      const opens = outer && row.every((v) => vertices[v].node < 0 || level.nodes[vertices[v].node].frame);
      const plain = !real(row) || opens ? level.pad : r === 1 && !level.top ? level.pad : GAP;
      for (const [hub, t] of track) trackY.set(hub, y + BEFORE + t * TRACK);
      y += count ? BEFORE + (count - 1) * TRACK + (leaves ? BEFORE : AFTER) : plain;
    }
    top[r] = y;
    y += height[r];
  });
  top[0] = 0;
  let left = 0;
  let rightmost = 0;
  vertices.forEach((vertex, i) => {
    left = Math.min(left, x[i]);
    rightmost = Math.max(rightmost, x[i] + vertex.w);
  });
  for (let i = 0; i < x.length; i++) x[i] += level.pad - left;
  const width = Math.max(level.minWidth, rightmost - left + 2 * level.pad);

  const bottom = (v: number) => (vertices[v].node < 0 ? top[vertices[v].rank] : top[vertices[v].rank] + vertices[v].h);
  const ports = (e: number) => {
    const { fromPort, toPort } = level.edges[e];
    const path = rows.paths[e];
    const [u, v] = [path[0], path[path.length - 1]];
    if (rows.reversed[e]) return [vertices[u].axis, vertices[v].axis];
    return [level.nodes[u]?.outs[fromPort] ?? 0, level.nodes[v]?.ins[toPort] ?? 0];
  };
  const routes = rows.paths.map((path, e) => {
    if (!path.length) return [];
    const [out, into] = ports(e);
    const points: Point[] = [{ x: x[path[0]] + out, y: bottom(path[0]) }];
    for (let k = 1; k < path.length; k++) {
      const [a, b] = [path[k - 1], path[k]];
      const [from, to] = [x[a] + (k === 1 ? out : 0), x[b] + (k === path.length - 1 ? into : 0)];
      const hub = rows.ways[e][k - 1];
      const side = sides.get(sideKey(hub, b));
      if (side && k === path.length - 1) {
        const middle = top[vertices[b].rank] + vertices[b].h / 2;
        points.push({ x: from, y: middle }, { x: side > 0 ? x[b] + vertices[b].w : x[b], y: middle });
        continue;
      }
      if (from !== to) points.push({ x: from, y: trackY.get(hub)! }, { x: to, y: trackY.get(hub)! });
      points.push({ x: to, y: top[vertices[b].rank] });
    }
    const way = straighten(points);
    return rows.reversed[e] ? way.reverse() : way;
  });
  const splits: LevelLayout["splits"] = [];
  for (const hubs of rows.gaps) {
    for (const hub of hubs) {
      const at = x[hub.from] + hub.port;
      const y0 = trackY.get(hub);
      if (y0 !== undefined && hub.to.some((to) => x[to.vertex] + to.port === at)) splits.push({ x: at, y: y0, edge: hub.edge });
    }
  }
  const nodes = level.nodes.map((_, i) => i);
  const border = vertices.map((_, i) => i).slice(level.nodes.length);
  const [entries, exits] = [border.slice(0, level.entries), border.slice(level.entries, level.entries + level.exits)];
  const [first] = rows.spine;
  const axis = first === undefined ? width / 2 : x[first] + vertices[first].axis;
  return {
    width, height: y,
    x: nodes.map((i) => x[i]), y: nodes.map((i) => top[vertices[i].rank]),
    entries: entries.map((v) => x[v]), exits: exits.map((v) => x[v]), axis, routes, splits,
  };
}

const sideKey = (hub: Hub, vertex: number) => `${hub.from}.${hub.port} ${vertex}`;

/** Edges that reach a joining circle at its side: from the right (1) or the left (-1), where nothing stands in between. */
function sideEntries(level: Level, rows: Rows, x: Float64Array): Map<string, number> {
  const { vertices } = rows;
  const sides = new Map<string, number>();
  const used = new Set<string>();
  rows.gaps.forEach((hubs, r) => {
    for (const hub of hubs) {
      const from = x[hub.from] + hub.port;
      for (const { vertex, port } of hub.to) {
        const { node, w } = vertices[vertex];
        if (node < 0 || !level.nodes[node].join || from === x[vertex] + port) continue;
        const side = from > x[vertex] + w ? 1 : from < x[vertex] ? -1 : 0;
        const [a, b] = side > 0 ? [x[vertex] + w, from] : [from, x[vertex]];
        const clear = rows.rows[r + 1].every((v) => v === vertex || vertices[v].node < 0 || x[v] > b + 8 || x[v] + vertices[v].w < a - 8);
        if (!side || !clear || b - a < 12 || used.has(`${vertex} ${side}`)) continue;
        used.add(`${vertex} ${side}`);
        sides.set(sideKey(hub, vertex), side);
      }
    }
  });
  return sides;
}

/** Drops points in the middle of a straight run. */
export function straighten(points: Point[]): Point[] {
  const kept: Point[] = [];
  for (const point of points) {
    const [a, b] = [kept[kept.length - 2], kept[kept.length - 1]];
    if (b && b.x === point.x && b.y === point.y) continue;
    if (a && ((a.x === b.x && b.x === point.x) || (a.y === b.y && b.y === point.y))) kept.pop();
    kept.push(point);
  }
  return kept;
}
