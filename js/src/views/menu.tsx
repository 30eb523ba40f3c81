/** A button that opens a list of choices; arrows, Home, End, Enter and Escape as in any menu. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Icon } from "../base/icons";

export interface Choice<T> {
  value: T;
  label: string;
}

interface Props<T> {
  label: string;
  title?: string;
  value: T;
  choices: readonly Choice<T>[];
  onChoose: (value: T) => void;
  children: ComponentChildren;
}

export function Menu<T extends string | number>({ label, title, value, choices, onChoose, children }: Props<T>) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const items = () => [...(root.current?.querySelectorAll<HTMLElement>("[role=menuitemradio]") ?? [])];

  useEffect(() => {
    if (!open) return;
    items()[Math.max(0, choices.findIndex((choice) => choice.value === value))]?.focus({ preventScroll: true });
    const outside = (event: Event) => {
      if (root.current && !event.composedPath().includes(root.current)) setOpen(false);
    };
    document.addEventListener("pointerdown", outside, true);
    return () => document.removeEventListener("pointerdown", outside, true);
  }, [open]);

  const close = () => {
    setOpen(false);
    root.current?.querySelector("button")?.focus({ preventScroll: true });
  };
  const onKey = (event: KeyboardEvent) => {
    if (!open) {
      if (event.key === "ArrowDown") {
        event.preventDefault();
        setOpen(true);
      }
      return;
    }
    const all = items();
    const at = all.indexOf(event.target as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (event.key === "Escape" || event.key === "Tab") close();
    else if (to !== undefined) all[(to + all.length) % all.length]?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <div class="gs-menu" ref={root} onKeyDown={onKey}>
      <button type="button" class="gs-button" aria-haspopup="menu" aria-expanded={open} aria-label={label} title={title} onClick={() => setOpen(!open)}>
        {children}
        <span class="gs-row gs-3"><Icon name="down" size={10} /></span>
      </button>
      {open && (
        <div class="gs-popup" role="menu" aria-label={label}>
          {choices.map((choice) => (
            <button key={choice.value} type="button" role="menuitemradio" aria-checked={choice.value === value} tabIndex={-1}
              onClick={() => { onChoose(choice.value); close(); }}>
              {choice.value === value ? <Icon name="check" size={12} /> : <span style={{ width: "12px" }} />}
              {choice.label}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}
