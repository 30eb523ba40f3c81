// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { mount } from "../../src/views/app";
import type { TraitStore, Traits } from "../../src/views/effects";
import type { Batch, Source } from "../../src/sources/source";
import { decodeFrames } from "../../src/run/decode";
import type { Command } from "../../src/schema";
import { frames } from "../encode";
import { type FixtureRecord, smallRun } from "../small-run";

class Kernel implements Source {
  live = true;
  sent: Command[] = [];
  push: (batch: Batch) => void = () => undefined;
  subscribed = 0;
  send = (command: Command) => void this.sent.push(command);
  subscribe(onBatch: (batch: Batch) => void) {
    this.subscribed++;
    this.push = onBatch;
    return () => {
      this.subscribed--;
    };
  }
  say(...records: FixtureRecord[]) {
    this.push(decodeFrames(frames(records)));
  }
}

const tick = (ms = 30) => new Promise((resume) => setTimeout(resume, ms));
const all = (selector: string) => [...document.querySelectorAll<HTMLElement>(selector)];
const row = (fqn: string) => all("[role=treeitem]").find((element) => element.dataset["fqn"] === fqn)!;
const key = (element: Element, name: string) => element.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, composed: true, cancelable: true }));
const details = () => document.querySelector("[data-graphscope=details]")!.textContent!;

let kernel: Kernel;
let host: HTMLElement;
let end: () => void;

function open(options = {}) {
  host = document.createElement("div");
  document.body.append(host);
  Object.defineProperty(HTMLElement.prototype, "clientWidth", { configurable: true, get: () => 1040 });
  kernel = new Kernel();
  end = mount(host, kernel, options);
}

beforeEach(() => open());
afterEach(() => {
  end();
  host.remove();
});

