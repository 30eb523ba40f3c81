/** Time: where the playhead is, how the run is doing, and the lines over all steps. */

import { useEffect, useState } from "preact/hooks";
import { count, fixed, percent, value } from "../base/format";
import { Icon, Shape } from "../base/icons";
import type { Run } from "../run/run";
import type { StepRecord } from "../schema";
import { goTo, neighbour, shownTab, useStore } from "../store/state";
import { TimeChart } from "./time-chart";
import { ColourMenu, DepthMenu } from "./topbar";

export function TimeBar() {
  return (
    <section class="gs-time" aria-label="Time">
      <div class="gs-clock">
        <Buttons />
        <Now />
        <State />
      </div>
      <TimeChart />
    </section>
  );
}

/** Under 720 px: the same controls in one row, with those of the graph. */
export function NarrowControls() {
  const store = useStore();
  void store.version.value;
  return (
    <div class="gs-bar">
      <Buttons />
      <Now />
      <span class="gs-space" />
      {shownTab(store) === "graph" && <><DepthMenu /><ColourMenu /></>}
    </div>
  );
}

function Buttons() {
  const store = useStore();
  const { version, follow, playing, source, run } = store;
  void version.value;
  void store.at.value;
  const first = run.capturedSteps()[0] ?? run.steps[0]?.step ?? null;
  const [before, after] = [neighbour(store, -1), neighbour(store, 1)];
  const going = playing.value || (follow.value && source.live && run.end === null);
  const stop = () => {
    playing.value = false;
    if (store.at.peek() !== null) goTo(store, store.at.peek()!);
  };
  const start = () => {
    if (after === null && first !== null) goTo(store, first);
    follow.value = false;
    playing.value = true;
  };
  const to = (step: number | null) => () => {
    playing.value = false;
    if (step !== null) goTo(store, step);
  };
  return (
    <div class="gs-buttons" role="group" aria-label="Steps">
      <IconButton icon="first" label="First recorded step" disabled={before === null} onClick={to(first)} />
      <IconButton icon="prev" label="Previous recorded step" hint="[" disabled={before === null} onClick={to(before)} />
      <button type="button" class={`gs-button gs-icon-only ${going ? "gs-primary" : ""}`} aria-label={going ? "Hold this step" : "Play the recorded steps"}
        title={going ? "Hold this step (space)" : "Play the recorded steps (space)"} disabled={first === null} onClick={going ? stop : start}>
        <Icon name={going ? "pause" : "play"} />
      </button>
      <IconButton icon="next" label="Next recorded step" hint="]" disabled={after === null} onClick={to(after)} />
      {source.live && run.end === null && (
        <button type="button" class={`gs-button ${follow.value ? "gs-on" : ""}`} aria-pressed={follow.value} title="Stay on the last step"
          onClick={() => { playing.value = false; follow.value = true; }}>
          <Icon name="follow" />Follow
        </button>
      )}
    </div>
  );
}

function IconButton(props: { icon: "first" | "prev" | "next"; label: string; hint?: string; disabled: boolean; onClick: () => void }) {
  return (
    <button type="button" class="gs-button gs-icon-only" aria-label={props.label} title={props.hint ? `${props.label} (${props.hint})` : props.label}
      disabled={props.disabled} onClick={props.onClick}>
      <Icon name={props.icon} />
    </button>
  );
}

function Now() {
  const { version, at, run } = useStore();
  void version.value;
  if (at.value === null) return <p class="gs-now gs-2">No step yet</p>;
  const record = run.stepAt(at.value);
  const epochs = run.trainer?.epochs;
  return (
    <p class="gs-now">
      <b>Step {count(at.value)}</b>
      {record?.epoch !== null && record?.epoch !== undefined && <span class="gs-2"> epoch {count(record.epoch)}{epochs ? ` of ${count(epochs)}` : ""}</span>}
      <span class="gs-hidden">{record && Object.hasOwn(record.scalars, "loss") ? `, loss ${value(record.scalars["loss"])}` : ""}</span>
    </p>
  );
}

