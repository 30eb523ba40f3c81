/** Run, step and metric -> how nodes, edges and members of folds look. Pure; the renderer asks for what it draws. */

import type { Graph } from "../run/graph";
import type { SceneEdge, SceneNode } from "../layout/scene";
import { value } from "../base/format";
import { type ColorBy, SCALES, type Stop, health, metric, opGradientLevel, opMetric, opsByValue } from "../run/queries";
import type { Run } from "../run/run";
import type { Finding, PassRecord } from "../schema";
import type { Badge, CellLook, EdgeLook, Looks, NodeLook, Target } from "./canvas/types";
import { worstFindings } from "./tree-rows";

/** The one word that fits into a node, by rule; others say their severity. */
const WORDS: { readonly [rule: string]: string } = {
  nonfinite: "NaN / Inf", "softmax-before-cross-entropy": "softmax", "dropout2d-on-2d-input": "2-d input", "evaluated-in-train-mode": "train mode",
  "missing-zero-grad": "adds up",
};
const PLAIN_NODE: NodeLook = { fill: null, value: "", activation: null, gradient: null, badge: null, absent: false };

export interface LooksOf {
  looks: Looks;
  /** Lines for a tooltip. */
  describe(target: Target): string[];
}

/** `failed`: the pass whose backward raised, if one did at what is shown. */
export function looksOf(run: Run, graph: Graph, step: number | null, colorBy: ColorBy, failed: PassRecord | null = null): LooksOf {
  const { below } = worstFindings(run.findings);
  const makers = makersOf(graph);
  const nodes = new Map<string, NodeLook>();
  const metricOf = (call: number) => (step === null ? { value: null, text: "", stop: null } : metric(run, graph, colorBy, graph.calls[call]!, step));
  const raised = raisedIn(graph, failed);
  const badgeOf = (node: SceneNode): Badge | null => {
    if (raised(node)) return { shape: "error", text: "backward raised" };
    const here = findingsOf(run.findings, graph, node);
    const found = here[0];
    if (found) return { shape: found.severity, text: here.length > 1 ? `${here.length} findings` : word(found) };
    const fqn = node.call === null ? null : graph.calls[node.call]!.fqn;
    const inside = fqn ? below.get(fqn) : undefined;
    return inside && !node.expanded ? { shape: inside, text: inside } : null;
  };

  const nodeLook = (node: SceneNode): NodeLook => {
    if (node.members) {
      const known = node.members.map(metricOf).map((m) => m.value).filter((v): v is number => v !== null);
      const text = known.length && colorBy !== "none" ? `${SCALES[colorBy].text(Math.min(...known))} … ${SCALES[colorBy].text(Math.max(...known))}` : "";
      const first = graph.calls[node.members[0] ?? -1];
      const levels = first && step !== null ? health(run, graph, first, step) : null;
      return { ...PLAIN_NODE, value: text, activation: levels?.activation ?? null, gradient: levels?.gradient ?? null, badge: badgeOf(node) };
    }
    if (node.call === null) {
      const op = graph.ops[node.op ?? -1];
      if (!op || step === null) return { ...PLAIN_NODE, badge: badgeOf(node) };
      const { text, stop } = opMetric(run, graph, colorBy, op, step);
      const gradient = opGradientLevel(run, graph, op, step);
      return { ...PLAIN_NODE, fill: stop, value: text, gradient: gradient === null ? null : Math.max(-3, Math.min(3, gradient)), badge: badgeOf(node) };
    }
    const levels = step === null ? null : health(run, graph, graph.calls[node.call]!, step);
    const { text, stop } = metricOf(node.call);
    return { fill: stop, value: text, activation: levels?.activation ?? null, gradient: levels?.gradient ?? null, badge: badgeOf(node), absent: false };
  };
  return {
    looks: {
      node(node) {
        const key = `${node.expanded ? "+" : ""}${node.id}`;
        let look = nodes.get(key);
        if (!look) nodes.set(key, (look = nodeLook(node)));
        return look;
      },
      edge: (edge) => edgeLook(run, graph, makers, edge, step),
      cell(call): CellLook {
        const { stop } = metricOf(call);
        return { fill: stop, outlier: stop !== null && Math.abs(stop) >= 2 };
      },
    },
    describe(target) {
      const lines = describe(run, graph, makers, target, step, colorBy);
      return target.kind === "node" && raised(target.node) ? [`error: ${failed!.backward_error!}`, ...lines] : lines;
    },
  };
}

