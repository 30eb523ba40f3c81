/** The passes of a run, by step and place: which graph a step ran, and which backward raised. */

import type { PassRecord, StepRecord } from "../schema";
import type { Graph } from "./graph";
import { lowerBound } from "./sorted";

/** Puts a pass where it belongs; one that is there already is replaced. */
export function addPass(passes: PassRecord[], record: PassRecord): void {
  const i = lowerBound(passes, record.step);
  for (let k = i; passes[k]?.step === record.step; k++) {
    if (passes[k]!.pass_index === record.pass_index) {
      passes[k] = record;
      return;
    }
  }
  let k = i;
  while (passes[k]?.step === record.step && passes[k]!.pass_index < record.pass_index) k++;
  passes.splice(k, 0, record);
}

/**
 * The graph of a step: of its last recorded pass with gradients, else of the topology its fingerprint says (null: that
 * was never recorded), else the one in force. Without a step: of the last recorded pass, whole ones first.
 */
export function graphAt(graphs: ReadonlyMap<string, Graph>, passes: readonly PassRecord[], steps: readonly StepRecord[], step: number | null): Graph | null {
  const all = [...graphs.values()];
  if (step === null) {
    const whole = passes.filter((pass) => graphs.get(pass.graph_id ?? "")?.partial === "");
    return graphOf(graphs, whole.length ? whole : passes) ?? all.at(-1) ?? null;
  }
  const [from, until] = [lowerBound(passes, step), lowerBound(passes, step + 1)];
  const here = graphOf(graphs, passes.slice(from, until).filter((pass) => pass.grad_enabled));
  if (here) return here;
  const record = steps[lowerBound(steps, step)];
  const topology = record?.step === step ? record.topology : null;
  const before = passes.slice(0, until);
  if (topology === null) return graphOf(graphs, before) ?? graphOf(graphs, passes.filter((pass) => pass.graph_id !== null).slice(0, 1)) ?? all[0] ?? null;
  const same = (pass: PassRecord) => pass.topology === topology && pass.graph_id !== null;
  return graphOf(graphs, before.filter(same)) ?? graphOf(graphs, passes.filter(same).slice(0, 1));
}

/** Graph of the last of these passes that has one; with gradients, if one had. */
function graphOf(graphs: ReadonlyMap<string, Graph>, passes: readonly PassRecord[]): Graph | null {
  let other: Graph | null = null;
  for (let i = passes.length - 1; i >= 0; i--) {
    const graph = graphs.get(passes[i]!.graph_id ?? "");
    if (graph && passes[i]!.grad_enabled) return graph;
    other ??= graph ?? null;
  }
  return other;
}

/** The pass of a step whose backward raised; at the end of the run also one behind its last step, which it kept from ending. */
export function backwardFailure(passes: readonly PassRecord[], last: number | null, at: number | null): PassRecord | null {
  const open = at === null || last === null || at >= last;
  for (let i = passes.length - 1; i >= 0 && passes[i]!.step >= (at ?? 0); i--) {
    const pass = passes[i]!;
    if (pass.backward_error !== null && (open || pass.step === at)) return pass;
  }
  return null;
}
