import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { decodeFrames } from "../../src/run/decode";
import { hasMatrix, metric } from "../../src/run/queries";
import { Run } from "../../src/run/run";

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
