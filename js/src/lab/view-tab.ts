/** A session or a model of a kernel -> the whole view in a tab of the main area. */

import type { Kernel } from "@jupyterlab/services";
import type { Message } from "@lumino/messaging";
import { Widget } from "@lumino/widgets";
import { CommSource } from "../sources/comm";
import { mount } from "../views/app";
import { CommChannel, openComm } from "./comm";
import { graphscopeIcon } from "./icon";

const TARGET = "graphscope.view";

export interface What {
  /** Id of a session, or empty. */
  session: string;
  /** Name of a model in the user's namespace, or empty. */
  model: string;
  title: string;
}

/** `graphscope-view-...`: one tab for each session and for each model of a kernel. */
export const tabId = (kernel: Kernel.IKernelConnection, what: What) => `graphscope-view-${what.session || `${kernel.id}-${what.model}`}`;

export class ViewTab extends Widget {
  private readonly unmount: () => void;
  private comm: Kernel.IComm | null = null;

  constructor(kernel: Kernel.IKernelConnection, what: What) {
    super();
    this.id = tabId(kernel, what);
    this.title.label = what.title;
    this.title.caption = `GraphScope: ${what.title}`;
    this.title.icon = graphscopeIcon;
    this.title.closable = true;
    this.addClass("jp-graphscope-view");
    const host = document.createElement("div");
    host.className = "jp-graphscope-host";
    this.node.append(host);
    const channel = new CommChannel();
    this.unmount = mount(host, new CommSource(channel), { page: true });
    const open = { kind: "open", session: what.session, model: what.model };
    openComm(kernel, TARGET, open, {
      message: (content, buffers) => channel.deliver(content, buffers),
      close: () => this.ended(),
    }).then((comm) => {
      if (this.isDisposed) comm.close();
      else {
        this.comm = comm;
        channel.attach(comm);
      }
    }, () => this.ended());
    // A restarted kernel knows nothing of this view any more.
    kernel.statusChanged.connect((_, status) => (status === "restarting" || status === "dead") && this.ended());
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this.node.querySelector<HTMLElement>("[tabindex]")?.focus({ preventScroll: true });
  }

  override dispose(): void {
    if (this.isDisposed) return;
    this.unmount();
    if (this.comm && !this.comm.isDisposed) this.comm.close();
    super.dispose();
  }

  private ended(): void {
    this.comm = null;
    if (!this.isDisposed) this.title.label = `${this.title.caption.replace("GraphScope: ", "")} (kernel gone)`;
  }
}
