/** Loss, gradient norm, evaluations, findings and changes of the graph over all steps, with the playhead. */

import { useMemo, useRef, useState } from "preact/hooks";
import { count, scientific, setting, value } from "../base/format";
import type { Series } from "../run/run";
import { labelPlace } from "./label-place";
import { goTo, neighbour, useStore } from "../store/state";
import { EpochRow, EventLane } from "./time-events";
import { type Scale, epochStarts, extent, jumps, linear, logarithmic, path, smoothed, ticks } from "../panels/time-scale";
import { useSize } from "./use-size";

/** Where things are, px. */
export interface Frame {
  height: number;
  left: number;
  right: number;
  top: number;
  bottom: number;
  /** Middle of the lane of events. */
  lane: number;
  /** Baseline of the step numbers. */
  axis: number;
}

const WIDE = { height: 124, left: 36, rightGap: 44, top: 24, bottom: 84, lane: 97, axis: 119 };
const NARROW = { height: 100, left: 30, rightGap: 36, top: 12, bottom: 72, lane: 84, axis: 96 };
/** Where along a line its name is tried, in this order. */
const LOSS_SHARES = [0.07, 0.12, 0.2, 0.03, 0.3, 0.5];
const NORM_SHARES = [0.42, 0.5, 0.34, 0.58, 0.66, 0.26, 0.74, 0.18];
const END_GAP = 12; // the playhead's handle on the last step stays inside

export function TimeChart() {
  const store = useStore();
  const { run, version, at, narrow } = store;
  void version.value;
  const host = useRef<HTMLDivElement>(null);
  const { width } = useSize(host);
  const [hover, setHover] = useState<number | null>(null);
  const base = narrow.value ? NARROW : WIDE;
  const frame: Frame = { ...base, right: Math.max(base.left + 40, width - base.rightGap) };
  const first = Math.min(run.steps[0]?.step ?? 0, run.loadedList()[0] ?? 0);
  const last = Math.max(first + 1, run.lastStep() ?? 1);
  const x = linear(first, last, frame.left, frame.right - END_GAP);

  const stepAt = (event: PointerEvent) => {
    const box = host.current!.getBoundingClientRect();
    const px = ((event.clientX - box.left) / (box.width || 1)) * width;
    const step = Math.max(first, Math.min(last, Math.round(first + ((px - frame.left) / (frame.right - END_GAP - frame.left)) * (last - first))));
    const near = run.capturedAt(step);
    const next = run.capturedSteps().find((other) => other > step) ?? null;
    // What was recorded is easier to hit than what was not.
    const close = [near, next].filter((other): other is number => other !== null && Math.abs(x(other) - px) < 4);
    return close.sort((a, b) => Math.abs(x(a) - px) - Math.abs(x(b) - px))[0] ?? step;
  };
  const onDown = (event: PointerEvent) => {
    if (event.button !== 0 || (event.target as Element).closest("button")) return;
    event.preventDefault();
    host.current!.setPointerCapture(event.pointerId);
    store.playing.value = false;
    goTo(store, stepAt(event));
    host.current!.querySelector<HTMLElement>("[role=slider]")?.focus({ preventScroll: true });
  };
  const onMove = (event: PointerEvent) => {
    const step = stepAt(event);
    if (host.current!.hasPointerCapture(event.pointerId)) goTo(store, step);
    setHover(step);
  };
  return (
    <div class="gs-chart" ref={host} style={{ height: `${frame.height}px` }} onPointerDown={onDown} onPointerMove={onMove} onPointerLeave={() => setHover(null)}>
      {width > 0 && (
        <svg width={width} height={frame.height} aria-hidden="true">
          <rect x={frame.left} y={frame.top - 4} width={frame.right - frame.left} height={frame.bottom - frame.top + 4} fill="var(--gs-canvas)" />
          <EpochRow frame={frame} x={x} last={last} />
          <Lines frame={frame} x={x} />
          <path d={`M${frame.left} ${frame.bottom + 0.5}H${frame.right}`} stroke="var(--gs-line-strong)" />
          <Compared frame={frame} x={x} last={last} />
          <StepAxis frame={frame} x={x} first={first} last={last} at={at.value} ends={narrow.value} />
          {hover !== null && <path d={`M${x(hover)} ${frame.top - 4}V${frame.bottom}`} stroke="var(--gs-fg-3)" stroke-dasharray="1 2" />}
        </svg>
      )}
      {width > 0 && <EventLane frame={frame} x={x} width={width} />}
      {width > 0 && at.value !== null && <Playhead frame={frame} x={x} first={first} last={last} />}
      {hover !== null && <Readout step={hover} left={x(hover)} width={width} />}
    </div>
  );
}

