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
  const bodies = new Set(vertices.flatMap(({ body }) => (body >= 0 ? [body] : []))); // nodes of several rows
  const tails = new Set([...bodies].map((node) => vertices.reduce((end, { body }, v) => (body === node ? v : end), node))); // their last parts
  let y = level.top;
  rows.rows.forEach((row, r) => {
    if (r > 0) {
      const { track, count } = tracksOf(rows.gaps[r - 1], bent, x);
      const [outer, ends, heads] = [r === 1, r === rows.rows.length - 1, real(row)];
      const opens = outer && row.every((v) => vertices[v].node < 0 || level.nodes[vertices[v].node].frame);
      const plain = !heads ? (ends ? level.pad : 0) : opens || (outer && !level.top) ? level.pad : GAP;
      for (const [hub, t] of track) trackY.set(hub, y + BEFORE + t * TRACK);
      y += count ? BEFORE + (count - 1) * TRACK + (ends ? BEFORE : AFTER) : plain;
    }
    top[r] = y;
    for (const v of row) {
      const { node, body, h } = vertices[v];
      const tall = v < level.nodes.length ? bodies.has(node) : tails.has(v);
      if (tall && body >= 0) height[r] = Math.max(height[r], top[vertices[body].rank] + vertices[body].h - y);
      else if (!tall) height[r] = Math.max(height[r], h);
    }
    y += height[r];
  });
  top[0] = 0;
  let left = 0;
  let rightmost = 0;
  vertices.forEach((vertex, i) => {
    left = Math.min(left, x[i]);
    rightmost = Math.max(rightmost, x[i] + vertex.w);
  });
  const [first] = rows.spine;
  // The stream passes between the name and the title of the header.
  const stream = first === undefined ? 0 : x[first] + vertices[first].axis;
  const shift = level.entries ? Math.max(level.pad - left, 4 * Math.ceil((22 + level.name + 10 - stream) / 4)) : level.pad - left;
  for (let i = 0; i < x.length; i++) x[i] += shift;
  const axis = first === undefined ? (rightmost - left) / 2 + level.pad : stream + shift;
  const header = level.top ? Math.max(22 + level.name + 16, level.entries ? axis + 12 : 0) + level.title + 12 : 0;
  const width = 8 * Math.ceil(Math.max(header, rightmost + shift + level.pad) / 8);

  const bottom = (v: number): number => (vertices[v].body >= 0 ? bottom(vertices[v].body) : top[vertices[v].rank] + vertices[v].h);
  const ports = (e: number) => {
    const { fromPort, toPort } = level.edges[e];
    const path = rows.paths[e];
    const [start, v] = [path[0], path[path.length - 1]];
    const u = vertices[start].body >= 0 ? vertices[start].body : start;
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
        const clear = rows.rows[r + 1].every((v) => v === vertex || !vertices[v].w || x[v] > b + 8 || x[v] + vertices[v].w < a - 8);
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
