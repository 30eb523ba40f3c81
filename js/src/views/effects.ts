/** What happens by itself in a mount: records come in, commands go out, the playhead plays, traits follow. */

import { batch, effect } from "@preact/signals";
import { openItems } from "../layout/expansion";
import { SCALES, type ColorBy } from "../run/queries";
import { type Command, ROLES } from "../schema";
import type { Batch } from "../sources/source";
import { type Store, ask, goTo, neighbour, select } from "../store/state";

/** What a notebook shares with a view, by the names of the widget's traits. */
export interface Traits {
  /** 0 when there is no step. */
  step: number;
  selection: string;
  colorBy: string;
  compareStep: number | null;
}

export interface TraitStore {
  get<K extends keyof Traits>(name: K): Traits[K];
  set(values: Partial<Traits>): void;
  /** Called after the other side changed one; returns what ends that. */
  onChange(callback: (name: keyof Traits) => void): () => void;
}

const BESIDE_FIELDS: ReadonlySet<string> = new Set<Command["kind"]>(["trainer_set", "trainer_momentum", "trainer_dropout", "trainer_break"]);

type Dispose = () => void;
const REST = 150; // ms the playhead or the selection rests before the kernel is asked
const TELL_STEP = 1000; // ms between two tellings of a step that moves by itself
const PLAY = 120; // ms a recorded step is shown

/** Starts everything; returns what ends it. */
export function startEffects(store: Store, traits: TraitStore | null): Dispose {
  const disposals = [receive(store), openFirst(store), play(store), lookCloser(store), tellSelection(store), ...(traits ? [share(store, traits)] : [])];
  return () => {
    for (const dispose of disposals) dispose();
  };
}

function receive(store: Store): Dispose {
  const { run, source } = store;
  const unsubscribe = source.subscribe((incoming: Batch) => {
    const hadTrainer = run.trainer !== null;
    const heldAt = heldIn(run);
    const notes = run.notes.length;
    for (const record of incoming.records) run.add(record);
    run.damaged += incoming.damaged;
    run.unknown += incoming.unknown;
    batch(() => {
      const refused = incoming.records.findLast((record) => record.kind === "command_error");
      // What the trainer's own fields asked for is answered beside them.
      if (refused && !BESIDE_FIELDS.has(refused.command)) store.answer.value = { text: refused.text, failed: true };
      else if (asked.has(store) && run.notes.length > notes) {
        store.answer.value = { text: run.notes.at(-1)!.text, failed: false };
        asked.delete(store);
      }
      if (!hadTrainer && run.trainer) store.tab.value = "trainer";
      store.version.value = run.version + run.damaged + run.unknown;
      const now = heldIn(run);
      if (now !== "" && now !== heldAt) {
        store.follow.value = true;
        select(store, now);
      }
    });
  });
  const unwatch = source.onKernel?.((state) => {
    store.kernel.value = state;
  });
  return () => {
    unsubscribe();
    unwatch?.();
  };
}

/** Module at which the trainer is held: by a condition, or inside a step. */
const heldIn = ({ trainer }: Store["run"]) => trainer?.at_layer || trainer?.broke_at || "";

/** Stores that wait for a note which answers a command. */
const asked = new WeakSet<Store>();

export function saveReport(store: Store): void {
  asked.add(store);
  store.answer.value = { text: store.kernel.value.answering ? "Writing the report …" : "Writing the report: queued", failed: false };
  ask(store, { kind: "save_report" });
}

/** A new graph opens as deep as fits on a screen, or as deep as the reader chose. */
function openFirst(store: Store): Dispose {
  const seen = new Set<string>();
  return effect(() => {
    const hierarchy = store.hierarchy.value;
    if (!hierarchy || seen.has(hierarchy.graph.id)) return;
    const first = seen.size === 0;
    seen.add(hierarchy.graph.id);
    const depth = store.depth.peek();
    if (first || depth !== null) store.expanded.value = new Set(["", ...openItems(hierarchy, depth ?? undefined)]);
    if (first && store.selection.peek()) select(store, store.selection.peek());
  });
}

