/**
 * A comm -> Source. The kernel is asked with Hello for what there is and is pinged while the page is looked at: a kernel
 * that trains in the cell's own thread may serve the page only when the cell ends, and the page then says so.
 */

import { decodeFrames } from "../run/decode";
import type { Command } from "../schema";
import type { Batch, KernelState, Source } from "./source";

/** What an anywidget model and a JupyterLab comm have in common. */
export interface Channel {
  send(content: Record<string, unknown>): void;
  /** Returns what ends it. */
  onMessage(callback: (content: unknown, buffers: readonly (DataView | ArrayBuffer | Uint8Array)[]) => void): () => void;
}

/** The part of an anywidget model that a channel needs. */
export interface MessageModel {
  send(content: unknown): void;
  on(event: "msg:custom", callback: (content: unknown, buffers: DataView[]) => void): void;
  off(event: "msg:custom", callback: (content: unknown, buffers: DataView[]) => void): void;
}

export function channelOf(model: MessageModel): Channel {
  return {
    send: (content) => model.send(content),
    onMessage(callback) {
      const listener = (content: unknown, buffers: DataView[]) => callback(content, buffers ?? []);
      model.on("msg:custom", listener);
      return () => model.off("msg:custom", listener);
    },
  };
}

const PING_EVERY = 2000; // ms
const PATIENCE = 1500; // ms without an answer until the kernel counts as silent
/** How often the first words are said again: said before a busy kernel's subshell was there, they wait for the cell's end. */
const AGAIN = 3;

export class CommSource implements Source {
  readonly live = true;
  private state: KernelState = { answering: true, lastAnswer: null };
  private watchers = new Set<(state: KernelState) => void>();
  private waiting: { request: number; timer: ReturnType<typeof setTimeout> } | null = null;
  private request = 0;
  private again = AGAIN;

  constructor(private readonly channel: Channel) {}

  send = (command: Command): void => {
    this.channel.send({ ...command });
  };

  onKernel(callback: (state: KernelState) => void): () => void {
    this.watchers.add(callback);
    return () => this.watchers.delete(callback);
  }

  subscribe(onBatch: (batch: Batch) => void): () => void {
    const unlisten = this.channel.onMessage((content, buffers) => {
      if (!isFrames(content)) return;
      const batch: Batch = { records: [], damaged: 0, unknown: 0 };
      for (const buffer of buffers) {
        const decoded = decodeFrames(bytesOf(buffer));
        batch.records.push(...decoded.records);
        batch.damaged += decoded.damaged;
        batch.unknown += decoded.unknown;
      }
      // Only a pong proves that commands are served: records also come while the kernel listens to nobody.
      if (batch.records.some((record) => record.kind === "pong" && record.request >= (this.waiting?.request ?? 0))) this.answered();
      onBatch(batch);
    });
    this.send({ kind: "hello" });
    this.ping();
    const beat = setInterval(() => this.ping(), PING_EVERY);
    return () => {
      clearInterval(beat);
      if (this.waiting) clearTimeout(this.waiting.timer);
      this.waiting = null;
      unlisten();
    };
  }

  private ping(): void {
    // One at a time: a kernel that is busy for an hour shall not find 1,800 of them.
    if (this.waiting || (typeof document !== "undefined" && document.hidden)) return;
    const request = ++this.request;
    this.waiting = { request, timer: setTimeout(() => this.silent(), PATIENCE) };
    this.send({ kind: "ping", request });
  }

  private silent(): void {
    this.tell({ ...this.state, answering: false });
    if (this.state.lastAnswer !== null || this.again === 0) return;
    this.again -= 1;
    this.waiting = null;
    this.send({ kind: "hello" });
    this.ping();
  }

  private answered(): void {
    if (this.waiting) clearTimeout(this.waiting.timer);
    this.waiting = null;
    this.tell({ answering: true, lastAnswer: performance.now() });
  }

  private tell(state: KernelState): void {
    const changed = state.answering !== this.state.answering;
    this.state = state;
    if (changed) for (const watcher of this.watchers) watcher(state);
  }
}

function isFrames(content: unknown): boolean {
  return typeof content === "object" && content !== null && (content as { type?: unknown }).type === "frames";
}

function bytesOf(buffer: DataView | ArrayBuffer | Uint8Array): Uint8Array {
  return ArrayBuffer.isView(buffer) ? new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength) : new Uint8Array(buffer);
}
