import { describe, expect, it } from "vitest";
import { chain, mixture, nested, resNet, siamese, smallCnn, Trace, transformer } from "../../gallery/models";
import { sceneNow } from "../../src/layout/client";
import { around, openItems, visibleAt } from "../../src/layout/expansion";
import { hierarchyOf } from "../../src/layout/hierarchy";
import type { Hierarchy } from "../../src/layout/items";
import type { Graph } from "../../src/run/graph";
import { measure } from "./measure";

const edges = (graph: Graph, ...open: string[]) => sceneNow(hierarchyOf(graph), new Set(open), measure).edges.map((e) => `${e.from} > ${e.to}`).sort();
const item = ({ items, byId }: Hierarchy, id: string) => items[byId.get(id)!];

describe("hierarchyOf: names", () => {
  it("shows a module that ran one op as that op, with the words of its class", () => {
    const { items } = hierarchyOf(smallCnn());
    expect(items[0].children.map((i) => `${items[i].label} ${items[i].detail}`.trim())).toEqual([
      "x 64 × 1 × 28 × 28", "conv1 3×3, 1→32", "bn1 BN 32", "relu", "conv2 3×3, 32→64", "bn2 BN 64", "relu", "pool max 2×2", "drop1 p 0.25",
      "flatten 12,544", "fc1 12544→128", "relu", "drop2 p 0.5", "fc2 128→10", "cross_entropy",
    ]);
  });

  it("writes strides and short containers as the mock-ups do", () => {
    const h = hierarchyOf(resNet(5));
    expect(item(h, "layer2.0.conv1").detail).toBe("3×3 /2, 16→32");
    expect(item(h, "stem").detail).toBe("conv, bn, relu");
    expect(item(h, "layer2.0").title).toBe("BasicBlock, 14,528 parameters");
  });

  it("gives the class name where arguments do not read as expected, and never runs what they say", () => {
    const t = new Trace("Net");
    t.graph.outputs.push(t.leaf("conv", "Conv2d", "conv2d", [t.input("x", 1)], [1], "<b>${1}</b>"), t.leaf("__proto__", "constructor", "relu", [0], [1]));
    const h = hierarchyOf(t.graph);
    expect([item(h, "conv").detail, item(h, "__proto__").detail]).toEqual(["Conv2d", "constructor"]);
  });

  it("names each call of a shared module, and its inside as in the first", () => {
    const h = hierarchyOf(siamese());
    expect([item(h, "encoder").label, item(h, "encoder#1").label, item(h, "encoder.0#1").label]).toEqual(["encoder", "encoder, call 2", "0"]);
  });
});

describe("hierarchyOf: edges between what is visible", () => {
  const residual = () => {
    const t = new Trace("Net");
    const x = t.input("x", 2, 8);
    const y = t.call("block", "Block", () => t.op("add", [t.leaf("block.fc2", "Linear", "linear", [t.leaf("block.fc1", "Linear", "linear", [x], [2, 8])], [2, 8]), x], [2, 8]));
    t.graph.outputs.push(t.leaf("head", "Linear", "linear", [y], [2, 3]));
    return t.graph;
  };

  it("residual block, closed and open", () => {
    expect(edges(residual())).toEqual(["block > head", "head > output:4", "input:0 > block"]);
    expect(edges(residual(), "block")).toEqual(["block.fc1 > block.fc2", "block.fc2 > op:2", "head > output:4", "input:0 > block.fc1", "input:0 > op:2", "op:2 > head"]);
    expect(item(hierarchyOf(residual()), "op:2").glyph).toBe("+");
  });

  it("self-attention in a layer: one input feeds three projections, the mask enters through two frames", () => {
    const open = ["fold:layers.0", "layers.0", "layers.0.attn"];
    const got = edges(transformer(3), ...open);
    const inside = got.filter((e) => e.includes("layers.0.attn") || e.includes("masked_fill"));
    expect(inside.filter((e) => e.startsWith("layers.0.norm1"))).toEqual(["q", "k", "v"].map((n) => `layers.0.norm1 > layers.0.attn.${n}`).sort());
    const h = hierarchyOf(transformer(3));
    const masked = item(h, "layers.0.attn").children.map((i) => h.items[i]).find((i) => i.label === "masked_fill")!;
    expect(got).toContain(`input:1 > ${masked.id}`);
    expect(got).toContain("input:1 > layers.1");
  });

  it("a module called twice has edges of its own at each call", () => {
    expect(edges(siamese())).toEqual(["encoder > op:6", "encoder#1 > op:6", "input:0 > encoder", "input:1 > encoder#1", "op:6 > output:8"]);
  });

  it("keeps the widest of parallel values and draws no parameters or constants", () => {
    const t = new Trace("Net");
    const x = t.input("x", 4);
    const [a, b] = t.call("two", "Two", () => [t.op("sin", [x, t.constant(1000)], [4]), t.op("cos", [x], [4, 4])]);
    t.graph.outputs.push(t.call("join", "Join", () => t.op("sum", [t.op("cat", [a, b], [8])], [])));
    const scene = sceneNow(hierarchyOf(t.graph), new Set(), measure);
    const edge = scene.edges.find((e) => e.from === "two" && e.to === "join")!;
    expect([edge.shape, edge.bytes, edge.values]).toEqual(["[4, 4]", 64, 2]);
    expect(scene.edges.map((e) => e.from).sort()).toEqual(["input:0", "join", "two"]);
  });

  it("shows what an output leads to instead of a pill where a loss follows", () => {
    const { items } = hierarchyOf(smallCnn());
    expect(items.some((i) => i.kind === "output")).toBe(false);
    expect(hierarchyOf(siamese()).items.filter((i) => i.kind === "output").length).toBe(1);
  });
});

