// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { resNet } from "../../gallery/models";
import { sceneNow } from "../../src/layout/client";
import { hierarchyOf } from "../../src/layout/hierarchy";
import { GraphCanvas } from "../../src/views/canvas/graph-canvas";
import { measure } from "../layout/measure";
import { FakeContext, theme } from "./fakes";

const hierarchy = hierarchyOf(resNet(5));
const scene = (...open: string[]) => sceneNow(hierarchy, new Set(open), measure);
let context: FakeContext;
let host: HTMLElement;
let canvas: GraphCanvas;
const on = { select: vi.fn<(id: string | null) => void>(), toggle: vi.fn<(id: string) => void>(), selectMember: vi.fn<(call: number) => void>(), hover: vi.fn() };

beforeEach(() => {
  vi.resetAllMocks();
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "requestAnimationFrame", "cancelAnimationFrame"] });
  context = new FakeContext();
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockImplementation(() => context as unknown as never);
  host = document.createElement("div");
  Object.defineProperties(host, { clientWidth: { value: 600 }, clientHeight: { value: 400 } });
  document.body.append(host);
  canvas = new GraphCanvas(host, on, theme);
  canvas.setScene(scene("layer2", "layer2.0"));
  vi.runAllTimers();
});
afterEach(() => {
  canvas.dispose();
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** Where a node is on the screen, from what was drawn there: the engine tells nobody its camera. */
function place(id: string, dx = 40, dy = 12) {
  const { camera } = canvas as unknown as { camera: { x: number; y: number; zoom: number } };
  const node = scene("layer2", "layer2.0").nodes.find((n) => n.id === id)!;
  return { clientX: camera.x + (node.x + dx) * camera.zoom, clientY: camera.y + (node.y + dy) * camera.zoom };
}
const pointer = (type: string, at: { clientX: number; clientY: number }) => canvas.element.dispatchEvent(new PointerEvent(type, { ...at, button: 0, pointerId: 1, bubbles: true }));
const click = (at: { clientX: number; clientY: number }) => (pointer("pointerdown", at), pointer("pointerup", at));
const press = (key: string, more: KeyboardEventInit = {}) => {
  const event = new KeyboardEvent("keydown", { key, cancelable: true, bubbles: true, ...more });
  canvas.element.dispatchEvent(event);
  vi.runAllTimers();
  return event.defaultPrevented;
};
const wheel = (more: WheelEventInit) => {
  const event = new WheelEvent("wheel", { cancelable: true, deltaY: more.deltaY });
  for (const [key, value] of Object.entries({ clientX: 100, clientY: 100, ...more })) Object.defineProperty(event, key, { value }); // happy-dom's knows no mouse
  canvas.element.dispatchEvent(event);
  return event.defaultPrevented;
};

describe("GraphCanvas", () => {
  it("is a labelled element that takes the focus", () => {
    expect(canvas.element.dataset["graphscope"]).toBe("graph");
    expect(canvas.element.tabIndex).toBe(0);
    expect(canvas.element.getAttribute("aria-label")).toContain("Graph of 19 nodes");
    expect(context.log.some((line) => line.endsWith(": conv1"))).toBe(true);
  });

  it("selects with a click, clears on the ground, opens with the arrow and a double click", () => {
    click(place("layer2.0.conv1"));
    expect(on.select).toHaveBeenLastCalledWith("layer2.0.conv1");
    click({ clientX: 5, clientY: 395 });
    expect(on.select).toHaveBeenLastCalledWith(null);
    click(place("layer2.0", 10, 10));
    expect(on.toggle).toHaveBeenLastCalledWith("layer2.0");
    canvas.element.dispatchEvent(new MouseEvent("dblclick", place("stem", 60)));
    expect(on.toggle).toHaveBeenLastCalledWith("stem");
    canvas.element.dispatchEvent(new MouseEvent("dblclick", place("layer2.0.conv1", 60)));
    expect(on.toggle).toHaveBeenCalledTimes(2);
  });

  it("selects a member of a fold by its cell", () => {
    const fold = scene("layer2", "layer2.0").nodes.find((n) => n.id === "layer1")!;
    click(place("layer1", 11 + 1.5 * ((fold.w - 22) / 5), 32));
    expect(on.selectMember).toHaveBeenLastCalledWith(fold.members![1]);
  });

  it("moves when dragged and then selects nothing", () => {
    const [a, b] = [place("stem"), place("stem")];
    b.clientY -= 100;
    pointer("pointerdown", a);
    pointer("pointermove", b);
    pointer("pointerup", b);
    expect(on.select).not.toHaveBeenCalled();
    expect(place("stem")).toEqual(b);
  });

  it("leaves the wheel to the page without focus, moves with it, zooms with Ctrl", () => {
    expect(wheel({ deltaY: 50 })).toBe(false);
    expect(wheel({ deltaY: -50, ctrlKey: true })).toBe(true);
    canvas.focus();
    expect(wheel({ deltaY: 50 })).toBe(true);
    for (let i = 0; i < 100; i++) wheel({ deltaY: 500 });
    expect(wheel({ deltaY: 500 })).toBe(false); // no more below: the page scrolls on
  });

  it("walks with arrow keys, opens with Enter, keeps its keys from the notebook and leaves others alone", () => {
    canvas.focus();
    const focused = () => canvas.element.getAttribute("aria-label")!.split(" ")[0];
    const seen = [focused()];
    while (focused() !== "layer1" && seen.length < 9) seen.push((press("ArrowDown"), focused()));
    expect(seen.slice(-3)).toEqual(["x", "stem", "layer1"]);
    press("ArrowUp");
    press("Enter");
    expect(on.toggle).toHaveBeenLastCalledWith("stem");
    press(" ");
    expect(on.select).toHaveBeenLastCalledWith("stem");
    expect([press("f"), press("b"), press("f", { ctrlKey: true })]).toEqual([true, false, false]);
    expect(press("Escape")).toBe(true);
    expect(press("Escape")).toBe(false); // nothing left to clear: the page may have it
  });

  it("says what is under the pointer after a moment, as text", () => {
    const edge = scene("layer2", "layer2.0").edges.find((e) => e.from === "stem")!;
    const stem = place("stem", 0, 0);
    const node = scene("layer2", "layer2.0").nodes.find((n) => n.id === "stem")!;
    pointer("pointermove", { clientX: stem.clientX + edge.points[0].x - node.x, clientY: stem.clientY + node.h + 6 });
    expect(host.querySelector("[role=tooltip]")!.hasAttribute("hidden")).toBe(true);
    vi.advanceTimersByTime(400);
    const text = host.querySelector("[role=tooltip]")!.textContent;
    expect(text).toContain("stem → layer1");
    expect(text).toContain("[128, 16, 32, 32] float32");
    expect(text).toContain("8.0 MiB");
    expect(on.hover).toHaveBeenCalledWith(expect.objectContaining({ kind: "edge" }));
  });

  it("takes itself out of its host", () => {
    canvas.dispose();
    expect(host.children.length).toBe(0);
  });
});
