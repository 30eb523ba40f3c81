import { LabIcon } from "@jupyterlab/ui-components";

/** A node with its edges; the class lets JupyterLab's themes colour it. */
export const graphscopeIcon = new LabIcon({
  name: "graphscope:graph",
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 16 16">
<path class="jp-icon3 jp-icon-selectable" d="M7.25 1.5h1.5v4h3.75v5H8.75v4h-1.5v-4H3.5v-5h3.75zM5 7v2h6V7z" fill="#616161" fill-rule="evenodd"/>
</svg>`,
});
