/** What stands beside a node or an edge after a moment of rest. Text only: names come from the model. */

import { bytes, count } from "../../base/format";
import type { Theme } from "../../base/theme";
import type { Target } from "./types";

const REST = 300; // ms

export interface Words {
  title: string;
  kind: string;
  /** Lines; the first of an edge is code. */
  lines: string[];
  mono: boolean;
}

/** `name` turns ids into the labels of their nodes. */
export function wordsFor(target: Target, name: (id: string) => string, more: string[]): Words {
  if (target.kind === "edge") {
    const { edge } = target;
    const others = edge.values > 1 ? `, widest of ${count(edge.values)} tensors` : "";
    return {
      title: `${name(edge.from)} → ${name(edge.to)}`, kind: "edge", mono: true,
      lines: [`${edge.shape} ${edge.dtype}`, [`${bytes(edge.bytes)}${others}${edge.requiresGrad ? "" : ", needs no gradient"}`, ...more].join(", ")],
    };
  }
  const { node, cell } = target;
  const kind = node.op !== null && node.call === null ? "op" : node.kind === "call" || node.kind === "module" ? "module" : node.kind;
  if (cell !== null && node.cells) return { title: `${node.label} ${node.detail}: ${node.cells[cell]}`, kind, mono: false, lines: more };
  const lines = [...(node.detail ? [node.detail] : []), ...(node.failed ? ["raised here"] : []), ...(node.opaque && node.opaque !== node.detail ? [node.opaque] : []), ...more];
  return { title: node.label, kind, mono: false, lines };
}

export class Tooltip {
  private readonly element = document.createElement("div");
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly host: HTMLElement) {
    this.element.setAttribute("role", "tooltip");
    this.element.hidden = true;
    Object.assign(this.element.style, {
      position: "absolute", zIndex: "2", pointerEvents: "none", padding: "6px 8px", borderRadius: "4px", borderStyle: "solid", borderWidth: "1px",
      fontSize: "11px", lineHeight: "16px", maxWidth: "320px", overflowWrap: "anywhere", boxShadow: "var(--gs-shadow, 0 4px 12px rgb(0 0 0 / .2))",
    });
    host.append(this.element);
  }

  /** `beside`: the thing in the host's coordinates. */
  show(words: Words, beside: { x: number; y: number; w: number; h: number }, theme: Theme): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.place(words, beside, theme), REST);
  }

  hide(): void {
    clearTimeout(this.timer);
    this.element.hidden = true;
  }

  dispose(): void {
    this.hide();
    this.element.remove();
  }

  private place(words: Words, beside: { x: number; y: number; w: number; h: number }, theme: Theme): void {
    const { element, host } = this;
    const line = (text: string, style: Partial<CSSStyleDeclaration>) => {
      const div = document.createElement("div");
      div.textContent = text;
      Object.assign(div.style, style);
      return div;
    };
    const head = document.createElement("div");
    Object.assign(head.style, { display: "flex", justifyContent: "space-between", gap: "16px" });
    head.append(line(words.title, { fontWeight: "600", color: theme.fg }), line(words.kind, { color: theme.fg3 }));
    element.replaceChildren(head, ...words.lines.map((text, i) => line(text, { color: i ? theme.fg2 : theme.fg, fontFamily: words.mono && i === 0 ? theme.mono : "inherit" })));
    Object.assign(element.style, { background: theme.raised, borderColor: theme.lineStrong });
    element.hidden = false;
    const { offsetWidth: w, offsetHeight: h } = element;
    const right = beside.x + beside.w + 12;
    const x = right + w <= host.clientWidth ? right : beside.x - w - 12 >= 0 ? beside.x - w - 12 : Math.max(4, host.clientWidth - w - 4);
    const under = x === right || beside.x - w - 12 >= 0 ? beside.y - 4 : beside.y + beside.h + 8;
    element.style.left = `${Math.round(x)}px`;
    element.style.top = `${Math.round(Math.max(4, Math.min(under, host.clientHeight - h - 4)))}px`;
  }
}
