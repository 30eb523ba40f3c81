import type { Render } from "@anywidget/types";

/** The notebook widget; mounts nothing yet. */
const render: Render = ({ el }) => {
  el.classList.add("graphscope");
};

export default { render };