function play(store: Store): Dispose {
  return effect(() => {
    if (!store.playing.value) return;
    const timer = setInterval(() => {
      const next = neighbour(store, 1);
      if (next !== null) return goTo(store, next);
      store.playing.value = false;
      store.follow.value = store.source.live;
    }, PLAY);
    return () => clearInterval(timer);
  });
}

/** The playhead, or the comparison, rests on a step that was captured but not sent: ask for it, once. */
function lookCloser(store: Store): Dispose {
  const requested = new Set<number>();
  return effect(() => {
    void store.version.value;
    const wanted = [store.at.value, ...(store.compareStep.value === null ? [] : [store.compareStep.value])].map((at) => store.run.capturedAt(at));
    const steps = wanted.filter((step): step is number => step !== null && !store.run.loaded(step) && !requested.has(step));
    if (!store.source.send || !steps.length) return;
    const timer = setTimeout(() => {
      for (const step of steps) {
        requested.add(step);
        ask(store, { kind: "look", step });
      }
    }, REST);
    return () => clearTimeout(timer);
  });
}

/** A selected module: all recorded steps of its output, please. */
function tellSelection(store: Store): Dispose {
  let request = 0;
  let last = "";
  return effect(() => {
    const selected = store.selected.value;
    const call = selected.kind === "module" ? selected.call : null;
    if (!call || !store.source.send) return;
    const key = `${call.fqn}#${call.call}`;
    const address = store.run.addressNumber(call.fqn, call.call);
    if (address === null || key === last) return;
    const timer = setTimeout(() => {
      last = key;
      ask(store, { kind: "select", request: ++request, address, role: ROLES.indexOf("activation") });
    }, REST);
    return () => clearTimeout(timer);
  });
}

/** Both ways. A step that was told while following is not taken for news when it comes back late: that would end following. */
function share(store: Store, traits: TraitStore): Dispose {
  const told: number[] = [];
  const tell = <K extends keyof Traits>(name: K, value: Traits[K]) => {
    if (Object.is(traits.get(name), value)) return;
    if (name === "step" && told.push(value as number) > 16) told.shift();
    traits.set({ [name]: value } as Partial<Traits>);
  };
  const take = (name: keyof Traits, first = false) => {
    switch (name) {
      case "step": {
        const step = traits.get("step");
        if (!first && store.follow.peek() && told.includes(step)) return;
        if (Number.isFinite(step) && (first ? step > 0 : step !== (store.at.peek() ?? 0))) goTo(store, step);
        return;
      }
      case "selection": {
        const id = String(traits.get("selection"));
        if (id !== store.selection.peek()) select(store, id);
        return;
      }
      case "colorBy": {
        const kind = traits.get("colorBy");
        if (kind === "none" || Object.hasOwn(SCALES, kind)) store.colorBy.value = kind as ColorBy;
        return;
      }
      case "compareStep": store.compareStep.value = traits.get("compareStep"); return;
    }
  };
  for (const name of ["step", "selection", "colorBy", "compareStep"] as const) take(name, true);
  let timer: ReturnType<typeof setTimeout> | null = null;
  const disposals = [
    traits.onChange((name) => take(name)),
    effect(() => tell("selection", store.selection.value)),
    effect(() => tell("colorBy", store.colorBy.value)),
    effect(() => tell("compareStep", store.compareStep.value)),
    effect(() => {
      const wait = store.follow.value ? TELL_STEP : REST;
      void store.at.value;
      // A step that moves ten times a second is told once a second: each telling is a message to a kernel that trains.
      timer ??= setTimeout(() => {
        timer = null;
        tell("step", store.at.peek() ?? 0);
      }, wait);
    }),
    () => timer !== null && clearTimeout(timer),
  ];
  return () => {
    for (const dispose of disposals) dispose();
  };
}
