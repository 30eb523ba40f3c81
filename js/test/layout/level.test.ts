import { Graph as DagreGraph, layout as dagre } from "@dagrejs/dagre";
import { describe, expect, it } from "vitest";
import { BORDER, layoutLevel, type Level, type LevelLayout } from "../../src/layout/level";
import type { Point } from "../../src/layout/scene";

/** Mulberry32: the same graphs on every machine. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const level = (n: number, edges: [number, number][], more: Partial<Level> = {}): Level => ({
  nodes: Array.from({ length: n }, () => ({ w: 160, h: 24, ins: [80], outs: [80] })),
  edges: edges.map(([from, to]) => ({ from, fromPort: 0, to, toPort: 0 })), entries: 0, exits: 0, top: 0, pad: 8, name: 0, title: 0, stacked: false, ...more,
});

/** Connected, in order of execution, with some long edges; `tall` makes some nodes frames. */
function randomLevel(seed: number, n: number, density: number, tall = false): Level {
  const next = random(seed);
  const edges: [number, number][] = [];
  for (let to = 1; to < n; to++) {
    edges.push([Math.max(0, to - 1 - Math.floor(next() * 4)), to]);
    if (next() < density) edges.push([Math.floor(next() * to), to]);
  }
  const unique = [...new Map(edges.map((edge) => [edge.join(), edge])).values()];
  const made = level(n, unique);
  for (const node of made.nodes) {
    node.w = 120 + 8 * Math.floor(next() * 12);
    node.ins = node.outs = [node.w / 2];
    if (tall && next() < 0.3) Object.assign(node, { h: 40 + 4 * Math.floor(next() * 80), frame: true });
  }
  return made;
}

function overlaps({ nodes }: Level, { x, y }: LevelLayout): string[] {
  const found: string[] = [];
  for (let a = 0; a < nodes.length; a++) {
    for (let b = a + 1; b < nodes.length; b++) {
      if (x[a] < x[b] + nodes[b].w && x[b] < x[a] + nodes[a].w && y[a] < y[b] + nodes[b].h && y[b] < y[a] + nodes[a].h) found.push(`${a} ${b}`);
    }
  }
  return found;
}

/** Places where an edge runs through a node that it does not belong to. */
function throughNodes({ nodes, edges }: Level, { x, y, routes }: LevelLayout): string[] {
  const found: string[] = [];
  routes.forEach((points, e) => {
    for (let i = 1; i < points.length; i++) {
      const [a, b] = [points[i - 1], points[i]];
      nodes.forEach((node, n) => {
        if (n === edges[e].from || n === edges[e].to) return;
        const apart = Math.max(a.x, b.x) <= x[n] || Math.min(a.x, b.x) >= x[n] + node.w || Math.max(a.y, b.y) <= y[n] || Math.min(a.y, b.y) >= y[n] + node.h;
        if (!apart) found.push(`edge ${edges[e].from}>${edges[e].to} through ${n}`);
      });
    }
  });
  return found;
}

/** Proper crossings between edges that share no end. */
function crossings(edges: { from: number; to: number }[], routes: Point[][]): number {
  const side = (a: Point, b: Point, c: Point) => Math.sign((b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x));
  const pairs = new Set<string>();
  routes.forEach((p, i) => routes.forEach((q, j) => {
    if (j <= i || edges[i].from === edges[j].from || edges[i].to === edges[j].to) return;
    for (let k = 1; k < p.length; k++) {
      for (let l = 1; l < q.length; l++) {
        const [a, b, c, d] = [p[k - 1], p[k], q[l - 1], q[l]];
        if (side(a, b, c) * side(a, b, d) < 0 && side(c, d, a) * side(c, d, b) < 0) pairs.add(`${i} ${j}`);
      }
    }
  }));
  return pairs.size;
}

function dagreRoutes({ nodes, edges }: Level): Point[][] {
  const graph = new DagreGraph({ multigraph: true });
  graph.setGraph({});
  graph.setDefaultEdgeLabel(() => ({}));
  nodes.forEach((node, i) => graph.setNode(String(i), { width: node.w, height: node.h }));
  edges.forEach(({ from, to }) => graph.setEdge(String(from), String(to)));
  dagre(graph);
  return edges.map(({ from, to }) => (graph.edge(String(from), String(to)) as { points: Point[] }).points);
}

