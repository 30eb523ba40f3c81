/** The condition at which a training pauses: set, watched, met, or refused in the kernel's own words. */

import { useId, useState } from "preact/hooks";
import { Icon, Shape } from "../base/icons";
import type { CommandError, TrainerStatus } from "../schema";
import type { Give } from "./trainer-fields";

const EXAMPLES = ["nan()", "grad_norm() > 10", "loss > 5", "update_ratio() > 0.1 or nan()"];

export function BreakWhen({ status, send, error }: { status: TrainerStatus; send: Give | null; error: CommandError | null }) {
  const id = useId();
  const [text, setText] = useState<string | null>(null);
  const [asked, setAsked] = useState<{ text: string; before: CommandError | null } | null>(null);
  if (!send && !status.break_when) return null;
  const refused = asked && error !== asked.before && error?.command === "trainer_break" ? error.text : "";
  const met = status.state === "paused" && status.message !== "" && status.break_when !== "" && status.at_direction === "";
  const shown = text ?? (refused ? asked!.text : status.break_when);
  const give = (condition: string): void => {
    if (condition.trim() !== status.break_when || refused) {
      setAsked({ text: condition, before: error });
      send?.({ kind: "trainer_break", condition: condition.trim() });
    }
    setText(null);
  };
  const note = text !== null ? "Press Enter" : met ? "" : status.break_when ? "Pauses behind the batch where this begins to hold." : "";
  return (
    <div class="gs-trainer-part gs-trainer-break" data-graphscope="break">
      <label class="gs-field-label" for={id}>Break when</label>
      <span class="gs-field-cell">
        <span class="gs-field-suffixed">
          <input id={id} class="gs-mono" type="text" autocomplete="off" spellcheck={false} list={`${id}-examples`} maxLength={512} value={shown} disabled={!send} placeholder="nan() or grad_norm() > 10"
            aria-invalid={refused !== ""} aria-describedby={`${id}-note`} onInput={(event) => setText(event.currentTarget.value)}
            onBlur={() => text !== null && give(text)}
            onKeyDown={(event) => {
              if (event.key === "Enter") give(shown);
              if (event.key === "Escape") setText(null);
            }} />
          {send && shown !== "" && (
            <button type="button" class="gs-button gs-ghost gs-icon-only gs-field-clear" aria-label="No condition" title="No condition" onClick={() => give("")}><Icon name="close" size={12} /></button>
          )}
        </span>
        <datalist id={`${id}-examples`}>{EXAMPLES.map((example) => <option key={example} value={example} />)}</datalist>
        <span id={`${id}-note`} class={refused ? "gs-field-wrong" : "gs-field-note"} role="status">
          {refused || (met ? <><Shape kind="state" size={10} /> Met: the training is paused.</> : note)}
        </span>
      </span>
    </div>
  );
}