function lossName(names: readonly string[]): string | null {
  return names.includes("loss") ? "loss" : names.find((name) => /loss/i.test(name)) ?? null;
}

function Lines({ frame, x }: { frame: Frame; x: Scale }) {
  const { run } = useStore();
  const name = lossName(run.scalarNames());
  const loss = name === null ? null : run.scalars(name);
  const norm = run.scalars("grad_norm");
  const lr = run.scalars("lr");
  const key = [loss, norm, x(0), x(1), frame.height];
  const drawn = useMemo(() => {
    const smooth = loss && smoothed(loss);
    const range = loss && extent(loss, 0.01);
    const low = range ? Math.min(0, range[0]) : 0;
    const top = range ? (range[1] > low ? range[1] : low + 1) * 1.04 : 1;
    const y = linear(low, top, frame.bottom, frame.top);
    const clipped = (v: number) => Math.max(frame.top - 4, y(v));
    const normRange = extent({ steps: norm.steps, values: norm.values.map((v) => (v !== null && v > 0 ? v : null)) });
    const middle = normRange ? Math.sqrt(normRange[0] * normRange[1]) : 1;
    const yNorm = normRange ? logarithmic(Math.min(normRange[0] / 1.4, middle / 3), Math.max(normRange[1] * 1.1, middle * 3), frame.bottom, frame.top) : null;
    return {
      y, yNorm, low, top, normRange, smooth,
      raw: loss && path(loss, x, clipped), line: smooth && path(smooth, x, clipped),
      norm: yNorm && path({ steps: norm.steps, values: norm.values.map((v) => (v !== null && v > 0 ? v : null)) }, x, yNorm),
    };
  }, key);
  return (
    <>
      {loss && ticks(drawn.low, drawn.top, 3).map((tick) => <text key={tick} x={frame.left - 6} y={drawn.y(tick) + 4} text-anchor="end">{setting(tick)}</text>)}
      {drawn.yNorm && drawn.normRange && <NormAxis frame={frame} y={drawn.yNorm} range={drawn.normRange} />}
      {jumps(lr).map((jump) => (
        <g key={jump.step}>
          <path d={`M${x(jump.step)} ${frame.top - 4}V${frame.bottom}`} stroke="var(--gs-fg-2)" stroke-dasharray="2 2" />
          <text class="gs-halo" x={x(jump.step) + (x(jump.step) > frame.right / 2 ? -4 : 4)} y={frame.top + 8} text-anchor={x(jump.step) > frame.right / 2 ? "end" : "start"}>lr {setting(jump.from)} → {setting(jump.to)}</text>
        </g>
      ))}
      {drawn.raw && <path d={drawn.raw} fill="none" stroke="var(--gs-fg-3)" stroke-width="0.75" opacity="0.45" />}
      {drawn.norm && <path d={drawn.norm} fill="none" stroke="var(--gs-gradient)" stroke-width="1.25" />}
      {drawn.line && <path d={drawn.line} fill="none" stroke="var(--gs-fg)" stroke-width="1.75" stroke-linejoin="round" />}
      {drawn.smooth && name && <LineLabel text={name} series={drawn.smooth} other={norm} x={x} y={drawn.y} otherY={drawn.yNorm} frame={frame} shares={LOSS_SHARES} colour="fg" />}
      {drawn.yNorm && <LineLabel text="gradient norm" series={norm} other={drawn.smooth} x={x} y={drawn.yNorm} otherY={drawn.y} frame={frame} shares={NORM_SHARES} colour="gradient" />}
    </>
  );
}

/** Least and greatest norm; they stay while the playhead moves. */
function NormAxis({ frame, y, range }: { frame: Frame; y: Scale; range: [number, number] }) {
  const ends = Math.abs(y(range[0]) - y(range[1])) < 13 ? [range[1]] : range;
  // At most six letters: the margin has no room for more.
  const text = (v: number) => (v < 0.001 || v >= 10_000 ? scientific(v, 1) : setting(Number(v.toPrecision(2))));
  return <>{ends.map((v) => <text key={v} x={frame.right + 6} y={y(v) + 4} style={{ fill: "var(--gs-gradient)" }}>{text(v)}</text>)}</>;
}

/** The step that others are compared with. */
function Compared({ frame, x, last }: { frame: Frame; x: Scale; last: number }) {
  const { compareStep, run } = useStore();
  const step = compareStep.value === null ? null : run.loadedAt(compareStep.value);
  if (step === null || step > last) return null;
  return <path d={`M${x(step)} ${frame.top - 4}V${frame.bottom}`} stroke="var(--gs-fg)" stroke-width="1.5" stroke-dasharray="4 2" data-graphscope="compared-step" />;
}

