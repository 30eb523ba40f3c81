/**
 * The main stream of a level: the way that is drawn as one straight line.
 *
 * Between two nodes that every path passes, a branch that joins again at an addition or a concatenation is a detour from
 * the stream (a residual, a skip): the shortest way is the stream. Otherwise the longest way is (queries and keys
 * through softmax, not the values beside them).
 */

import { BORDER, type Level } from "./level";
import type { Ranked } from "./rank";

/** Nodes and edges on the spine. */
export function spineOf(level: Level, { order, reversed }: Ranked): { nodes: number[]; edges: number[] } {
  const { nodes, edges } = level;
  const n = nodes.length;
  // Stations in order of execution: 0 the first entry, 1..n the nodes, n + 1 the first exit.
  const station = new Array<number>(n);
  order.forEach((node, i) => (station[node] = i + 1));
  const ways: { to: number; edge: number }[][] = Array.from({ length: n + 2 }, () => []);
  edges.forEach(({ from, to, fromPort, toPort }, i) => {
    if (from === to || reversed[i] || (from === BORDER && fromPort > 0) || (to === BORDER && toPort > 0)) return;
    ways[from === BORDER ? 0 : station[from]].push({ to: to === BORDER ? n + 1 : station[to], edge: i });
  });
  let start = 0;
  while (start <= n && !ways[start].length) start++;
  const result = { nodes: [] as number[], edges: [] as number[] };
  const visit = (at: number) => at > 0 && at <= n && result.nodes.push(order[at - 1]);
  visit(start);
  // A cut is a station that no way from the stream passes by.
  const reached = new Uint8Array(n + 2);
  reached[start] = 1;
  let reach = start;
  let from = start;
  for (let at = start; at <= n + 1; at++) {
    if (!reached[at]) continue;
    if (at > from && reach <= at) {
      const way = wayBetween(from, at, ways, at <= n && (nodes[order[at - 1]].merges ?? false));
      for (const step of way) {
        result.edges.push(step.edge);
        visit(step.to);
      }
      from = at;
    }
    for (const { to } of ways[at]) {
      reached[to] = 1;
      reach = Math.max(reach, to);
    }
  }
  if (reach > from) {
    // The stream ends in several places: follow it to the last of them.
    for (const step of wayBetween(from, reach, ways, false)) {
      result.edges.push(step.edge);
      visit(step.to);
    }
  }
  return result;
}

/** The shortest or longest way between two stations; all ways run forward. */
function wayBetween(from: number, to: number, ways: { to: number; edge: number }[][], shortest: boolean): { to: number; edge: number }[] {
  const best = new Float64Array(to - from + 1).fill(NaN);
  const by: ({ at: number; to: number; edge: number } | undefined)[] = [];
  best[0] = 0;
  for (let at = from; at < to; at++) {
    const steps = best[at - from];
    if (Number.isNaN(steps)) continue;
    for (const way of ways[at]) {
      if (way.to > to) continue;
      const known = best[way.to - from];
      if (Number.isNaN(known) || (shortest ? steps + 1 < known : steps + 1 > known)) {
        best[way.to - from] = steps + 1;
        by[way.to - from] = { at, ...way };
      }
    }
  }
  const steps: { to: number; edge: number }[] = [];
  for (let step = by[to - from]; step; step = by[step.at - from]) steps.unshift(step);
  return steps;
}
