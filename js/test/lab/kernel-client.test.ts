// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { frames } from "../encode";

const opened: FakeComm[] = [];
interface On { message: (content: unknown, buffers: Uint8Array[]) => void; close: () => void }

class FakeComm {
  isDisposed = false;
  sent: { kind: string; [field: string]: unknown }[] = [];
  constructor(readonly target: string, readonly on: On) {}
  send(content: { kind: string }): void {
    this.sent.push(content);
  }
  close(): void {
    this.isDisposed = true;
  }
  says(records: { kind: string }[], focus?: string): void {
    this.on.message(focus === undefined ? { type: "frames" } : { type: "frames", focus }, [frames(records)]);
  }
}

let gate: Promise<void> = Promise.resolve();
vi.mock("../../src/lab/comm", () => ({
  openComm: async (_kernel: unknown, target: string, _data: unknown, on: On) => {
    await gate;
    const comm = new FakeComm(target, on);
    opened.push(comm);
    return comm;
  },
}));
const { KernelClient } = await import("../../src/lab/kernel-client");

class Signal {
  slots: { slot: (...args: unknown[]) => void; self: unknown }[] = [];
  connect(slot: (...args: never[]) => void, self: unknown): void {
    this.slots.push({ slot: slot as (...args: unknown[]) => void, self });
  }
  disconnect(slot: (...args: never[]) => void): void {
    this.slots = this.slots.filter((each) => each.slot !== (slot as unknown));
  }
  emit(args: unknown): void {
    for (const { slot, self } of this.slots) slot.call(self, this, args);
  }
}

function notebook(language = "python") {
  const kernel = { info: Promise.resolve({ language_info: { name: language } }) };
  return { name: "train.ipynb", ready: Promise.resolve(), session: { kernel }, kernelChanged: new Signal(), iopubMessage: new Signal(), statusChanged: new Signal() };
}

const status = (session: string, step: number) => ({
  session, name: session.toUpperCase(), model: "M", state: "live", step, captured_steps: 1, steps_per_second: 1, overhead: 0.01, loss: 1, epoch: null,
  errors: 0, warnings: 0, infos: 0, run_dir: "", message: "", losses: [1, 2],
});
const list = (...sessions: object[]) => ({ kind: "kernel_list", models: [{ name: "model", type: "M", parameters: 3, training: true, session: "" }], sessions });
const step = (n: number) => ({ kind: "step", step: n, captured: false, passes: 1, seconds: 0, step_seconds: null, self_seconds: 0, scalars: { loss: 1 } });

type Context = Parameters<InstanceType<typeof KernelClient>["follow"]>[0];
let client: InstanceType<typeof KernelClient>;
let visible: boolean;
const follow = async (context: ReturnType<typeof notebook> | null) => {
  client.follow(context as unknown as Context);
  await vi.advanceTimersByTimeAsync(0);
};

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "setTimeout", "clearTimeout", "performance"] });
  opened.length = 0;
  gate = Promise.resolve();
  visible = true;
  client = new KernelClient(() => undefined, () => visible);
});
afterEach(() => {
  client.dispose();
  vi.useRealTimers();
});

