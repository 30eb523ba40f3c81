/** The JupyterLab plugin: the sidebar, its command, and where views of sessions open. */

import { ILabShell, ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ICommandPalette, type ISessionContext } from "@jupyterlab/apputils";
import { INotebookTracker, type NotebookPanel } from "@jupyterlab/notebook";
import type { Kernel } from "@jupyterlab/services";
import { ISettingRegistry } from "@jupyterlab/settingregistry";
import { ITranslator, nullTranslator } from "@jupyterlab/translation";
import type { Widget } from "@lumino/widgets";
import { graphscopeIcon } from "../lab/icon";
import { SidebarPanel } from "../lab/panel";
import { hasView, revealInNotebook, revealInTab } from "../lab/reveal";
import { installStyles } from "../lab/styles";
import { type What, ViewTab, tabId } from "../lab/view-tab";

const PLUGIN_ID = "graphscope:plugin";
const COMMAND = "graphscope:open";
const BESIDE = 1500; // px

/** Notebooks and consoles have one; asked this way, consoles need no package of their own. */
function contextOf(widget: Widget | null | undefined): ISessionContext | null {
  const context = (widget as { sessionContext?: unknown } | null | undefined)?.sessionContext;
  return typeof context === "object" && context !== null && "kernelChanged" in context && "ready" in context ? (context as ISessionContext) : null;
}

const plugin: JupyterFrontEndPlugin<void> = {
  id: PLUGIN_ID,
  description: "Sidebar that lists the models and sessions of the active kernel.",
  autoStart: true,
  requires: [INotebookTracker],
  optional: [ILabShell, ILayoutRestorer, ICommandPalette, ISettingRegistry, ITranslator],
  activate: async (
    app: JupyterFrontEnd, tracker: INotebookTracker, labShell: ILabShell | null, restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null, settings: ISettingRegistry | null, translator: ITranslator | null,
  ) => {
    const trans = (translator ?? nullTranslator).load("graphscope");
    installStyles();
    const tabs = new Map<string, ViewTab>();
    const notebookWith = (session: string, widgets: readonly string[]): NotebookPanel | undefined => {
      const current = tracker.currentWidget;
      if (current && hasView(current, session, widgets)) return current;
      return tracker.find((panel) => hasView(panel, session, widgets));
    };
    const panel = new SidebarPanel({
      reveal(session, widgets, select) {
        const notebook = notebookWith(session, widgets);
        if (notebook) {
          app.shell.activateById(notebook.id);
          void revealInNotebook(notebook, session, widgets, select);
          return true;
        }
        const tab = tabs.get(`graphscope-view-${session}`);
        if (tab) {
          app.shell.activateById(tab.id);
          revealInTab(tab.node, select);
        }
        return tab !== undefined;
      },
      open(kernel: Kernel.IKernelConnection, what: What) {
        const id = tabId(kernel, what);
        let tab = tabs.get(id);
        if (!tab) {
          tab = new ViewTab(kernel, what);
          tabs.set(id, tab);
          tab.disposed.connect(() => tabs.delete(id));
          // Beside the notebook where the view then still has its columns, else as a tab of its own.
          const mode = (tracker.currentWidget?.node.clientWidth ?? 0) >= BESIDE ? "split-right" : "tab-after";
          app.shell.add(tab, "main", { mode, ref: tracker.currentWidget?.id ?? null });
        }
        app.shell.activateById(id);
      },
    });
    panel.id = "graphscope-panel";
    panel.title.icon = graphscopeIcon;
    panel.title.caption = trans.__("GraphScope");
    app.shell.add(panel, "right", { rank: 900, type: "GraphScope" });
    restorer?.add(panel, panel.id);

    app.commands.addCommand(COMMAND, {
      label: trans.__("Show GraphScope"),
      caption: trans.__("Models and sessions of the active kernel"),
      icon: graphscopeIcon,
      execute: () => {
        app.shell.activateById(panel.id);
        panel.refresh();
      },
      describedBy: { args: { type: "object", properties: {} } },
    });
    palette?.addItem({ command: COMMAND, category: trans.__("GraphScope") });

    // What is in front decides; a settings tab or a view of ours in front leaves the last kernel in place.
    const follow = (): void => {
      const front = contextOf(labShell?.currentWidget) ?? contextOf(tracker.currentWidget);
      if (front || !tracker.size) panel.follow(front);
    };
    tracker.currentChanged.connect(follow);
    labShell?.currentChanged.connect(follow);
    void app.restored.then(follow);
    follow();

    try {
      const loaded = await settings?.load(PLUGIN_ID);
      const place = (): void => {
        const side = loaded?.get("side").composite === "left" ? "left" : "right";
        if (labShell) app.shell.add(panel, side, { rank: 900, type: "GraphScope" });
      };
      loaded?.changed.connect(place);
      if (loaded?.get("side").composite === "left") place();
    } catch (error) {
      console.warn("GraphScope: its settings could not be read; the sidebar stays at the right.", error);
    }
  },
};

export default plugin;
