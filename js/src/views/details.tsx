/** What is selected: a module, an op, or with nothing selected the run. */

import { useRef, useState } from "preact/hooks";
import { count, plural, shape, sizes } from "../base/format";
import { Icon, Shape } from "../base/icons";
import { PANELS } from "../panels/panels";
import type { Panel } from "../panels/panel";
import { OutputOverTraining, UpdateRatio, Values } from "../panels/tensor";
import type { Call, Graph, Module, Op } from "../run/graph";
import type { Finding, LayerStats } from "../schema";
import { BackwardNodes, BackwardRaised, OpGradients } from "./details-backward";
import { OpDetails } from "./details-op";
import { findingKey } from "./findings";
import { Inside } from "./inside";
import { Overview } from "./overview";
import { select, useStore } from "../store/state";
import { useSize } from "./use-size";

export function Details() {
  const { selected, graph } = useStore();
  const host = useRef<HTMLElement>(null);
  const { width } = useSize(host, { width: 288, height: 0 });
  const inner = Math.max(200, width - 24);
  const chosen = selected.value;
  return (
    <aside class="gs-details" aria-label="Details" ref={host} data-graphscope="details">
      {chosen.kind === "run" && <Overview width={inner} />}
      {chosen.kind === "module" && graph.value && <ModuleDetails graph={graph.value} module={chosen.module} call={chosen.call} width={inner} />}
      {chosen.kind === "op" && graph.value && <OpDetails graph={graph.value} op={chosen.op} />}
      {chosen.kind === "unknown" && <div class="gs-state"><p>Nothing in the graph of this step is called <bdi class="gs-mono">{chosen.id}</bdi>.</p></div>}
    </aside>
  );
}

function ModuleDetails({ graph, module, call, width }: { graph: Graph; module: Module; call: Call | null; width: number }) {
  const { run, version, shown } = useStore();
  void version.value;
  const calls = graph.calls.filter((other) => other.module === module.id);
  // One line and one grad_fn stand for a call only if it made no other calls.
  const leaf = call !== null && !graph.calls.some((other) => other.parent === call.id);
  const ops = leaf ? graph.ops.filter((op) => op.scope === call.id) : [];
  // The gradient of one op is that of the module's output, which is above.
  const above = call !== null && ops.length === 1 && shown.value !== null && run.summary(call.fqn, call.call, "gradient", shown.value) !== null;
  const own = above ? [] : ops;
  const findings = run.findings.filter((finding) => finding.fqn === module.fqn && (!call || finding.call === call.call || finding.call === 0));
  return (
    <>
      <div style={{ padding: "8px 12px" }}>
        <div class="gs-row" style={{ gap: "6px", alignItems: "flex-start" }}>
          <div class="gs-title" style={{ flex: 1, minWidth: 0 }}><h2 class="gs-break"><bdi>{module.name}</bdi></h2><span class="gs-2 gs-break"><bdi>{module.type}{brief(module)}</bdi></span></div>
          <Copy text={module.fqn} what="path" />
        </div>
        <div class="gs-mono gs-2 gs-break"><bdi>{module.fqn}</bdi>{call && <span class="gs-3"> call {call.call + 1} of {calls.length}</span>}</div>
        {ops.length > 0 && ops[0]!.file && <SourceLine op={ops[0]!} />}
        {calls.length > 1 && (
          <div class="gs-row" style={{ gap: "4px", marginTop: "4px", flexWrap: "wrap" }} role="group" aria-label="Calls">
            {calls.slice(0, 12).map((other) => <CallButton key={other.id} call={other} now={other === call} />)}
          </div>
        )}
        {!call && graph.traced && <p class="gs-2">This module did not run in the recorded pass.</p>}
        {call?.opaque && <p class="gs-2">Its inside cannot be seen: <bdi>{call.opaque}</bdi></p>}
      </div>
      <BackwardRaised graph={graph} ops={ops} />
      {findings.map((finding) => <FindingStrip key={findingKey(finding)} finding={finding} />)}
      <Values module={module} call={call} />
      {call && <OutputOverTraining call={call} width={width} />}
      {call && <Layer call={call} width={width} />}
      <UpdateRatio graph={graph} module={module} width={width} />
      {own.length > 0 && <OpGradients graph={graph} ops={own} />}
      {call && <Shapes graph={graph} call={call} ops={ops} />}
      {call && <Inside call={call} />}
      <BackwardNodes graph={graph} ops={ops} />
      <Parameters module={module} />
    </>
  );
}

/** Beside the class: the arguments if they are short, else those without a name; all of them are in the list below then. */
function brief({ attrs }: Module): string {
  if (!attrs) return "";
  if (attrs.length <= 24) return `(${attrs})`;
  const unnamed = attrs.slice(0, 200).split(", ");
  const end = unnamed.findIndex((argument) => argument.includes("="));
  const shown = unnamed.slice(0, end < 0 ? 4 : end).join(", ");
  return shown && shown.length <= 24 ? `(${shown})` : "";
}

function CallButton({ call, now }: { call: Call; now: boolean }) {
  const store = useStore();
  return (
    <button type="button" class={`gs-button ${now ? "gs-on" : ""}`} aria-pressed={now} onClick={() => select(store, call.call ? `${call.fqn}#${call.call}` : call.fqn)}>
      {call.call + 1}
    </button>
  );
}

