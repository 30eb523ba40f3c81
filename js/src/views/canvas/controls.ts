/** Buttons over the picture: fit, closer, further. */

import type { Theme } from "../../base/theme";

const SVG = "http://www.w3.org/2000/svg";
const BUTTONS = [
  { name: "Fit the graph (f)", path: "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10", key: "fit" },
  { name: "Closer (+)", path: "M8 3v10M3 8h10", key: "closer" },
  { name: "Further (−)", path: "M3 8h10", key: "further" },
] as const;

export type ControlKey = (typeof BUTTONS)[number]["key"];

export class Controls {
  private readonly element = document.createElement("div");

  constructor(host: HTMLElement, press: (key: ControlKey) => void) {
    Object.assign(this.element.style, { position: "absolute", top: "8px", right: "8px", display: "flex", flexDirection: "column", gap: "4px" });
    for (const { name, path, key } of BUTTONS) {
      const button = document.createElement("button");
      button.type = "button";
      button.title = name;
      button.setAttribute("aria-label", name);
      Object.assign(button.style, { width: "24px", height: "24px", padding: "0", display: "grid", placeItems: "center", borderRadius: "4px", borderStyle: "solid", borderWidth: "1px", cursor: "pointer" });
      const svg = document.createElementNS(SVG, "svg");
      for (const [k, v] of Object.entries({ width: "14", height: "14", viewBox: "0 0 16 16", "aria-hidden": "true" })) svg.setAttribute(k, v);
      const line = document.createElementNS(SVG, "path");
      for (const [k, v] of Object.entries({ d: path, fill: "none", stroke: "currentColor", "stroke-width": "1.5", "stroke-linecap": "round" })) line.setAttribute(k, v);
      svg.append(line);
      button.append(svg);
      button.addEventListener("click", () => press(key));
      this.element.append(button);
    }
    host.append(this.element);
  }

  setTheme(theme: Theme): void {
    for (const button of this.element.children as Iterable<Element> & HTMLCollection) {
      if (button instanceof HTMLElement) Object.assign(button.style, { background: theme.raised, color: theme.fg, borderColor: theme.lineStrong });
    }
  }

  dispose(): void {
    this.element.remove();
  }
}
