import { beforeAll, describe, expect, it } from "vitest";
import { decodeFrames } from "../../src/run/decode";
import { type Health, gradientMedian, health, metric, stopOf, SCALES } from "../../src/run/queries";
import { Run } from "../../src/run/run";
import { binBounds } from "../../src/run/statistics";
import { frames } from "../encode";
import { type FixtureRecord, graphRecord, smallRun, stepStats } from "../small-run";

function loaded(records: FixtureRecord[], run = new Run()): Run {
  const decoded = decodeFrames(frames(records));
  expect(decoded).toMatchObject({ damaged: 0, unknown: 0 });
  for (const record of decoded.records) run.add(record);
  return run;
}

describe("a run of 480 steps", () => {
  let run: Run;
  beforeAll(() => {
    run = loaded(smallRun());
  });

  it("knows its graph with calls, ops, values and parameters", () => {
    const graph = run.graphAt(null)!;
    expect([graph.modules.length, graph.calls.length, graph.ops.length]).toEqual([13, 13, 13]);
    const add = graph.ops.find((op) => op.op === "add")!;
    expect(add.inputs.map((value) => graph.values[value]!.shape)).toEqual([[64, 16, 28, 28], [64, 16, 28, 28]]);
    expect(graph.ops.find((op) => op.op === "linear")).toMatchObject({ params: ["fc.weight", "fc.bias"], file: "models.py", line: 15, gradFn: "AddmmBackward0" });
    expect(graph.modules[0]!.parameterCount).toBe(16 * 9 + 32 + 2 * 16 * 16 * 9 + 32 + 170);
    expect(graph.modules.find((m) => m.fqn === "block.conv1")).toMatchObject({ name: "conv1", type: "Conv2d" });
  });

  it("answers series, summaries and layers by address and step", () => {
    const { steps, values } = run.series("fc", 0, "std", "activation");
    expect(steps.slice(0, 3)).toEqual([0, 8, 16]);
    expect(values[0]).toBeCloseTo(3 * 0.7, 10);
    const summary = run.summary("fc", 0, "activation", 0)!;
    expect(summary).toMatchObject({ shape: [64, 10], dtype: "float32", count: 640, unmeasured: "", estimate: false });
    expect(summary.rms).toBeCloseTo(Math.hypot(summary.mean!, summary.std!), 10);
    expect(summary.histogram!.length).toBe(128);
    expect(run.layer("block.bn1", 0, 13)).toMatchObject({ kind: "batchnorm_stats", step: 8, momentum: 0.01 });
    expect(run.layers("drop", 0).length).toBe(61);
  });

  it("says null where nothing is known, never zero", () => {
    expect(run.summary("fc", 0, "activation", 3)).toBeNull();
    expect(run.summary("nowhere", 0, "activation", 0)).toBeNull();
    expect(run.series("fc", 1, "mean", "activation")).toEqual({ steps: [], values: [] });
    expect(run.layer("fc", 0, null)).toBeNull();
    expect(run.updateRatio([], 0)).toBeNull();
  });

  it("finds captured steps and scalars", () => {
    expect(run.capturedSteps().length).toBe(61);
    expect([run.capturedAt(7), run.capturedAt(8), run.capturedAt(-1), run.capturedAt(null)]).toEqual([0, 8, 0, 479]);
    expect(run.scalarNames()).toEqual(["loss", "grad_norm", "lr", "test_accuracy"]);
    expect(run.scalars("test_accuracy").steps).toEqual([95, 191, 287, 383, 479]);
    expect(run.stepAt(100)!.scalars["lr"]).toBe(0.02);
  });

  it("knows evaluations, whether they were logged for a step already done or with a step", () => {
    expect(run.evaluations().map(({ step, epoch }) => [step, epoch])).toEqual([[95, 0], [191, 1], [287, 2], [383, 3], [479, 4]]);
    const logged = loaded(smallRun({ steps: 20 }).filter((record) => record.kind !== "scalars").map((record) => (record.kind === "step" && record["step"] === 7 ? { ...record, scalars: { ...(record["scalars"] as object), accuracy: 0.5 } } : record)));
    expect(logged.evaluations()).toEqual([{ step: 7, epoch: 0, scalars: { accuracy: 0.5 } }]);
  });

  it("takes the accuracy of each batch, logged after it, for no evaluation", () => {
    const late = (step: number, scalars: object) => ({ kind: "scalars", step, epoch: 0, scalars });
    const steps = smallRun({ steps: 20 }).filter((record) => record.kind !== "scalars");
    const logged = loaded([...steps, ...Array.from({ length: 20 }, (_, i) => late(i, { loss: 1, accuracy: i / 20 })), late(19, { test_accuracy: 0.75 })]);
    expect(logged.evaluations()).toEqual([{ step: 19, epoch: 0, scalars: { test_accuracy: 0.75 } }]);
    expect(logged.scalars("accuracy").values.length).toBe(20);
  });

  it("gives the update ratio of a module's parameters in decades", () => {
    expect(run.updateRatio(["block.conv2.weight"], 472)).toBeCloseTo(-2.4, 10);
    expect(run.updateRatio(["fc.weight"], 0)).toBeCloseTo(-3.8, 10);
    // Two tensors together: root of the summed squares, by hand.
    const l2 = (name: string, role: "update" | "parameter") => run.summary(name, 0, role, 8)!.l2!;
    const expected = Math.log10(Math.hypot(l2("fc.weight", "update"), l2("fc.bias", "update")) / Math.hypot(l2("fc.weight", "parameter"), l2("fc.bias", "parameter")));
    expect(run.updateRatio(["fc.weight", "fc.bias"], 8)).toBeCloseTo(expected, 12);
  });

  it("judges health in decades, gradients against their median", () => {
    const graph = run.graphAt(null)!;
    const of = (fqn: string): Health => health(run, graph, graph.calls.find((call) => call.fqn === fqn)!, 8);
    expect(of("fc").activation).toBeCloseTo(Math.log10(run.summary("fc", 0, "activation", 8)!.rms!), 12);
    expect(of("stem.conv").gradient!).toBeLessThan(-1); // made 50 times smaller
    const median = gradientMedian(run, graph, 8)!;
    const levels = graph.calls.map((call) => Math.log10(run.summary(call.fqn, 0, "gradient", 8)!.l2!));
    expect([levels.filter((x) => x < median).length, levels.filter((x) => x > median).length]).toEqual([6, 6]);
    expect(metric(run, graph, "update", graph.calls.find((call) => call.fqn === "block.conv1")!, 472)).toMatchObject({ text: "−1.1", stop: 2 });
    expect(metric(run, graph, "update", graph.calls.find((call) => call.fqn === "pool")!, 472)).toEqual({ value: null, text: "", stop: null });
  });

  it("orders findings by severity and keeps the latest of a rule and place", () => {
    expect(run.findings.map((finding) => finding.severity)).toEqual(["error", "warning", "info"]);
    const again = loaded([{ kind: "finding", rule: "dead-relu", severity: "warning", title: "Dead", message: "m", advice: "", why: "", fqn: "stem.relu", count: 9 }], run);
    expect(again.findings.length).toBe(3);
    expect(again.findings.filter((finding) => finding.rule === "dead-relu")).toMatchObject([{ count: 9, severity: "warning" }]);
  });
});

