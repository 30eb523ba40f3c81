// @vitest-environment happy-dom
import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LayoutClient } from "../../src/layout/client";
import { worstFirst } from "../../src/run/samples";
import type { TrainerSamples, TrainerStatus } from "../../src/schema";
import { StoreContext, createStore } from "../../src/store/state";
import { TrainerResults } from "../../src/views/trainer-results";

const STATUS = {
  kind: "trainer_status", state: "training", settings: {}, choices: {}, step: 3, total_steps: 9, epoch: 1, epochs: 3, loss: 0.032, accuracy: 0.9712, test_accuracy: 0.98411,
  images_per_second: null, seconds_left: null, data_text: "", model_text: "", message: "", dropout: {}, break_when: "", broke_at: "", at_layer: "", at_direction: "", test_epoch: 1,
  recall: [0.993, 0.9, null], classes: ["cat", "dog", "owl"],
} as const satisfies TrainerStatus;
const SAMPLES: TrainerSamples = {
  kind: "trainer_samples", step: 3, size: [4, 1, 2, 1], pixels: new Uint8Array([0, 1, 2, 3, 4, 5, 6, 7]), label: new Int32Array([0, 1, 2, 1]),
  predicted: new Int32Array([0, 2, 1, 1]), confidence: new Float64Array([0.99, 0.6, 0.9, 0.5]), message: "",
};

let root: HTMLElement;
beforeEach(() => document.body.append((root = document.createElement("div"))));
afterEach(() => {
  render(null, root);
  root.remove();
});

function draw(status: TrainerStatus, samples: TrainerSamples | null) {
  const store = createStore({ live: true, send: () => undefined, subscribe: () => () => undefined }, new LayoutClient((text) => 6 * text.length, null));
  if (samples) store.run.add(samples);
  const step = (n: number) => ({ kind: "step", step: n, epoch: 1, seconds: n, step_seconds: 0.01, self_seconds: 0, captured: false, skipped: false, scalars: { loss: 2 / (n + 1), accuracy: n / 4 } });
  for (let n = 0; n < 4; n++) store.run.add(step(n) as never);
  act(() => render(<StoreContext.Provider value={store}><TrainerResults status={status} width={264} /></StoreContext.Provider>, root));
}

describe("what a training reached", () => {
  it("puts the most confident mistake first and the surest right one last", () => {
    expect(worstFirst(SAMPLES)).toEqual([2, 1, 3, 0]);
  });

  it("names what was taken for what, worst first, by class", () => {
    draw(STATUS, SAMPLES);
    const samples = root.querySelector("[data-graphscope='samples']")!;
    expect(samples.textContent).toContain("2 wrong of 4");
    expect([...samples.querySelectorAll("li")].map((li) => li.title)).toEqual([
      "taken for dog (90 % sure), is owl", "taken for owl (60 % sure), is dog", "dog, 50 % sure", "cat, 99 % sure",
    ]);
    expect(samples.querySelectorAll("li.gs-wrong").length).toBe(2);
    expect([...samples.querySelectorAll("canvas")].map((c) => [c.width, c.height])).toEqual([[2, 1], [2, 1], [2, 1], [2, 1]]);
  });

  it("draws loss and accuracy with the last test", () => {
    draw(STATUS, null);
    const text = root.querySelector("[data-graphscope='trainer-results']")!.textContent!;
    expect(text).toContain("test after epoch 1 98.41 %");
    expect(text).toContain("train 97.1 %");
    expect(root.querySelectorAll("[data-graphscope='trainer-results'] svg").length).toBe(3);
    expect(root.querySelector("[data-graphscope='samples']")).toBeNull();
  });

  it("marks the lowest recall and leaves out a class without images", () => {
    draw(STATUS, null);
    const text = root.querySelector("[data-graphscope='recall']")!.textContent!;
    expect(text).toContain("lowest: dog");
    expect(text).not.toContain("owl");
  });

  it("says why there are no single predictions", () => {
    draw(STATUS, { ...SAMPLES, message: "No predictions of single images: this network does not classify." });
    expect(root.textContent).toContain("this network does not classify");
    expect(root.querySelector("canvas")).toBeNull();
  });
});
