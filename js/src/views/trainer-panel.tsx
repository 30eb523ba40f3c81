/**
 * TrainerStatus -> the controls of the built-in trainer: what to train, how, how far it is, and where it is to pause.
 *
 * A change waits here until Start sends it; learning rate, momentum and dropout go to a training under way as well. What
 * cannot be changed now is disabled and says why. Before a status came there is nothing to draw.
 */

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { count, duration, percent, setting } from "../base/format";
import { Icon, Shape } from "../base/icons";
import type { CommandError, TrainerState, TrainerStatus } from "../schema";
import { Menu as Choices } from "./menu";
import { BreakWhen } from "./trainer-break";
import { BATCH, DECAY, EPOCHS, type Give, LR, LiveNumber, MOMENTUM, Menu, NUMBERS, type NumberField, NumberInput, P_DROP, SEED, numberIn } from "./trainer-fields";

type Send = Give | null;
type Draft = Record<string, string>;

const WORDS: { [K in TrainerState]: string } = {
  idle: "Ready", loading: "Loading", training: "Training", paused: "Paused", finished: "Finished", stopped: "Stopped", failed: "Failed",
};
const UNDER_WAY: readonly TrainerState[] = ["loading", "training", "paused"];

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
export function TrainerPanel({ status, send, error = null, selected = "" }: { status: TrainerStatus; send: Send; error?: CommandError | null; selected?: string }) {
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
  const live = (field: NumberField) => (
    <LiveNumber key={field.name} field={field} current={numberOf(status, field.name)} step={status.step} send={send!} error={error}
      command={(x) => (field === LR ? { kind: "trainer_set", lr: x } : { kind: "trainer_momentum", momentum: x })} />
  );
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
        {running && send ? live(LR) : number(LR)}
        {running && send ? live(MOMENTUM) : number(MOMENTUM)}
        {number(DECAY)}
        {menu("schedule", "Schedule")}
        {running && send && <Dropouts status={status} send={send} error={error} />}
        <div class="gs-field-row">
          <span class="gs-field-label" aria-hidden="true">Batch, epochs</span>
          <span class="gs-field-pair">{number(BATCH, true)}{number(EPOCHS, true)}</span>
        </div>
        {number(SEED)}
      </div>
      <div class="gs-trainer-part">
        <Buttons status={status} send={send} selected={selected} settings={changed(draft, status)} start={start} />
        <Progress status={status} />
      </div>
      <BreakWhen status={status} send={send} error={error} />
    </section>
  );
}

const numberOf = (status: TrainerStatus, name: string) => (typeof status.settings[name] === "number" ? status.settings[name] : null);

const MAX_DROPOUTS = 12;

/** One field per Dropout layer, two in a row. */
function Dropouts({ status, send, error }: { status: TrainerStatus; send: Give; error: CommandError | null }) {
  const layers = Object.entries(status.dropout);
  if (!layers.length) return null;
  return (
    <div class="gs-field-row" role="group" aria-label="Dropout p">
      <span class="gs-field-label" aria-hidden="true">Dropout p</span>
      <span class="gs-field-pair">
        {layers.slice(0, MAX_DROPOUTS).map(([fqn, p]) => (
          <LiveNumber key={fqn} field={P_DROP} name={`Dropout p of ${fqn}`} suffix={fqn.slice(fqn.lastIndexOf(".") + 1)} current={p} step={status.step} send={send}
            error={error} command={(x) => ({ kind: "trainer_dropout", fqn, p: x })} />
        ))}
        {layers.length > MAX_DROPOUTS && <span class="gs-field-note">and {count(layers.length - MAX_DROPOUTS)} more, by training.set_dropout</span>}
      </span>
    </div>
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

/** `settings`: what Start would send; null while a field is wrong. */
function Buttons({ status, send, selected, settings, start }: { status: TrainerStatus; send: Send; selected: string; settings: Record<string, unknown> | null; start: () => void }) {
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
        <Icon name="step" />{status.at_direction ? "Finish batch" : "Batch"}
      </button>
      {batchWhy === "" && <LayerMenu selected={selected} send={send} />}
      <span class="gs-trainer-turn" />
      <button type="button" class="gs-button" disabled={!running} title={running ? "End this training and begin it anew from its first step" : "Nothing is being trained."}
        onClick={() => send({ kind: "trainer_restart" })}>
        <Icon name="first" />Restart
      </button>
      <button type="button" class="gs-button" disabled={!running} title={running ? "End this training; what was recorded stays" : "Nothing is being trained."}
        onClick={() => send({ kind: "trainer_stop" })}>
        <Icon name="stop" />Stop
      </button>
    </div>
  );
}

/** Steps on inside a training step: to the next layer reached, or to the selected one. */
function LayerMenu({ selected, send }: { selected: string; send: Give }) {
  const choices = [
    { value: "\n", label: "Next layer" }, { value: "\nforward", label: "Next forward" }, { value: "\nbackward", label: "Next backward" },
    ...(selected ? ["forward", "backward"].map((direction) => ({ value: `${selected}\n${direction}`, label: `${selected}, ${direction}` })) : []),
  ];
  const go = (choice: string): void => {
    const at = choice.lastIndexOf("\n");
    send({ kind: "trainer_layer", fqn: choice.slice(0, at), direction: choice.slice(at + 1) });
  };
  return <Choices label="Step to a layer" title="Go on to where a layer's forward or backward is done, and pause there, inside the step" value="" choices={choices} onChoose={go}>Layer</Choices>;
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
        {status.accuracy !== null && <span>train {percent(status.accuracy)}</span>}
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
