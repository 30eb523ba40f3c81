import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { decodeFrames } from "../../src/run/decode";
import { frames } from "../encode";
import { graphRecord } from "../small-run";
import type { Graph } from "../../src/run/graph";
import { dropsOut, hasMatrix, health, metric } from "../../src/run/queries";
import { Run } from "../../src/run/run";

function golden(): { run: Run; graph: Graph; step: number } {
  const run = new Run();
  const bytes = readFileSync(new URL("../../../tests/golden/small_cnn.gscope", import.meta.url));
  for (const record of decodeFrames(new Uint8Array(bytes)).records) run.add(record);
  return { run, graph: run.graphAt(null)!, step: run.capturedSteps().at(-1)! };
}

it("finds no gradient large in a healthy network, next to the loss neither", () => {
  const { run, graph, step } = golden();
  const levels = graph.calls.map((call) => health(run, graph, call, step).gradient).filter((level) => level !== null);
  expect(levels.length).toBeGreaterThan(4);
  for (const level of levels) expect(Math.abs(level)).toBeLessThan(1);
});

it("does not take the zeros that a dropout drew for dead units", () => {
  const run = new Run();
  for (const record of decodeFrames(frames([graphRecord()])).records) run.add(record);
  const graph = run.graphAt(null)!;
  const dropping = graph.calls.filter((call) => dropsOut(graph, call)).map((call) => call.fqn);
  expect(dropping).toEqual(["drop"]);
});

it("judges update ratios of weight matrices, and only shows those of gains and biases", () => {
  const run = new Run();
  const bytes = readFileSync(new URL("../../../tests/golden/small_cnn.gscope", import.meta.url));
  for (const record of decodeFrames(new Uint8Array(bytes)).records) run.add(record);
  const graph = run.graphAt(null)!;
  const step = run.capturedSteps().at(-1)!;
  const verdicts = graph.calls.map((call) => [graph.modules[call.module]!.type, metric(run, graph, "update", call, step)] as const);
  const ofType = (type: string) => verdicts.filter(([kind, found]) => kind === type && found.value !== null).map(([, found]) => found);
  expect(ofType("Conv2d").length).toBeGreaterThan(0);
  for (const found of ofType("Conv2d")) expect(found.stop).not.toBeNull();
  expect(ofType("BatchNorm2d").length).toBeGreaterThan(0);
  for (const found of ofType("BatchNorm2d")) expect([found.stop, found.text.length > 0]).toEqual([null, true]);
  expect(hasMatrix(graph, graph.modules[0]!)).toBe(true);
});
