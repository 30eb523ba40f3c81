import { describe, expect, it } from "vitest";
import type { SceneNode } from "../../src/layout/scene";
import { leafOf, nodesOf } from "../../src/run/autograd";
import { decodeFrames } from "../../src/run/decode";
import { gradientMedian, health, opMetric } from "../../src/run/queries";
import { Run } from "../../src/run/run";
import { NOT_MEASURED } from "../../src/schema";
import { looksOf } from "../../src/views/looks";
import { frames } from "../encode";
import { type GradientRow, graphWithBackward, opGradients } from "../op-gradients";
import { type FixtureRecord, graphRecord, smallRun } from "../small-run";

const ADD = 7;

function loaded(records: FixtureRecord[], run = new Run()): Run {
  for (const record of decodeFrames(frames(records)).records) run.add(record);
  return run;
}
const node = (more: Partial<SceneNode>): SceneNode => ({
  id: "n", kind: "op", x: 0, y: 0, w: 1, h: 1, depth: 1, expanded: false, expandable: false, label: "", detail: "", call: null, op: null, ...more,
});
const withGradients = (rows: GradientRow[], ...more: FixtureRecord[]) => loaded([...smallRun({ steps: 20 }), opGradients(8, rows), ...more]);

describe("gradients of ops", () => {
  it("are told by op, output and step; what is not known is null", () => {
    const run = withGradients([{ node: ADD, l2: 4, zeros: 25, nan: 2, inf: 1 }, { node: 9, l2: Number.NaN, mean: Number.NaN }, { node: 3, l2: 1, flags: NOT_MEASURED }]);
    const graph = run.graphAt(null)!;
    expect(run.opGradients.of(graph.id, ADD, 8)).toEqual([{
      step: 8, output: 0, count: 100, mean: 0.25, std: 0.5, min: -1, max: 2, absmax: 2, l2: 4, zeros: 25, nan: 2, posInf: 1, negInf: 0, zeroShare: 0.25, estimate: false, unmeasured: false,
    }]);
    expect(run.opGradients.of(graph.id, 9, 8)).toMatchObject([{ l2: null, mean: null }]);
    expect(run.opGradients.of(graph.id, 3, 8)).toMatchObject([{ l2: null, unmeasured: true, zeroShare: null }]);
    expect([run.opGradients.of(graph.id, 0, 8), run.opGradients.of("another", ADD, 8), run.opGradients.norm(graph.id, 0, 8)]).toEqual([[], [], null]);
    expect([run.opGradients.at(graph.id, 16), run.opGradients.at(graph.id, 0), run.opGradients.at("another", 8)]).toEqual([8, 8, null]);
  });

  it("are those of the last pass of a step, whatever comes last, and only of the newest steps in full", () => {
    const run = withGradients([{ node: ADD, l2: 1 }], opGradients(8, [{ node: ADD, l2: 2 }], 1), opGradients(8, [{ node: ADD, l2: 3 }], 0));
    expect(run.opGradients.norm("00000000c0ffee00", ADD, 8)).toBe(2);
    const few = loaded(Array.from({ length: 50 }, (_, step) => opGradients(step, [{ node: 0, l2: step }])), new Run(10));
    const kept = Array.from({ length: 50 }, (_, step) => step).filter((step) => few.opGradients.measured("00000000c0ffee00", step));
    expect(kept.length).toBeLessThanOrEqual(10);
    expect(kept.at(-1)).toBe(49);
  });

  it("counts columns that do not fit together as damage", () => {
    const run = loaded([{ ...opGradients(1, [{ node: 0, l2: 1 }]), mean: [] }]);
    expect([run.damaged, run.opGradients.measured("00000000c0ffee00", 1)]).toEqual([1, false]);
  });

  it("colour an op in decades from the median of the modules, and a module whose own gradient is not known", () => {
    const run = withGradients([]);
    const graph = run.graphAt(null)!;
    const median = gradientMedian(run, graph, 8)!;
    loaded([opGradients(8, [{ node: ADD, l2: 10 ** (median + 2.5) }])], run);
    expect(gradientMedian(run, graph, 8)).toBeCloseTo(median, 12);
    const metric = opMetric(run, graph, "gradient", graph.ops[ADD]!, 8);
    expect(metric.value).toBeCloseTo(2.5, 10);
    expect([metric.stop, metric.text]).toEqual([2, "2.5"]);
    expect(opMetric(run, graph, "update", graph.ops[ADD]!, 8)).toEqual({ value: null, text: "", stop: null });
    const { looks } = looksOf(run, graph, 8, "gradient");
    expect(looks.node(node({ op: ADD }))).toMatchObject({ fill: 2, value: "2.5" });
    expect(looks.node(node({ id: "flatten", op: 9 }))).toMatchObject({ fill: null, gradient: null });

    // Without a statistic of any module: fc has that of its linear, 100 times that of dropout, the median lies between.
    const bare = loaded([graphRecord(), opGradients(8, [{ node: 11, l2: 1 }, { node: 10, l2: 0.01 }])]);
    const [plain, of] = [bare.graphAt(null)!, (fqn: string) => health(bare, bare.graphAt(null)!, bare.graphAt(null)!.calls.find((call) => call.fqn === fqn)!, 8).gradient];
    expect(plain.calls.filter((call) => health(bare, plain, call, 8).gradient !== null).map((call) => call.fqn)).toEqual(["", "drop", "fc"]);
    expect([of("fc"), of("drop")]).toEqual([0, -2]); // the model's own output is that of fc, so two of three levels are 0
  });
});

