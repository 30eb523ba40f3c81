// @vitest-environment happy-dom
import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Command, CommandError, TrainerStatus } from "../../src/schema";
import { TrainerPanel, changed } from "../../src/views/trainer-panel";

function status(part: Partial<TrainerStatus> = {}): TrainerStatus {
  return {
    kind: "trainer_status", state: "idle",
    settings: { data: "digits", model: "cnn-bn", optimizer: "momentum", lr: 0.05, momentum: 0.9, weight_decay: 0, schedule: "constant", batch_size: 64, epochs: 3, seed: 0 },
    choices: { data: ["digits", "shapes"], model: ["cnn-bn", "mlp"], optimizer: ["sgd", "momentum", "adam"], schedule: ["constant", "cosine"] },
    step: 0, total_steps: 69, epoch: 0, epochs: 3, loss: null, accuracy: null, test_accuracy: null, images_per_second: null, seconds_left: null,
    data_text: "1,437 training images", model_text: "1,199,978 parameters", message: "", dropout: {}, break_when: "", broke_at: "", at_layer: "", at_direction: "", test_epoch: null, recall: [], classes: [], ...part,
  };
}

let root: HTMLElement;
let sent: Command[];
const draw = (part: Partial<TrainerStatus> = {}, send: ((command: Command) => void) | null = (command) => void sent.push(command), error: CommandError | null = null) =>
  act(() => render(<TrainerPanel status={status(part)} send={send} error={error} />, root));
const refusal = (command: string, text: string): CommandError => ({ kind: "command_error", command, text });
const settings = (part: Record<string, unknown>) => ({ ...status().settings, ...part });
const button = (text: string) => [...root.querySelectorAll("button")].find((each) => each.textContent === text);
function control<T extends HTMLElement = HTMLInputElement>(label: string): T {
  const found = [...root.querySelectorAll("label")].find((each) => each.textContent === label);
  return (found ? root.querySelector(`#${CSS.escape(found.getAttribute("for")!)}`) : root.querySelector(`[aria-label='${label}']`)) as T;
}
const type = (label: string, text: string) => act(() => {
  const input = control(label);
  input.value = text;
  input.dispatchEvent(new Event("input", { bubbles: true }));
});
const press = (label: string, key: string) => act(() => void control(label).dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true })));

beforeEach(() => {
  root = document.createElement("div");
  document.body.append(root);
  sent = [];
});
afterEach(() => {
  render(null, root);
  root.remove();
});