/** The line's name on the line, where the other line is not in its way. */
function LineLabel(props: { text: string; series: Series; other: Series | null; x: Scale; y: Scale; otherY: Scale | null; frame: Frame; shares: readonly number[]; colour: string }) {
  const { text, x, frame } = props;
  const place = useMemo(() => labelPlace(props), [props.series, props.other, x(0), x(1), frame.height]);
  return place && <text class="gs-halo gs-strong" x={place.x} y={place.y} style={{ fill: `var(--gs-${props.colour})` }}>{text}</text>;
}

/** `ends`: the first step only, where events share the row. */
function StepAxis({ frame, x, first, last, at, ends }: { frame: Frame; x: Scale; first: number; last: number; at: number | null; ends: boolean }) {
  const shown = at ?? last;
  const label = count(shown);
  const room = (label.length + 4) * 6.5;
  const list = (ends ? [first] : ticks(first, last, Math.max(2, Math.floor((frame.right - frame.left) / 120)))).filter((tick) => Number.isInteger(tick) && Math.abs(x(tick) - x(shown)) > room);
  const edge = (px: number) => (px < frame.left + 12 ? "start" : "middle");
  return (
    <>
      {list.map((tick) => <text key={tick} class="gs-weak" x={x(tick)} y={frame.axis} text-anchor={edge(x(tick))}>{count(tick)}</text>)}
      {at !== null && <text class="gs-ink gs-strong" x={x(shown)} y={frame.axis} text-anchor={edge(x(shown))}>{label}</text>}
    </>
  );
}

function Playhead({ frame, x, first, last }: { frame: Frame; x: Scale; first: number; last: number }) {
  const store = useStore();
  const { run, at, source } = store;
  const step = at.value!;
  const record = run.stepAt(step);
  const words = [`Step ${count(step)}`, record?.epoch != null ? `epoch ${record.epoch}` : "", record && Object.hasOwn(record.scalars, "loss") ? `loss ${value(record.scalars["loss"])}` : ""];
  const onKey = (event: KeyboardEvent) => {
    const far = Math.max(1, Math.round((last - first) / 10));
    const to = {
      ArrowLeft: neighbour(store, -1), ArrowDown: neighbour(store, -1), ArrowRight: neighbour(store, 1), ArrowUp: neighbour(store, 1),
      PageDown: Math.max(first, step - far), PageUp: Math.min(last, step + far), Home: first, End: last,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    store.playing.value = false;
    if (to !== null) goTo(store, to);
    if (event.key === "End" && source.live) store.follow.value = true;
  };
  const top = frame.top - 12;
  return (
    <div class="gs-playhead" role="slider" tabIndex={0} aria-label="Step" aria-orientation="horizontal" aria-valuemin={first} aria-valuemax={last} aria-valuenow={step}
      aria-valuetext={words.filter(Boolean).join(", ")} onKeyDown={onKey} data-graphscope="playhead"
      style={{ left: `${x(step)}px`, top: `${top}px`, height: `${frame.bottom + 4 - top}px` }}>
      <svg width="15" height={frame.bottom + 4 - top} aria-hidden="true">
        <path d={`M7.5 4V${frame.bottom + 4 - top}`} stroke="var(--gs-accent)" stroke-width="2" />
        <path d="M2.5 0h10v5l-5 5l-5-5z" fill="var(--gs-accent)" />
      </svg>
    </div>
  );
}

function Readout({ step, left, width }: { step: number; left: number; width: number }) {
  const { run } = useStore();
  const record = run.stepAt(step);
  const epochs = epochStarts(run.steps).length > 1;
  const names = Object.keys(record?.scalars ?? {}).slice(0, 6);
  const side = left > width / 2 ? { right: `${width - left + 10}px` } : { left: `${left + 10}px` };
  return (
    <div class="gs-tip" style={{ top: "8px", ...side }}>
      <div class="gs-row" style={{ justifyContent: "space-between" }}><b>Step {count(step)}</b>{epochs && record?.epoch != null && <span class="gs-2">epoch {count(record.epoch)}</span>}</div>
      {record && record.step !== step && <div class="gs-3">values of step {count(record.step)}</div>}
      {names.map((name) => (
        <div key={name} class="gs-row" style={{ justifyContent: "space-between", gap: "12px" }}><span class="gs-2"><bdi>{name.replace("grad_norm", "gradient norm")}</bdi></span><span>{name === "lr" ? setting(record!.scalars[name]) : value(record!.scalars[name])}</span></div>
      ))}
    </div>
  );
}
