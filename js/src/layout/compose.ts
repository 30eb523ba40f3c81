/**
 * Hierarchy and the set of open items -> Scene. Levels are laid out inside out, each from its own content alone, so that
 * equal levels are laid out once and opening one item only redoes what is around it.
 */

import { type Hierarchy, type Item, OUTSIDE } from "./items";
import { BORDER, type Level, type LevelEdge, type LevelLayout, type LevelNode } from "./level";
import type { Measure, Point, Scene, SceneEdge, SceneNode } from "./scene";
import { collapsedSize, headerWidths, levelWidth } from "./sizes";
import { straighten } from "./route";

const HEADER = 24;
const PAD = 8;
const MARGIN = 16; // around the outermost level
/** More values than this through one border share the last port. */
const MOST_PORTS = 6;
const MERGES = new Set(["add", "cat", "concat", "concatenate", "stack"]);

/** Content of a level -> its layout. */
export class LayoutCache {
  private readonly entries = new Map<string, LevelLayout>();

  constructor(private readonly most = 4000) {}

  get(key: string): LevelLayout | undefined {
    return this.entries.get(key);
  }

  set(key: string, layout: LevelLayout): void {
    if (this.entries.size >= this.most) this.entries.delete(this.entries.keys().next().value!);
    this.entries.set(key, layout);
  }
}

export interface Wanted {
  key: string;
  level: Level;
}

/** A level as drawn: which edge of it carries which link. */
interface Placed {
  layout: LevelLayout;
  edgeOf: number[];
}

/**
 * Yields the levels that must be laid out before it can go on (one depth at a time, equal ones once); the caller puts
 * them into the cache. Returns the scene.
 */
export function* compose(hierarchy: Hierarchy, expanded: ReadonlySet<string>, cache: LayoutCache, measure: Measure): Generator<Wanted[], Scene, void> {
  const { items } = hierarchy;
  const isOpen = (i: number) => i === 0 || (items[i].children.length > 0 && expanded.has(items[i].id));
  const depths: number[][] = [];
  for (let row = [0]; row.length; row = row.flatMap((i) => items[i].children).filter(isOpen)) depths.push(row);
  const placed = new Map<number, Placed>();
  for (const row of depths.reverse()) {
    const levels = row.map((i) => levelOf(hierarchy, i, isOpen, placed, measure));
    const keys = levels.map(({ level }) => JSON.stringify(level));
    const missing = new Map<string, Wanted>();
    keys.forEach((key, k) => cache.get(key) || missing.set(key, { key, level: levels[k].level }));
    if (missing.size) yield [...missing.values()];
    row.forEach((i, k) => {
      const layout = cache.get(keys[k]);
      if (!layout) throw new Error(`compose: the level of "${items[i].id}" was asked for and not laid out`);
      placed.set(i, { layout, edgeOf: levels[k].edgeOf });
    });
  }
  return sceneOf(hierarchy, isOpen, placed, measure);
}

/** Which port of an item a value takes: one for each while it is open, a common one while it is closed. */
const portOf = (list: number[], value: number, open: boolean) => (open ? Math.min(Math.max(0, list.indexOf(value)), MOST_PORTS - 1) : 0);

