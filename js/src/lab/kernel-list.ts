/** A KernelList as it came -> rows of known types; what does not fit is left out, since a kernel may be newer than this page. */

import type { KernelList, SessionState, SessionStatus } from "../schema";
import type { ModelRow, SessionRow } from "../views/sidebar";

const STATES: readonly SessionState[] = ["live", "paused", "closed", "off"];
type Raw = Record<string, unknown>;

const text = (x: unknown) => (typeof x === "string" ? x : "");
const number = (x: unknown) => (typeof x === "number" ? x : null);
const count = (x: unknown) => (typeof x === "number" && Number.isFinite(x) ? x : 0);

export function modelRows(list: KernelList): ModelRow[] {
  return list.models.map((raw: Raw) => ({
    name: text(raw["name"]), type: text(raw["type"]), parameters: number(raw["parameters"]),
    training: typeof raw["training"] === "boolean" ? raw["training"] : null, session: text(raw["session"]),
  })).filter((row) => row.name !== "");
}

export function sessionRows(list: KernelList): SessionRow[] {
  return list.sessions.map((raw: Raw) => ({ status: statusOf(raw), losses: numbers(raw["losses"]), views: texts(raw["views"]) })).filter((row) => row.status.session !== "");
}

function statusOf(raw: Raw): SessionStatus {
  return {
    kind: "session_status", session: text(raw["session"]), name: text(raw["name"]), model: text(raw["model"]),
    state: STATES.find((state) => state === raw["state"]) ?? "off", step: number(raw["step"]), captured_steps: count(raw["captured_steps"]),
    steps_per_second: number(raw["steps_per_second"]), overhead: number(raw["overhead"]), steady_overhead: number(raw["steady_overhead"]), loss: number(raw["loss"]), epoch: number(raw["epoch"]),
    errors: count(raw["errors"]), warnings: count(raw["warnings"]), infos: count(raw["infos"]), run_dir: text(raw["run_dir"]), message: text(raw["message"]),
  };
}

const texts = (raw: unknown) => (Array.isArray(raw) ? raw.filter((x) => typeof x === "string") : []);

/** A NaN among losses stays where it is: the line has a gap there. */
function numbers(raw: unknown): number[] {
  return Array.isArray(raw) ? raw.map((x) => (typeof x === "number" ? x : Number.NaN)) : [];
}