function State() {
  const { version, run, source } = useStore();
  void version.value;
  const status = run.status;
  const ended = run.end !== null || status?.state === "closed";
  return (
    <>
      <div class="gs-row" style={{ gap: "6px", marginTop: "2px" }}>
        {ended ? <Finished /> : !status ? <span class="gs-2">{source.live ? "Waiting for the first step" : "Not closed: the run may have been cut off"}</span> : <Live />}
      </div>
      {status?.message ? <p class="gs-2 gs-ell" title={status.message}><bdi>{status.message}</bdi></p> : <Overhead />}
    </>
  );
}

function Finished() {
  const { run } = useStore();
  const last = run.stepAt(null);
  return <><Icon name="check" size={12} /><span><b>Finished</b>{last ? <span class="gs-2"> {count(run.end?.steps ?? last.step + 1)} steps</span> : null}</span></>;
}

function Live() {
  const { run } = useStore();
  const status = run.status!;
  const speed = status.steps_per_second;
  const quiet = useQuiet(status.step);
  // The trainer's own word may be half a second newer than its session's.
  const held = status.state === "live" && run.trainer?.state === "paused";
  switch (held ? "paused" : status.state) {
    case "live":
      return (
        <>
          <span class="gs-dot" style={quiet ? { background: "var(--gs-line-strong)" } : undefined} />
          <span><b style={quiet ? undefined : { color: "var(--gs-ok-fg)" }}>{quiet ? "Watching" : "Live"}</b>{speed !== null && !quiet && ` ${fixed(speed, speed < 10 ? 2 : 1)} steps/s`}</span>
        </>
      );
    case "paused": return <><Icon name="pause" size={10} /><b>Paused</b></>;
    case "off": return <><Shape kind="warning" size={11} /><b>Recording is off</b></>;
    case "closed": return null;
  }
}

/** No step for ten seconds: between cells nothing is live although the session is open. */
function useQuiet(step: number | null): boolean {
  const [quiet, setQuiet] = useState(false);
  useEffect(() => {
    setQuiet(false);
    const timer = setTimeout(() => setQuiet(true), 10_000);
    return () => clearTimeout(timer);
  }, [step]);
  return quiet;
}

function Overhead() {
  const { run } = useStore();
  const { share, words } = overheadShown(run);
  return share === null ? null : <p class="gs-2" style={{ marginTop: "2px" }} title={words}>Overhead {percent(share)} of step time</p>;
}

/** Overhead to be named, and what it is: the steady one where there is one, else that of all steps so far. */
export function overheadShown(run: Run): { share: number | null; words: string } {
  const { status } = run;
  const whole = status?.overhead ?? overheadOf(run.steps);
  const steady = status?.steady_overhead ?? overheadOf(steadySteps(run.steps));
  const what = "What watching itself took on the training thread";
  if (steady === null) return { share: whole, words: `${what}; the first steps are all recorded in full` };
  return { share: steady, words: `${what}, without the first steps, which are recorded in full anyway${whole === null ? "" : `; ${percent(whole)} with them`}` };
}

/** Without the beginning, of which each step is captured; empty if nothing else is there. */
function steadySteps(steps: readonly StepRecord[]): readonly StepRecord[] {
  const from = steps.findIndex((step) => !step.captured);
  return from < 0 ? [] : steps.slice(from);
}

/** What watching took over what the last recorded steps themselves took; null if no times are known. */
export function overheadOf(steps: readonly { step_seconds: number | null; self_seconds: number }[]): number | null {
  let [watching, plain] = [0, 0];
  for (const { step_seconds, self_seconds } of steps.slice(-500)) {
    if (step_seconds === null) continue;
    watching += self_seconds;
    plain += step_seconds - self_seconds;
  }
  return plain > 0 ? watching / plain : null;
}
