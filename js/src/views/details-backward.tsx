/** Backward of ops: the gradients that flowed through them, what autograd runs for them, and where it raised. */

import { count, percent, scientific, value } from "../base/format";
import { Shape } from "../base/icons";
import { type Autograd, type AutogradNode, leafOf, nodesOf } from "../run/autograd";
import type { Graph, Op } from "../run/graph";
import type { OpGradient } from "../run/op-gradients";
import { callId } from "../layout/hierarchy";
import { select, useStore } from "../store/state";

const MOST = 16;

/** The gradients of the outputs of some ops, at the recorded step nearest to the one that is shown. */
export function OpGradients({ graph, ops }: { graph: Graph; ops: readonly Op[] }) {
  const { run, shown, version } = useStore();
  void version.value;
  const step = shown.value === null ? null : run.opGradients.at(graph.id, shown.value);
  if (step === null || !ops.length) return null;
  const rows = ops.slice(0, MOST).flatMap((op) => run.opGradients.of(graph.id, op.id, step).map((gradient) => ({ op, gradient })));
  return (
    <section class="gs-section" data-graphscope="op-gradients">
      <div class="gs-head"><h3>Gradient at step {count(step)}</h3><span class="gs-space" />{rows.length === 1 && <span class="gs-label">{count(rows[0]!.gradient.count)} elements</span>}</div>
      {step !== shown.value && <p class="gs-label">the step nearest to {count(shown.value)} at which gradients of ops were recorded</p>}
      {rows.length === 0 ? <p class="gs-2">No gradient was seen at {ops.length === 1 ? "this op" : "these ops"} in that step.</p> : (
        <div class="gs-scroll">
          <table class="gs-values">
            <thead><tr><th scope="col"><span class="gs-hidden">output</span></th><th scope="col">norm</th><th scope="col">mean</th><th scope="col">absmax</th><th scope="col">zeros</th></tr></thead>
            <tbody>{rows.map(({ op, gradient }) => <GradientRow name={ops.length > 1 ? op.op : op.outputs.length > 1 ? `out ${gradient.output}` : "gradient"} gradient={gradient} />)}</tbody>
          </table>
        </div>
      )}
      {ops.length > MOST && <p class="gs-label">and {count(ops.length - MOST)} more ops</p>}
    </section>
  );
}

function GradientRow({ name, gradient }: { name: string; gradient: OpGradient }) {
  const head = <td><span class="gs-role" style={{ background: "var(--gs-gradient)" }} /><bdi>{name}</bdi></td>;
  if (gradient.unmeasured) return <tr>{head}<td colSpan={4} class="gs-2">not measured</td></tr>;
  const about = gradient.estimate ? "≈ " : "";
  const infinite = gradient.posInf + gradient.negInf;
  const full = `l2 ${gradient.l2}, mean ${gradient.mean}, std ${gradient.std}, min ${gradient.min}, max ${gradient.max}, ${gradient.zeros} zeros, ${gradient.count} elements${gradient.estimate ? ", estimated from a sample" : ""}`;
  return (
    <>
      <tr title={full}>{head}<td>{about}{short(gradient.l2)}</td><td>{about}{short(gradient.mean)}</td><td>{short(gradient.absmax)}</td><td>{percent(gradient.zeroShare, 0)}</td></tr>
      {gradient.nan + infinite > 0 && (
        <tr class="gs-bad"><td colSpan={5}><span class="gs-row" style={{ gap: "6px" }}><Shape kind="error" size={11} />
          {[gradient.nan && `${count(gradient.nan)} NaN`, infinite && `${count(infinite)} Inf`].filter(Boolean).join(", ")} of {count(gradient.count)}</span></td></tr>
      )}
    </>
  );
}

/** Without decimals where it is thin: four columns have 288 px. */
const short = (x: number | null) => (x !== null && x !== 0 && Math.abs(x) < 0.001 ? scientific(x) : value(x));

/** Said where the backward of one of these ops raised. */
export function BackwardRaised({ graph, ops }: { graph: Graph; ops: readonly Op[] }) {
  const { run, at, version } = useStore();
  void version.value;
  const failed = run.backwardFailure(at.value);
  if (!failed || failed.graph_id !== graph.id || !ops.some((op) => op.id === failed.backward_node)) return null;
  return <div class="gs-strip gs-error"><Shape kind="error" size={14} named /><span class="gs-break">Backward ended here at step {count(failed.step)}: <bdi>{failed.backward_error}</bdi></span></div>;
}

/** The backward nodes of some ops with where each hands its gradients on, and the leaves of the parameters they read. */
export function BackwardNodes({ graph, ops }: { graph: Graph; ops: readonly Op[] }) {
  const { autograd } = graph;
  if (!autograd) return null;
  const nodes = ops.flatMap((op) => nodesOf(autograd, op.id));
  const leaves = [...new Set(ops.flatMap((op) => op.params))].map((name) => ({ name, leaf: leafOf(autograd, name) }));
  if (!nodes.length && !leaves.some(({ leaf }) => leaf)) return null;
  return (
    <section class="gs-section" data-graphscope="backward-nodes">
      <div class="gs-head"><h3>Backward</h3></div>
      <dl class="gs-facts">
        {nodes.slice(0, MOST).map((node) => (
          <><dt>node</dt><dd class="gs-mono gs-break"><bdi>{node.name}</bdi><Next graph={graph} autograd={autograd} node={node} /></dd></>
        ))}
        {leaves.slice(0, MOST).map(({ name, leaf }) => (
          <><dt>leaf</dt><dd class="gs-mono gs-break">{leaf ? <><bdi>{leaf.name}</bdi> <span class="gs-2">adds to <bdi>{name}</bdi></span></> : <span class="gs-2">none{autograd.cut ? " among the nodes walked" : ""} for <bdi>{name}</bdi></span>}</dd></>
        ))}
      </dl>
      {nodes.length > MOST && <p class="gs-label">and {count(nodes.length - MOST)} more nodes</p>}
    </section>
  );
}

/** To which nodes a gradient goes on; a node of an op is a way to that op. */
function Next({ graph, autograd, node }: { graph: Graph; autograd: Autograd; node: AutogradNode }) {
  const store = useStore();
  const targets = [...new Set(node.next)].filter((id): id is number => id !== null && autograd.nodes[id]!.variable === "");
  if (!targets.length) return null;
  const go = (op: Op) => {
    const only = graph.ops.filter((other) => other.scope === op.scope).length === 1 && !graph.calls.some((call) => call.parent === op.scope);
    select(store, only && op.scope > 0 ? callId(graph.calls[op.scope]!) : `op:${op.id}`);
  };
  return (
    <span class="gs-2"> then {targets.slice(0, 6).map((id, i) => {
      const { name, op } = autograd.nodes[id]!;
      const label = <bdi>{name}</bdi>;
      return <>{i > 0 && ", "}{op === null ? label : <button type="button" class="gs-link" onClick={() => go(graph.ops[op]!)}>{label}</button>}</>;
    })}{targets.length > 6 && ` and ${count(targets.length - 6)} more`}</span>
  );
}