describe("a view on a live run", () => {
  it("says what fills it before there is anything", () => {
    expect(document.body.textContent).toContain("session = graphscope.watch(model)");
    expect(all("[role=tree]").length).toBe(1);
  });

  it("shows modules, findings, step and state", async () => {
    kernel.say(...smallRun({ steps: 120 }));
    await tick();
    expect(all("[role=treeitem]").map((element) => element.dataset["fqn"])).toContain("block.conv1");
    expect(row("block.bn1").getAttribute("aria-level")).toBe("3");
    expect(row("block.bn1").getAttribute("aria-label")).toContain("warning");
    expect(document.body.textContent).toMatch(/Step 119.*Live.*24\.1 steps\/s/s);
    const slider = document.querySelector("[role=slider]")!;
    expect(slider.getAttribute("aria-valuenow")).toBe("119");
    expect(slider.getAttribute("aria-valuetext")).toMatch(/^Step 119, epoch 1, loss/);
    expect(all("[role=tab]").map((tab) => tab.textContent)).toEqual(["Modules", "Findings 3"]);
  });

  it("looks inside a module call when asked, and shows how often each aten op ran", async () => {
    kernel.say(...smallRun({ steps: 40 }));
    await tick();
    row("block.conv1").click();
    await tick(250);
    const button = () => all("button").find((one) => /Look inside|Look again|Waiting for a step/.test(one.textContent ?? ""))!;
    expect(button().textContent).toBe("Look inside");
    button().click();
    await tick();
    expect(kernel.sent.filter((command) => command.kind === "look_inside")).toEqual([{ kind: "look_inside", fqn: "block.conv1", call: 0 }]);
    expect(button().textContent).toBe("Waiting for a step");
    const columns = { dtype: [0, 0, 0, 0, 0], ndim: [1, 1, 1, 1, 1], sizes: [2, 2, 2, 2, 2], dtypes: ["float32"] };
    const ops = { inputs: [1, 1, 1], outputs: [1, 1, 0], name: [0, 1, 0], node: [3, 3, 4], seconds: [0.001, 0.25, 0.002] };
    const names = ["aten.view.default", "<b>aten.convolution.default</b>"];
    kernel.say({ kind: "aten_ops", step: 39, pass_index: 0, fqn: "block.conv1", call: 0, graph_id: "g", names, ...ops, ...columns, left_out: 7, error: null });
    await tick();
    expect(button().textContent).toBe("Look again");
    expect(details()).toMatch(/3 aten ops at step 39, 7 more were not recorded.*<b>aten\.convolution\.default<\/b>1.*aten\.view\.default2/s);
    kernel.say({ kind: "aten_ops", step: 40, pass_index: 0, fqn: "block.conv1", call: 0, graph_id: "g", names: [], ...ops, ...columns, left_out: 0, error: null });
    await tick();
    expect(details()).toContain("3 aten ops at step 39"); // columns that do not fit are left out
  });

  it("answers a click on a module: details, path, and a Select for the kernel", async () => {
    kernel.say(...smallRun({ steps: 40 }));
    await tick();
    row("block.conv1").click();
    await tick(250);
    expect(row("block.conv1").getAttribute("aria-selected")).toBe("true");
    expect(details()).toMatch(/conv1Conv2d\(16, 16\).*block\.conv1 call 1 of 1.*models\.py:21.*Values at step 39/s);
    expect(document.querySelector("nav")!.textContent).toBe("SmallCnnblockconv1");
    expect(kernel.sent.filter((command) => command.kind === "select")).toEqual([{ kind: "select", request: 1, address: 6, role: 0 }]);
  });

  it("walks the tree by keys", async () => {
    kernel.say(...smallRun({ steps: 20 }));
    await tick();
    row("").focus();
    const selected = () => all("[aria-selected=true][role=treeitem]").map((element) => element.dataset["fqn"])[0];
    const press = async (name: string) => {
      key(row(selected()!), name);
      await tick(5);
    };
    await press("ArrowDown");
    expect(selected()).toBe("stem");
    await press("ArrowRight");
    expect(selected()).toBe("stem.conv");
    await press("ArrowLeft");
    expect(selected()).toBe("stem");
    await press("Enter");
    expect(row("stem").getAttribute("aria-expanded")).toBe("false");
    expect(row("stem.conv")).toBeUndefined();
    await press("End");
    expect(selected()).toBe("fc");
    await press("p");
    expect(selected()).toBe("pool");
    await press("Home");
    expect(selected()).toBe("");
    expect(all("[role=treeitem][tabindex='0']").length).toBe(1);
  });

  it("finds by name and class, opens what hides the hit, and counts", async () => {
    kernel.say(...smallRun({ steps: 20 }));
    await tick();
    key(document.querySelector(".gs-app")!, "/");
    const field = document.querySelector<HTMLInputElement>("[data-graphscope=search]")!;
    expect(document.activeElement).toBe(field);
    field.value = "type:BatchNorm";
    field.dispatchEvent(new Event("input", { bubbles: true }));
    await tick(5);
    expect(document.querySelector("[role=search]")!.textContent).toContain("2");
    key(field, "Enter");
    await tick(5);
    key(field, "Enter");
    await tick(5);
    expect(document.querySelector("[role=search]")!.textContent).toContain("2 of 2");
    expect(row("block.bn1").getAttribute("aria-selected")).toBe("true");
  });

  it("scrubs by keys, asks for a step that was not sent, and follows again", async () => {
    const records = smallRun({ steps: 60 });
    kernel.say(...records.filter((record) => record.kind !== "step_stats" || record["step"] !== 16));
    await tick();
    const slider = () => document.querySelector("[role=slider]")!;
    key(slider(), "Home");
    await tick(5);
    expect(slider().getAttribute("aria-valuenow")).toBe("0");
    for (let i = 0; i < 2; i++) {
      key(slider(), "ArrowRight");
      await tick(5);
    }
    expect(slider().getAttribute("aria-valuenow")).toBe("16");
    await tick(250);
    expect(kernel.sent.filter((command) => command.kind === "look")).toEqual([{ kind: "look", step: 16 }]);
    kernel.say(...smallRun({ steps: 80 }));
    await tick();
    expect(slider().getAttribute("aria-valuenow")).toBe("16");
    all("button").find((button) => button.textContent === "Follow")!.click();
    await tick(5);
    expect(slider().getAttribute("aria-valuenow")).toBe("79");
  });

  it("opens a finding with its evidence, and goes from it to its node", async () => {
    kernel.say(...smallRun({ steps: 20 }));
    await tick();
    all("[role=tab]").find((tab) => tab.textContent!.startsWith("Findings"))!.click();
    await tick(5);
    all(".gs-finding")[1]!.click();
    await tick(5);
    const text = document.querySelector(".gs-findingbody")!.textContent!;
    for (const part of ["0.58", "limit", "update_bn", "momentum=0.01", "running-stats-drift"]) expect(text).toContain(part);
    expect(all(".gs-diff .gs-removed, .gs-diff .gs-added").length).toBe(2);
    all("button").find((button) => button.textContent === "Select in graph")!.click();
    await tick(5);
    expect(details()).toContain("block.bn1");
  });

  it("shows hostile names as text", async () => {
    const evil = '<img src=x onerror="window.hacked=1">';
    const records = smallRun({ steps: 10 }).map((record) => JSON.parse(JSON.stringify(record, (_, value: unknown) => (value === "SmallCnn" ? evil : value))) as FixtureRecord);
    kernel.say(...records, { kind: "note", severity: "warning", text: evil });
    await tick();
    expect(document.querySelector("img")).toBeNull();
    expect(document.body.textContent).toContain(evil);
  });

  it("offers the report and says where it was written; repeats a refusal", async () => {
    kernel.say(...smallRun({ steps: 10 }));
    await tick();
    all("button").find((button) => button.textContent === "Report")!.click();
    expect(kernel.sent.some((command) => command.kind === "save_report")).toBe(true);
    kernel.say({ kind: "note", severity: "info", text: "Report written: runs/a/report.html" });
    await tick(5);
    expect(document.querySelector("[role=status].gs-note")!.textContent).toContain("runs/a/report.html");
    kernel.say({ kind: "command_error", command: "save_report", text: "The disk is full." });
    await tick(5);
    expect(document.querySelector(".gs-note.gs-error")!.textContent).toContain("The disk is full.");
  });

  it("lets choose between the processes of a run, and says how far each came", async () => {
    kernel.say({ kind: "run_ranks", shown: null, rank: [0, 1], last_step: [9, 7], last_seen: ["", "2026-01-01T10:00:07"], finished: [true, false] }, ...smallRun({ steps: 10 }));
    await tick();
    expect(document.querySelector("[data-graphscope=ranks]")!.textContent).toContain("rank 1step 7, not finished, last seen 2026-01-01T10:00:07");
    all("button").find((button) => button.getAttribute("aria-label") === "All ranks")!.click();
    await tick();
    all("[role=menuitemradio]").find((item) => item.textContent === "Rank 1, step 7, not finished")!.click();
    expect(kernel.sent.at(-1)).toEqual({ kind: "show_rank", rank: 1 });
  });

  it("compares the values of two steps", async () => {
    kernel.say(...smallRun({ steps: 20 }));
    await tick();
    row("fc").click();
    await tick();
    const table = () => [...document.querySelectorAll(".gs-values tbody tr")].map((tr) => tr.firstElementChild!.textContent);
    expect(table().slice(0, 2)).toEqual(["activation", "gradient"]);
    all("button").find((button) => button.textContent === "Compare other steps with this one")!.click();
    await tick();
    expect(details()).toContain("compared with step 19, the one that is shown");
    key(document.querySelector("[data-graphscope=playhead]")!, "ArrowLeft");
    await tick();
    expect(details()).toContain("Values at step 16");
    expect(table().slice(0, 4)).toEqual(["activation", "at 19", "gradient", "at 19"]);
    expect(document.querySelectorAll("[data-graphscope=compared-step]").length).toBe(1);
    all("button").find((button) => button.textContent === "End")!.click();
    await tick();
    expect(table()).not.toContain("at 19");
  });

  it("leaves nothing behind", () => {
    kernel.say(...smallRun({ steps: 10 }));
    end();
    expect([host.childNodes.length, kernel.subscribed]).toEqual([0, 0]);
    open();
  });
});

