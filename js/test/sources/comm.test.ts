import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { CommSource, type Channel } from "../../src/sources/comm";
import { embeddedSource } from "../../src/sources/embedded";
import type { Batch, KernelState } from "../../src/sources/source";
import { gzipSync } from "node:zlib";
import { frames } from "../encode";
import { smallRun } from "../small-run";

class FakeKernel implements Channel {
  sent: Record<string, unknown>[] = [];
  deliver: (content: unknown, buffers: Uint8Array[]) => void = () => undefined;
  send(content: Record<string, unknown>): void {
    this.sent.push(content);
  }
  onMessage(callback: (content: unknown, buffers: readonly Uint8Array[]) => void): () => void {
    this.deliver = callback;
    return () => {
      this.deliver = () => undefined;
    };
  }
  pong(): void {
    const last = this.sent.findLast((command) => command["kind"] === "ping");
    this.deliver({ type: "frames" }, [frames([{ kind: "pong", request: last!["request"] }])]);
  }
}

describe("CommSource", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function started() {
    const kernel = new FakeKernel();
    const source = new CommSource(kernel);
    const batches: Batch[] = [];
    const states: KernelState[] = [];
    source.onKernel((state) => states.push(state));
    const end = source.subscribe((batch) => batches.push(batch));
    return { kernel, source, batches, states, end };
  }

  it("says hello, then pings every two seconds as long as it is answered", () => {
    const { kernel, states } = started();
    expect(kernel.sent.map((command) => command["kind"])).toEqual(["hello", "ping"]);
    kernel.pong();
    vi.advanceTimersByTime(2000);
    kernel.pong();
    vi.advanceTimersByTime(2000);
    expect(kernel.sent.filter((command) => command["kind"] === "ping").length).toBe(3);
    expect(states).toEqual([]);
  });

  it("calls a kernel silent after 1.5 s, says its first words three times more and then no more into the queue, and takes a pong for an answer, not a record", () => {
    const { kernel, states } = started();
    vi.advanceTimersByTime(1400);
    expect(states).toEqual([]);
    vi.advanceTimersByTime(200);
    expect(states.map((state) => state.answering)).toEqual([false]);
    vi.advanceTimersByTime(60_000);
    expect(kernel.sent.filter((command) => command["kind"] === "ping").length).toBe(4);
    kernel.deliver({ type: "frames" }, [frames([{ kind: "note", severity: "info", text: "still training" }])]);
    expect(states.length).toBe(1);
    kernel.pong();
    expect(states.map((state) => state.answering)).toEqual([false, true]);
  });

  it("hands on what it can read and counts the rest", () => {
    const { kernel, batches } = started();
    const bytes = frames([{ kind: "note", severity: "info", text: "one" }, { kind: "note", severity: "info", text: "two" }]);
    bytes[bytes.length - 1]! ^= 1;
    kernel.deliver({ type: "frames" }, [bytes]);
    kernel.deliver({ type: "something else" }, [bytes]);
    kernel.deliver("hostile", []);
    expect(batches.map(({ records, damaged }) => [records.length, damaged])).toEqual([[1, 1]]);
  });

  it("leaves nothing behind", () => {
    const { kernel, end, batches } = started();
    end();
    vi.advanceTimersByTime(10_000);
    kernel.deliver({ type: "frames" }, [frames([{ kind: "note", severity: "info", text: "late" }])]);
    expect([kernel.sent.length, batches.length, vi.getTimerCount()]).toEqual([2, 0, 0]);
  });
});

describe("embeddedSource", () => {
  const read = (text: string) => new Promise<Batch>((resolve) => embeddedSource(text).subscribe(resolve));

  it("inflates a report's run, with line breaks in its base64", async () => {
    const records = smallRun({ steps: 30, closed: true });
    const text = gzipSync(frames(records)).toString("base64").replace(/(.{76})/g, "$1\n");
    const batch = await read(text);
    expect([batch.records.length, batch.damaged]).toEqual([records.length, 0]);
  });

  it("shows what is whole of a run that was cut off, and says that something is missing", async () => {
    const text = gzipSync(frames(smallRun({ steps: 200 }))).toString("base64");
    const batch = await read(text.slice(0, (text.length >> 3) * 4));
    expect(batch.records.length).toBeGreaterThan(10);
    expect(batch.damaged).toBeGreaterThan(0);
    expect(await read("no base64 !")).toEqual({ records: [], damaged: 1, unknown: 0 });
  });
});
