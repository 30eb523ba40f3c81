/** Orders the vertices within their rows so that few edges cross. The spine stays leftmost unless that costs many crossings. */

import type { Rows } from "./level";

type Neighbours = { up: number[][]; down: number[][] };

/** Reorders `rows.rows` in place. Returns whether the spine was let go from the left edge. */
export function orderRows(rows: Rows): boolean {
  const near = neighbours(rows);
  const size = rows.vertices.length;
  // Time grows with size times sweeps: a huge level gets fewer.
  const sweeps = size > 20_000 ? 1 : size > 4_000 ? 4 : 12;
  const initial = rows.rows;
  const pinned = best(initial, near, rows.spine, sweeps, size);
  if (pinned.crossings > 0) {
    const free = best(initial, near, new Set(), sweeps, size);
    // A straight stream at the left reads best; it is given up only for a clearly simpler picture.
    if (free.crossings < pinned.crossings * 0.7) {
      rows.rows = free.rows;
      return true;
    }
  }
  rows.rows = pinned.rows;
  return false;
}

/** A tall node must not be torn: its parts count for many edges. */
const WEIGHT = 8;

function neighbours({ vertices, gaps, bodies }: Rows): Neighbours {
  const up: number[][] = vertices.map(() => []);
  const down: number[][] = vertices.map(() => []);
  for (const hubs of gaps) {
    for (const hub of hubs) {
      for (const { vertex } of hub.to) {
        down[hub.from].push(vertex);
        up[vertex].push(hub.from);
      }
    }
  }
  for (const { from, to } of bodies.flat()) {
    for (let k = 0; k < WEIGHT; k++) {
      down[from].push(to);
      up[to].push(from);
    }
  }
  return { up, down };
}

function best(initial: number[][], near: Neighbours, pinned: Set<number>, sweeps: number, size: number): { rows: number[][]; crossings: number } {
  const rows = initial.map((row) => [...row].sort((a, b) => Number(pinned.has(b)) - Number(pinned.has(a)) || a - b));
  const place = new Float64Array(size);
  const number = (row: number[]) => row.forEach((vertex, i) => (place[vertex] = i));
  rows.forEach(number);
  const sweep = (row: number[], side: number[][]) => {
    const weight = new Map(row.map((v, i) => [v, side[v].length ? side[v].reduce((sum, u) => sum + place[u], 0) / side[v].length : i]));
    row.sort((a, b) => Number(pinned.has(b)) - Number(pinned.has(a)) || weight.get(a)! - weight.get(b)! || place[a] - place[b]);
    number(row);
  };
  let result = { rows: rows.map((row) => [...row]), crossings: Infinity };
  for (let k = 0; k < sweeps && result.crossings > 0; k++) {
    if (k % 2 === 0) for (let r = 1; r < rows.length; r++) sweep(rows[r], near.up);
    else for (let r = rows.length - 2; r >= 0; r--) sweep(rows[r], near.down);
    if (size <= 4_000) swap(rows, near, pinned, place);
    const crossings = countCrossings(rows, near.down, place);
    if (crossings < result.crossings) result = { rows: rows.map((row) => [...row]), crossings };
  }
  return result;
}

/** Exchanges neighbours while that removes crossings. */
function swap(rows: number[][], { up, down }: Neighbours, pinned: Set<number>, place: Float64Array): void {
  for (let pass = 0, improved = true; improved && pass < 4; pass++) {
    improved = false;
    for (const row of rows) {
      for (let i = 0; i + 1 < row.length; i++) {
        const [a, b] = [row[i], row[i + 1]];
        if (pinned.has(a)) continue;
        const gain = crossed(up[a], up[b], place) + crossed(down[a], down[b], place) - crossed(up[b], up[a], place) - crossed(down[b], down[a], place);
        if (gain <= 0) continue;
        [row[i], row[i + 1]] = [b, a];
        place[a] = i + 1;
        place[b] = i;
        improved = true;
      }
    }
  }
}

/** Crossings between the edges of two vertices when the first stands left of the second. */
function crossed(left: number[], right: number[], place: Float64Array): number {
  let crossings = 0;
  for (const a of left) for (const b of right) if (place[a] > place[b]) crossings++;
  return crossings;
}

function countCrossings(rows: number[][], down: number[][], place: Float64Array): number {
  let crossings = 0;
  for (const row of rows) {
    const ends: number[] = [];
    for (const vertex of row) {
      for (const end of down[vertex].map((v) => place[v]).sort((a, b) => a - b)) {
        let i = ends.length;
        while (i > 0 && ends[i - 1] > end) i--;
        crossings += ends.length - i;
        ends.splice(i, 0, end);
      }
    }
  }
  return crossings;
}
