import { describe, expect, it } from "vitest";
import { decodeFrames, decodeRecord } from "../../src/run/decode";
import type { BatchNormStats, Finding, StepRecord } from "../../src/schema";
import { blob, frame, frames, join } from "../encode";

const step = { kind: "step", step: 3, captured: true, passes: 1, seconds: 1.5, step_seconds: 0.1, self_seconds: 0.001, scalars: { loss: 0.5 } };
const bn = {
  kind: "batchnorm_stats", step: 3, fqn: "bn", call: 0, training: true, momentum: 0.1, eps: 1e-5, count: 64, batches_tracked: 4,
  batch_mean: [1, Number.NaN], batch_var: [2, 3], running_mean: [0.5, 0.25], running_var: [1, 1], weight: null, bias: null,
};

describe("decodeFrames", () => {
  it("reads JSON fields, arrays and defaults of fields that an older writer did not have", () => {
    const { records, damaged, unknown } = decodeFrames(frames([step, bn]));
    expect([damaged, unknown]).toEqual([0, 0]);
    const [first, second] = records as [StepRecord, BatchNormStats];
    expect(first).toMatchObject({ kind: "step", step: 3, scalars: { loss: 0.5 }, stale_gradients: null, epoch: null });
    expect(second.batch_mean).toEqual(Float64Array.of(1, Number.NaN));
    expect(second.weight).toBeNull();
  });

  it("revives numbers that strict JSON cannot write, at any depth", () => {
    const { records } = decodeFrames(frames([{ ...step, scalars: { loss: Number.NaN, high: Number.POSITIVE_INFINITY, low: Number.NEGATIVE_INFINITY } }]));
    expect((records[0] as StepRecord).scalars).toEqual({ loss: Number.NaN, high: Number.POSITIVE_INFINITY, low: Number.NEGATIVE_INFINITY });
  });

  it("reads 64-bit integers as numbers, exactly up to 2**53", () => {
    const series = { request: 1, address: 2, role: 0, step: [0, 2 ** 53], mean: [1, 2], std: [0, 0], absmax: [1, 2], l2: [1, 2], zero_share: [0, 0] };
    const [record] = decodeFrames(frames([{ kind: "series", ...series }])).records;
    expect((record as { step?: Float64Array }).step).toEqual(Float64Array.of(0, 2 ** 53));
  });

  it("keeps the good records around damaged and unknown ones, and counts those", () => {
    const good = frames([step]);
    const bad = frame(new TextEncoder().encode("no safetensors blob"));
    const foreign = frame(blobOf("future_kind", "{}"));
    const { records, damaged, unknown } = decodeFrames(join([good, bad, foreign, good]));
    expect([records.length, damaged, unknown]).toEqual([2, 1, 1]);
  });

  it("takes over no field whose type does not fit", () => {
    const finding = {
      kind: "finding", rule: "nonfinite", severity: "error", title: "NaN", message: "m", advice: "a", why: "w", fqn: "conv", step: 1,
    };
    expect((decodeFrames(frames([finding])).records[0] as Finding).severity).toBe("error");
    for (const wrong of [{ severity: "fatal" }, { title: { __html: "<img>" } }, { step: "1" }, { title: undefined }]) {
      expect(decodeFrames(frames([{ ...finding, ...wrong }]))).toMatchObject({ records: [], damaged: 1 });
    }
  });

  it("never throws, whatever single byte is wrong, and reads nothing but known kinds", () => {
    const bytes = blob("batchnorm_stats", bn);
    for (let i = 0; i < bytes.length; i++) {
      for (const flip of [1, 128]) {
        const damaged = bytes.slice();
        damaged[i] = damaged[i]! ^ flip;
        const decoded = decodeFrames(frame(damaged));
        expect(decoded.records.length + decoded.damaged + decoded.unknown).toBe(1);
      }
    }
  });

  it("refuses offsets outside the blob, prototypes and deep nesting", () => {
    expect(() => decodeRecord(blobOf("step", '{"__proto__": {"step": 1}}'))).toThrow();
    expect(() => decodeRecord(blobOf("step", "[".repeat(100_000) + "]".repeat(100_000)))).toThrow();
    const arrays = { batch_mean: { dtype: "F64", shape: [9], data_offsets: [0, 2 ** 40] } };
    expect(() => decodeRecord(blobOf("batchnorm_stats", JSON.stringify(bn), arrays))).toThrow(/outside/);
  });
});

function blobOf(kind: string, json: string, arrays: object = {}): Uint8Array {
  const head = new TextEncoder().encode(JSON.stringify({ __metadata__: { kind, json }, ...arrays }));
  const length = new Uint8Array(8);
  new DataView(length.buffer).setUint32(0, head.length, true);
  return join([length, head]);
}
