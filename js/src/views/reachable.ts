/** A mount's root -> something the sidebar can find and steer: it carries its session's id and takes a selection. */

import { effect } from "@preact/signals";
import { type Store, select } from "../store/state";

/** Event whose `detail` is the id of the node to select. */
export const SELECT_EVENT = "graphscope:select";

/** Returns what ends it. */
export function makeReachable(root: HTMLElement, store: Store): () => void {
  const onSelect = (event: Event): void => {
    const id = (event as CustomEvent<unknown>).detail;
    if (typeof id === "string") select(store, id);
  };
  root.addEventListener(SELECT_EVENT, onSelect);
  const end = effect(() => {
    void store.version.value;
    const session = store.run.status?.session;
    if (session) root.dataset["gsSession"] = session;
  });
  return () => {
    end();
    root.removeEventListener(SELECT_EVENT, onSelect);
  };
}
