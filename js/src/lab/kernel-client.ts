/**
 * The kernel of the notebook or console in front -> the state of the sidebar.
 *
 * One comm per kernel, opened when the sidebar is first looked at. The list is asked for after each executed cell and
 * comes by itself while sessions run. An answer that stays out for 1.5 s means that the kernel serves only its cell.
 */

import type { ISessionContext } from "@jupyterlab/apputils";
import type { Kernel, KernelMessage } from "@jupyterlab/services";
import type { JSONObject } from "@lumino/coreutils";
import { decodeFrames } from "../run/decode";
import { Run } from "../run/run";
import type { Command, SessionState } from "../schema";
import type { SidebarState } from "../views/sidebar";
import { openComm } from "./comm";
import { modelRows, sessionRows } from "./kernel-list";

const TARGET = "graphscope.sidebar";
const PATIENCE = 1500; // ms
const ALIVE = 30_000; // ms: a page that is silent for minutes counts as closed

export class KernelClient {
  state: SidebarState = emptyState();
  private context: ISessionContext | null = null;
  private comm: Kernel.IComm | null = null;
  private connecting: Kernel.IKernelConnection | null = null;
  private again = false;
  private dirty = false;
  private request = 0;
  private chosen = ""; // the session that a person chose last
  private owed: number | null = null; // performance.now() of the first ping without an answer
  private answered = 0;
  private asked = 0;
  private timer: ReturnType<typeof setInterval>;

  /** `onChange` is called after every change of `state`; `visible` says whether anybody looks. */
  constructor(private readonly onChange: () => void, private readonly visible: () => boolean) {
    this.timer = setInterval(() => this.watch(), 500);
  }

  get kernel(): Kernel.IKernelConnection | null {
    return this.context?.session?.kernel ?? null;
  }

  /** Looks at this notebook or console from now on; null: at none. */
  follow(context: ISessionContext | null): void {
    if (context === this.context) return;
    this.context?.kernelChanged.disconnect(this.onKernel, this);
    this.context?.iopubMessage.disconnect(this.onIOPub, this);
    this.context?.statusChanged.disconnect(this.onStatus, this);
    this.disconnect();
    this.context = context;
    this.state = { ...emptyState(), phase: context ? "connecting" : "none", place: context?.name ?? "" };
    this.onChange();
    if (!context) return;
    context.kernelChanged.connect(this.onKernel, this);
    context.iopubMessage.connect(this.onIOPub, this);
    context.statusChanged.connect(this.onStatus, this);
    void context.ready.then(() => this.refresh());
  }

  /** Asks for the list; connects first where that was not done. Asked for while connecting, it is done afterwards. */
  async refresh(): Promise<void> {
    const kernel = this.kernel;
    if (!kernel || !this.visible()) return;
    if (this.connecting === kernel) {
      this.again = true;
      return;
    }
    this.connecting = kernel;
    try {
      await this.connect(kernel);
      if (kernel !== this.kernel) return; // another notebook came to the front meanwhile
      this.send({ kind: "list" });
      this.asked = performance.now();
      this.owed ??= this.asked;
      this.send({ kind: "ping", request: ++this.request });
    } catch (error) {
      if (kernel === this.kernel) this.change({ phase: "failed", problem: `The kernel cannot be reached: ${error instanceof Error ? error.message : "unknown error"}` });
    } finally {
      if (this.connecting === kernel) {
        this.connecting = null;
        if (this.again) {
          this.again = false;
          void this.refresh();
        }
      }
    }
  }

  /** Chooses a session to glance at, until another is chosen or it has ended and a newer one runs. */
  focus(session: string): void {
    this.chosen = session;
    this.glance(session);
  }

  private glance(session: string): void {
    if (this.state.focus === session) return;
    this.change({ focus: session, run: new Run() });
    this.send({ kind: "open", session, model: "" });
  }

  send(command: Command): void {
    if (!this.comm || this.comm.isDisposed) return;
    this.comm.send({ ...command } as unknown as JSONObject);
  }

  dispose(): void {
    clearInterval(this.timer);
    this.follow(null);
  }

