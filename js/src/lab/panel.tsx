/** The sidebar as a JupyterLab widget: follows what is in front, draws the Sidebar view, carries out its clicks. */

import type { ISessionContext } from "@jupyterlab/apputils";
import type { Kernel } from "@jupyterlab/services";
import type { Message } from "@lumino/messaging";
import { Widget } from "@lumino/widgets";
import { render } from "preact";
import { pageIsDark, watchPageTheme } from "../base/theme";
import { Sidebar, type SidebarActions } from "../views/sidebar";
import { KernelClient } from "./kernel-client";

export interface Doors {
  /** Shows an existing view of a session; false if there is none on the page. `widgets`: ids of those that show it. */
  reveal(session: string, widgets: readonly string[], select?: string): boolean;
  /** Opens a view of its own in the main area. */
  open(kernel: Kernel.IKernelConnection, what: { session: string; model: string; title: string }): void;
}

export class SidebarPanel extends Widget {
  private readonly client: KernelClient;
  private readonly root = document.createElement("div");
  private readonly unwatch: () => void;
  private drawing = 0;

  constructor(private readonly doors: Doors) {
    super();
    this.addClass("jp-graphscope-panel");
    this.node.setAttribute("role", "region");
    this.node.setAttribute("aria-label", "GraphScope");
    this.root.className = "gs gs-lab";
    this.node.append(this.root);
    this.client = new KernelClient(() => this.draw(), () => this.isVisible);
    this.unwatch = watchPageTheme(() => this.theme());
    this.theme();
    this.draw();
  }

  follow(context: ISessionContext | null): void {
    this.client.follow(context);
  }

  refresh(): void {
    void this.client.refresh();
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this.refresh();
  }

  override dispose(): void {
    if (this.isDisposed) return;
    this.unwatch();
    this.client.dispose();
    cancelAnimationFrame(this.drawing);
    this.drawing = -1;
    render(null, this.root);
    super.dispose();
  }

  private theme(): void {
    this.root.dataset["gsTheme"] = pageIsDark() ? "dark" : "light";
  }

  /** Once a frame at most: a busy kernel says several things in one. */
  private draw(): void {
    if (this.drawing !== 0 || !this.root) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      render(<Sidebar state={this.client.state} actions={this.actions} />, this.root);
    });
  }

  private reveal(session: string, select?: string): void {
    const row = this.client.state.sessions.find((candidate) => candidate.status.session === session);
    if (!row || this.doors.reveal(session, row.views, select)) return;
    const kernel = this.client.kernel;
    if (kernel) this.doors.open(kernel, { session, model: "", title: row.status.name });
  }

  private readonly actions: SidebarActions = {
    openSession: (session) => {
      this.client.focus(session);
      this.reveal(session);
    },
    openModel: (name) => {
      const model = this.client.state.models.find((candidate) => candidate.name === name);
      if (!model) return;
      if (model.session) this.actions.openSession(model.session);
      else if (this.client.kernel) this.doors.open(this.client.kernel, { session: "", model: name, title: name });
    },
    selectModule: (fqn) => this.reveal(this.client.state.focus, fqn),
    captureNext: () => this.client.send({ kind: "capture_next" }),
    saveReport: () => this.client.send({ kind: "save_report" }),
    trainer: (action) => this.client.send(action === "pause" ? { kind: "trainer_pause" } : { kind: "trainer_start", settings: {} }),
    refresh: () => this.refresh(),
  };
}
