import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type Decoded, decodeFrames } from "../../src/run/decode";
import { Run } from "../../src/run/run";
import { frames } from "../encode";
import type { BatchNormStats, DropoutStats, Role, StatName } from "../../src/schema";

/** Written by Python, which also says what is in it. */
const golden = (name: string) => readFileSync(new URL(`../../../tests/golden/${name}`, import.meta.url));
const wanted = JSON.parse(golden("small_cnn.json").toString()) as Record<string, never> & { [key: string]: never };

function read(name: string): { run: Run; decoded: Decoded } {
  const decoded = decodeFrames(new Uint8Array(golden(name)));
  const run = new Run();
  for (const record of decoded.records) run.add(record);
  return { run, decoded };
}

interface Wanted {
  header: Record<string, unknown>; records: number; steps: number[]; captured_steps: number[];
  scalars: Record<string, { steps: number[]; values: (number | null)[] }>;
  series: { fqn: string; stat: StatName; role: Role; steps: number[]; values: (number | null)[] }[];
  summary: Record<string, never> & { fqn: string; role: Role; step: number; histogram: number[]; zero_share: number; pos_inf: number; neg_inf: number };
  unmeasured: { fqn: string; role: Role; step: number; text: string }; estimate: { fqn: string; role: Role; step: number };
  batchnorm: Record<string, number[] | null | number | string>; dropout: Record<string, unknown>;
  graph: { graph_id: string; modules: { fqn: string; type: string; parameters: number }[]; parameter_count: number; ops: string[]; edges: [number, number][]; op_shapes: number[][]; op_fqns: string[]; inplace: number[]; views: number[]; source_of_conv: [string, number] };
  findings: { rule: string; severity: string; fqn: string; count: number }[]; notes: string[]; passes: number;
}

describe("a run file that Python wrote", () => {
  const want = wanted as unknown as Wanted;
  const { run, decoded } = read("small_cnn.gscope");

  it("holds every record", () => {
    expect([decoded.records.length, decoded.damaged, decoded.unknown, run.damaged]).toEqual([want.records, 0, 0, 0]);
    expect(run.header).toMatchObject(want.header);
    expect(run.end).not.toBeNull();
    expect([run.steps.map((step) => step.step), run.capturedSteps(), run.passes.length]).toEqual([want.steps, want.captured_steps, want.passes]);
    expect(run.notes.map((note) => note.text)).toEqual(want.notes);
    expect(run.findings.map(({ rule, severity, fqn, count }) => ({ rule, severity, fqn, count }))).toEqual(want.findings);
  });

  it("has the same scalars, series and summaries", () => {
    for (const [name, series] of Object.entries(want.scalars)) expect(run.scalars(name)).toEqual(series);
    for (const { fqn, stat, role, steps, values } of want.series) expect(run.series(fqn, 0, stat, role)).toEqual({ steps, values });
    const { fqn, role, step, histogram, zero_share, pos_inf, neg_inf, ...rest } = want.summary;
    const summary = run.summary(fqn, 0, role, step)!;
    expect(summary).toMatchObject({ ...(rest as object), step, zeroShare: zero_share, posInf: pos_inf, negInf: neg_inf });
    expect([...summary.histogram!]).toEqual(histogram);
    expect(run.summary(want.unmeasured.fqn, 0, want.unmeasured.role, want.unmeasured.step)).toMatchObject({ unmeasured: want.unmeasured.text, mean: null, l2: null });
    expect(run.summary(want.estimate.fqn, 0, want.estimate.role, want.estimate.step)!.estimate).toBe(true);
  });

  it("has the same layer statistics", () => {
    const bn = run.layer("bn1", 0, 4) as BatchNormStats;
    for (const [name, value] of Object.entries(want.batchnorm)) {
      const found = bn[name as "batch_mean"] as unknown;
      expect(found instanceof Float64Array ? [...found] : found).toEqual(value);
    }
    expect(run.layer("drop", 0, 4) as DropoutStats).toMatchObject(want.dropout);
  });

  it("has the same graph", () => {
    const graph = run.graphAt(null)!;
    const makers = new Map(graph.ops.flatMap((op) => op.outputs.map((value) => [value, op.id] as const)));
    const edges = graph.ops.flatMap((op) => op.inputs.filter((value) => makers.has(value) && makers.get(value) !== op.id).map((value) => [makers.get(value)!, op.id]));
    expect({
      graph_id: graph.id, modules: graph.modules.map(({ fqn, type, params }) => ({ fqn, type, parameters: params.length })), parameter_count: graph.modules[0]!.parameterCount,
      ops: graph.ops.map((op) => op.op), edges, op_shapes: graph.ops.map((op) => graph.values[op.outputs[0]!]!.shape), op_fqns: graph.ops.map((op) => graph.calls[op.scope]!.fqn),
      inplace: graph.ops.filter((op) => op.inplace).map((op) => op.id), views: graph.ops.filter((op) => op.view).map((op) => op.id),
      source_of_conv: [graph.ops[0]!.file, graph.ops[0]!.line],
    }).toEqual(want.graph);
  });
});

