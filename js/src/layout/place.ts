/** Ordered rows -> x of every vertex. Lanes are vertical runs of vertices; the spine is the first of them, at x = 0. */

import type { Rows } from "./level";

export const SEPARATION = 32;
const PASSING = 20; // beside a line that only passes
const LINES = 12; // between two such lines

/** x of each vertex's left edge, or null where a tall node would be torn. `free`: the spine may have neighbours at its left. */
export function placeLanes(rows: Rows, free: boolean): Float64Array | null {
  const { vertices } = rows;
  const { lane, shift, torn } = lanesOf(rows, free);
  if (torn) return null;
  const count = lane.reduce((a, b) => Math.max(a, b + 1), 0);
  const right: { to: number; gap: number }[][] = Array.from({ length: count }, () => []);
  const waits = new Int32Array(count);
  for (const row of rows.rows) {
    for (let i = 0; i + 1 < row.length; i++) {
      const [a, b] = [row[i], row[i + 1]];
      const between = vertices[a].w && vertices[b].w ? SEPARATION : vertices[a].w || vertices[b].w ? PASSING : LINES;
      right[lane[a]].push({ to: lane[b], gap: shift[a] + vertices[a].w + between - shift[b] });
      waits[lane[b]]++;
    }
  }
  // Leftmost places first, then each lane as near to what it is connected with as its right neighbours allow.
  const at = new Float64Array(count).fill(-Infinity);
  const order: number[] = [];
  for (let i = 0; i < count; i++) if (!waits[i]) order.push(i);
  for (let k = 0; k < order.length; k++) {
    const one = order[k];
    if (at[one] === -Infinity) at[one] = 0;
    for (const { to, gap } of right[one]) {
      at[to] = Math.max(at[to], at[one] + gap);
      if (--waits[to] === 0) order.push(to);
    }
  }
  for (let i = 0; i < count; i++) if (at[i] === -Infinity) at[i] = 0;

  const pulls: { to: number; offset: number }[][] = Array.from({ length: count }, () => []);
  for (const hubs of rows.gaps) {
    for (const hub of hubs) {
      for (const { vertex, port } of hub.to) {
        const [a, b] = [lane[hub.from], lane[vertex]];
        if (a === b) continue;
        const offset = shift[hub.from] + hub.port - shift[vertex] - port; // x(b) - x(a) that makes it straight
        pulls[b].push({ to: a, offset });
        pulls[a].push({ to: b, offset: -offset });
      }
    }
  }
  const spine = free ? -1 : 0;
  for (let k = order.length - 1; k >= 0; k--) {
    const one = order[k];
    if (one === spine || !pulls[one].length) continue;
    const wanted = pulls[one].map(({ to, offset }) => at[to] + offset).sort((a, b) => a - b)[pulls[one].length >> 1];
    const limit = right[one].reduce((least, { to, gap }) => Math.min(least, at[to] - gap), Infinity);
    at[one] = Math.max(at[one], Math.min(wanted, limit));
  }
  const x = new Float64Array(vertices.length);
  vertices.forEach((_, i) => (x[i] = at[lane[i]] + shift[i]));
  return x;
}

/** Joins vertices that follow each other into lanes; lane 0 is the spine. `shift` is a vertex's left edge from its lane's origin. */
function lanesOf(rows: Rows, free: boolean): { lane: Int32Array; shift: Float64Array; torn: boolean } {
  const { vertices, spine } = rows;
  const place = new Int32Array(vertices.length);
  for (const row of rows.rows) row.forEach((vertex, i) => (place[vertex] = i));
  const below = new Int32Array(vertices.length).fill(-1);
  const above = new Int32Array(vertices.length).fill(-1);
  const portOut = new Float64Array(vertices.length);
  const portIn = new Float64Array(vertices.length);
  const degree = new Int32Array(vertices.length);
  for (const hubs of rows.gaps) for (const hub of hubs) for (const { vertex } of hub.to) degree[vertex]++, degree[hub.from]++;
  let torn = false;
  rows.gaps.forEach((hubs, gap) => {
    const bodies = rows.bodies[gap].map(({ from, to, port }) => ({ a: from, b: to, out: port, port, rank: -1, degree: 0 }));
    const edges = hubs.flatMap((hub) => hub.to.map(({ vertex, port }) => {
      const passing = vertices[hub.from].node < 0 && vertices[vertex].node < 0;
      const onSpine = spine.has(hub.from) && spine.has(vertex);
      return { a: hub.from, b: vertex, out: hub.port, port, rank: onSpine ? 0 : passing ? 1 : hub.to.length === 1 ? 2 : 3, degree: degree[hub.from] + degree[vertex] };
    }));
    const candidates = [...bodies, ...edges];
    candidates.sort((p, q) => p.rank - q.rank || p.degree - q.degree || place[p.a] - place[q.a] || place[p.b] - place[q.b]);
    const taken: { a: number; b: number }[] = [];
    for (const { a, b, out, port, rank } of candidates) {
      if (below[a] >= 0 || above[b] >= 0) continue;
      const [pa, pb] = [place[a], place[b]];
      let i = taken.length;
      while (i > 0 && taken[i - 1].a > pa) i--;
      if ((i > 0 && taken[i - 1].b >= pb) || (i < taken.length && taken[i].b <= pb)) {
        torn ||= rank < 0;
        continue;
      }
      taken.splice(i, 0, { a: pa, b: pb });
      below[a] = b;
      above[b] = a;
      portOut[a] = out;
      portIn[b] = port;
    }
  });
  const lane = new Int32Array(vertices.length).fill(-1);
  const shift = new Float64Array(vertices.length);
  let lanes = free ? 0 : 1;
  for (const row of rows.rows) {
    for (const head of row) {
      if (lane[head] >= 0 || above[head] >= 0) continue;
      const number = !free && spine.has(head) ? 0 : lanes++;
      shift[head] = -vertices[head].axis;
      for (let v = head; v >= 0; v = below[v]) {
        lane[v] = number;
        if (below[v] >= 0) shift[below[v]] = shift[v] + portOut[v] - portIn[below[v]];
      }
    }
  }
  return { lane, shift, torn };
}
