import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import { ISettingRegistry } from "@jupyterlab/settingregistry";

/** The JupyterLab plugin; adds nothing yet. */
const plugin: JupyterFrontEndPlugin<void> = {
  id: "graphscope:plugin",
  description: "Sidebar that lists the models and sessions of the active kernel.",
  autoStart: true,
  optional: [ISettingRegistry],
  activate: async (_app: JupyterFrontEnd, settings: ISettingRegistry | null) => {
    await settings?.load("graphscope:plugin");
  },
};

export default plugin;