function levelOf({ graph, items, stacked }: Hierarchy, owner: number, isOpen: (i: number) => boolean, placed: Map<number, Placed>, measure: Measure): { level: Level; edgeOf: number[] } {
  const item = items[owner];
  const width = levelWidth(item.children.filter((i) => !isOpen(i)).map((i) => items[i]), measure);
  const nodes = item.children.map((i): LevelNode => {
    const child = items[i];
    const done = placed.get(i);
    if (done && isOpen(i)) {
      const { layout } = done;
      const ports = (list: number[]) => (list.length ? list : [layout.axis]);
      return { w: layout.width, h: layout.height, ins: ports(layout.entries), outs: ports(layout.exits), frame: true };
    }
    const { w, h } = collapsedSize(child, width, measure);
    const node: LevelNode = { w, h, ins: [w / 2], outs: [w / 2] };
    if (child.glyph) node.join = true;
    if (child.op !== null && MERGES.has(graph.ops[child.op].op)) node.merges = true;
    return node;
  });
  const place = new Map(item.children.map((i, k) => [i, k]));
  const edges: LevelEdge[] = [];
  const known = new Map<string, number>();
  const edgeOf = item.links.map(({ from, to, value }) => {
    const edge: LevelEdge = {
      from: from === OUTSIDE ? BORDER : place.get(from)!,
      fromPort: from === OUTSIDE ? portOf(item.ins, value, true) : portOf(items[from].outs, value, isOpen(from)),
      to: to === OUTSIDE ? BORDER : place.get(to)!,
      toPort: to === OUTSIDE ? portOf(item.outs, value, true) : portOf(items[to].ins, value, isOpen(to)),
    };
    const key = `${edge.from}.${edge.fromPort} ${edge.to}.${edge.toPort}`;
    let index = known.get(key);
    if (index === undefined) known.set(key, (index = edges.push(edge) - 1));
    return index;
  });
  const root = owner === 0;
  const count = (list: number[]) => (root ? 0 : Math.min(list.length, MOST_PORTS));
  const level: Level = {
    nodes, edges, entries: count(item.ins), exits: count(item.outs), top: root ? 0 : HEADER, pad: root ? MARGIN : PAD,
    ...(root ? { name: 0, title: 0 } : headerWidths(item, measure)), stacked,
  };
  return { level, edgeOf };
}

function sceneOf(hierarchy: Hierarchy, isOpen: (i: number) => boolean, placed: Map<number, Placed>, measure: Measure): Scene {
  const { items } = hierarchy;
  const origin = new Map<number, Point>([[0, { x: 0, y: 0 }]]);
  const nodes: SceneNode[] = [];
  const open: number[] = [0];
  const queue = [0];
  for (let owner = queue.pop(); owner !== undefined; owner = queue.pop()) {
    const { layout } = placed.get(owner)!;
    const at = origin.get(owner)!;
    const width = levelWidth(items[owner].children.filter((i) => !isOpen(i)).map((i) => items[i]), measure);
    const inner: number[] = [];
    items[owner].children.forEach((i, k) => {
      const [x, y] = [at.x + layout.x[k], at.y + layout.y[k]];
      if (isOpen(i)) {
        origin.set(i, { x, y });
        const { width: w, height: h } = placed.get(i)!.layout;
        nodes.push(nodeOf(items[i], x, y, w, h, true));
        inner.push(i);
        open.push(i);
      } else {
        const { w, h } = collapsedSize(items[i], width, measure);
        nodes.push(nodeOf(items[i], x, y, w, h, false));
      }
    });
    queue.push(...inner.reverse());
  }
  const { width, height } = placed.get(0)!.layout;
  return { nodes, ...edgesOf(hierarchy, isOpen, placed, origin, open), width, height };
}

function nodeOf(item: Item, x: number, y: number, w: number, h: number, expanded: boolean): SceneNode {
  const node: SceneNode = {
    id: item.id, kind: item.members && !expanded ? "fold" : item.kind, x, y, w, h, depth: item.depth, expanded, expandable: item.children.length > 0,
    label: item.label, detail: expanded ? item.title : item.detail, call: item.call, op: item.op,
  };
  if (item.members && !expanded) Object.assign(node, { members: item.members, cells: item.cells });
  if (item.glyph) node.glyph = item.glyph;
  if (item.failed) node.failed = true;
  if (item.opaque) node.opaque = item.opaque;
  return node;
}

const BYTES: Record<string, number> = {
  float64: 8, int64: 8, uint64: 8, complex64: 8, complex128: 16, float32: 4, int32: 4, uint32: 4, complex32: 4, float16: 2, bfloat16: 2, int16: 2, uint16: 2,
};

