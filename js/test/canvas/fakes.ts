import type { Theme } from "../../src/base/theme";

/** Records what is drawn, one line a call. */
export class FakeContext {
  readonly log: string[] = [];
  globalAlpha = 1;
  lineWidth = 1;
  font = "";
  textAlign = "";
  fillStyle = "";
  strokeStyle = "";
  private path: string[] = [];
  private dash: number[] = [];
  private number = (x: number) => String(Math.round(x * 10) / 10);
  private add = (name: string) => (...args: (number | number[])[]) => this.path.push(`${name} ${args.flat().map((a) => this.number(a)).join(" ")}`);
  moveTo = this.add("M");
  lineTo = this.add("L");
  arcTo = this.add("corner");
  arc = (x: number, y: number, r: number) => this.path.push(`circle ${this.number(x)} ${this.number(y)} ${this.number(r)}`);
  rect = this.add("rect");
  roundRect = this.add("rect");
  beginPath = () => (this.path = []);
  closePath = () => this.path.push("Z");
  fill = () => this.log.push(`fill ${this.fillStyle}${this.globalAlpha < 1 ? ` ${this.globalAlpha}` : ""}: ${this.path.join(", ")}`);
  stroke = () => this.log.push(`line ${this.strokeStyle} ${this.number(this.lineWidth)}${this.dash.length ? ` dash ${this.dash}` : ""}: ${this.path.join(", ")}`);
  setLineDash = (dash: number[]) => (this.dash = dash);
  fillText = (text: string, x: number, y: number) => this.log.push(`text ${this.fillStyle} ${this.font.split(" ").slice(0, 2).join(" ")} ${this.textAlign} ${this.number(x)} ${this.number(y)}: ${text}`);
  measureText = (text: string) => ({ width: text.length * 6 });
  setTransform = () => {};
  clearRect = () => {};
  drawImage = () => {};
  scale = () => {};
}

/** Each colour is its own name, so that a log reads as what it means. */
export const theme: Theme = {
  dark: false, still: true, font: "sans", mono: "mono", bg: "bg", canvas: "canvas", raised: "raised", hover: "hover", line: "grid", lineStrong: "outline",
  fg: "ink", fg2: "ink2", fg3: "ink3", accent: "accent", accentFg: "accentFg", accentSoft: "accentSoft", match: "match", matchFg: "matchFg",
  div: ["n3", "n2", "n1", "0", "p1", "p2", "p3"], divFg: "divFg", edgeLow: "#000001", edgeMid: "#000002", edgeHigh: "#000003", seq: [],
  activation: "teal", activationSoft: "", gradient: "magenta", gradientSoft: "", parameter: "", update: "", error: "error", errorBg: "errorBg", errorFg: "errorFg",
  warn: "warn", warnBg: "warnBg", warnFg: "warnFg", info: "info", infoBg: "infoBg", infoFg: "infoFg", ok: "", okBg: "", okFg: "", add: "", remove: "", change: "",
};