describe("a backward that raised", () => {
  const failed = (step: number): FixtureRecord => ({
    kind: "pass", step, pass_index: 0, graph_id: "00000000c0ffee00", training: true, grad_enabled: true, backward_error: "AddBackward0 raised: the backward of add in block", backward_node: ADD,
  });

  it("is known at its step, and at the end of a run that it ended", () => {
    const run = loaded([...smallRun({ steps: 20 }), failed(20)]);
    expect([run.backwardFailure(19)?.step, run.backwardFailure(null)?.step, run.backwardFailure(16)]).toEqual([20, 20, null]);
    const earlier = loaded([...smallRun({ steps: 20 }), failed(8)]);
    expect([earlier.backwardFailure(8)?.step, earlier.backwardFailure(19)]).toEqual([8, null]);
    expect(loaded(smallRun({ steps: 20 })).backwardFailure(19)).toBeNull();
    expect(loaded([graphRecord(), failed(0)]).backwardFailure(null)?.backward_node).toBe(ADD);
  });

  it("marks the op, or what hides it, and says so", () => {
    const run = loaded([...smallRun({ steps: 20 }), failed(20)]);
    const graph = run.graphAt(null)!;
    const { looks, describe: words } = looksOf(run, graph, 19, "update", run.backwardFailure(19));
    const block = graph.calls.find((call) => call.fqn === "block")!.id;
    const conv = graph.calls.find((call) => call.fqn === "block.conv1")!.id;
    const badge = (more: Partial<SceneNode>) => looks.node(node(more)).badge?.text;
    expect(badge({ op: ADD })).toBe("backward raised");
    expect(badge({ id: "block", kind: "module", call: block })).toBe("backward raised");
    expect([badge({ id: "b", call: block, expanded: true }), badge({ id: "c", call: conv }), badge({ id: "d", op: 9 })]).not.toContain("backward raised");
    expect(words({ kind: "node", node: node({ op: ADD }), cell: null })[0]).toBe("error: AddBackward0 raised: the backward of add in block");
    expect(looksOf(run, graph, 19, "update").looks.node(node({ op: ADD })).badge).toBeNull();
  });
});

describe("the backward graph", () => {
  it("knows the nodes of an op, where they lead, and the leaf of a parameter", () => {
    const { autograd } = loaded([graphWithBackward()]).graphAt(null)!;
    expect(nodesOf(autograd!, 11).map((found) => [found.name, found.next])).toEqual([["AddmmBackward0", [2, 3, 4]], ["TBackward0", [5]]]);
    expect(leafOf(autograd!, "fc.weight")).toMatchObject({ id: 5, name: "AccumulateGrad", op: null });
    expect(leafOf(autograd!, "stem.conv.weight")).toBeNull();
    expect([autograd!.cut, autograd!.nodes[3]!.next]).toEqual([false, [null]]);
  });

  it("stays when the graph is told again without it, and is taken when it comes later", () => {
    expect(loaded([graphWithBackward(), graphRecord()]).graphAt(null)!.autograd).not.toBeNull();
    expect(loaded([graphRecord()]).graphAt(null)!.autograd).toBeNull();
    expect(loaded([graphRecord(), graphWithBackward()]).graphAt(null)!.autograd!.nodes.length).toBe(6);
  });

  it.each([["a column missing", { backward_next: null }], ["an op outside", { backward_op: [0, 0, 0, 0, 0, 99] }], ["a node outside", { backward_next: [1, -1, 2, 3, 4, 99, 5] }], ["rows", { backward_next_ptr: [0, 2] }]])(
    "refuses %s", (_, broken) => {
      const run = loaded([{ ...graphWithBackward(), ...broken }]);
      expect([run.damaged, run.graphs.size]).toEqual([1, 0]);
    });
});
