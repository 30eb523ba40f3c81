/** The fields of the trainer's panel: a choice, a number for the next start, a number that a training under way takes. */

import { useId, useRef, useState } from "preact/hooks";
import { setting } from "../base/format";
import { Icon } from "../base/icons";
import type { Command, CommandError } from "../schema";

export type Give = (command: Command) => void;

export interface NumberField {
  name: string;
  label: string;
  whole: boolean;
  accepts: (x: number) => boolean;
  wanted: string;
}

export const LR: NumberField = { name: "lr", label: "Learning rate", whole: false, accepts: (x) => x >= 0, wanted: "a number, 0 or more" };
export const MOMENTUM: NumberField = { name: "momentum", label: "Momentum", whole: false, accepts: (x) => x >= 0 && x < 1, wanted: "0 to below 1" };
export const DECAY: NumberField = { name: "weight_decay", label: "Weight decay", whole: false, accepts: (x) => x >= 0, wanted: "a number, 0 or more" };
export const BATCH: NumberField = { name: "batch_size", label: "Batch size", whole: true, accepts: (x) => x >= 1, wanted: "1 or more images" };
export const EPOCHS: NumberField = { name: "epochs", label: "Epochs", whole: true, accepts: (x) => x >= 1, wanted: "1 or more" };
export const SEED: NumberField = { name: "seed", label: "Seed", whole: true, accepts: (x) => x >= 0, wanted: "a whole number, 0 or more" };
export const P_DROP: NumberField = { name: "p", label: "Dropout p", whole: false, accepts: (x) => x >= 0 && x <= 1, wanted: "0 to 1" };
export const NUMBERS: readonly NumberField[] = [LR, MOMENTUM, DECAY, BATCH, EPOCHS, SEED];

/** A text -> the number it is, if the field takes it. */
export function numberIn(field: NumberField, text: string): number | null {
  const x = text.trim() === "" ? Number.NaN : Number(text.trim().replace("−", "-"));
  return Number.isFinite(x) && field.accepts(x) && (!field.whole || Number.isInteger(x)) ? x : null;
}

export function Menu(props: { label: string; value: string; choices: readonly string[]; locked: string; onChange: (text: string) => void }) {
  const id = useId();
  // The current one is listed even if the kernel did not: a network given as code has no entry.
  const choices = props.choices.includes(props.value) ? props.choices : [props.value, ...props.choices];
  const locked = props.locked || (choices.length < 2 ? "Given as an object by the notebook." : "");
  return (
    <div class="gs-field-row">
      <label class="gs-field-label" for={id}>{props.label}</label>
      <span class="gs-select" title={locked}>
        <select id={id} disabled={locked !== ""} value={props.value} onChange={(event) => props.onChange(event.currentTarget.value)}>
          {choices.map((choice) => <option key={choice} value={choice}>{choice}</option>)}
        </select>
        <Icon name="down" size={10} />
      </span>
    </div>
  );
}

export function NumberInput(props: { field: NumberField; text: string; auto: boolean; locked: string; onInput: (text: string) => void; hideLabel: boolean }) {
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

interface Asked {
  value: number;
  /** What it was before. */
  before: number | null;
  step: number;
  /** Statuses of later steps that did not have it. */
  missed: number;
  error: CommandError | null;
}

interface LiveProps {
  field: NumberField;
  /** Without a label of its own: named by what stands beside it. */
  name?: string;
  suffix?: string;
  current: number | null;
  /** Steps done: what was asked for is taken when another one was. */
  step: number;
  command: (value: number) => Command;
  send: Give;
  /** The last refusal of the kernel. */
  error: CommandError | null;
}

/** A number that a training under way takes: at its next batch, after Enter or when the field is left. */
export function LiveNumber({ field, name, suffix, current, step, command, send, error }: LiveProps) {
  const id = useId();
  const [text, setText] = useState<string | null>(null);
  const [was, setWas] = useState<number | null>(null);
  const asked = useRef<Asked | null>(null);
  const refused = useRef<CommandError | null>(null);
  const waiting = asked.current;
  if (waiting && error !== waiting.error && error?.command === command(0).kind) {
    refused.current = error;
    asked.current = null;
  } else if (waiting && step > waiting.step) {
    // A status may have been on its way when this was asked for: the second one decides.
    if (current === waiting.value || ++waiting.missed > 1) asked.current = null;
  }
  const shown = asked.current?.value ?? current;
  const value = text === null ? null : numberIn(field, text);
  const wrong = text !== null && value === null;
  const give = (): void => {
    if (value !== null && value !== shown) {
      refused.current = null;
      asked.current = { value, before: current, step, missed: 0, error };
      setWas(current);
      send(command(value));
    }
    if (!wrong) setText(null);
  };
  const problem = wrong ? `${field.label}: ${field.wanted}` : refused.current && text === null ? refused.current.text : "";
  const note = text !== null ? "Press Enter" : asked.current ? "Taken at the next batch" : "";
  const cell = (
    <span class="gs-field-cell">
      <span class="gs-field-suffixed">
        <input id={id} type="text" inputMode="decimal" value={text ?? setting(shown)} aria-invalid={wrong} aria-label={name} title={name}
          aria-describedby={`${id}-note`} onInput={(event) => { refused.current = null; setText(event.currentTarget.value); }} onBlur={give}
          onKeyDown={(event) => {
            if (event.key === "Enter") give();
            if (event.key === "Escape") setText(null);
          }} />
        <span class="gs-field-suffix">{was !== null && was !== shown ? `was ${setting(was)}` : suffix}</span>
      </span>
      <span id={`${id}-note`} class={problem ? "gs-field-wrong" : "gs-field-note"} role="status">{problem || note}</span>
    </span>
  );
  if (name) return cell;
  return <div class="gs-field-row"><label class="gs-field-label" for={id}>{field.label}</label>{cell}</div>;
}
