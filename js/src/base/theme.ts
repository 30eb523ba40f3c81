/**
 * The design tokens of one root element -> colours that a canvas can use.
 *
 * Stylesheets read `--gs-*` by themselves; a canvas cannot, so it gets this object and is told when the theme changes.
 */

/** What a canvas may draw with. Colours are CSS colours; `div` and `seq` are `#rrggbb`. */
export interface Theme {
  dark: boolean;
  /** No animation: `prefers-reduced-motion`. */
  still: boolean;
  font: string;
  mono: string;
  bg: string;
  canvas: string;
  raised: string;
  hover: string;
  line: string;
  lineStrong: string;
  fg: string;
  fg2: string;
  fg3: string;
  accent: string;
  accentFg: string;
  accentSoft: string;
  match: string;
  matchFg: string;
  /** Diverging stops -3 ... 3; `div[stop + 3]`. */
  div: readonly string[];
  divFg: string;
  edgeLow: string;
  edgeMid: string;
  edgeHigh: string;
  /** Sequential ramp, least to most. */
  seq: readonly string[];
  activation: string;
  activationSoft: string;
  gradient: string;
  gradientSoft: string;
  parameter: string;
  update: string;
  error: string;
  errorBg: string;
  errorFg: string;
  warn: string;
  warnBg: string;
  warnFg: string;
  info: string;
  infoBg: string;
  infoFg: string;
  ok: string;
  okBg: string;
  okFg: string;
  add: string;
  remove: string;
  change: string;
}

const DIV = ["n3", "n2", "n1", "0", "p1", "p2", "p3"];
const SEQ = ["0", "1", "2", "3", "4", "5"];

/** Reads the tokens that hold at `root`, an element of class `gs`. */
export function readTheme(root: HTMLElement): Theme {
  const style = getComputedStyle(root);
  const read = (name: string) => style.getPropertyValue(`--gs-${name}`).trim();
  return {
    dark: root.dataset["gsTheme"] === "dark",
    still: typeof matchMedia === "function" && matchMedia("(prefers-reduced-motion: reduce)").matches,
    font: read("font"), mono: read("mono"),
    bg: read("bg"), canvas: read("canvas"), raised: read("raised"), hover: read("hover"),
    line: read("line"), lineStrong: read("line-strong"), fg: read("fg"), fg2: read("fg-2"), fg3: read("fg-3"),
    accent: read("accent"), accentFg: read("accent-fg"), accentSoft: read("accent-soft"),
    match: read("match"), matchFg: read("match-fg"),
    div: DIV.map((stop) => read(`div-${stop}`)), divFg: read("div-fg"),
    edgeLow: read("edge-low"), edgeMid: read("edge-mid"), edgeHigh: read("edge-high"),
    seq: SEQ.map((stop) => read(`seq-${stop}`)),
    activation: read("activation"), activationSoft: read("activation-soft"),
    gradient: read("gradient"), gradientSoft: read("gradient-soft"), parameter: read("parameter"), update: read("update"),
    error: read("error"), errorBg: read("error-bg"), errorFg: read("error-fg"),
    warn: read("warn"), warnBg: read("warn-bg"), warnFg: read("warn-fg"),
    info: read("info"), infoBg: read("info-bg"), infoFg: read("info-fg"),
    ok: read("ok"), okBg: read("ok-bg"), okFg: read("ok-fg"),
    add: read("add"), remove: read("remove"), change: read("change"),
  };
}

/** Whether the page around us is dark: JupyterLab says so on its body, elsewhere the reader's system does. */
export function pageIsDark(): boolean {
  const jupyter = document.body.dataset["jpThemeLight"];
  if (jupyter !== undefined) return jupyter === "false";
  return typeof matchMedia === "function" && matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Calls back whenever the page's theme may have changed. Returns what ends that. */
export function watchPageTheme(onChange: () => void): () => void {
  // JupyterLab swaps the stylesheet behind --jp-* after it has set the attributes, hence the name as well.
  const observer = new MutationObserver(onChange);
  observer.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });
  const system = typeof matchMedia === "function" ? matchMedia("(prefers-color-scheme: dark)") : null;
  system?.addEventListener("change", onChange);
  return () => {
    observer.disconnect();
    system?.removeEventListener("change", onChange);
  };
}

export type Rgb = readonly [number, number, number];

/** `#rrggbb` -> three bytes. */
export function rgb(hex: string): Rgb {
  const number = Number.parseInt(hex.replace("#", ""), 16);
  return Number.isNaN(number) ? [128, 128, 128] : [(number >> 16) & 255, (number >> 8) & 255, number & 255];
}

/** Colours in equal distances -> the colour at 0 ... 1 between them. */
export function ramp(stops: readonly string[]): (share: number) => Rgb {
  const colours = stops.map(rgb);
  const last = colours.length - 1;
  return (share) => {
    const at = Math.min(1, Math.max(0, share)) * last;
    const i = Math.min(last - 1, Math.floor(at));
    const [a, b, t] = [colours[i]!, colours[i + 1]!, at - i];
    return [0, 1, 2].map((k) => Math.round(a[k]! + (b[k]! - a[k]!) * t)) as unknown as Rgb;
  };
}