describe("statistics in their two forms", () => {
  it("are the same, packed or as version 1.0 wrote them", () => {
    const want = wanted as unknown as Wanted;
    const { run, decoded } = read("plain_stats.gscope");
    expect([decoded.records.length, decoded.damaged, decoded.unknown]).toEqual([want.records, 0, 0]);
    const packed = read("small_cnn.gscope").run;
    for (const { fqn, role } of want.series) for (const step of run.capturedSteps()) expect(run.summary(fqn, 0, role, step)).toEqual(packed.summary(fqn, 0, role, step));
  });

  it("hold numbers beyond 16 bits, beyond float32 and of every kind", () => {
    const { run, decoded } = read("large_counts.gscope");
    expect([decoded.damaged, decoded.unknown]).toEqual([0, 0]);
    const b = run.summary("b", 0, "gradient", 7)!;
    expect(b).toMatchObject({ shape: [70_000, 60_000, 1], count: 2 ** 32 - 1, zeros: 2 ** 32 - 1, nan: 1, posInf: 2 ** 31, negInf: 3, mean: 1 / 3, min: -0.1, max: 0.3, absmax: 0.5, estimate: true, histogram: null });
    const a = run.summary("a", 0, "activation", 7)!;
    expect(a).toMatchObject({ shape: [], count: 1, max: 1e300, absmax: 1e300, l2: Infinity, dtype: "float64" });
    expect([...a.histogram!.entries()].filter(([, count]) => count)).toEqual([[0, 65_535], [1, 65_536], [63, 1], [64, 2 ** 31 + 5], [127, 2 ** 32 - 1]]);
  });

  it("that do not fit are refused, not read wrongly", () => {
    const [address, pair] = [[0, 1], [0, 0]];
    const good = { step: 1, pass_index: 0, address, codes: new Array(8).fill(0), whole: [1, 1, 0, 0], nonfinite: null, exact: new Array(6).fill(0.5), ends: [0, 0, 1, 1], wide_ends: null, absmax: null, histogram_row: [1], used: [128, ...new Array(15).fill(0)], bins: [7], over_at: [], over: [], dtypes: ["float32"], unmeasured: {} };
    const damaged = (change: object) => decodeFrames(frames([{ kind: "packed_stats", ...good, ...change }])).damaged;
    expect(damaged({})).toBe(0);
    const changes = [{ codes: pair }, { whole: [1] }, { nonfinite: pair }, { exact: pair }, { ends: pair }, { ends: null }, { wide_ends: [0, 0, 1, 1] }, { absmax: [1] }, { used: [128] }, { bins: [] }, { bins: [1, 2] }, { over_at: [0] }, { over_at: [1], over: [1] }, { histogram_row: [0, 1, 1] }];
    for (const change of changes) expect([change, damaged(change)]).toEqual([change, 1]);
  });
});

describe("run files that are not as they should be", () => {
  it("shows every good record of a file that was cut off or damaged, and counts the rest", () => {
    const whole = read("small_cnn.gscope").decoded.records.length;
    const killed = read("killed.gscope");
    expect([killed.run.end, killed.decoded.damaged]).toEqual([null, 1]);
    expect(killed.run.capturedSteps()).toEqual([0, 1, 2, 4]);
    const damaged = read("damaged.gscope");
    expect([damaged.decoded.records.length, damaged.decoded.damaged]).toEqual([whole - 1, 2]);
    expect(damaged.run.loaded(2)).toBe(false);
  });

  it("skips and counts what a newer version wrote, and refuses another major version with words", () => {
    const newer = read("newer.gscope");
    expect(newer.decoded).toMatchObject({ unknown: 1, damaged: 0 });
    const other = read("other_major.gscope").run;
    expect([other.header, other.notes[0]?.severity]).toEqual([null, "error"]);
    expect(other.notes[0]!.text).toMatch(/version/);
  });

  it("keeps odd texts and numbers as they are", () => {
    const { run, decoded } = read("odd_values.gscope");
    expect(decoded.damaged).toBe(0);
    expect(run.notes.map((note) => note.text)).toContain("__proto__");
    const scalars = run.steps[0]!.scalars;
    expect([scalars["nan"], scalars["inf"], scalars["-inf"], scalars["denormal"]]).toEqual([Number.NaN, Infinity, -Infinity, 5e-324]);
    expect(({} as Record<string, unknown>)["step"]).toBeUndefined();
  });
});
