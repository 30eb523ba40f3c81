/**
 * TrainerStatus -> the controls of the built-in trainer: what to train, how, and how far it is.
 *
 * A change waits here until Start sends it; only the learning rate goes to a training under way. What cannot be changed
 * now is disabled and says why. Before a status came there is nothing to draw.
 */

import type { ComponentChildren } from "preact";
import { useEffect, useId, useState } from "preact/hooks";
import { count, duration, percent, setting } from "../base/format";
import { Icon, Shape } from "../base/icons";
import type { Command, TrainerState, TrainerStatus } from "../schema";

type Send = ((command: Command) => void) | null;
type Draft = Record<string, string>;

interface NumberField {
  name: string;
  label: string;
  whole: boolean;
  accepts: (x: number) => boolean;
  wanted: string;
}

const LR: NumberField = { name: "lr", label: "Learning rate", whole: false, accepts: (x) => x >= 0, wanted: "a number, 0 or more" };
const MOMENTUM: NumberField = { name: "momentum", label: "Momentum", whole: false, accepts: (x) => x >= 0 && x < 1, wanted: "0 to below 1" };
const DECAY: NumberField = { name: "weight_decay", label: "Weight decay", whole: false, accepts: (x) => x >= 0, wanted: "a number, 0 or more" };
const BATCH: NumberField = { name: "batch_size", label: "Batch size", whole: true, accepts: (x) => x >= 1, wanted: "1 or more images" };
const EPOCHS: NumberField = { name: "epochs", label: "Epochs", whole: true, accepts: (x) => x >= 1, wanted: "1 or more" };
const SEED: NumberField = { name: "seed", label: "Seed", whole: true, accepts: (x) => x >= 0, wanted: "a whole number, 0 or more" };
const NUMBERS: readonly NumberField[] = [LR, MOMENTUM, DECAY, BATCH, EPOCHS, SEED];

const WORDS: { [K in TrainerState]: string } = {
  idle: "Ready", loading: "Loading", training: "Training", paused: "Paused", finished: "Finished", stopped: "Stopped", failed: "Failed",
};
const UNDER_WAY: readonly TrainerState[] = ["loading", "training", "paused"];

/** A text -> the number it is, if the field takes it. */
export function numberIn(field: NumberField, text: string): number | null {
  const x = text.trim() === "" ? Number.NaN : Number(text.trim().replace("−", "-"));
  return Number.isFinite(x) && field.accepts(x) && (!field.whole || Number.isInteger(x)) ? x : null;
}

/** Settings to be sent with Start: what the person changed; null where a number is wrong. */
export function changed(draft: Draft, status: TrainerStatus): Record<string, unknown> | null {
  const settings: Record<string, unknown> = {};
  for (const [name, text] of Object.entries(draft)) {
    const field = NUMBERS.find((number) => number.name === name);
    if (field && text.trim() === "" && isAuto(status, name)) continue;
    const value = field ? numberIn(field, text) : text;
    if (value === null) return null;
    if (value !== status.settings[name]) settings[name] = value;
  }
  return settings;
}

/** Left to the trainer: an empty field stands for it. */
const isAuto = (status: TrainerStatus, name: string) => status.settings[name] === null || status.settings[name] === undefined;

/** Left column of the trainer. `send` is null where no kernel stands behind the page. */
export function TrainerPanel({ status, send }: { status: TrainerStatus; send: Send }) {
  const [draft, setDraft] = useState<Draft>({});
  const running = UNDER_WAY.includes(status.state);
  const locked = running ? "Fixed while a training is under way. Stop it to change this." : send ? "" : "No kernel stands behind this page.";
  const edit = (name: string) => (text: string) => setDraft((old) => ({ ...old, [name]: text }));
  const given = (name: string) => draft[name] ?? shown(status.settings[name]);
  const menu = (name: string, label: string) => (
    <Menu label={label} value={given(name)} choices={status.choices[name] ?? []} locked={locked} onChange={edit(name)} />
  );
  const number = (field: NumberField, hideLabel = false) => (
    <NumberInput field={field} text={given(field.name)} auto={isAuto(status, field.name)} locked={locked} onInput={edit(field.name)} hideLabel={hideLabel} />
  );
  const start = (): void => {
    const settings = changed(draft, status);
    if (settings) {
      send?.({ kind: "trainer_start", settings });
      setDraft({});
    }
  };
  return (
    <section class="gs-trainer" aria-label="Trainer" data-graphscope="trainer" data-state={status.state}>
      <header class="gs-trainer-head"><h2>Trainer</h2><StateChip state={status.state} /></header>
      <Outcome status={status} />
      <div class="gs-trainer-part">
        {menu("data", "Data")}
        {menu("model", "Network")}
        {(status.data_text || status.model_text) && (
          <p class="gs-trainer-facts">{[status.data_text, status.model_text].filter(Boolean).map((line) => <span key={line}>{line}</span>)}</p>
        )}
      </div>
      <div class="gs-trainer-part">
        {menu("optimizer", "Optimizer")}
        {running && send ? <LiveRate status={status} send={send} /> : number(LR)}
        {number(MOMENTUM)}
        {number(DECAY)}
        {menu("schedule", "Schedule")}
        <div class="gs-field-row">
          <span class="gs-field-label" aria-hidden="true">Batch, epochs</span>
          <span class="gs-field-pair">{number(BATCH, true)}{number(EPOCHS, true)}</span>
        </div>
        {number(SEED)}
      </div>
      <div class="gs-trainer-part">
        <Buttons status={status} send={send} settings={changed(draft, status)} start={start} />
        <Progress status={status} />
      </div>
    </section>
  );
}