describe("folds", () => {
  it("folds a container of equal blocks, and equal blocks behind a different one", () => {
    const h = hierarchyOf(resNet(5));
    expect(item(h, "layer1")).toMatchObject({ detail: "× 5", cells: ["0", "1", "2", "3", "4"] });
    const { items } = h;
    const second = item(h, "layer2").children.map((i) => items[i]);
    expect(second.map((i) => [i.kind, i.label, i.detail])).toEqual([["call", "0", "BasicBlock"], ["fold", "1 … 4", "× 4"]]);
    expect(second[1].members).toHaveLength(4);
  });

  it("folds the layers of a list that is never called itself; all read one mask", () => {
    const h = hierarchyOf(transformer(6));
    expect(item(h, "fold:layers.0")).toMatchObject({ label: "layers", detail: "× 6" });
  });

  it("folds parallel experts, but not two, and not blocks that differ in an argument or in their wiring", () => {
    expect(item(hierarchyOf(mixture(4)), "fold:experts.0")).toMatchObject({ detail: "× 4" });
    expect(hierarchyOf(mixture(2)).items.some((i) => i.kind === "fold")).toBe(false);
    const row = (change: (i: number) => number) => {
      const t = new Trace("Net");
      let x = t.input("x", 2);
      for (let i = 0; i < 4; i++) {
        const before = x;
        x = t.call(`b.${i}`, "B", () => t.op("add", change(i) ? [t.op("sin", [before], [2]), before] : [before, t.op("sin", [before], [2])], [2]), `k=${change(i) > 1 ? i : 0}`);
      }
      t.graph.outputs.push(x);
      return hierarchyOf(t.graph).items.filter((i) => i.kind === "fold").length;
    };
    expect([row(() => 0), row((i) => i % 2), row(() => 2)]).toEqual([1, 0, 0]);
  });
});

describe("large and deep graphs", () => {
  it("pages a row of 20,000 ops", () => {
    const h = hierarchyOf(chain(20_000));
    expect(h.items[0].children.length).toBeLessThan(100);
    const page = h.items[h.items[0].children.find((i) => h.items[i].kind === "fold")!];
    expect(page.label).toMatch(/^… 4\d\d more ops$/);
    const scene = sceneNow(h, new Set([page.id]), measure);
    expect(scene.nodes.filter((n) => n.kind === "op").length).toBeGreaterThan(400);
    expect(scene.edges.length).toBe(scene.nodes.filter((n) => !n.expanded).length - 1);
  });

  it("opens 500 frames in one another", () => {
    const h = hierarchyOf(nested(500));
    const scene = sceneNow(h, new Set(h.items.map((i) => i.id)), measure);
    expect(Math.max(...scene.nodes.map((n) => n.depth))).toBe(500);
    expect(scene.edges.length).toBe(501);
  });

  it("composes a closed transformer of more than 10,000 ops to a small scene", () => {
    const graph = transformer(600);
    expect(graph.ops.length).toBeGreaterThan(10_000);
    expect(sceneNow(hierarchyOf(graph), new Set(), measure).nodes.length).toBeLessThan(12);
  });
});

describe("a module tree without a pass", () => {
  it("stacks modules in order of registration, without edges, equal ones folded", () => {
    const graph = resNet(3);
    const tree: Graph = { ...graph, traced: false, ops: [], calls: [], values: [], inputs: [], outputs: [] };
    const scene = sceneNow(hierarchyOf(tree), new Set(["stem"]), measure);
    expect(scene.edges).toEqual([]);
    expect(scene.nodes.map((n) => n.id).filter((id) => !id.includes("."))).toEqual(["stem", "layer1", "layer2", "layer3", "pool", "fc"]);
    const top = scene.nodes.filter((n) => n.depth === 1);
    top.slice(1).forEach((n, i) => expect(n.y).toBeGreaterThanOrEqual(top[i].y + top[i].h));
  });

  it("draws a model that is one module alone, rather than an empty sheet", () => {
    const [root] = resNet(3).modules;
    const lone = { ...root!, children: [] };
    const tree: Graph = { ...resNet(3), traced: false, modules: [lone], ops: [], calls: [], values: [], inputs: [], outputs: [] };
    expect(sceneNow(hierarchyOf(tree), new Set(), measure).nodes.map((n) => [n.id, n.label])).toEqual([["#0", lone.name]]);
  });
});

describe("what is open", () => {
  it("opens levels while the picture stays readable, and to a depth when asked", () => {
    const h = hierarchyOf(resNet(5));
    expect(sceneNow(h, openItems(h), measure).nodes.length).toBeLessThanOrEqual(40);
    expect(openItems(h, 1).size).toBe(0);
    expect([...openItems(h, 2)].sort()).toEqual(["layer2", "layer3", "stem"]);
  });

  it("opens one fold and one of its members where there is little else to see", () => {
    expect([...openItems(hierarchyOf(transformer(6)))]).toEqual(["fold:layers.0", "layers.0"]);
    expect([...openItems(hierarchyOf(transformer(60)))]).toEqual([]);
  });

  it("finds what must be open to see an item, and what stands for it until then", () => {
    const h = hierarchyOf(resNet(5));
    expect(around(h, "layer2.3.conv1")).toEqual(["layer2", "fold:layer2.1", "layer2.3"]);
    expect(visibleAt(h, "layer2.3.conv1", new Set(["layer2"]))).toBe("fold:layer2.1");
    expect(around(h, "layer9")).toBeNull();
  });
});