describe("themes and traits", () => {
  it("follows JupyterLab's theme live", async () => {
    const theme = () => document.querySelector<HTMLElement>(".gs")!.dataset["gsTheme"];
    document.body.dataset["jpThemeLight"] = "false";
    await tick(5);
    expect(theme()).toBe("dark");
    document.body.dataset["jpThemeLight"] = "true";
    await tick(5);
    expect(theme()).toBe("light");
    delete document.body.dataset["jpThemeLight"];
  });

  it("shares step, selection and colour both ways, and takes no echo for news", async () => {
    end();
    const values: Traits = { step: 0, selection: "", colorBy: "update", compareStep: null };
    const listeners = new Set<(name: keyof Traits) => void>();
    const set = (given: Partial<Traits>) => void Object.assign(values, given);
    const traits: TraitStore = { get: (name) => values[name], set, onChange: (callback) => (listeners.add(callback), () => listeners.delete(callback)) };
    open({ traits });
    kernel.say(...smallRun({ steps: 40 }));
    await tick(1100);
    expect(values.step).toBe(39);
    row("fc").click();
    await tick(5);
    expect(values.selection).toBe("fc");
    const change = async (given: Partial<Traits>) => {
      Object.assign(values, given);
      for (const name of Object.keys(given) as (keyof Traits)[]) for (const listener of listeners) listener(name);
      await tick(5);
    };
    await change({ selection: "block.bn1", step: 8, colorBy: "zeros" });
    expect(row("block.bn1").getAttribute("aria-selected")).toBe("true");
    expect(document.querySelector("[role=slider]")!.getAttribute("aria-valuenow")).toBe("8");
    expect(document.body.textContent).toContain("zeros in the output");
    await change({ colorBy: "no such metric" });
    expect(document.body.textContent).toContain("zeros in the output");
    await change({ selection: "fc" });
    expect(row("fc").getAttribute("aria-selected")).toBe("true");
    all("button").find((button) => button.textContent === "Follow")!.click();
    await tick(1100);
    await change({ step: 39 });
    kernel.say(...smallRun({ steps: 60 }));
    await tick(5);
    await change({ step: 39 }); // what this side told comes back late
    expect(document.querySelector("[role=slider]")!.getAttribute("aria-valuenow")).toBe("59");
    end();
    expect(listeners.size).toBe(0);
    open();
  });
});

describe("a report", () => {
  it("has no control that would need a kernel", async () => {
    end();
    document.body.append((host = document.createElement("div")));
    const records = frames(smallRun({ steps: 30, closed: true }));
    end = mount(host, { live: false, send: null, subscribe: (onBatch) => (onBatch(decodeFrames(records)), () => undefined) });
    await tick();
    const names = all("button").map((button) => button.textContent);
    expect(names).not.toContain("Follow");
    expect(names).not.toContain("Report");
    expect(document.body.textContent).toContain("Finished");
  });
});