function StateChip({ state }: { state: TrainerState }) {
  const tone = state === "training" ? "ok" : state === "failed" ? "error" : "plain";
  return <span class={`gs-chip gs-chip-${tone}`} role="status">{mark(state)}{WORDS[state]}</span>;
}

function mark(state: TrainerState): ComponentChildren {
  switch (state) {
    case "training": return <svg width="8" height="8" aria-hidden="true"><circle cx="4" cy="4" r="3.5" fill="currentColor" /></svg>;
    case "paused": return <Icon name="pause" size={10} />;
    case "failed": return <Shape kind="error" size={10} />;
    case "finished": return <Icon name="check" size={10} />;
    case "stopped": return <Icon name="stop" size={10} />;
    case "idle":
    case "loading": return null;
  }
}

function Menu(props: { label: string; value: string; choices: readonly string[]; locked: string; onChange: (text: string) => void }) {
  const id = useId();
  // The current one is listed even if the kernel did not: a network given as code has no entry.
  const choices = props.choices.includes(props.value) ? props.choices : [props.value, ...props.choices];
  return (
    <div class="gs-field-row">
      <label class="gs-field-label" for={id}>{props.label}</label>
      <span class="gs-select" title={props.locked}>
        <select id={id} disabled={props.locked !== ""} value={props.value} onChange={(event) => props.onChange(event.currentTarget.value)}>
          {choices.map((choice) => <option key={choice} value={choice}>{choice}</option>)}
        </select>
        <Icon name="down" size={10} />
      </span>
    </div>
  );
}

function NumberInput(props: { field: NumberField; text: string; auto: boolean; locked: string; onInput: (text: string) => void; hideLabel: boolean }) {
  const id = useId();
  const left = props.auto && props.text.trim() === "";
  const wrong = props.locked === "" && !left && numberIn(props.field, props.text) === null;
  const input = (
    <input id={id} type="text" inputMode={props.field.whole ? "numeric" : "decimal"} value={props.text} placeholder={props.auto ? "auto" : ""} disabled={props.locked !== ""}
      title={props.locked || (props.hideLabel ? props.field.label : "")} aria-invalid={wrong} aria-describedby={wrong ? `${id}-wrong` : undefined}
      aria-label={props.hideLabel ? props.field.label : undefined} onInput={(event) => props.onInput(event.currentTarget.value)} />
  );
  const problem = wrong && <span class="gs-field-wrong" id={`${id}-wrong`}>{`${props.field.label}: ${props.field.wanted}`}</span>;
  if (props.hideLabel) return <span class="gs-field-cell">{input}{problem}</span>;
  return (
    <div class="gs-field-row">
      <label class="gs-field-label" for={id}>{props.field.label}</label>
      <span class="gs-field-cell">{input}{problem}</span>
    </div>
  );
}

/** The one number that a training under way takes: at its next batch, after Enter or when the field is left. */
function LiveRate({ status, send }: { status: TrainerStatus; send: NonNullable<Send> }) {
  const id = useId();
  const current = typeof status.settings["lr"] === "number" ? status.settings["lr"] : null;
  const [text, setText] = useState<string | null>(null);
  const [asked, setAsked] = useState<number | null>(null);
  const [before, setBefore] = useState<number | null>(null);
  useEffect(() => {
    if (asked !== null && asked === current) setAsked(null); // taken
  }, [asked, current]);
  const value = text === null ? null : numberIn(LR, text);
  const wrong = text !== null && value === null;
  const give = (): void => {
    if (value !== null && value !== (asked ?? current)) {
      send({ kind: "trainer_set", lr: value });
      setBefore(current);
      setAsked(value);
    }
    if (!wrong) setText(null);
  };
  return (
    <div class="gs-field-row">
      <label class="gs-field-label" for={id}>{LR.label}</label>
      <span class="gs-field-cell">
        <span class="gs-field-suffixed">
          <input id={id} type="text" inputMode="decimal" value={text ?? setting(asked ?? current)} aria-invalid={wrong}
            aria-describedby={`${id}-note`} onInput={(event) => setText(event.currentTarget.value)} onBlur={give}
            onKeyDown={(event) => {
              if (event.key === "Enter") give();
              if (event.key === "Escape") setText(null);
            }} />
          {before !== null && before !== (asked ?? current) && <span class="gs-field-suffix">was {setting(before)}</span>}
        </span>
        <span id={`${id}-note`} class={wrong ? "gs-field-wrong" : "gs-field-note"} role="status">
          {wrong ? `${LR.label}: ${LR.wanted}` : text !== null ? "Press Enter" : asked !== null ? "Taken at the next batch" : ""}
        </span>
      </span>
    </div>
  );
}

