/** A session -> the view of it that is already on the page, brought into sight. */

import type { Cell, ICodeCellModel } from "@jupyterlab/cells";
import type { NotebookPanel } from "@jupyterlab/notebook";
import { SELECT_EVENT } from "../views/reachable";

const FLASH = 1200; // ms
const PATIENCE = 5000; // ms until a widget that is in an output must be drawn
const WIDGET = "application/vnd.jupyter.widget-view+json";

function viewIn(root: ParentNode, session: string): HTMLElement | null {
  return root.querySelector<HTMLElement>(`[data-gs-session="${CSS.escape(session)}"]`);
}

/** Whether one of these widgets is in the cell's output, drawn or not. */
function shows(cell: Cell, widgets: readonly string[]): boolean {
  if (cell.model.type !== "code") return false;
  const outputs = (cell.model as ICodeCellModel).outputs;
  for (let i = 0; i < outputs.length; i++) {
    const id = (outputs.get(i).data[WIDGET] as { model_id?: unknown } | undefined)?.model_id;
    if (typeof id === "string" && widgets.includes(id)) return true;
  }
  return false;
}

const cellOf = (panel: NotebookPanel, session: string, widgets: readonly string[]) =>
  panel.content.widgets.findIndex((cell) => viewIn(cell.node, session) !== null || shows(cell, widgets));

export function hasView(panel: NotebookPanel, session: string, widgets: readonly string[]): boolean {
  return cellOf(panel, session, widgets) >= 0;
}

/** Looks in the cells of a notebook: those far out of sight may not be in the document at all. */
export async function revealInNotebook(panel: NotebookPanel, session: string, widgets: readonly string[], select?: string): Promise<void> {
  const index = cellOf(panel, session, widgets);
  const cell = panel.content.widgets[index];
  if (!cell) return;
  panel.content.activeCellIndex = index;
  await panel.content.scrollToCell(cell, "smart");
  for (const end = performance.now() + PATIENCE; performance.now() < end && !cell.isDisposed; await pause(100)) {
    const view = viewIn(cell.node, session);
    if (view) return show(view, select);
  }
}

/** A view of its own, in a tab that was brought to the front. */
export function revealInTab(node: HTMLElement, select?: string): void {
  const view = node.querySelector<HTMLElement>("[data-gs-session]");
  if (view) show(view, select);
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

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
