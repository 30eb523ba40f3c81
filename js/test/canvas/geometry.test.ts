import { describe, expect, it } from "vitest";
import { resNet } from "../../gallery/models";
import { sceneNow } from "../../src/layout/client";
import { hierarchyOf } from "../../src/layout/hierarchy";
import { clamp, firstView, fitAll, reveal, toWorld, zoomAt } from "../../src/views/canvas/camera";
import { edgeBox, hitTest, onChevron } from "../../src/views/canvas/hit";
import { lookAt, placeMinimap } from "../../src/views/canvas/minimap";
import { keepInPlace } from "../../src/views/canvas/motion";
import { step } from "../../src/views/canvas/walk";
import { measure } from "../layout/measure";

const hierarchy = hierarchyOf(resNet(5));
const scene = sceneNow(hierarchy, new Set(["layer2", "layer2.0"]), measure);
const boxes = scene.edges.map(edgeBox);
const node = (id: string) => scene.nodes.find((n) => n.id === id)!;
const middle = (id: string) => ({ x: node(id).x + node(id).w / 2, y: node(id).y + node(id).h / 2 });
const view = { w: 600, h: 400 };

describe("camera", () => {
  it("zooms about a point: what is under it stays there", () => {
    const before = { x: 30, y: -20, zoom: 0.8 };
    const at = { x: 200, y: 150 };
    const after = zoomAt(before, at, 1.7);
    expect(toWorld(after, at).x).toBeCloseTo(toWorld(before, at).x, 9);
    expect(toWorld(after, at).y).toBeCloseTo(toWorld(before, at).y, 9);
    expect([zoomAt(before, at, 1e9).zoom, zoomAt(before, at, 1e-9).zoom]).toEqual([3, 0.02]);
  });

  it("fits all, never enlarged; a first view of a long graph is its beginning at a size that can be read", () => {
    expect(fitAll({ w: 200, h: 100 }, view).zoom).toBe(1);
    expect(fitAll({ w: 1200, h: 100 }, view).zoom).toBe(0.5);
    const long = firstView({ w: 300, h: 90_000 }, view);
    expect([long.zoom, long.y]).toEqual([1, 0]);
  });

  it("never loses the scene, and moves only as far as needed to see a node", () => {
    const lost = clamp({ x: -9e9, y: 9e9, zoom: 1 }, { w: 300, h: 300 }, view);
    expect([lost.x, lost.y]).toEqual([24 - 300, 400 - 24]);
    const camera = { x: 0, y: 0, zoom: 1 };
    expect(reveal(camera, { x: 100, y: 100, w: 160, h: 24 }, view)).toEqual(camera);
    expect(reveal(camera, { x: 100, y: 1000, w: 160, h: 24 }, view)).toEqual({ x: 0, y: 400 - 48 - 1024, zoom: 1 });
  });

  it("keeps an opened node where it is on the screen", () => {
    const closed = sceneNow(hierarchy, new Set(["layer2"]), measure);
    const before = { x: 11, y: 7, zoom: 1 };
    const after = keepInPlace(before, closed, scene, "layer2.0");
    const was = closed.nodes.find((n) => n.id === "layer2.0")!;
    expect([node("layer2.0").x + after.x, node("layer2.0").y + after.y]).toEqual([was.x + before.x, was.y + before.y]);
    expect(keepInPlace(before, closed, scene, "nowhere")).toEqual(before);
  });
});

describe("hit test", () => {
  it("finds the inner node, a frame at its header only, cells of a fold, edges between", () => {
    expect(hitTest(scene, boxes, middle("layer2.0.conv1"), 1)).toMatchObject({ kind: "node", node: { id: "layer2.0.conv1" }, cell: null });
    const frame = node("layer2.0");
    expect(hitTest(scene, boxes, { x: frame.x + 30, y: frame.y + 12 }, 1)).toMatchObject({ node: { id: "layer2.0" } });
    expect(hitTest(scene, boxes, { x: frame.x + 3, y: frame.y + frame.h - 3 }, 1)).toBeNull();
    const fold = node("layer1");
    expect(hitTest(scene, boxes, { x: fold.x + 11 + 2.5 * ((fold.w - 22) / 5), y: fold.y + 32 }, 1)).toMatchObject({ node: { id: "layer1" }, cell: 2 });
    const edge = scene.edges.find((e) => e.from === "stem" && e.to === "layer1")!;
    const between = { x: edge.points[0].x + 3, y: (edge.points[0].y + edge.points[1].y) / 2 };
    expect(hitTest(scene, boxes, between, 1)).toMatchObject({ kind: "edge", edge: { id: edge.id } });
  });

  it("knows the arrow before a name", () => {
    const { x, y } = node("layer2.0");
    expect([onChevron(node("layer2.0"), { x: x + 10, y: y + 10 }), onChevron(node("layer2.0"), { x: x + 40, y: y + 10 }), onChevron(node("fc"), { x: node("fc").x + 5, y: node("fc").y + 5 })]).toEqual([true, false, false]);
  });
});

describe("walking", () => {
  it("follows edges down and up, sideways to the other branch, and in and out of frames", () => {
    expect(step(scene, null, "down")).toBe("input:0");
    expect(step(scene, "stem", "down")).toBe("layer1");
    expect(step(scene, "layer1", "up")).toBe("stem");
    expect(step(scene, "layer1", "down")).toBe("layer2.0.shortcut"); // straight on, not round the corner to conv1
    expect(step(scene, "layer2.0.shortcut", "right")).toBe("layer2.0.conv1");
    expect(step(scene, "layer2.0.conv1", "out")).toBe("layer2.0");
    expect(step(scene, "layer2.0", "out")).toBe("layer2");
    expect(scene.nodes.find((n) => n.id === step(scene, "layer2.0", "in"))!.depth).toBe(3);
  });
});

describe("minimap", () => {
  it("shows only while something is out of view, and leads there", () => {
    const camera = { x: 0, y: 0, zoom: 1 };
    expect(placeMinimap({ ...scene, width: 300, height: 300 }, camera, view)).toBeNull();
    const map = placeMinimap(scene, camera, view)!;
    expect([map.x + map.w, map.y + map.h]).toEqual([592, 392]);
    const [ox, oy] = [(map.w - scene.width * map.kx) / 2, (map.h - scene.height * map.ky) / 2];
    const there = middle("fc");
    const moved = lookAt(map, scene, camera, view, { x: map.x + ox + there.x * map.kx, y: map.y + oy + there.y * map.ky });
    const seen = toWorld(moved, { x: 300, y: 200 });
    expect([seen.x, seen.y].map(Math.round)).toEqual([there.x, there.y]);
  });

  it("is no hair for a long row", () => {
    expect(placeMinimap({ ...scene, width: 240, height: 20_000 }, { x: 0, y: 0, zoom: 1 }, view)!.w).toBeGreaterThanOrEqual(48);
  });
});
