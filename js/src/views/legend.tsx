/** What fills and lines mean: the seven stops with their bounds, and the edges. */

import { fixed, percent } from "../base/format";
import { SCALES } from "../run/queries";
import { useStore } from "../store/state";

const STOPS = ["n3", "n2", "n1", "0", "p1", "p2", "p3"];
const HEALTHY = 44; // px: the healthy band is wide, deviations are narrow
const OTHER = 18;

export function Legend({ width }: { width: number }) {
  const { colorBy, shown } = useStore();
  const kind = colorBy.value;
  return (
    <div class="gs-row gs-legend gs-s gs-2" style={{ padding: "0 8px", gap: "12px" }}>
      {kind !== "none" && shown.value !== null && <>{width > 300 && <span class="gs-nowrap">{SCALES[kind].label}</span>}<Stops kind={kind} /></>}
      {width > 400 && <Edges gradients={shown.value !== null} />}
    </div>
  );
}

function Stops({ kind }: { kind: keyof typeof SCALES }) {
  const { bounds } = SCALES[kind];
  const oneSided = bounds[0] === bounds[1];
  const stops = oneSided ? STOPS.slice(3) : STOPS;
  const other = oneSided ? 30 : OTHER; // three numbers of four letters stand under these
  const ends: number[] = [];
  let x = 0;
  const boxes = stops.map((stop) => {
    const w = stop === "0" ? HEALTHY : other;
    const box = <rect key={stop} x={x + 0.5} y="4.5" width={w - 2} height="9" rx="1" fill={`var(--gs-div-${stop})`} stroke="var(--gs-line-strong)" />;
    x += w;
    ends.push(x);
    return box;
  });
  const labels = oneSided ? [[0, bounds[3]!], [1, bounds[4]!], [2, bounds[5]!]] : [[0, bounds[0]!], [2, bounds[2]!], [3, bounds[3]!], [5, bounds[5]!]];
  const text = (bound: number) => (kind === "zeros" ? percent(bound, bound > 0.99 ? 1 : 0).replace(" %", "") : fixed(bound, Number.isInteger(bound) ? 0 : 1));
  return (
    <svg width={x + (oneSided ? 16 : 4)} height="32" style={{ flex: "none" }} role="img" aria-label={`Healthy from ${oneSided ? "0" : text(bounds[2]!)} to ${text(bounds[3]!)}`}>
      {boxes}
      {labels.map(([i, bound]) => <g key={i}><path d={`M${ends[i!]! - 0.5} 13v4`} stroke="var(--gs-fg-3)" /><text x={ends[i!]! - 0.5} y="27" text-anchor="middle">{text(bound!)}{kind === "zeros" && i === 2 ? " %" : ""}</text></g>)}
    </svg>
  );
}

function Edges({ gradients }: { gradients: boolean }) {
  const line = (stroke: string, width: number, text: string, dash?: string) => (
    <span class="gs-row gs-nowrap" style={{ gap: "4px", lineHeight: "13px" }}><svg width="18" height="10" aria-hidden="true"><path d="M0 5h18" stroke={`var(--gs-edge-${stroke})`} stroke-width={width} stroke-dasharray={dash} /></svg>{text}</span>
  );
  return (
    <div class="gs-edgekey" style={gradients ? undefined : { gridTemplateColumns: "repeat(3, max-content)" }}>
      {line("mid", 1.1, "5 KiB")}{line("mid", 4.3, "8 MiB")}{line("mid", 2, "no grad", "4 4")}{gradients && line("high", 3, "large grad")}
    </div>
  );
}
