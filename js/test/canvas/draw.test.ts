import { describe, expect, it } from "vitest";
import type { Scene, SceneEdge, SceneNode } from "../../src/layout/scene";
import { edgeWidth } from "../../src/views/canvas/draw-edge";
import { drawScene, wholeView } from "../../src/views/canvas/draw-scene";
import { CanvasPen } from "../../src/views/canvas/pen";
import { sceneToSvg } from "../../src/views/canvas/svg";
import { TextRuler } from "../../src/views/canvas/text";
import { type Looks, type Marks, type NodeLook, PLAIN } from "../../src/views/canvas/types";
import { FakeContext, theme } from "./fakes";

const node = (more: Partial<SceneNode> = {}): SceneNode => ({
  id: "conv", kind: "call", x: 0, y: 0, w: 160, h: 24, depth: 1, expanded: false, expandable: false, label: "conv", detail: "3×3", call: 1, op: 0, ...more,
});
const edge = (more: Partial<SceneEdge> = {}): SceneEdge => ({
  id: "a>b", from: "a", to: "b", value: 0, points: [{ x: 80, y: 24 }, { x: 80, y: 60 }], bytes: 4096, shape: "[8]", dtype: "float32", requiresGrad: true, values: 1, ...more,
});
const scene = (nodes: SceneNode[], edges: SceneEdge[] = []): Scene => ({ nodes, edges, splits: [], width: 400, height: 300 });
const look = (more: Partial<NodeLook>): Looks => ({ ...PLAIN, node: () => ({ ...PLAIN.node(node()), ...more }) });
const NONE: Marks = { selected: null, focused: null, hovered: null, hits: new Set() };

function drawn(what: Scene, looks: Looks = PLAIN, marks: Partial<Marks> = {}, view: Partial<ReturnType<typeof wholeView>> = {}): string[] {
  const ctx = new FakeContext();
  const ruler = new TextRuler("sans", ctx as unknown as CanvasRenderingContext2D);
  drawScene(new CanvasPen(ctx as unknown as CanvasRenderingContext2D, theme), what, looks, theme, ruler, { ...NONE, ...marks }, {
    ...wholeView(what), setAlpha: (alpha) => (ctx.globalAlpha = alpha), ...view,
  });
  return ctx.log;
}

describe("nodes", () => {
  it("without a value: plain, outlined, name and detail", () => {
    expect(drawn(scene([node()]))).toEqual([
      "fill raised: rect 0 0 160 24 4",
      "line outline 1: rect 0.5 0.5 159 23 3.5",
      "text ink 600 12px start 12 16: conv",
      "text ink 400 11px start 42 16: 3×3",
    ]);
  });

  it("fill by stop, value at the right, level meters of 5 px: healthy at half height, two decades too large in the colour of large", () => {
    const log = drawn(scene([node()]), look({ fill: 1, value: "−1.6", activation: 0.3, gradient: 2 }));
    expect(log[0]).toBe("fill p1: rect 0 0 160 24 4");
    expect(log).toContain("fill teal: rect 0 12 5 12 0 0 0 4");
    expect(log).toContain("fill #000003: rect 155 4 5 20 0 0 4 0");
    expect(log).toContain("text divFg 400 11px end 149 16: −1.6");
  });

  it("selected, hit and focused differ in colour or distance and show together", () => {
    const log = drawn(scene([node()]), PLAIN, { selected: "conv", focused: "conv", hits: new Set(["conv"]) });
    expect(log).toContain("fill accent 0.16: rect -3 -3 166 30 6.5");
    expect(log).toContain("line accent 2: rect -3 -3 166 30 6.5");
    expect(log).toContain("line accent 2: rect -6 -6 172 36 9.5");
    expect(log).toContain("fill match: rect 10 4 28 16 2");
    expect(drawn(scene([node()]), PLAIN, { hits: new Set(["conv"]) })).toContain("line match 3: rect -2.5 -2.5 165 29 6");
    expect(drawn(scene([node()]), PLAIN, { hovered: "conv" })).toContain("line ink 1: rect 0.5 0.5 159 23 3.5");
  });

  it("absent is dashed and weak, opaque dotted, failed red with an octagon", () => {
    expect(drawn(scene([node()]), look({ absent: true, activation: 0 }))).toEqual([
      "fill raised: rect 0 0 160 24 4", "line outline 1 dash 4,3: rect 0.5 0.5 159 23 3.5", "text ink3 600 12px start 12 16: conv", "text ink3 400 11px start 42 16: 3×3",
    ]);
    expect(drawn(scene([node({ opaque: "ScriptModule" })]))[1]).toBe("line ink3 1.5 dash 1.5,2.5: rect 0.5 0.5 159 23 3.5");
    const failed = drawn(scene([node({ failed: true })]));
    expect(failed).toContain("line error 1.5: rect 0.5 0.5 159 23 3.5");
    expect(failed.some((line) => line.startsWith("fill error: M"))).toBe(true);
  });

  it("a badge stands before the value, on the node's upper edge where it does not fit; names are whole, details are cut", () => {
    const badge = { shape: "warning" as const, text: "drift" };
    const inside = drawn(scene([node({ detail: "a long detail that does not fit" })]), look({ fill: 0, value: "−1.6", badge }));
    expect(inside.find((line) => line.includes("drift"))).toBe("text warnFg 500 11px start 85 16: drift");
    expect(inside.some((line) => /: a.*…$/.test(line) || !line.includes("a long"))).toBe(true);
    const outside = drawn(scene([node({ label: "a_name_of_22_characters" })]), look({ fill: 0, value: "−1.6", badge }));
    expect(outside.find((line) => line.includes("drift"))).toBe("text warnFg 500 11px start 124 0: drift");
    expect(outside.find((line) => line.includes("a_name"))).toBe("text divFg 600 12px start 12 16: a_name_of_22_characters");
  });

  it("a fold has two shadows and a labelled cell for each member, the outlier outlined in ink", () => {
    const fold = node({ kind: "fold", label: "layer1", detail: "× 3", h: 44, members: [4, 5, 6], cells: ["0", "1", "2"], expandable: true });
    const looks: Looks = { ...look({ value: "−2.6 … −1.9" }), cell: (call) => ({ fill: call === 5 ? -2 : 0, outlier: call === 5 }) };
    const log = drawn(scene([fold]), looks);
    expect(log.slice(0, 4).filter((line) => line.startsWith("fill bg"))).toHaveLength(2);
    expect(log).toContain("fill n2: rect 57.5 23.5 45 17 2");
    expect(log).toContain("line ink 1.5: rect 57.5 23.5 45 17 2");
    expect(log.filter((line) => /center .* 36: [012]$/.test(line))).toHaveLength(3);
  });

  it("an input is a pill, a joining sum a circle with a plus", () => {
    expect(drawn(scene([node({ kind: "input", h: 20, label: "x", detail: "2 × 3" })]))).toContain("text ink 400 11px center 80 14: x  2 × 3");
    expect(drawn(scene([node({ w: 20, h: 20, glyph: "+" })]))).toEqual([
      "fill raised: circle 10 10 9.5", "line outline 1: circle 10 10 9.5", "line ink 1.5: M 5 10, L 15 10", "line ink 1.5: M 10 5, L 10 15",
    ]);
  });

  it("a frame has its name over whatever runs through its header", () => {
    const log = drawn(scene([node({ expanded: true, w: 300, h: 200, detail: "BasicBlock, 14,528 parameters" })], [edge()]));
    const [first, line, name] = [log.findIndex((l) => l.startsWith("fill bg")), log.findIndex((l) => l.includes("M 80 24")), log.findIndex((l) => l.includes("conv"))];
    expect([first, first < line, line < name]).toEqual([0, true, true]);
    expect(log.at(-1)).toBe("text ink2 400 11px end 290 16: BasicBlock, 14,528 parameters");
  });
});