describe("what arrives more than once or in pieces", () => {
  it("is taken once: after a reload everything is sent again", () => {
    const records = smallRun({ steps: 40 });
    const [once, twice] = [loaded(records), loaded([...records, ...records])];
    for (const key of ["steps", "passes", "notes", "findings"] as const) expect(twice[key].length).toBe(once[key].length);
    expect(twice.capturedSteps()).toEqual(once.capturedSteps());
    expect(twice.scalars("loss")).toEqual(once.scalars("loss"));
    expect(twice.layers("drop", 0).length).toBe(once.layers("drop", 0).length);
  });

  it("gives way to another run", () => {
    const run = loaded(smallRun({ steps: 40 }));
    const version = run.version;
    loaded([{ kind: "run_header", run_id: "beef0002", name: "SmallCnn-2", model: "SmallCnn", created: "" }], run);
    expect([run.header!.name, run.steps.length, run.graphs.size, run.capturedSteps().length]).toEqual(["SmallCnn-2", 0, 0, 0]);
    expect(run.version).toBeGreaterThan(version);
  });

  it("shows the last pass of a step, and a tensor that only an earlier pass measured", () => {
    const row = (address: number, mean: number) => ({ address, role: 0, shape: [4], mean, std: 1 });
    const run = loaded([
      { kind: "addresses", start: 0, fqn: ["a", "b"], call: [0, 0], output: [0, 0] },
      stepStats(5, [row(0, 2)], 1), stepStats(5, [row(0, 1), row(1, 7)], 0),
    ]);
    expect([run.stat("a", 0, "activation", 5, "mean"), run.stat("b", 0, "activation", 5, "mean")]).toEqual([2, 7]);
  });

  it("merges a Select's answer with what is loaded", () => {
    const run = loaded([
      { kind: "addresses", start: 3, fqn: ["a"], call: [0], output: [0] }, stepStats(20, [{ address: 3, role: 0, shape: [4], mean: 5, std: 1 }]),
      { kind: "series", request: 1, address: 3, role: 0, step: [0, 10, 20], mean: [1, Number.NaN, 5], std: [1, 1, 1], absmax: [1, 1, 1], l2: [1, 1, 1], zero_share: [0, 0, 0] },
    ]);
    expect(run.series("a", 0, "mean", "activation")).toEqual({ steps: [0, 10, 20], values: [1, null, 5] });
  });

  it("lets every second old step go when it may keep few, and still knows that they were captured", () => {
    const run = loaded(smallRun({ steps: 200, every: 4 }), new Run(20));
    expect(run.loadedList().length).toBeLessThanOrEqual(20);
    expect(run.capturedSteps().length).toBe(51);
    expect(run.loaded(199)).toBe(true);
    expect(run.capturedAt(100)).toBe(100);
  });

  it("counts columns that do not fit together and goes on", () => {
    const run = new Run();
    const broken = { ...graphRecord(), op_inputs: [9999] };
    for (const record of decodeFrames(frames([broken, { ...stepStats(1, [{ address: 0, role: 0, shape: [2], mean: 0, std: 1 }]), sizes: [2, 2] }])).records) run.add(record);
    expect([run.damaged, run.graphs.size, run.capturedSteps().length]).toEqual([2, 0, 0]);
  });
});