describe("the trainer panel", () => {
  it("has a label for each control", () => {
    draw();
    for (const label of ["Data", "Network", "Optimizer", "Learning rate", "Momentum", "Weight decay", "Schedule", "Batch size", "Epochs", "Seed", "Break when"]) {
      expect(control(label), label).not.toBeNull();
    }
    expect(root.querySelectorAll("input, select").length).toBe(11);
  });

  it("starts with what was changed and nothing else", () => {
    draw();
    type("Learning rate", "0.01");
    type("Epochs", "5");
    type("Momentum", "0.9"); // as it was
    const data = control<HTMLSelectElement>("Data");
    act(() => {
      data.value = "shapes";
      data.dispatchEvent(new Event("change", { bubbles: true }));
    });
    act(() => button("Start")!.click());
    expect(sent).toEqual([{ kind: "trainer_start", settings: { lr: 0.01, epochs: 5, data: "shapes" } }]);
  });

  it("does not start with a number that is none, and says what is wanted", () => {
    draw();
    type("Batch size", "6.5");
    expect(button("Start")!.disabled).toBe(true);
    expect(control("Batch size").getAttribute("aria-invalid")).toBe("true");
    expect(root.textContent).toContain("Batch size: 1 or more images");
    type("Batch size", "16");
    expect(button("Start")!.disabled).toBe(false);
  });

  it.each(["", "abc", "1e999", "-1", "NaN"])("refuses %j as a learning rate", (text) => {
    expect(changed({ lr: text }, status())).toBeNull();
  });

  it("leaves a rate that the trainer chooses to the trainer", () => {
    expect(changed({ lr: "" }, status({ settings: { lr: null } }))).toEqual({});
    draw({ settings: { ...status().settings, lr: null } });
    expect(control("Learning rate").placeholder).toBe("auto");
    expect(button("Start")!.disabled).toBe(false);
  });

  it("locks what a training under way cannot take, and says why", () => {
    draw({ state: "training", step: 12, epoch: 1 });
    for (const label of ["Data", "Network", "Optimizer", "Weight decay", "Schedule", "Batch size", "Epochs", "Seed"]) {
      expect(control(label).disabled, label).toBe(true);
    }
    expect(control("Seed").title).toBe("Fixed while a training is under way. Stop it to change this.");
    expect(control("Learning rate").disabled).toBe(false);
  });

  it("changes the learning rate of a training under way at Enter, and says when it is taken", () => {
    draw({ state: "training" });
    type("Learning rate", "0.02");
    expect(sent).toEqual([]);
    press("Learning rate", "Enter");
    expect(sent).toEqual([{ kind: "trainer_set", lr: 0.02 }]);
    expect(root.textContent).toContain("Taken at the next batch");
    expect(root.textContent).toContain("was 0.05");
    draw({ state: "training", settings: settings({ lr: 0.02 }) });
    expect(root.textContent, "no batch was done since").toContain("Taken at the next batch");
    draw({ state: "training", step: 1, settings: settings({ lr: 0.02 }) });
    expect(root.textContent).not.toContain("Taken at the next batch");
    expect(control("Learning rate").value).toBe("0.02");
  });

  it("waits no longer for a rate that two later statuses do not have", () => {
    draw({ state: "training" });
    type("Learning rate", "0.02");
    press("Learning rate", "Enter");
    draw({ state: "training", step: 1 }); // was on its way
    expect(control("Learning rate").value).toBe("0.02");
    draw({ state: "training", step: 2 });
    expect(control("Learning rate").value).toBe("0.05");
    expect(root.textContent).not.toContain("Taken at the next batch");
  });

  it("changes momentum and the dropout of a layer while it runs", () => {
    const dropout = { drop1: 0.25, "head.drop": 0.5 };
    draw({ state: "training", dropout });
    type("Momentum", "0.5");
    press("Momentum", "Enter");
    type("Dropout p of head.drop", "0.1");
    press("Dropout p of head.drop", "Enter");
    expect(sent).toEqual([{ kind: "trainer_momentum", momentum: 0.5 }, { kind: "trainer_dropout", fqn: "head.drop", p: 0.1 }]);
    type("Dropout p of drop1", "1.5");
    press("Dropout p of drop1", "Enter");
    expect(sent.length).toBe(2);
    expect(root.textContent).toContain("Dropout p: 0 to 1");
  });

  it("says beside the field why the kernel refused", () => {
    draw({ state: "training" });
    type("Momentum", "0.5");
    press("Momentum", "Enter");
    draw({ state: "training" }, undefined, refusal("trainer_momentum", "set_momentum(0.5): SGD as used here has none."));
    expect(root.textContent).toContain("SGD as used here has none");
    expect(root.textContent).not.toContain("Taken at the next batch");
    expect(control("Momentum").value).toBe("0.9");
  });

  it("sets a condition to break at, says when it is met, and takes it away", () => {
    draw({ state: "training" });
    type("Break when", "grad_norm('conv1') > 10 ");
    expect(root.textContent).toContain("Press Enter");
    press("Break when", "Enter");
    expect(sent).toEqual([{ kind: "trainer_break", condition: "grad_norm('conv1') > 10" }]);
    draw({ state: "training", break_when: "grad_norm('conv1') > 10" });
    expect(root.textContent).toContain("Pauses behind the batch where this begins to hold");
    draw({ state: "paused", break_when: "grad_norm('conv1') > 10", broke_at: "conv1", message: "Paused at step 3: grad_norm('conv1') = 12.5 > 10" });
    expect(root.textContent).toContain("Met: the training is paused");
    expect(root.textContent).toContain("Paused at step 3");
    act(() => root.querySelector<HTMLButtonElement>("[aria-label='No condition']")!.click());
    expect(sent.at(-1)).toEqual({ kind: "trainer_break", condition: "" });
  });

  it("keeps a condition that was refused for mending, with the kernel's words", () => {
    const old = refusal("trainer_break", "an old one");
    draw({ state: "training" }, undefined, old);
    expect(root.textContent).not.toContain("an old one");
    type("Break when", "nan('fc3')");
    press("Break when", "Enter");
    draw({ state: "training" }, undefined, refusal("trainer_break", "No module fc3. There are fc1, fc2."));
    expect(root.textContent).toContain("No module fc3");
    expect(control("Break when").value).toBe("nan('fc3')");
    expect(control("Break when").getAttribute("aria-invalid")).toBe("true");
  });

  it("does not offer another network for one that was given as an object", () => {
    draw({ settings: settings({ model: "Mine" }), choices: { ...status().choices, model: ["Mine"] } });
    expect(control<HTMLSelectElement>("Network").value).toBe("Mine");
    expect(control<HTMLSelectElement>("Network").disabled).toBe(true);
  });

  it("sends a rate once, not at Enter and again when the field is left", () => {
    draw({ state: "training" });
    type("Learning rate", "0.02");
    press("Learning rate", "Enter");
    act(() => void control("Learning rate").dispatchEvent(new FocusEvent("blur")));
    expect(sent.length).toBe(1);
  });

  it("pauses, goes on, steps and stops", () => {
    draw({ state: "training" });
    act(() => button("Pause")!.click());
    act(() => button("Batch")!.click());
    act(() => button("Restart")!.click());
    act(() => button("Stop")!.click());
    draw({ state: "paused" });
    act(() => button("Resume")!.click());
    expect(sent).toEqual([{ kind: "trainer_pause" }, { kind: "trainer_step" }, { kind: "trainer_restart" }, { kind: "trainer_stop" }, { kind: "trainer_start", settings: {} }]);
  });

  it("steps to the next layer, or to the selected one, and says when a batch is half done", () => {
    act(() => render(<TrainerPanel status={status({ state: "paused" })} send={(command) => void sent.push(command)} selected="head.fc1" />, root));
    const choose = (text: string) => {
      act(() => root.querySelector<HTMLButtonElement>("[aria-label='Step to a layer']")!.click());
      act(() => [...root.querySelectorAll<HTMLButtonElement>("[role=menuitemradio]")].find((item) => item.textContent === text)!.click());
    };
    choose("Next layer");
    choose("Next backward");
    choose("head.fc1, forward");
    expect(sent).toEqual([
      { kind: "trainer_layer", fqn: "", direction: "" }, { kind: "trainer_layer", fqn: "", direction: "backward" }, { kind: "trainer_layer", fqn: "head.fc1", direction: "forward" },
    ]);
    draw({ state: "paused", at_layer: "head.fc1", at_direction: "forward", message: "Paused in step 3, after head.fc1's forward: 64 × 10", break_when: "nan()" });
    expect(button("Finish batch")).toBeDefined();
    expect(root.textContent, "no condition was met").not.toContain("Met:");
  });

  it("begins with one batch where nothing was changed, and says why it does not elsewhere", () => {
    draw();
    act(() => button("Batch")!.click());
    expect(sent).toEqual([{ kind: "trainer_step" }]);
    type("Epochs", "4");
    expect(button("Batch")!.disabled).toBe(true);
    expect(button("Batch")!.title).toContain("Start takes them");
  });

  it.each([["idle", "Ready"], ["loading", "Loading"], ["finished", "Finished"], ["stopped", "Stopped"], ["failed", "Failed"]] as const)("names the state %s", (state, word) => {
    draw({ state, message: state === "failed" ? "TrainerError: out of memory" : "" });
    expect(root.querySelector(".gs-chip")!.textContent).toBe(word);
    expect(button("Stop")!.disabled).toBe(state !== "loading");
    if (state === "failed") expect(root.querySelector("[role='alert']")!.textContent).toBe("TrainerError: out of memory");
    else expect(root.querySelector("[role='alert']")).toBeNull();
  });

  it("shows how far it is, by epochs, and nothing it does not know", () => {
    draw({ state: "training", step: 23, epoch: 2, images_per_second: 2012.4, seconds_left: 51, test_accuracy: 0.98411 });
    const widths = [...root.querySelectorAll<HTMLElement>(".gs-progress i")].map((bar) => bar.style.width);
    expect(widths).toEqual(["100%", "0%", "0%"]);
    const text = root.querySelector(".gs-trainer-progress")!.textContent!;
    expect(text).toContain("step 23 of 69, epoch 2 of 3");
    expect(text).toContain("0:51 left");
    expect(text).toContain("2,012 images/s");
    expect(text).toContain("test 98.41 %");
    expect(text).not.toContain("loss");
    draw();
    expect(root.querySelector(".gs-trainer-progress")!.textContent).not.toMatch(/left|images|test/);
  });

  it("has no buttons where no kernel stands behind the page", () => {
    draw({}, null);
    expect(root.querySelectorAll("button").length).toBe(0);
    expect([...root.querySelectorAll<HTMLInputElement>("input, select")].every((each) => each.disabled)).toBe(true);
  });
});