  private async connect(kernel: Kernel.IKernelConnection): Promise<void> {
    if (this.comm && !this.comm.isDisposed) return;
    const info = await kernel.info;
    if (info.language_info.name !== "python") {
      this.change({ phase: "foreign" });
      return;
    }
    this.answered = performance.now();
    this.owed = this.answered; // a busy kernel without subshells does not even open it
    const comm = await openComm(kernel, TARGET, {}, {
      message: (content, buffers) => kernel === this.kernel && this.take(content, buffers),
      close: () => {
        if (this.comm !== comm) return;
        this.comm = null;
        this.owed = null;
        // Before the first list: the kernel does not know the target. Later: it counted this page as gone.
        if (this.state.phase === "connecting") this.change({ phase: "missing" });
      },
    });
    if (kernel === this.kernel) this.comm = comm;
    else comm.close();
  }

  private take(content: unknown, buffers: readonly (ArrayBuffer | ArrayBufferView)[]): void {
    const focus = typeof content === "object" && content !== null ? (content as { focus?: unknown }).focus : undefined;
    for (const buffer of buffers) {
      const bytes = ArrayBuffer.isView(buffer) ? new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength) : new Uint8Array(buffer);
      for (const record of decodeFrames(bytes).records) {
        // Only a pong proves that commands are served: lists also come from a kernel that listens to its cell alone.
        if (record.kind === "pong") {
          this.answered = performance.now();
          this.owed = null;
        }
        if (record.kind === "kernel_list") this.listed(modelRows(record), sessionRows(record));
        else if (focus === undefined && record.kind === "command_error") this.state = { ...this.state, problem: record.text };
        // What is still on its way for the session that was chosen before is not for this one.
        else if (focus === this.state.focus) this.state.run.add(record);
      }
    }
    this.change({});
  }

  private listed(models: SidebarState["models"], sessions: SidebarState["sessions"]): void {
    const known = new Set(this.state.sessions.map((row) => row.status.session));
    const focused = sessions.find((row) => row.status.session === this.state.focus);
    this.state = { ...this.state, phase: "ready", problem: "", models, sessions, ...(focused ? {} : { focus: "", run: new Run() }) };
    const newest = sessions[0]?.status; // newest first
    if (!newest) return;
    // One that just began is what the person looks at, unless they chose another that still runs.
    const held = focused !== undefined && this.chosen === this.state.focus && runs(focused.status.state);
    const began = !known.has(newest.session) && runs(newest.state);
    if (!focused || (began && !held)) this.glance(newest.session);
  }

  /** Whether the kernel owes an answer for long, and whether it should hear from this page. */
  private watch(): void {
    const now = performance.now();
    const owes = this.owed !== null && now - this.owed > PATIENCE;
    const silent = owes ? (now - this.answered) / 1000 : null;
    if (silent !== this.state.silent) this.change({ silent });
    if (this.comm && !owes && now - this.asked > ALIVE) void this.refresh();
  }

  private disconnect(): void {
    const comm = this.comm;
    this.comm = null;
    this.owed = null;
    if (comm && !comm.isDisposed) comm.close();
  }

  private change(part: Partial<SidebarState>): void {
    this.state = { ...this.state, ...part };
    this.onChange();
  }

  private onKernel(): void {
    this.comm = null;
    this.owed = null;
    this.state = { ...emptyState(), phase: "connecting", place: this.context?.name ?? "" };
    this.onChange();
    void this.refresh();
  }

  private onStatus(_: ISessionContext, status: Kernel.Status): void {
    if (status === "restarting" || status === "autorestarting") {
      this.comm = null;
      this.owed = null;
      this.change({ ...emptyState(), phase: "connecting", place: this.state.place });
      this.dirty = true;
    }
  }

  private onIOPub(_: ISessionContext, message: KernelMessage.IMessage): void {
    if (message.header.msg_type === "execute_input") this.dirty = true;
    const idle = message.header.msg_type === "status" && (message.content as { execution_state?: string }).execution_state === "idle";
    if (idle && this.dirty) {
      this.dirty = false;
      void this.refresh();
    }
  }
}

const runs = (state: SessionState) => state === "live" || state === "paused";

function emptyState(): SidebarState {
  return { phase: "none", place: "", sessions: [], models: [], focus: "", run: new Run(), silent: null, problem: "" };
}