describe("edges", () => {
  it("width follows the bytes, as the mock-ups give it", () => {
    const [KiB, MiB] = [1024, 1024 ** 2];
    expect([5 * KiB, 32 * KiB, 2 * MiB, 8 * MiB].map((b) => edgeWidth(b).toFixed(1))).toEqual(["1.1", "1.9", "3.7", "4.3"]);
    expect([edgeWidth(0), edgeWidth(2 ** 60)]).toEqual([1, 5]);
  });

  it("ends in an arrow, is dashed where no gradient flows, has round corners except where it splits off", () => {
    const bent = edge({ points: [{ x: 0, y: 0 }, { x: 0, y: 20, split: true }, { x: 50, y: 20 }, { x: 50, y: 60 }], requiresGrad: false });
    const log = drawn(scene([], [bent]));
    expect(log).toEqual([
      "line #000002 1 dash 4,4: M 0 0, corner 0 20 50 20 0, corner 50 20 50 55 8, L 50 55",
      "fill #000002: M 50 60, L 46 54, L 54 54, Z",
    ]);
  });

  it("draws those with most to say last", () => {
    const looks: Looks = { ...PLAIN, edge: (e) => ({ flow: e.id === "a>b" ? 2 : 0, dashed: false }) };
    expect(drawn(scene([], [edge(), edge({ id: "a>c" })]), looks).filter((l) => l.startsWith("line")).map((l) => l.slice(0, 12))).toEqual(["line #000002", "line #000003"]);
  });
});

describe("what is left out", () => {
  it("nothing outside the view is drawn", () => {
    const far = node({ id: "far", y: 5000, label: "far" });
    const log = drawn(scene([node(), far], [edge()]), PLAIN, {}, { box: { left: 0, top: 0, right: 400, bottom: 300 }, edgeBoxes: [{ left: 80, top: 4000, right: 80, bottom: 4100 }] });
    expect(log.some((l) => l.includes("far") || l.includes("#000002"))).toBe(false);
    expect(log.some((l) => l.includes("conv"))).toBe(true);
  });

  it("letters, then stripes go when they would be too small", () => {
    const looks = look({ fill: 0, value: "1", activation: 0 });
    const kinds = (zoom: number) => {
      const log = drawn(scene([node()]), looks, {}, { zoom });
      return [log.some((l) => l.includes(": conv")), log.some((l) => l.includes(": 3×3")), log.some((l) => l.includes("teal"))];
    };
    expect([1, 0.5, 0.3, 0.1].map(kinds)).toEqual([[true, true, true], [true, false, true], [false, false, true], [false, false, false]]);
  });
});

describe("SVG", () => {
  it("is the same picture, and names are text whatever they hold", () => {
    const ruler = new TextRuler("sans", new FakeContext() as unknown as CanvasRenderingContext2D);
    const svg = sceneToSvg(scene([node({ label: `<script>"&'` })], [edge()]), look({ fill: 2, activation: 0 }), theme, ruler);
    expect(svg).toContain("&#60;script&#62;&#34;&#38;&#39;");
    expect(svg).not.toContain("<script");
    expect(svg.match(/<(rect|path|text)/g)!.length).toBe(drawn(scene([node()], [edge()]), look({ fill: 2, activation: 0 })).length + 1);
  });
});
