// @vitest-environment happy-dom
import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { decodeFrames } from "../../src/run/decode";
import { Run } from "../../src/run/run";
import type { Finding, SessionStatus } from "../../src/schema";
import { Sidebar, type SidebarActions, type SidebarState } from "../../src/views/sidebar";
import { frames } from "../encode";
import { smallRun } from "../small-run";

function status(part: Partial<SessionStatus> = {}): SessionStatus {
  return {
    kind: "session_status", session: "s1", name: "SmallCnn-1", model: "SmallCnn", state: "live", step: 2480, captured_steps: 40,
    steps_per_second: 24.13, overhead: 0.006, steady_overhead: null, loss: 0.634, epoch: 7, errors: 0, warnings: 2, infos: 1, run_dir: "runs/x", message: "", ...part,
  };
}

const finding: Finding = {
  kind: "finding", rule: "dead-relu", severity: "warning", title: "Dead ReLU", message: "58 % of 16 channels", advice: "", why: "", fqn: "stem.relu",
  call: 0, node: null, graph_id: null, step: 1180, last_step: null, count: 1, value: 0.58, limit: 0.5, file: "", line: null, fix: "",
};

function state(part: Partial<SidebarState> = {}): SidebarState {
  const run = new Run();
  for (const record of decodeFrames(frames(smallRun())).records) run.add(record);
  run.add(finding);
  return {
    phase: "ready", place: "train.ipynb", focus: "s1", run, silent: null, problem: "",
    sessions: [{ status: status(), losses: [2.3, 1.2, 0.6], views: [] }, { status: status({ session: "s2", name: "Mlp-1", state: "paused", step: 1218, epoch: null }), losses: [], views: [] }],
    models: [
      { name: "model", type: "SmallCnn", parameters: 466906, training: true, session: "s1" },
      { name: "teacher", type: "ResNet18", parameters: null, training: false, session: "" },
    ],
    ...part,
  };
}

const actions = {
  openSession: vi.fn(), openModel: vi.fn(), selectModule: vi.fn(), captureNext: vi.fn(), saveReport: vi.fn(), trainer: vi.fn(), refresh: vi.fn(),
} satisfies SidebarActions;
let root: HTMLElement;
const draw = (part: Partial<SidebarState> = {}) => act(() => render(<Sidebar state={state(part)} actions={actions} />, root));
const button = (text: string) => [...root.querySelectorAll("button")].find((each) => (each.getAttribute("aria-label") ?? each.textContent ?? "").includes(text))!;
const press = (element: Element, key: string) => act(() => void element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })));

beforeEach(() => {
  root = document.createElement("div");
  document.body.append(root);
  for (const action of Object.values(actions)) action.mockClear();
});
afterEach(() => {
  render(null, root);
  root.remove();
});