describe("scales", () => {
  it("has seven stops, healthy in the middle", () => {
    expect([-5, -4.2, -3.5, -2, -1.5, -1.2, -0.5].map((x) => stopOf(x, SCALES.update.bounds))).toEqual([-3, -2, -1, 0, 1, 2, 3]);
    expect([0, 0.5, 0.95, 0.995, 1].map((x) => stopOf(x, SCALES.zeros.bounds))).toEqual([0, 0, 1, 2, 3]);
    expect(stopOf(Number.NEGATIVE_INFINITY, SCALES.update.bounds)).toBe(-3);
  });

  it("puts a value into the bin that holds it", () => {
    for (const x of [1, -1, 1.5, 2 ** -40, -(2 ** -40), 1000, -0.3]) {
      const exponent = Math.floor(Math.log2(Math.abs(x)));
      const bin = x > 0 ? 64 + exponent + 40 : 63 - (exponent + 40);
      const [low, high] = binBounds(bin);
      expect(low <= x && x <= high).toBe(true);
    }
  });
});

describe("a run of several processes", () => {
  const ranks = (shown: number | null) => ({ kind: "run_ranks", shown, rank: [0, 1], last_step: [19, 7], last_seen: ["", ""], finished: [true, false] });

  it("begins anew where other processes are to be shown, and not where the same are told again", () => {
    const run = loaded([ranks(null), ...smallRun({ steps: 20 })]);
    expect([run.ranks!.shown, run.steps.length]).toEqual([null, 20]);
    loaded([ranks(null)], run);
    expect(run.steps.length).toBe(20);
    loaded([ranks(1)], run);
    expect([run.ranks!.shown, run.steps.length, run.graphs.size, run.findings.length]).toEqual([1, 0, 0, 0]);
    loaded(smallRun({ steps: 8 }), run);
    expect([run.ranks!.rank.length, run.steps.length]).toEqual([2, 8]);
  });
});