describe("layoutLevel: what holds for every level", () => {
  const cases = Array.from({ length: 40 }, (_, seed) => ({ seed, n: 4 + (seed % 8) * 5, density: (seed % 4) * 0.25, tall: seed % 3 === 0 }));

  it.each(cases)("no overlap, edges downward and clear of nodes, on the grid: seed $seed, $n nodes, tall $tall", ({ seed, n, density, tall }) => {
    const given = randomLevel(seed, n, density, tall);
    const got = layoutLevel(given);
    expect(overlaps(given, got)).toEqual([]);
    expect(throughNodes(given, got)).toEqual([]);
    given.edges.forEach(({ from, to }, e) => {
      const points = got.routes[e];
      expect(points[0]).toMatchObject({ x: got.x[from] + given.nodes[from].w / 2, y: got.y[from] + given.nodes[from].h });
      expect(points.at(-1)).toMatchObject({ x: got.x[to] + given.nodes[to].w / 2, y: got.y[to] });
      for (let i = 1; i < points.length; i++) {
        expect(points[i].y).toBeGreaterThanOrEqual(points[i - 1].y);
        expect(points[i].x === points[i - 1].x || points[i].y === points[i - 1].y).toBe(true);
      }
    });
    got.x.forEach((x, i) => {
      expect([x % 4, got.y[i] % 4]).toEqual([0, 0]);
      expect(x).toBeGreaterThanOrEqual(given.pad);
      expect(x + given.nodes[i].w).toBeLessThanOrEqual(got.width - given.pad);
      expect(got.y[i] + given.nodes[i].h).toBeLessThanOrEqual(got.height);
    });
    expect(layoutLevel(structuredClone(given))).toEqual(got);
  });

  it("crosses no more edges than dagre, over forty random graphs", () => {
    let [ours, theirs] = [0, 0];
    for (let seed = 100; seed < 140; seed++) {
      const given = randomLevel(seed, 24, 0.5);
      ours += crossings(given.edges, layoutLevel(given).routes);
      theirs += crossings(given.edges, dagreRoutes(given));
    }
    expect(ours).toBeLessThanOrEqual(theirs);
  });
});

describe("layoutLevel: the main stream", () => {
  it("goes straight through a residual block, the branch is at its right and comes back to the side of the circle", () => {
    // entry -> 0 conv -> 1 bn -> 2 add -> exit, entry -> 2
    const given = level(3, [[BORDER, 0], [0, 1], [1, 2], [BORDER, 2], [2, BORDER]], { entries: 1, exits: 1, top: 24 });
    Object.assign(given.nodes[2], { w: 20, h: 20, ins: [10], outs: [10], join: true, merges: true });
    const got = layoutLevel(given);
    const stream = got.entries[0];
    expect(got.exits).toEqual([stream]);
    expect(got.x[2] + 10).toBe(stream);
    expect(got.routes[3]).toMatchObject([{ x: stream, y: 0 }, { x: stream, y: got.y[2] }]);
    expect(got.x[0]).toBeGreaterThan(stream);
    expect(got.x[1]).toBe(got.x[0]);
    expect(got.routes[2].at(-1)).toMatchObject({ x: got.x[2] + 20, y: got.y[2] + 10 });
    expect(got.splits).toMatchObject([{ x: stream, y: got.routes[0][1].y }]);
  });

  it("keeps the longest way without a skip: queries and keys, not the values beside them", () => {
    // 0 q, 1 k, 2 v, 3 scores, 4 softmax, 5 mix
    const got = layoutLevel(level(6, [[BORDER, 0], [BORDER, 1], [BORDER, 2], [0, 3], [1, 3], [3, 4], [4, 5], [2, 5], [5, BORDER]], { entries: 1, exits: 1 }));
    expect(new Set([got.x[0], got.x[3], got.x[4], got.x[5]]).size).toBe(1);
    expect(got.x[1]).toBeGreaterThan(got.x[0]);
    expect(got.x[2]).toBeGreaterThan(got.x[0]);
  });

  it("passes between the name and the title of its frame", () => {
    const got = layoutLevel(level(1, [[BORDER, 0], [0, BORDER]], { entries: 1, exits: 1, top: 24, name: 120, title: 90 }));
    expect(got.entries[0]).toBeGreaterThan(22 + 120);
    expect(got.width - 12 - 90).toBeGreaterThan(got.entries[0]);
  });

  it("lets a chain run beside a tall frame instead of waiting for its end", () => {
    const given = level(6, [[0, 1], [0, 2], [2, 3], [3, 4], [1, 5], [4, 5]]);
    Object.assign(given.nodes[1], { h: 200, frame: true });
    const got = layoutLevel(given);
    expect(got.y[4] + 24).toBeLessThanOrEqual(got.y[1] + 200);
    expect(overlaps(given, got)).toEqual([]);
  });
});

describe("layoutLevel: unusual levels", () => {
  it("puts nodes of a level without edges under one another when they are stacked", () => {
    const got = layoutLevel(level(4, [], { stacked: true }));
    expect(new Set(got.x).size).toBe(1);
    expect([...got.y].sort((a, b) => a - b)).toEqual(got.y);
  });

  it("puts a source that is read late just above its reader", () => {
    const got = layoutLevel(level(5, [[0, 1], [1, 2], [2, 3], [4, 3]]));
    expect(got.y[4]).toBe(got.y[2]);
  });

  it("takes cycles, loops and edges against the order", () => {
    const given = level(4, [[0, 1], [1, 2], [2, 0], [3, 3], [3, 1]]);
    const got = layoutLevel(given);
    expect(overlaps(given, got)).toEqual([]);
    expect(got.routes[3]).toEqual([]);
    expect(got.routes[2].length).toBeGreaterThan(1);
  });

  it("takes an empty level and a chain of 5,000 nodes", () => {
    expect(layoutLevel(level(0, [])).routes).toEqual([]);
    const long = layoutLevel(level(5000, Array.from({ length: 4999 }, (_, i) => [i, i + 1])));
    expect(new Set(long.x).size).toBe(1);
  });
});