describe("the sidebar", () => {
  it("shows the chosen session with its numbers and the others in one line", () => {
    draw();
    const [first, second] = root.querySelectorAll(".gs-side-session");
    expect(first!.textContent).toContain("SmallCnn-1Live");
    expect(first!.textContent).toContain("step 2,480, epoch 7");
    expect(first!.textContent).toContain("loss 0.634");
    expect(first!.textContent).toContain("24.1 steps/soverhead 0.6 %");
    expect(first!.querySelector("[aria-current='true']")).not.toBeNull();
    expect(second!.textContent).toBe("Mlp-1Pausedstep 1,218");
  });

  it("opens a session and a model at a click, and each once", () => {
    draw();
    button("Mlp-1, Paused").click();
    expect(actions.openSession.mock.calls).toEqual([["s2"]]);
    button("teacher").click();
    root.querySelector<HTMLElement>("[data-model='model']")!.click();
    expect(actions.openModel.mock.calls).toEqual([["teacher"], ["model"]]);
  });

  it("says what is unknown instead of inventing a number", () => {
    draw({ sessions: [{ status: status({ step: null, loss: null, overhead: null, steps_per_second: null }), losses: [], views: [] }] });
    const text = root.querySelector(".gs-side-session")!.textContent!;
    expect(text).toContain("no step yet");
    expect(text).toContain("no loss known yet");
    expect(text).not.toMatch(/NaN|null|undefined|overhead/);
    expect(root.querySelector("[data-model='teacher']")!.textContent).toBe("teacherResNet18––eval");
  });

  it("has controls only where something can be done", () => {
    draw();
    expect(button("Look")).toBeDefined();
    expect([...root.querySelectorAll(".gs-side-actions button")].map((each) => each.textContent)).toEqual(["Look", "Report"]);
    button("Look").click();
    button("Report").click();
    expect([actions.captureNext.mock.calls.length, actions.saveReport.mock.calls.length]).toEqual([1, 1]);
    draw({ sessions: [{ status: status({ state: "closed" }), losses: [], views: [] }] });
    expect(button("Look")).toBeUndefined();
    expect(button("Report")).toBeDefined();
  });

  it("walks the module tree by keyboard and selects with Enter", () => {
    draw();
    const tree = root.querySelector("[role='tree']")!;
    const names = () => [...tree.querySelectorAll("[role='treeitem']")].map((item) => (item as HTMLElement).dataset["fqn"]);
    expect(names()).toEqual(["stem", "block", "pool", "drop", "fc"]);
    press(tree, "ArrowRight");
    expect(names()).toEqual(["stem", "stem.conv", "stem.bn", "stem.relu", "block", "pool", "drop", "fc"]);
    press(tree, "ArrowDown");
    press(tree, "Enter");
    expect(actions.selectModule.mock.calls).toEqual([["stem.conv"]]);
    press(tree, "ArrowLeft"); // to the parent
    press(tree, "ArrowLeft"); // folds it
    expect(names()).toEqual(["stem", "block", "pool", "drop", "fc"]);
    expect(tree.querySelectorAll("[tabindex='0']").length).toBe(1);
  });

  it("draws activation and gradient of each module, and marks the one with a finding and its parents", () => {
    draw();
    const bars = root.querySelectorAll("[data-fqn='pool'] [role='img']");
    expect(bars[0]!.getAttribute("aria-label")).toMatch(/^activation: .* decades from healthy$/);
    expect(root.querySelector("[data-fqn='stem'] [aria-label='Warning']")).not.toBeNull();
    expect(root.querySelector("[data-fqn='pool'] [aria-label='Warning']")).toBeNull();
  });

  it("finds by name across the tree, and / goes to the search", () => {
    draw();
    press(root.querySelector(".gs-side")!, "/");
    const search = root.querySelector<HTMLInputElement>("[type='search']")!;
    expect(document.activeElement).toBe(search);
    act(() => {
      search.value = "CONV";
      search.dispatchEvent(new Event("input", { bubbles: true }));
    });
    expect([...root.querySelectorAll("[role='treeitem']")].map((item) => (item as HTMLElement).dataset["fqn"])).toEqual(["stem.conv", "block.conv1", "block.conv2"]);
    expect(root.textContent).toContain("No finding matches.");
  });

  it.each([
    ["none", "Open a notebook or a console"],
    ["foreign", "another language"],
    ["missing", "graphscope is not installed in this kernel."],
  ] as const)("has words for the state %s", (phase, words) => {
    draw({ phase });
    expect(root.textContent).toContain(words);
    expect(root.querySelector(".gs-side-scroll")).toBeNull();
  });

  it("says how to install, by the name of the distribution", () => {
    draw({ phase: "missing" });
    expect(root.querySelector("code")!.textContent).toBe("%pip install torch-graphscope");
    button("Try again").click();
    expect(actions.refresh).toHaveBeenCalledOnce();
  });

  it("says what will fill it while the kernel is empty", () => {
    draw({ sessions: [], models: [], focus: "" });
    expect(root.textContent).toContain("No model in this kernel yet.");
    expect(root.querySelector("code")!.textContent).toBe("session = graphscope.watch(model)");
  });

  it("says that the kernel is busy, and shows what is known all the same", () => {
    draw({ silent: 2.1, problem: "open: no model is called x." });
    expect(root.querySelector(".gs-side-busy")!.textContent).toBe("This kernel answers when the cell ends.last answer 2 s ago");
    expect(root.querySelector("[role='alert']")!.textContent).toContain("no model is called x");
    expect(root.querySelectorAll(".gs-side-session").length).toBe(2);
  });

  it("shows names as text, whatever they hold", () => {
    const evil = "<img src=x onerror=alert(1)>";
    draw({ place: evil, models: [{ name: evil, type: evil, parameters: 1, training: true, session: "" }], sessions: [{ status: status({ name: evil, message: evil }), losses: [], views: [] }], problem: evil });
    expect(root.querySelector("img")).toBeNull();
    expect(root.textContent!.split(evil).length).toBeGreaterThan(5);
  });
});
