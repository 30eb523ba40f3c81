/** Keys that work anywhere in a mount but in its fields: / search, f fit, [ ] steps, space play. */

import { pictures } from "./graph-pane";
import { type Store, goTo, neighbour } from "../store/state";

/** Shift+Enter and Ctrl+Enter run cells, wherever in a cell's output the focus is: the notebook gets them back. */
function passToNotebook(root: HTMLElement, event: KeyboardEvent): void {
  const cell = root.closest<HTMLElement>(".jp-Cell");
  if (!cell || !event.isTrusted) return;
  event.preventDefault();
  event.stopPropagation();
  cell.focus({ preventScroll: true });
  const { key, code, shiftKey, ctrlKey, keyCode } = event;
  cell.dispatchEvent(new KeyboardEvent("keydown", { key, code, keyCode, shiftKey, ctrlKey, bubbles: true, cancelable: true, composed: true }));
}

/** `page`: the mount is all there is on the page (a report), so a key pressed nowhere is meant for it. */
export function listenToKeys(root: HTMLElement, store: Store, page: boolean): () => void {
  const onKey = (event: Event) => {
    if (!(event instanceof KeyboardEvent)) return;
    const target = event.composedPath()[0];
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (target instanceof HTMLElement && (target.matches("input, select, textarea") || target.isContentEditable)) return;
    switch (event.key) {
      case "/": {
        const field = () => root.querySelector<HTMLInputElement>("[data-graphscope=search]");
        const focus = () => {
          field()?.focus();
          field()?.select();
        };
        if (field()) focus();
        else if (store.graph.value) {
          store.tab.value = "modules"; // in one column the field is there alone
          setTimeout(focus);
        }
        break;
      }
      case "f": pictures.get(store)?.fit(); break;
      case "[":
      case "]": {
        const step = neighbour(store, event.key === "]" ? 1 : -1);
        if (step !== null) goTo(store, step);
        break;
      }
      case " ":
        if (target instanceof HTMLElement && target.closest("button, [role=treeitem], canvas")) return;
        if (store.playing.value || store.follow.value) {
          store.playing.value = false;
          if (store.at.value !== null) goTo(store, store.at.value);
        } else store.playing.value = true;
        break;
      default: return;
    }
    event.preventDefault();
    event.stopPropagation();
  };
  // Before the views' own keys: to them Enter alone means something.
  const pass = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.shiftKey || event.ctrlKey)) passToNotebook(root, event);
  };
  const listener = page ? root.ownerDocument : root;
  listener.addEventListener("keydown", onKey);
  root.addEventListener("keydown", pass, true);
  return () => {
    listener.removeEventListener("keydown", onKey);
    root.removeEventListener("keydown", pass, true);
  };
}
