// @vitest-environment happy-dom
import { afterEach, expect, it } from "vitest";
import { decodeFrames } from "../../src/run/decode";
import { mount } from "../../src/views/app";
import type { TraitStore, Traits } from "../../src/views/effects";
import { frames } from "../encode";
import { graphWithBackward, opGradients } from "../op-gradients";
import { type FixtureRecord, smallRun } from "../small-run";

const tick = (ms = 30) => new Promise((resume) => setTimeout(resume, ms));
const details = () => document.querySelector("[data-graphscope=details]")!.textContent!;
let end = () => undefined as void;
afterEach(() => {
  end();
  document.body.replaceChildren();
});

async function shown(selection: string, ...more: FixtureRecord[]): Promise<void> {
  const host = document.createElement("div");
  document.body.append(host);
  const values: Traits = { step: 0, selection, colorBy: "gradient", compareStep: null };
  const traits: TraitStore = { get: (name) => values[name], set: (given) => void Object.assign(values, given), onChange: () => () => undefined };
  const bytes = frames([...smallRun({ steps: 20, closed: true }), graphWithBackward(), ...more]);
  end = mount(host, { live: false, send: null, subscribe: (onBatch) => (onBatch(decodeFrames(bytes)), () => undefined) }, { traits });
  await tick();
}

it("shows the gradient that flowed through an op, with the step and what was not finite", async () => {
  await shown("op:7", opGradients(19, [{ node: 7, l2: 4, mean: 0.5, zeros: 25, nan: 2, inf: 1 }]));
  const rows = [...document.querySelectorAll("[data-graphscope=op-gradients] tbody tr")].map((row) => row.textContent);
  expect(rows).toEqual(["gradient4.000.5002.0025 %", "2 NaN, 1 Inf of 100"]);
  expect(details()).toContain("Gradient at step 19");
});

it("names the recorded step where the shown one has no gradients of ops, and says where an op got none", async () => {
  await shown("op:9", opGradients(8, [{ node: 7, l2: 4 }]));
  expect(details()).toContain("Gradient at step 8the step nearest to 19 at which gradients of ops were recorded");
  expect(details()).toContain("No gradient was seen at this op in that step.");
});

it("says nothing about gradients of ops where none were recorded", async () => {
  await shown("op:7");
  expect(document.querySelector("[data-graphscope=op-gradients]")).toBeNull();
});

it("lists the backward nodes of an op, the leaves of its parameters, and leads to the next op", async () => {
  await shown("fc");
  expect(document.querySelector("[data-graphscope=backward-nodes]")!.textContent).toBe(
    "BackwardnodeAddmmBackward0 then MulBackward0, TBackward0nodeTBackward0leafAccumulateGrad adds to fc.weightleafAccumulateGrad adds to fc.bias",
  );
  [...document.querySelectorAll("[data-graphscope=backward-nodes] button")].find((button) => button.textContent === "MulBackward0")!.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  await tick();
  expect(details()).toContain("Dropout");
});

it("says in words where backward raised: at the op, and above the graph", async () => {
  const evil = "AddBackward0 raised: <img src=x>";
  await shown("op:7", { kind: "pass", step: 20, pass_index: 0, graph_id: "00000000c0ffee00", training: true, grad_enabled: true, backward_error: evil, backward_node: 7 });
  expect(details()).toContain(`Backward ended here at step 20: ${evil}`);
  expect(document.querySelector(".gs-banner")!.textContent).toContain(`Backward ended early at step 20: ${evil}`);
  expect(document.querySelector("img")).toBeNull();
});
