/**
 * Kernel and comm target -> an open comm that is served while a cell runs.
 *
 * JupyterLab sends the messages of a comm over a subshell if the kernel has them, but only once that was started: before,
 * the opening would wait behind the training cell. For the same reason the line that makes the target known goes there
 * too, and by hand: `requestExecute` always goes to the main shell.
 */

import { type Kernel, KernelMessage } from "@jupyterlab/services";
import type { JSONObject } from "@lumino/coreutils";
import type { Channel } from "../sources/comm";

/** Binds no name in the user's namespace. A package of the same name that is not ours lacks the module as well. */
const BOOTSTRAP = `try:
    __import__("graphscope.jupyter.sidebar", fromlist=["register"]).register()
except ImportError:
    pass`;

/** Opens a comm to one of GraphScope's targets; messages come to `onMessage` from the first on. */
export async function openComm(
  kernel: Kernel.IKernelConnection, target: string, data: JSONObject,
  on: { message: (content: unknown, buffers: readonly (ArrayBuffer | ArrayBufferView)[]) => void; close: () => void },
): Promise<Kernel.IComm> {
  await kernel.info;
  const comm = kernel.createComm(target) as Kernel.IComm & { subshellStarted?: Promise<void>; subshellId?: string | null };
  if (kernel.supportsSubshells && comm.subshellStarted) await comm.subshellStarted;
  const boot = KernelMessage.createMessage<KernelMessage.IExecuteRequestMsg>({
    msgType: "execute_request", channel: "shell", username: kernel.username, session: kernel.clientId, subshellId: comm.subshellId ?? null,
    content: { code: BOOTSTRAP, silent: true, store_history: false, user_expressions: {}, allow_stdin: false, stop_on_error: false },
  });
  await kernel.sendShellMessage(boot, true).done;
  comm.onMsg = (message) => on.message(message.content.data, message.buffers ?? []);
  comm.onClose = () => on.close();
  comm.open(data);
  return comm;
}

/** A comm whose messages are taken from elsewhere -> what a CommSource talks through. */
export class CommChannel implements Channel {
  private listeners = new Set<Parameters<Channel["onMessage"]>[0]>();
  private comm: Kernel.IComm | null = null;
  private waiting: Record<string, unknown>[] = [];

  /** Sends what was said before the comm was open. */
  attach(comm: Kernel.IComm): void {
    this.comm = comm;
    for (const content of this.waiting.splice(0)) this.send(content);
  }

  send(content: Record<string, unknown>): void {
    if (!this.comm) this.waiting.push(content);
    else if (!this.comm.isDisposed) this.comm.send(content as JSONObject);
  }

  onMessage(callback: Parameters<Channel["onMessage"]>[0]): () => void {
    this.listeners.add(callback);
    return () => this.listeners.delete(callback);
  }

  /** Hands one message of the kernel on. */
  deliver(content: unknown, buffers: readonly (ArrayBuffer | ArrayBufferView)[]): void {
    for (const listener of this.listeners) listener(content, buffers as readonly (DataView | ArrayBuffer)[]);
  }
}
