/** One op: what it was called with, what it read and made, and its place in the code. */

import { sizes } from "../base/format";
import { Shape } from "../base/icons";
import { callId } from "../layout/hierarchy";
import type { Graph, Op } from "../run/graph";
import { SourceLine } from "./details";
import { BackwardNodes, BackwardRaised, OpGradients } from "./details-backward";
import { select, useStore } from "../store/state";

export function OpDetails({ graph, op }: { graph: Graph; op: Op }) {
  const store = useStore();
  const call = graph.calls[op.scope];
  const value = (id: number) => {
    const v = graph.values[id]!;
    const name = v.name || (v.kind === "op" ? "" : v.kind);
    return <>{name && <><bdi class="gs-2">{name}</bdi> </>}<bdi>{sizes(v.shape)} {v.dtype}</bdi>{!v.requiresGrad && v.kind === "op" && <span class="gs-3"> no gradient</span>}</>;
  };
  const attrs = Object.entries(op.attrs);
  const traits = [op.inplace && "in place", op.view && "view of its input"].filter(Boolean).join(", ");
  return (
    <>
      <div style={{ padding: "8px 12px" }}>
        <div class="gs-title"><h2 class="gs-break"><bdi>{op.op}</bdi></h2><span class="gs-2">op {op.id}{traits && `, ${traits}`}</span></div>
        {call && <div class="gs-mono gs-2 gs-break">in <button type="button" class="gs-link" onClick={() => select(store, callId(call))}><bdi>{call.fqn || graph.modules[0]?.name}</bdi></button></div>}
        {op.file && <SourceLine op={op} />}
      </div>
      {op.failed && (
        <div class="gs-strip gs-error"><Shape kind="error" size={14} named /><span class="gs-break">The pass ended here: <bdi>{graph.partial}</bdi></span></div>
      )}
      <BackwardRaised graph={graph} ops={[op]} />
      {op.opaque && <div class="gs-strip gs-info"><Shape kind="state" size={14} /><span class="gs-break">Its inside cannot be seen: <bdi>{op.opaque}</bdi></span></div>}
      <OpGradients graph={graph} ops={[op]} />
      <section class="gs-section">
        <div class="gs-head"><h3>Tensors</h3><span class="gs-space" /><span class="gs-label">{graph.values[op.outputs[0] ?? -1]?.device ?? ""}</span></div>
        <dl class="gs-facts">
          {op.inputs.slice(0, 16).map((id) => <><dt>in</dt><dd class="gs-mono">{value(id)}</dd></>)}
          {op.outputs.slice(0, 16).map((id) => <><dt>out</dt><dd class="gs-mono">{value(id)}</dd></>)}
          <dt>grad_fn</dt><dd class="gs-mono"><bdi>{op.gradFn || "none"}</bdi></dd>
        </dl>
      </section>
      {(attrs.length > 0 || op.params.length > 0) && (
        <section class="gs-section">
          <div class="gs-head"><h3>Arguments</h3></div>
          <dl class="gs-facts">
            {attrs.slice(0, 32).map(([name, given]) => <><dt><bdi>{name}</bdi></dt><dd class="gs-mono gs-break"><bdi>{written(given)}</bdi></dd></>)}
            {op.params.map((name) => <><dt>reads</dt><dd class="gs-mono gs-break"><bdi>{name}</bdi></dd></>)}
          </dl>
        </section>
      )}
      <BackwardNodes graph={graph} ops={[op]} />
      <p class="gs-2" style={{ padding: "8px 12px" }}>Statistics of activations are taken at the outputs of modules.</p>
    </>
  );
}

/** An argument as text; what is long is cut, since it may be anything. */
export function written(given: unknown): string {
  const text = typeof given === "string" ? given : (JSON.stringify(given) ?? String(given));
  return text.length > 400 ? `${text.slice(0, 400)} …` : text;
}
