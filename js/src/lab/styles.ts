/** The viewer's stylesheets, put into the page once: they name only classes of their own. */

import { STYLES } from "../base/css/styles";
import sidebar from "../base/css/sidebar.css";

const LAB = `
.jp-graphscope-panel { min-width: 272px; }
.jp-graphscope-panel, .jp-graphscope-view { overflow: hidden; background: var(--jp-layout-color1); }
.jp-graphscope-panel > .gs { height: 100%; }
.jp-graphscope-host { height: 100%; }
`;

export function installStyles(): void {
  if (document.getElementById("graphscope-styles")) return;
  const style = document.createElement("style");
  style.id = "graphscope-styles";
  style.textContent = STYLES + sidebar + LAB;
  document.head.append(style);
}
