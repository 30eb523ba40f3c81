/** Where records come from: a kernel that answers, or a report that cannot. Transport is all in which they differ. */

import type { Command } from "../schema";
import type { Message } from "../run/decode";

/** What arrived together. */
export interface Batch {
  records: Message[];
  /** Frames that could not be read. */
  damaged: number;
  /** Frames of kinds that this page does not know. */
  unknown: number;
}

/** Whether the kernel serves this page while it works. */
export interface KernelState {
  /** `silent`: the last ping waits for its answer; commands are queued until then. */
  answering: boolean;
  /** `performance.now()` of the last answer; null before the first. */
  lastAnswer: number | null;
}

export interface Source {
  /** A kernel stands behind it. */
  live: boolean;
  /** Starts the flow; returns what ends it. */
  subscribe(onBatch: (batch: Batch) => void): () => void;
  /** Null where nothing can answer: such controls are absent. */
  send: ((command: Command) => void) | null;
  /** Calls back when the kernel falls silent or answers again; returns what ends that. */
  onKernel?(callback: (state: KernelState) => void): () => void;
}