describe("the sidebar's kernel client", () => {
  it("connects once, asks, and shows the list", async () => {
    await follow(notebook());
    expect(client.state.phase).toBe("connecting");
    expect(opened.map((comm) => comm.target)).toEqual(["graphscope.sidebar"]);
    expect(opened[0]!.sent.map((content) => content.kind)).toEqual(["list", "ping"]);
    opened[0]!.says([list()]);
    expect(client.state).toMatchObject({ phase: "ready", place: "train.ipynb", models: [{ name: "model", parameters: 3 }], sessions: [] });
    await client.refresh();
    expect(opened.length).toBe(1);
  });

  it("does not touch a kernel while nobody looks", async () => {
    visible = false;
    await follow(notebook());
    expect(opened.length).toBe(0);
    visible = true;
    await client.refresh();
    expect(opened.length).toBe(1);
  });

  it("remembers a refresh that was asked for while connecting", async () => {
    let open = () => undefined as void;
    gate = new Promise((resolve) => (open = resolve));
    await follow(notebook());
    void client.refresh();
    void client.refresh();
    open();
    await vi.advanceTimersByTimeAsync(0);
    expect(opened.length).toBe(1);
    expect(opened[0]!.sent.filter((content) => content.kind === "list").length).toBe(2);
  });

  it("asks again after a cell was run", async () => {
    const context = notebook();
    await follow(context);
    context.iopubMessage.emit({ header: { msg_type: "status" }, content: { execution_state: "idle" } });
    await vi.advanceTimersByTimeAsync(0);
    expect(opened[0]!.sent.length).toBe(2);
    context.iopubMessage.emit({ header: { msg_type: "execute_input" }, content: {} });
    context.iopubMessage.emit({ header: { msg_type: "status" }, content: { execution_state: "idle" } });
    await vi.advanceTimersByTimeAsync(0);
    expect(opened[0]!.sent.length).toBe(4);
  });

  it("goes on to a session that just began, unless one was chosen that still runs", async () => {
    await follow(notebook());
    const comm = opened[0]!;
    comm.says([list(status("a", 1))]);
    comm.says([list(status("b", 0), status("a", 2))]);
    expect(client.state.focus).toBe("b");
    client.focus("a");
    comm.says([list(status("c", 0), status("b", 1), status("a", 2))]);
    expect(client.state.focus, "chosen by hand").toBe("a");
    comm.says([list(status("c", 1), status("b", 1), { ...status("a", 2), state: "closed" })]);
    expect(client.state.focus, "what ended stays to be looked at").toBe("a");
    comm.says([list(status("d", 0), status("c", 1), { ...status("a", 2), state: "closed" })]);
    expect(client.state.focus).toBe("d");
    expect(comm.sent.filter((sent) => sent.kind === "open").map((sent) => sent["session"])).toEqual(["a", "b", "a", "d"]);
  });

  it("chooses the newest session by itself and takes only what is meant for it", async () => {
    await follow(notebook());
    opened[0]!.says([list(status("b", 5), status("a", 9))]);
    expect(client.state.focus).toBe("b");
    expect(opened[0]!.sent.at(-1)).toEqual({ kind: "open", session: "b", model: "" });
    opened[0]!.says([step(1)], "b");
    client.focus("a");
    expect(client.state.run.steps.length).toBe(0);
    opened[0]!.says([step(2)], "b"); // was on its way
    opened[0]!.says([step(3)], "a");
    expect(client.state.run.steps.map((each) => each.step)).toEqual([3]);
    opened[0]!.says([list(status("b", 6))]);
    expect(client.state.focus).toBe("b");
  });

  it("says that the kernel is silent until it answers a ping; lists alone prove nothing", async () => {
    await follow(notebook());
    opened[0]!.says([list()]);
    await vi.advanceTimersByTimeAsync(2000);
    expect(client.state.silent).toBeGreaterThan(1.4);
    opened[0]!.says([list(status("a", 1))]);
    await vi.advanceTimersByTimeAsync(500);
    expect(client.state.silent).not.toBeNull();
    opened[0]!.says([{ kind: "pong", request: 1 } as { kind: string }]);
    await vi.advanceTimersByTimeAsync(500);
    expect(client.state.silent).toBeNull();
  });

  it("knows a kernel without graphscope by the comm it closes at once", async () => {
    await follow(notebook());
    opened[0]!.on.close();
    expect(client.state.phase).toBe("missing");
    await client.refresh(); // after an installation
    opened[1]!.says([list()]);
    expect(client.state.phase).toBe("ready");
  });

  it("leaves kernels of other languages alone", async () => {
    await follow(notebook("R"));
    expect(client.state.phase).toBe("foreign");
    expect(opened.length).toBe(0);
  });

  it("forgets everything when the kernel restarts, and asks the new one", async () => {
    const context = notebook();
    await follow(context);
    opened[0]!.says([list(status("a", 1))]);
    context.statusChanged.emit("restarting");
    expect(client.state).toMatchObject({ phase: "connecting", sessions: [], focus: "" });
    context.kernelChanged.emit({});
    await vi.advanceTimersByTimeAsync(0);
    expect(opened.length).toBe(2);
  });

  it("lets go of one notebook when another comes to the front", async () => {
    const first = notebook();
    await follow(first);
    await follow(notebook());
    expect(opened[0]!.isDisposed).toBe(true);
    expect(first.iopubMessage.slots.length + first.kernelChanged.slots.length + first.statusChanged.slots.length).toBe(0);
    opened[0]!.says([list(status("old", 1))]);
    expect(client.state.sessions).toEqual([]);
    await follow(null);
    expect(client.state.phase).toBe("none");
  });

  it("survives a list of another shape", async () => {
    await follow(notebook());
    opened[0]!.says([{ kind: "kernel_list", models: [{ name: 3 }, { name: "ok", parameters: "many" }], sessions: [{ session: "a", step: "x", state: "new" }, {}] } as { kind: string }]);
    expect(client.state.models).toEqual([{ name: "ok", type: "", parameters: null, training: null, session: "" }]);
    expect(client.state.sessions.map((row) => [row.status.step, row.status.state])).toEqual([[null, "off"]]);
  });
});