export function SourceLine({ op }: { op: Op }) {
  const name = op.file.slice(Math.max(op.file.lastIndexOf("/"), op.file.lastIndexOf("\\")) + 1);
  return <div class="gs-row gs-mono gs-2" style={{ gap: "4px" }} title={op.file}><Icon name="file" size={12} /><bdi class="gs-ell">{name}:{op.line}</bdi></div>;
}

function Copy({ text, what }: { text: string; what: string }) {
  const [done, setDone] = useState(false);
  if (typeof navigator === "undefined" || !navigator.clipboard) return null;
  const copy = () => void navigator.clipboard.writeText(text).then(() => {
    setDone(true);
    setTimeout(() => setDone(false), 1200);
  }, () => setDone(false));
  return (
    <button type="button" class="gs-button gs-ghost gs-icon-only" aria-label={`Copy the ${what}`} title={`Copy the ${what}`} onClick={copy}><Icon name={done ? "check" : "copy"} /></button>
  );
}

export function FindingStrip({ finding }: { finding: Finding }) {
  const [open, setOpen] = useState(false);
  const store = useStore();
  return (
    <>
      <div class={`gs-strip gs-${finding.severity}`}>
        <Shape kind={finding.severity} size={14} named />
        <span class="gs-break"><bdi>{finding.title}</bdi>{finding.step !== null && `, since ${count(finding.step)}`}</span>
        <button type="button" class="gs-link" aria-expanded={open} onClick={() => setOpen(!open)}>Why</button>
      </div>
      {open && (
        <div class="gs-why">
          <p class="gs-break"><bdi>{finding.message}</bdi></p>
          <p class="gs-break" style={{ margin: "4px 0" }}><bdi>{finding.why}</bdi></p>
          <button type="button" class="gs-link" onClick={() => { store.tab.value = "findings"; store.openFinding.value = findingKey(finding); }}>What to do</button>
        </div>
      )}
    </>
  );
}

function Layer({ call, width }: { call: Call; width: number }) {
  const { run, shown, version } = useStore();
  void version.value;
  const all = run.layers(call.fqn, call.call);
  const now = run.layer(call.fqn, call.call, shown.value);
  if (!now || !all.length) return null;
  const summary = run.summary(call.fqn, call.call, "activation", now.step);
  const panel = PANELS[now.kind] as unknown as Panel<LayerStats>;
  const { Body } = panel;
  return (
    <section class="gs-section">
      <div class="gs-head"><h3>{panel.title}</h3><span class="gs-space" /><span class="gs-label">{panel.facts(now)}</span></div>
      <Body all={all} now={now} samples={summary && summary.shape.length > 1 ? summary.shape[0]! : null} width={width} />
    </section>
  );
}

function Shapes({ graph, call, ops }: { graph: Graph; call: Call; ops: readonly Op[] }) {
  // What a call of several ops read is what its ops read and did not make themselves.
  const inside = new Set<number>();
  for (const op of graph.ops) if (within(graph, op.scope, call.id)) for (const value of op.outputs) inside.add(value);
  const read = new Set<number>();
  for (const op of graph.ops) {
    if (!within(graph, op.scope, call.id)) continue;
    for (const value of op.inputs) if (!inside.has(value) && ["op", "input"].includes(graph.values[value]!.kind)) read.add(value);
  }
  const describe = (value: number) => {
    const v = graph.values[value]!;
    return `${sizes(v.shape)} ${v.dtype}`;
  };
  const gradFn = ops.length === 1 ? ops[0]!.gradFn : "";
  if (!read.size && !call.outputs.length) return null;
  return (
    <section class="gs-section">
      <div class="gs-head"><h3>Tensors</h3><span class="gs-space" /><span class="gs-label">{graph.values[call.outputs[0] ?? -1]?.device ?? ""}</span></div>
      <dl class="gs-facts">
        {[...read].slice(0, 6).map((value) => <><dt>in</dt><dd class="gs-mono"><bdi>{describe(value)}</bdi></dd></>)}
        {call.outputs.slice(0, 6).map((value) => <><dt>out</dt><dd class="gs-mono"><bdi>{describe(value)}</bdi></dd></>)}
        {gradFn && <><dt>grad_fn</dt><dd class="gs-mono"><bdi>{gradFn}</bdi></dd></>}
      </dl>
    </section>
  );
}

function within(graph: Graph, scope: number, call: number): boolean {
  for (let i = scope; i >= call; i = graph.calls[i]?.parent ?? -1) if (i === call) return true;
  return false;
}

function Parameters({ module }: { module: Module }) {
  if (!module.params.length && !module.attrs) return null;
  return (
    <section class="gs-section">
      <div class="gs-head"><h3>Parameters</h3><span class="gs-space" /><span class="gs-label">{plural(module.parameterCount, "element")}</span></div>
      <dl class="gs-facts">
        {module.params.slice(0, 24).map((param) => (
          <><dt><bdi>{param.name.slice(param.name.lastIndexOf(".") + 1)}</bdi></dt>
            <dd><span class="gs-mono">{shape(param.shape)}</span>{!param.trainable && <span class="gs-2"> frozen</span>}{param.tiedTo !== null && <span class="gs-2"> the same as <bdi class="gs-mono">{param.tiedTo}</bdi></span>}</dd></>
        ))}
        {module.attrs && brief(module) !== `(${module.attrs})` && <><dt>arguments</dt><dd class="gs-mono gs-break"><bdi>{module.attrs}</bdi></dd></>}
      </dl>
      {module.params.length > 24 && <p class="gs-label">and {count(module.params.length - 24)} more</p>}
    </section>
  );
}
