/** A session -> the view of it that is already on the page, brought into sight. */

import type { NotebookPanel } from "@jupyterlab/notebook";
import { SELECT_EVENT } from "../views/reachable";

const FLASH = 1200; // ms

function viewIn(root: ParentNode, session: string): HTMLElement | null {
  return root.querySelector<HTMLElement>(`[data-gs-session="${CSS.escape(session)}"]`);
}

function show(view: HTMLElement, select: string | undefined): void {
  view.scrollIntoView({ block: "nearest" });
  if (!view.hasAttribute("tabindex")) view.tabIndex = -1;
  view.focus({ preventScroll: true });
  view.classList.remove("gs-flash");
  void view.offsetWidth; // restarts the animation
  view.classList.add("gs-flash");
  setTimeout(() => view.classList.remove("gs-flash"), FLASH);
  if (select !== undefined) view.dispatchEvent(new CustomEvent(SELECT_EVENT, { detail: select }));
}

/** Looks in the cells of a notebook: those far out of sight are not in the document at all. */
export async function revealInNotebook(panel: NotebookPanel, session: string, select?: string): Promise<boolean> {
  const cells = panel.content.widgets;
  const index = cells.findIndex((cell) => viewIn(cell.node, session));
  if (index < 0) return false;
  const view = viewIn(cells[index]!.node, session)!;
  panel.content.activeCellIndex = index;
  await panel.content.scrollToCell(cells[index]!, "smart");
  show(view, select);
  return true;
}

export function hasView(panel: NotebookPanel, session: string): boolean {
  return panel.content.widgets.some((cell) => viewIn(cell.node, session) !== null);
}

/** A view of its own, in a tab that was brought to the front. */
export function revealInTab(node: HTMLElement, select?: string): void {
  const view = node.querySelector<HTMLElement>("[data-gs-session]") ?? node.querySelector<HTMLElement>(".gs");
  if (view) show(view, select);
}
