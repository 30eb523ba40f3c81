/** Line icons of 16 units, the severity shapes and the brand mark; shapes say what colours say. */

import type { Severity } from "../schema";

const PATHS = {
  search: "M7 2.5a4.5 4.5 0 1 0 0 9a4.5 4.5 0 1 0 0-9M10.3 10.3L14 14",
  play: "M5 3l8 5l-8 5z",
  pause: "M5 3v10M11 3v10",
  first: "M8 3L3 8l5 5M13 3L8 8l5 5M2 3v10",
  prev: "M11 3L5 8l6 5M4 3v10",
  next: "M5 3l6 5l-6 5M12 3v10",
  follow: "M3 3l5 5l-5 5M8 3l5 5l-5 5",
  export: "M8 2v8M5 5l3-3l3 3M3 10v4h10v-4",
  down: "M4.5 6.5L8 10l3.5-3.5",
  right: "M6.5 4.5L10 8l-3.5 3.5",
  left: "M9.5 4.5L6 8l3.5 3.5",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  stop: "M4 4h8v8H4z",
  step: "M4 3l6 5l-6 5zM12 3v10",
  copy: "M5.5 5.5h8v8h-8zM3 10.5h-.5v-8h8V3",
  depth: "M3 3h10M5 8h8M7 13h6",
  close: "M4 4l8 8M12 4l-8 8",
  camera: "M2 5h3l1-2h4l1 2h3v8H2zM8 6.8a2.2 2.2 0 1 0 0 4.4a2.2 2.2 0 1 0 0-4.4",
  fit: "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10",
  graph: "M8 2v4M8 10v4M4 6h8v4H4z",
  filter: "M2.5 3.5h11L9.5 8.5V13l-3-1.5v-3z",
  file: "M4 2h5l3 3v9H4zM9 2v3h3",
  check: "M3 8.5l3.5 3.5L13 4.5",
  plus: "M8 3v10M3 8h10",
} as const;

export type IconName = keyof typeof PATHS;
const FILLED: readonly IconName[] = ["play", "stop", "step"];

/** A decorative icon; the control around it carries the name. */
export function Icon({ name, size = 14 }: { name: IconName; size?: number }) {
  return (
    <svg class="gs-icon" width={size} height={size} viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[name]} fill={FILLED.includes(name) ? "currentColor" : "none"} stroke="currentColor"
        stroke-width={name === "more" ? 2.2 : 1.5} stroke-linecap="round" stroke-linejoin="round" />
    </svg>
  );
}

export type Mark = Severity | "state" | "graph" | "ok";
const NAMES: { [K in Mark]: string } = {
  error: "Error", warning: "Warning", info: "Information", state: "State", graph: "Graph change", ok: "Right",
};

/** The shape of a severity: octagon, triangle, circle, square; ◇ for a change of the graph. */
export function Shape({ kind, size = 12, named = false }: { kind: Mark; size?: number; named?: boolean }) {
  const label = named ? { role: "img" as const, "aria-label": NAMES[kind] } : { "aria-hidden": "true" as const };
  return <svg class="gs-icon" width={size} height={size} viewBox="0 0 12 12" {...label}>{drawn(kind)}</svg>;
}

function drawn(kind: Mark) {
  switch (kind) {
    case "error":
      return [
        <path d="M3.6.6H8.4L11.4 3.6V8.4L8.4 11.4H3.6L.6 8.4V3.6Z" fill="var(--gs-error)" />,
        <path d="M4.1 4.1L7.9 7.9M7.9 4.1L4.1 7.9" stroke="var(--gs-on-error)" stroke-width="1.6" />,
      ];
    case "warning":
      return [
        <path d="M6 .8L11.4 11L.6 11Z" fill="var(--gs-warn)" stroke="var(--gs-on-warn-line)" stroke-linejoin="round" />,
        <path d="M6 4.3v3.1M6 8.6v1.2" stroke="var(--gs-on-warn)" stroke-width="1.5" />,
      ];
    case "info":
      return [
        <circle cx="6" cy="6" r="5" fill="none" stroke="var(--gs-info)" stroke-width="1.5" />,
        <path d="M6 5.5v3.4M6 3.1v1.2" stroke="var(--gs-info)" stroke-width="1.5" />,
      ];
    case "state":
      return <rect x="1.5" y="1.5" width="9" height="9" fill="none" stroke="var(--gs-info)" stroke-width="1.5" />;
    case "graph":
      return <path d="M6 1L11 6L6 11L1 6Z" fill="var(--gs-bg)" stroke="var(--gs-fg-2)" stroke-width="1.4" />;
    case "ok":
      return <path d="M2 6.5l3.1 3.1L10.4 2.9" fill="none" stroke="var(--gs-ok)" stroke-width="2" />;
  }
}

export function Brand() {
  return (
    <svg class="gs-icon" width="20" height="20" viewBox="0 0 20 20" role="img" aria-label="GraphScope">
      <rect x="1" y="1" width="18" height="18" rx="4" fill="var(--gs-accent)" />
      <path d="M6 4.5v11M6 7.5h5.5q2 0 2 2v.5q0 2-2 2H6" fill="none" stroke="var(--gs-accent-fg)" stroke-width="1.6" />
      <circle cx="13.5" cy="9.8" r="2" fill="var(--gs-accent-fg)" />
    </svg>
  );
}
