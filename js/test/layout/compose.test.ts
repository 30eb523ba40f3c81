import { describe, expect, it } from "vitest";
import * as models from "../../gallery/models";
import { LayoutClient, sceneNow } from "../../src/layout/client";
import { compose, LayoutCache } from "../../src/layout/compose";
import { openItems } from "../../src/layout/expansion";
import { hierarchyOf } from "../../src/layout/hierarchy";
import { layoutLevel } from "../../src/layout/level";
import type { SceneNode } from "../../src/layout/scene";
import type { Graph } from "../../src/run/graph";
import { measure } from "./measure";

const MODELS: [string, Graph][] = [
  ["cnn", models.smallCnn()], ["resnet", models.resNet(3)], ["transformer", models.transformer(4)], ["mixture", models.mixture(4)],
  ["inception", models.inception()], ["unet", models.uNet(4)], ["siamese", models.siamese()], ["nested", models.nested(20)],
];
const contains = (a: SceneNode, b: SceneNode) => b.x >= a.x && b.y >= a.y && b.x + b.w <= a.x + a.w && b.y + b.h <= a.y + a.h;
const apart = (a: SceneNode, b: SceneNode) => a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y;

describe.each(MODELS)("scene of %s", (_, graph) => {
  const hierarchy = hierarchyOf(graph);
  const parent = (id: string) => hierarchy.items[hierarchy.items[hierarchy.byId.get(id)!].parent].id;

  it.each(["closed", "default", "everything"])("%s: nodes in their frames, none on another, edges from border to border", (state) => {
    const open = state === "closed" ? new Set<string>() : state === "default" ? openItems(hierarchy) : new Set(hierarchy.items.map((i) => i.id));
    const scene = sceneNow(hierarchy, open, measure);
    const byId = new Map(scene.nodes.map((node) => [node.id, node]));
    expect(byId.size).toBe(scene.nodes.length);
    for (const [i, node] of scene.nodes.entries()) {
      const frame = byId.get(parent(node.id));
      if (frame) expect([contains(frame, node), scene.nodes.indexOf(frame) < i]).toEqual([true, true]);
      else expect(node.x >= 0 && node.y >= 0 && node.x + node.w <= scene.width && node.y + node.h <= scene.height).toBe(true);
      for (const other of scene.nodes.slice(0, i)) if (parent(other.id) === parent(node.id)) expect([node.id, other.id, apart(node, other)]).toEqual([node.id, other.id, true]);
    }
    for (const edge of scene.edges) {
      const [from, to] = [byId.get(edge.from)!, byId.get(edge.to)!];
      const [start, end] = [edge.points[0], edge.points.at(-1)!];
      expect([from.expanded, to.expanded]).toEqual([false, false]);
      expect([start.x, start.y]).toEqual([from.x + from.w / 2, from.y + from.h]);
      expect(end.x === to.x + to.w / 2 ? end.y === to.y : to.glyph !== undefined && end.y === to.y + to.h / 2).toBe(true);
      edge.points.slice(1).forEach((p, i) => expect(p.y).toBeGreaterThanOrEqual(edge.points[i].y));
    }
    for (const split of scene.splits) expect(scene.edges[split.edge].points.length).toBeGreaterThan(1);
    expect(sceneNow(hierarchyOf(graph), open, measure)).toEqual(scene);
  });
});

describe("compose", () => {
  it("keeps the residual stream at one x from the first to the last block", () => {
    const hierarchy = hierarchyOf(models.resNet(3));
    const open = new Set(hierarchy.items.filter((i) => i.label !== "shortcut").map((i) => i.id));
    const scene = sceneNow(hierarchy, open, measure);
    const sums = scene.nodes.filter((node) => node.glyph === "+" && node.id !== "");
    expect(sums.length).toBe(9);
    for (const layer of ["layer1", "layer2", "layer3"]) {
      const frame = scene.nodes.find((node) => node.id === layer)!;
      expect(new Set(sums.filter((s) => contains(frame, s)).map((s) => s.x)).size).toBe(1);
    }
  });

  it("keeps the stream of a folded transformer straight, with the mask at its right", () => {
    const hierarchy = hierarchyOf(models.transformer(6));
    const scene = sceneNow(hierarchy, openItems(hierarchy), measure);
    const middle = (id: string) => scene.nodes.filter((n) => n.id === id).map((n) => n.x + n.w / 2)[0];
    const layers = [1, 2, 3, 4, 5].map((i) => middle(`layers.${i}`));
    expect(new Set([...layers, middle("norm"), middle("head"), ...scene.nodes.filter((n) => n.glyph).map((n) => n.x + n.w / 2)]).size).toBe(1);
    const mask = scene.edges.find((e) => e.from === "input:1" && e.to === "layers.5")!;
    expect(Math.max(...mask.points.map((p) => p.x))).toBeGreaterThan(layers[0]);
    expect(Math.min(...mask.points.map((p) => p.x))).toBe(layers[0]);
  });

  it("lays out equal blocks once, and after opening one block only what is around it", () => {
    const hierarchy = hierarchyOf(models.transformer(12));
    const cache = new LayoutCache();
    const count = (open: Set<string>) => {
      let levels = 0;
      const steps = compose(hierarchy, open, cache, measure);
      for (let step = steps.next(); !step.done; step = steps.next()) {
        levels += step.value.length;
        for (const { key, level } of step.value) cache.set(key, layoutLevel(level));
      }
      return levels;
    };
    const layers = hierarchy.items.filter((i) => /^layers\.\d+$/.test(i.id)).map((i) => i.id);
    expect(layers.length).toBe(12);
    expect(count(new Set(["fold:layers.0", ...layers]))).toBe(3); // root, fold, one layer for all twelve
    expect(count(new Set(["fold:layers.0", ...layers, "layers.5.attn"]))).toBe(4); // attention, its layer, fold, root
    expect(count(new Set(["fold:layers.0", ...layers]))).toBe(0);
  });
});

describe("LayoutClient", () => {
  const graph = models.transformer(6);
  const open = new Set(["fold:layers.0", "layers.0", "layers.0.attn"]);

  it("gives the same scene without a worker as at once", async () => {
    const client = new LayoutClient(measure, null);
    expect(await client.scene(graph, open)).toEqual(sceneNow(hierarchyOf(graph), open, measure));
  });

  it("goes on without a worker that is refused or fails", async () => {
    const given = globalThis.Worker;
    try {
      globalThis.Worker = class {
        constructor() {
          throw new DOMException("refused");
        }
      } as unknown as typeof Worker;
      expect(await new LayoutClient(measure, "").scene(graph, open)).not.toBeNull();
      globalThis.Worker = class {
        onerror: (() => void) | null = null;
        postMessage() {
          setTimeout(() => this.onerror?.(), 0);
        }
        terminate() {}
      } as unknown as typeof Worker;
      const client = new LayoutClient(measure, "");
      const wide = models.chain(300);
      expect(await client.scene(wide, new Set())).toEqual(sceneNow(hierarchyOf(wide), new Set(), measure));
    } finally {
      globalThis.Worker = given;
    }
  });

  it("gives up a scene when another is asked for", async () => {
    const client = new LayoutClient(measure, null);
    const [first, second] = await Promise.all([client.scene(graph, new Set()), client.scene(graph, open)]);
    expect([first === null, second === null]).toEqual([true, false]);
  });
});