/** Joins the ways through every border into edges between what is visible; of parallel ones the widest is kept. */
function edgesOf(hierarchy: Hierarchy, isOpen: (i: number) => boolean, placed: Map<number, Placed>, origin: Map<number, Point>, open: number[]): Pick<Scene, "edges" | "splits"> {
  const { graph, items } = hierarchy;
  const leaving = new Map<number, Map<number, number>>(); // item -> value -> link that leads it out
  const entering = new Map<number, Map<number, number[]>>();
  for (const i of open) {
    const [out, into] = [new Map<number, number>(), new Map<number, number[]>()];
    items[i].links.forEach(({ from, to, value }, k) => {
      if (to === OUTSIDE) out.set(value, k);
      if (from === OUTSIDE) (into.get(value) ?? into.set(value, []).get(value)!).push(k);
    });
    leaving.set(i, out);
    entering.set(i, into);
  }
  const edges: SceneEdge[] = [];
  const known = new Map<string, number>();
  const carrier = new Map<string, number>(); // owner:edge of its level -> edge of the scene
  const steps: { owner: number; edge: number }[] = [];
  const routeOf = (owner: number, edge: number): Point[] => {
    const at = origin.get(owner)!;
    return placed.get(owner)!.layout.routes[edge].map(({ x, y }) => ({ x: x + at.x, y: y + at.y }));
  };
  const emit = (from: number, to: number, value: number, points: Point[], taken: { owner: number; edge: number }[]) => {
    const { shape, dtype, requiresGrad } = graph.values[value];
    const bytes = shape.reduce((a, b) => a * b, BYTES[dtype] ?? 1);
    const key = `${items[from].id}>${items[to].id}`;
    let index = known.get(key);
    const edge: SceneEdge = { id: key, from: items[from].id, to: items[to].id, value, points: straighten(points), bytes, shape: `[${shape.join(", ")}]`, dtype, requiresGrad, values: 1 };
    if (index === undefined) known.set(key, (index = edges.push(edge) - 1));
    else {
      const values = edges[index].values + 1;
      if (bytes > edges[index].bytes) edges[index] = edge;
      edges[index].values = values;
    }
    for (const step of taken) if (!carrier.has(`${step.owner}:${step.edge}`)) carrier.set(`${step.owner}:${step.edge}`, index);
  };
  for (const owner of open) {
    const { edgeOf } = placed.get(owner)!;
    items[owner].links.forEach(({ from, to, value }, k) => {
      if (from === OUTSIDE || to === OUTSIDE) return;
      steps.length = 0;
      steps.push({ owner, edge: edgeOf[k] });
      let maker = from;
      while (isOpen(maker)) {
        const link = leaving.get(maker)!.get(value);
        if (link === undefined) break; // made by a call whose inside is not seen
        steps.push({ owner: maker, edge: placed.get(maker)!.edgeOf[link] });
        maker = items[maker].links[link].from;
      }
      const way = [...steps].reverse().flatMap((step) => routeOf(step.owner, step.edge));
      const ends = [{ at: to, points: way, taken: [...steps] }];
      for (let end = ends.pop(); end; end = ends.pop()) {
        const inside = isOpen(end.at) ? entering.get(end.at)!.get(value) : undefined;
        if (!inside) {
          emit(maker, end.at, value, end.points, end.taken);
          continue;
        }
        for (const link of [...inside].reverse()) {
          const step = { owner: end.at, edge: placed.get(end.at)!.edgeOf[link] };
          ends.push({ at: items[end.at].links[link].to, points: [...end.points, ...routeOf(step.owner, step.edge)], taken: [...end.taken, step] });
        }
      }
    });
  }
  const splits: Scene["splits"] = [];
  for (const owner of open) {
    const at = origin.get(owner)!;
    for (const { x, y, edge } of placed.get(owner)!.layout.splits) {
      const index = carrier.get(`${owner}:${edge}`);
      if (index !== undefined) splits.push({ x: x + at.x, y: y + at.y, edge: index });
    }
  }
  const corners = new Set(splits.map(({ x, y }) => `${x} ${y}`));
  for (const edge of edges) for (const point of edge.points) if (corners.has(`${point.x} ${point.y}`)) point.split = true;
  return { edges, splits };
}
