/** What happened when: epochs with their evaluations above the lines, findings and changes of the graph below them. */

import { count, percent, value } from "../base/format";
import { type Mark, Shape } from "../base/icons";
import type { Finding } from "../schema";
import { findingKey } from "./findings";
import { goTo, useStore } from "../store/state";
import type { Frame } from "./time-chart";
import { type Scale, epochStarts, graphChanges } from "../panels/time-scale";

const CHARACTER = 6.2; // px of 11 px text, a little wide: what does not surely fit is left out

/** An evaluation in few words: `98.4 %`; the name of what is no accuracy. */
function evaluation(scalars: Record<string, number>): string {
  const accuracy = Object.keys(scalars).find((name) => /acc/i.test(name));
  if (accuracy !== undefined) {
    const share = scalars[accuracy]!;
    return share <= 1 ? percent(share) : `${value(share)} %`;
  }
  const [name] = Object.keys(scalars);
  return name === undefined ? "" : `${name} ${value(scalars[name])}`;
}

export function EpochRow({ frame, x, last }: { frame: Frame; x: Scale; last: number }) {
  const { run, narrow } = useStore();
  const late = run.evaluations();
  if (narrow.value) return null;
  const starts = epochStarts(run.steps);
  const baseline = frame.top - 11;
  if (starts.length < 2) {
    // No epochs were named: each evaluation stands where it was made, as long as there is room.
    let free = frame.left;
    return (
      <>
        {late.map((record) => {
          const text = evaluation(record.scalars);
          const at = x(record.step) - (text.length * CHARACTER) / 2;
          if (at < free || x(record.step) + (text.length * CHARACTER) / 2 > frame.right) return null;
          free = at + text.length * CHARACTER + 8;
          return <text key={record.step} class="gs-weak" x={x(record.step)} y={baseline} text-anchor="middle">{text}</text>;
        })}
      </>
    );
  }
  let free = frame.left;
  return (
    <>
      {starts.map(({ epoch, step }, i) => {
        const next = starts[i + 1]?.step ?? last + 1;
        const found = late.findLast((record) => record.step >= step - 1 && record.step < next && (record.epoch === null || record.epoch === epoch));
        const text = found ? evaluation(found.scalars) : "";
        const name = free === frame.left ? `epoch ${epoch}${text ? "," : ""}` : String(epoch);
        const length = (name.length + text.length + 1) * CHARACTER;
        const from = i === 0 ? Math.max(x(step), (x(step) + x(next) - length) / 2) : (x(step) + x(next) - length) / 2;
        const fits = from >= free && from + length <= frame.right + 8 && x(next) - x(step) > length;
        if (fits) free = from + length + 8;
        return (
          <g key={step}>
            {i > 0 && x(next) - x(step) > 6 && <path d={`M${x(step)} ${frame.top - 4}V${frame.bottom}`} stroke="var(--gs-line)" />}
            {fits && <text class="gs-weak" x={from} y={baseline}>{name}{text && <tspan dx="4" style={{ fill: "var(--gs-fg-2)" }}>{text}</tspan>}</text>}
          </g>
        );
      })}
    </>
  );
}

interface Event {
  step: number;
  kind: Mark;
  label: string;
  finding: Finding | null;
}

export function EventLane({ frame, x, width }: { frame: Frame; x: Scale; width: number }) {
  const store = useStore();
  const { run, narrow, tab, openFinding } = store;
  const events: Event[] = [
    ...graphChanges(run.passes).map((step): Event => ({ step, kind: "graph", label: "graph changed", finding: null })),
    ...run.findings.filter((finding) => finding.step !== null).map((finding): Event => ({ step: finding.step!, kind: finding.severity, label: finding.title, finding })),
  ].sort((a, b) => a.step - b.step);
  let free = frame.left - 20;
  const places = events.map((event) => {
    const at = Math.max(x(event.step), free + 7);
    free = at + 6;
    return at;
  });
  const visible = events.map((event, i) => ({ event, at: places[i]!, room: (places[i + 1] ?? width - 30) - places[i]! - 18 })).filter(({ at }) => at < width - 8);
  return (
    <>
      {visible.map(({ event, at, room }) => (
        <span key={`${event.kind} ${event.finding ? findingKey(event.finding) : event.step}`}>
          <button type="button" class="gs-event" style={{ left: `${at}px`, top: `${frame.lane}px` }} title={`${event.label}, step ${count(event.step)}`}
            aria-label={`${event.label}, step ${count(event.step)}`}
            onClick={() => {
              goTo(store, event.step);
              if (!event.finding) return;
              tab.value = "findings";
              openFinding.value = findingKey(event.finding);
            }}>
            <Shape kind={event.kind} size={11} />
          </button>
          {!narrow.value && event.label.length * CHARACTER < room && (
            <span class="gs-s gs-2 gs-nowrap" style={{ position: "absolute", left: `${at + 9}px`, top: `${frame.lane - 8}px`, pointerEvents: "none" }} aria-hidden="true"><bdi>{event.label}</bdi></span>
          )}
        </span>
      ))}
    </>
  );
}