/** `settings`: what Start would send; null while a field is wrong. */
function Buttons({ status, send, settings, start }: { status: TrainerStatus; send: Send; settings: Record<string, unknown> | null; start: () => void }) {
  if (!send) return null; // in a report nothing could answer: absent, not dead
  const { state } = status;
  const running = UNDER_WAY.includes(state);
  const ready = settings !== null;
  const untouched = ready && Object.keys(settings).length === 0;
  const batchWhy = state === "loading" ? "The data are still being loaded." : running || untouched ? "" : "Settings were changed: Start takes them, a single batch does not.";
  return (
    <div class="gs-trainer-buttons">
      {state === "training" || state === "loading" ? (
        <button type="button" class="gs-button gs-primary" disabled={state === "loading"}
          title={state === "loading" ? "The data are still being loaded." : "Stop after the batch under way"} onClick={() => send({ kind: "trainer_pause" })}>
          <Icon name="pause" />Pause
        </button>
      ) : state === "paused" ? (
        <button type="button" class="gs-button gs-primary" onClick={() => send({ kind: "trainer_start", settings: {} })}>
          <Icon name="play" />Resume
        </button>
      ) : (
        <button type="button" class="gs-button gs-primary" disabled={!ready} title={ready ? "" : "A setting above is not a usable number."} onClick={start}>
          <Icon name="play" />Start
        </button>
      )}
      <button type="button" class="gs-button" disabled={batchWhy !== ""} title={batchWhy || "Train one batch, capture it, then pause"}
        onClick={() => send({ kind: "trainer_step" })}>
        <Icon name="step" />Batch
      </button>
      <button type="button" class="gs-button gs-push" disabled={!running} title={running ? "End this training; what was recorded stays" : "Nothing is being trained."}
        onClick={() => send({ kind: "trainer_stop" })}>
        <Icon name="stop" />Stop
      </button>
    </div>
  );
}

const MAX_SEGMENTS = 20; // above it gaps are wider than epochs

function Progress({ status }: { status: TrainerStatus }) {
  const done = status.total_steps > 0 ? Math.min(1, status.step / status.total_steps) : 0;
  const segments = status.epochs >= 1 && status.epochs <= MAX_SEGMENTS ? status.epochs : 1;
  const parts = Array.from({ length: segments }, (_, i) => Math.max(0, Math.min(1, done * segments - i)));
  if (status.total_steps === 0) return null; // not built yet
  const position = `step ${count(status.step)} of ${count(status.total_steps)}, epoch ${count(status.epoch)} of ${count(status.epochs)}`;
  return (
    <div class="gs-trainer-progress">
      <div class="gs-progress" role="progressbar" aria-label="Training" aria-valuemin={0} aria-valuemax={status.total_steps}
        aria-valuenow={status.step} aria-valuetext={position}>
        {parts.map((share, i) => <span key={i}><i style={{ width: `${share * 100}%` }} /></span>)}
      </div>
      <p><span>{position}</span>{status.seconds_left !== null && <span>{duration(status.seconds_left)} left</span>}</p>
      <p>
        {status.images_per_second !== null && <span>{count(status.images_per_second)} images/s</span>}
        {status.loss !== null && <span>loss {setting(status.loss)}</span>}
        {status.test_accuracy !== null && <span>test {percent(status.test_accuracy, 2)}</span>}
      </p>
    </div>
  );
}

function Outcome({ status }: { status: TrainerStatus }) {
  if (!status.message) return null;
  const failed = status.state === "failed";
  return (
    <p class={`gs-trainer-message${failed ? " gs-failed" : ""}`} role={failed ? "alert" : "status"}>
      {failed && <Shape kind="error" size={12} named />}<span>{status.message}</span>
    </p>
  );
}

/** A setting as an input field holds it: no thin typography, so that it can be edited. */
function shown(value: unknown): string {
  if (value === null || value === undefined) return "";
  return typeof value === "number" ? String(value) : typeof value === "string" ? value : JSON.stringify(value);
}