/** Whether a node stands for the op whose backward raised: the op itself, or what hides it. */
function raisedIn(graph: Graph, failed: PassRecord | null): (node: SceneNode) => boolean {
  const op = failed?.graph_id === graph.id ? graph.ops[failed.backward_node ?? -1] : undefined;
  if (!op) return () => false;
  const around = new Set<number>();
  for (let call = op.scope; call >= 0; call = graph.calls[call]!.parent) around.add(call);
  return (node) => {
    if (node.expanded) return false;
    if (node.members) return node.members.some((call) => around.has(call));
    return node.call === null ? node.op === op.id : around.has(node.call);
  };
}

/** Value -> the innermost call that returned it: its output is what was measured. */
function makersOf(graph: Graph): Map<number, number> {
  const makers = new Map<number, number>();
  for (const call of graph.calls) if (call.outputs[0] !== undefined) makers.set(call.outputs[0], call.id);
  return makers;
}

function findingsOf(findings: readonly Finding[], graph: Graph, node: SceneNode): Finding[] {
  if (node.members) {
    const names = new Set(node.members.map((call) => graph.calls[call]?.fqn));
    return findings.filter((finding) => finding.fqn !== "" && names.has(finding.fqn));
  }
  if (node.call !== null) {
    const { fqn, call } = graph.calls[node.call]!;
    return fqn === "" ? [] : findings.filter((finding) => finding.fqn === fqn && finding.call === call);
  }
  if (node.op === null) return [];
  return findings.filter((finding) => finding.node === node.op && finding.graph_id === graph.id);
}

const word = (finding: Finding) => (Object.hasOwn(WORDS, finding.rule) ? WORDS[finding.rule]! : finding.severity);

function edgeLook(run: Run, graph: Graph, makers: Map<number, number>, edge: SceneEdge, step: number | null): EdgeLook {
  const plain: EdgeLook = { flow: 0, dashed: !edge.requiresGrad };
  const maker = makers.get(edge.value);
  if (step === null || !edge.requiresGrad) return plain;
  const op = opsByValue(graph).get(edge.value);
  const level = maker !== undefined ? health(run, graph, graph.calls[maker]!, step).gradient : op ? opGradientLevel(run, graph, op, step, edge.value) : null;
  if (level === null) return plain;
  const flow = level < -2 ? -2 : level < -1 ? -1 : level > 2 ? 2 : level > 1 ? 1 : 0;
  return { ...plain, flow };
}

function describe(run: Run, graph: Graph, makers: Map<number, number>, target: Target, step: number | null, colorBy: ColorBy): string[] {
  if (step === null) return [];
  if (target.kind === "edge") {
    const maker = graph.calls[makers.get(target.edge.value) ?? -1];
    const rms = maker ? run.summary(maker.fqn, maker.call, "gradient", step)?.rms ?? null : null;
    return rms === null ? [] : [`gradient RMS ${value(rms)}`];
  }
  const { node, cell } = target;
  const call = graph.calls[(cell === null ? node.call : node.members?.[cell]) ?? -1];
  if (!call && node.op !== null) {
    const norm = run.opGradients.norm(graph.id, node.op, step);
    if (norm !== null) return [`gradient norm ${value(norm)}`, ...findingsOf(run.findings, graph, node).map((finding) => `${finding.severity}: ${finding.title}`)];
  }
  if (!call || call.id === 0) return findingsOf(run.findings, graph, node).map((finding) => `${finding.severity}: ${finding.title}`);
  const lines: string[] = [];
  for (const role of ["activation", "gradient"] as const) {
    const rms = run.summary(call.fqn, call.call, role, step)?.rms ?? null;
    if (rms !== null) lines.push(`${role} RMS ${value(rms)}`);
  }
  const shown = colorBy === "none" || colorBy === "activation" || colorBy === "gradient" ? null : metric(run, graph, colorBy, call, step);
  if (shown && shown.value !== null) lines.push(`${SCALES[colorBy as "update"].label} ${shown.text}${judged(shown.stop)}`);
  return [...lines, ...findingsOf(run.findings, graph, node).map((finding) => `${finding.severity}: ${finding.title}`)];
}

const judged = (stop: Stop | null) => (stop === null || stop === 0 ? "" : stop < 0 ? ", small" : ", large");

