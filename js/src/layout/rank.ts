/** Nodes and edges of a level -> the row of each node: below all that it reads, sources just above their first reader. */

import { BORDER, type Level } from "./level";

export interface Ranked {
  /** Rank of each node, from 1; entries have rank 0. */
  rank: number[];
  /** Rank of the exits. */
  last: number;
  /** Nodes so that every edge that is not reversed runs forward. */
  order: number[];
  reversed: boolean[];
}

/** `spans`: how many rows each node takes. */
export function rankNodes(level: Level, spans: number[]): Ranked {
  const { nodes, edges } = level;
  const inner = edges.map(({ from, to }) => from !== BORDER && to !== BORDER && from !== to);
  const lists = (): number[][] => nodes.map(() => []);
  const [given, before] = [lists(), lists()];
  edges.forEach(({ from, to }, i) => {
    if (!inner[i]) return;
    given[from].push(to);
    before[to].push(from);
  });
  const order = topological(given, before);
  const position: number[] = [];
  order.forEach((node, i) => (position[node] = i));
  const reversed = edges.map(({ from, to }, i) => inner[i] && position[from] > position[to]);
  const next = lists();
  edges.forEach(({ from, to }, i) => inner[i] && (reversed[i] ? next[to].push(from) : next[from].push(to)));

  const rank = nodes.map(() => 1);
  if (level.stacked) order.forEach((node, i) => (rank[node] = i + 1));
  else {
    for (const node of order) for (const to of next[node]) rank[to] = Math.max(rank[to], rank[node] + spans[node]);
    settle(level, order, next, rank, spans);
  }
  return { rank, last: rank.reduce((most, r, node) => Math.max(most, r + spans[node]), 1), order, reversed };
}

/** What the main stream does not lead to (constants, masks) stands just above its first reader; what has no edge keeps its place in time. */
function settle(level: Level, order: number[], next: number[][], rank: number[], spans: number[]): void {
  const touched = new Set(level.edges.flatMap(({ from, to }) => (from === to ? [] : [from, to])));
  const entered = level.edges.filter((e) => e.from === BORDER && e.to !== BORDER).map((e) => e.to);
  const first = order.find((node) => next[node].length);
  const open = entered.length ? entered : first === undefined ? [] : [first];
  const reached = new Set(open);
  for (let node = open.pop(); node !== undefined; node = open.pop()) {
    for (const to of next[node]) if (!reached.has(to)) reached.add(to), open.push(to);
  }
  for (let i = order.length - 1; i >= 0; i--) {
    const node = order[i];
    if (!reached.has(node) && next[node].length) rank[node] = Math.max(1, next[node].reduce((least, to) => Math.min(least, rank[to]), Infinity) - spans[node]);
  }
  for (let i = 1; i < order.length; i++) if (!touched.has(order[i])) rank[order[i]] = rank[order[i - 1]];
}

/** Kahn's order with the smallest index first; on a cycle the smallest node left goes first. */
function topological(next: number[][], previous: number[][]): number[] {
  const n = next.length;
  const open = previous.map((list) => list.length);
  const done = new Uint8Array(n);
  const order: number[] = [];
  const heap: number[] = [];
  const push = (node: number) => {
    let i = heap.push(node) - 1;
    for (let up = (i - 1) >> 1; i > 0 && heap[up] > heap[i]; i = up, up = (i - 1) >> 1) [heap[up], heap[i]] = [heap[i], heap[up]];
  };
  const pop = () => {
    const top = heap[0];
    const tail = heap.pop()!;
    if (heap.length) {
      heap[0] = tail;
      for (let i = 0; ; ) {
        let least = i;
        for (const child of [2 * i + 1, 2 * i + 2]) if (child < heap.length && heap[child] < heap[least]) least = child;
        if (least === i) break;
        [heap[least], heap[i]] = [heap[i], heap[least]];
        i = least;
      }
    }
    return top;
  };
  for (let i = 0; i < n; i++) if (!open[i]) push(i);
  let stuck = 0;
  while (order.length < n) {
    if (!heap.length) {
      while (done[stuck]) stuck++;
      push(stuck);
    }
    const node = pop();
    if (done[node]) continue;
    done[node] = 1;
    order.push(node);
    for (const to of next[node]) if (--open[to] === 0 && !done[to]) push(to);
  }
  return order;
}
