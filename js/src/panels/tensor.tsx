/** What is shown for any module: its values at a step, its output over training, how fast its parameters move. */

import { useMemo } from "preact/hooks";
import { count, fixed, percent, scientific, shape, value } from "../base/format";
import { Shape } from "../base/icons";
import { ramp } from "../base/theme";
import type { Call, Graph, Module } from "../run/graph";
import { SCALES, paramsBelow, hasMatrix } from "../run/queries";
import type { TensorSummary } from "../run/statistics";
import type { Role } from "../schema";
import { useStore } from "../store/state";
import { linear, path } from "./time-scale";
import { axisLabels, columnsOver, densityOf } from "./density";
import { Heat } from "./heat";
import { StepLabels } from "./step-labels";

interface Row {
  name: string;
  role: "activation" | "gradient" | "parameter";
  summary: TensorSummary;
  /** The same tensor at the step that this one is compared with. */
  other: TensorSummary | null;
}

const MOST_PARAMS = 8;

export function Values({ module, call }: { module: Module; call: Call | null }) {
  const store = useStore();
  void store.version.value;
  const step = store.shown.value;
  if (step === null) return null;
  const compared = store.compareStep.value === null ? null : store.run.loadedAt(store.compareStep.value);
  const rows: Row[] = [];
  const push = (name: string, role: Row["role"], of: Role, fqn: string, n: number, output = 0) => {
    const summary = store.run.summary(fqn, n, of, step, output);
    const other = compared === null || compared === step ? null : store.run.summary(fqn, n, of, compared, output);
    if (summary) rows.push({ name, role, summary, other });
  };
  if (call) {
    const outputs = Math.max(1, Math.min(4, call.outputs.length));
    for (let output = 0; output < outputs; output++) {
      const suffix = outputs > 1 ? ` ${output}` : "";
      push(`activation${suffix}`, "activation", "activation", call.fqn, call.call, output);
      push(`gradient${suffix}`, "gradient", "gradient", call.fqn, call.call, output);
    }
  }
  const isNorm = /BatchNorm/.test(module.type);
  for (const param of module.params.slice(0, MOST_PARAMS)) {
    const name = param.name.slice(param.name.lastIndexOf(".") + 1);
    push(isNorm && name === "weight" ? "weight γ" : isNorm && name === "bias" ? "bias β" : name, "parameter", "parameter", param.name, 0);
  }
  const late = store.at.value !== null && step !== store.at.value;
  return (
    <section class="gs-section">
      <div class="gs-head">
        <h3>Values at step {count(step)}</h3>
        <span class="gs-space" />
        {rows[0] && rows[0].role === "activation" && <span class="gs-label gs-mono" title={rows[0].summary.dtype}>{shape(rows[0].summary.shape)}</span>}
      </div>
      <Compare step={step} compared={compared} />
      {late && <p class="gs-label">the recorded step nearest to {count(store.at.value)}</p>}
      {rows.length === 0 ? <p class="gs-2">Nothing of this module was measured at this step.</p> : (
        <div class="gs-scroll">
          <table class="gs-values">
            <thead><tr><th scope="col"><span class="gs-hidden">tensor</span></th><th scope="col">mean</th><th scope="col">std</th><th scope="col">absmax</th><th scope="col">zeros</th></tr></thead>
            <tbody>{rows.map((row) => <><ValueRow key={row.name} row={row} />{row.other && <ComparedRow summary={row.other} />}</>)}</tbody>
          </table>
        </div>
      )}
      {module.params.length > MOST_PARAMS && <p class="gs-label">and {count(module.params.length - MOST_PARAMS)} more parameters</p>}
    </section>
  );
}

/** Pins the step for a comparison, or says with which the values are compared. */
function Compare({ step, compared }: { step: number; compared: number | null }) {
  const { compareStep } = useStore();
  if (compareStep.value === null) {
    return <p class="gs-label"><button type="button" class="gs-link" title="Keep the values of this step beside those of others" onClick={() => { compareStep.value = step; }}>Compare other steps with this one</button></p>;
  }
  const asked = compareStep.value;
  return (
    <p class="gs-label" data-graphscope="compared">
      compared with step {count(compared)}{compared !== asked && ` (the recorded one nearest to ${count(asked)})`}{compared === step && ", the one that is shown"}{" "}
      <button type="button" class="gs-link" onClick={() => { compareStep.value = null; }}>End</button>
    </p>
  );
}

function ComparedRow({ summary }: { summary: TensorSummary }) {
  const head = <td class="gs-2" style={{ paddingLeft: "13px" }}>at {count(summary.step)}</td>;
  if (summary.unmeasured) return <tr>{head}<td colSpan={4} class="gs-2">not measured</td></tr>;
  return <tr class="gs-2">{head}<td>{value(summary.mean)}</td><td>{value(summary.std)}</td><td>{value(summary.absmax)}</td><td>{short(summary.zeroShare)}</td></tr>;
}

function ValueRow({ row: { name, role, summary } }: { row: Row }) {
  const head = <td><span class={`gs-role ${role === "parameter" ? "gs-square" : ""}`} style={{ background: `var(--gs-${role})` }} /><bdi>{name}</bdi></td>;
  if (summary.unmeasured) return <tr>{head}<td colSpan={4} class="gs-2" style={{ whiteSpace: "normal" }}>not measured: <bdi>{summary.unmeasured}</bdi></td></tr>;
  const about = summary.estimate ? "≈ " : "";
  const bad = summary.nan + summary.posInf + summary.negInf;
  const full = `mean ${summary.mean}, std ${summary.std}, min ${summary.min}, max ${summary.max}, l2 ${summary.l2}, ${summary.count} elements${summary.estimate ? ", estimated from a sample" : ""}`;
  return (
    <>
      <tr title={full}>{head}<td>{about}{value(summary.mean)}</td><td>{value(summary.std)}</td><td>{value(summary.absmax)}</td><td>{short(summary.zeroShare)}</td></tr>
      {bad > 0 && (
        <tr class="gs-bad"><td colSpan={5}><span class="gs-row" style={{ gap: "6px" }}><Shape kind="error" size={11} />
          {[summary.nan && `${count(summary.nan)} NaN`, (summary.posInf || summary.negInf) && `${count(summary.posInf + summary.negInf)} Inf`].filter(Boolean).join(", ")} of {count(summary.count)}</span></td></tr>
      )}
    </>
  );
}

const short = (share: number | null) => (share !== null && share > 0.1 ? percent(share, 0) : percent(share));

/** Densities of the output over all recorded steps, and that of the step shown. */
export function OutputOverTraining({ call, width }: { call: Call; width: number }) {
  const store = useStore();
  const { run, shown, version } = store;
  void version.value;
  const loaded = run.loadedList();
  const density = useMemo(() => {
    const summaries = loaded.map((step) => run.summary(call.fqn, call.call, "activation", step)).filter((summary) => summary !== null);
    return densityOf(summaries);
  }, [run, call.fqn, call.call, loaded.length, loaded.at(-1), run.steps.length === 0]);
  if (!density) return null;
  const { axis, columns, most } = density;
  const [left, right, height] = [34, 40, 72];
  const inner = Math.max(60, width - left - right);
  const steps = columns.map((column) => column.step);
  const across = Math.min(inner, Math.max(1, steps.length === 1 ? 1 : inner));
  const places = columnsOver(steps, across);
  const now = columns.findLast((column) => column.step <= (shown.value ?? 0)) ?? columns[0]!;
  const y = (row: number) => (row / axis.rows) * height;
  const peak = Math.max(...now.shares.map((share, row) => (row === axis.zero ? 0 : share)), 1e-9);
  const reach = (share: number) => 2 + Math.min(1, share / peak) * 32;
  const outline = `M2 ${height}${[...now.shares].map((share, row) => `L${reach(share).toFixed(1)} ${y(row + 0.5).toFixed(1)}`).reverse().join("")}L2 0Z`;
  const x = linear(steps[0]!, steps.at(-1)!, 0, inner);
  return (
    <section class="gs-section">
      <div class="gs-head"><h3>Output over training</h3><span class="gs-space" /><span class="gs-label">density of values</span></div>
      <div class="gs-plot" style={{ display: "grid", gridTemplateColumns: `${left}px ${inner}px ${right}px` }}>
        <svg width={left} height={height} aria-hidden="true">
          {axisLabels(axis).map(([row, v]) => <text key={v} class="gs-weak" x={left - 4} y={Math.max(8, Math.min(height - 1, y(row) + 4))} text-anchor="end">{axisValue(v)}</text>)}
        </svg>
        <div style={{ position: "relative" }}>
          <Heat rows={axis.rows} columns={across} width={inner} height={height} of={[density, across]}
            label={`Density of the output from step ${count(steps[0])} to ${count(steps.at(-1))}`}
            colour={(theme) => {
              const colours = ramp(theme.seq);
              return (row, column) => {
                const at = places[column]!;
                return at < 0 ? null : colours(Math.sqrt(Math.min(1, columns[at]!.shares[row]! / (most || 1))));
              };
            }} />
          {steps.length > 1 && <svg width={inner} height={height} style={{ position: "absolute", inset: 0 }} aria-hidden="true"><path d={`M${x(now.step)} 0V${height}`} stroke="var(--gs-accent)" stroke-width="1.5" /></svg>}
        </div>
        <svg width={right} height={height} aria-hidden="true"><path d={outline} fill="var(--gs-activation-soft)" stroke="var(--gs-activation)" stroke-width="1.25" stroke-linejoin="round" /></svg>
      </div>
      <StepLabels left={left} inner={inner} first={steps[0]!} last={steps.at(-1)!} end={now.step === steps.at(-1) ? "now" : count(now.step)} />
    </section>
  );
}

const axisValue = (v: number) => (v === 0 ? "0" : Math.abs(v) >= 1000 || Math.abs(v) < 0.01 ? scientific(v, 0) : value(v).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, ""));

/** Update : weight over the recorded steps, in decades, with the healthy band. */
export function UpdateRatio({ graph, module, width }: { graph: Graph; module: Module; width: number }) {
  const { run, shown, version } = useStore();
  void version.value;
  const names = useMemo(() => paramsBelow(graph, module), [graph, module]);
  const loaded = run.loadedList();
  const series = useMemo(() => {
    const steps = loaded.filter((_, i) => i % Math.ceil(loaded.length / 128) === 0 || i === loaded.length - 1);
    return { steps, values: steps.map((step) => run.updateRatio(names, step)) };
  }, [names, loaded.length, loaded.at(-1)]);
  const known = series.values.filter((ratio): ratio is number => ratio !== null && Number.isFinite(ratio));
  if (!names.length || !known.length || shown.value === null) return null;
  const now = run.updateRatio(names, shown.value);
  const [left, right, height] = [34, 50, 48];
  const inner = Math.max(60, width - left - right);
  const [low, high] = [SCALES.update.bounds[2]!, SCALES.update.bounds[3]!];
  const y = linear(Math.min(low - 0.6, ...known), Math.max(high + 0.6, ...known), height - 2, 2);
  const x = linear(series.steps[0]!, series.steps.at(-1)!, 0, inner);
  // The band is one of weight matrices: gains and biases alone (BatchNorm) are shown without a verdict.
  const banded = hasMatrix(graph, module);
  const state = now === null || !banded ? "" : now < low ? ", small" : now > high ? ", large" : ", healthy";
  return (
    <section class="gs-section">
      <div class="gs-head">
        <h3>Update : weight</h3><span class="gs-space" />
        {now !== null && <span class="gs-label"><b>{now === Number.NEGATIVE_INFINITY ? "no change" : fixed(now, 1)}</b> {now === Number.NEGATIVE_INFINITY ? "" : `log₁₀${state}`}</span>}
      </div>
      {series.steps.length > 1 && (
        <>
          <svg width={width} height={height} role="img" aria-label="Update to weight ratio over recorded steps">
            {banded && <rect x={left} y={y(high)} width={inner} height={Math.max(0, y(low) - y(high))} fill="var(--gs-hover)" />}
            {[low, high].map((bound) => <text key={bound} class="gs-weak" x={left - 4} y={y(bound) + 4} text-anchor="end">{fixed(bound, 1)}</text>)}
            <g transform={`translate(${left} 0)`}>
              <path d={path({ steps: series.steps, values: series.values.map((v) => (v !== null && Number.isFinite(v) ? v : null)) }, x, y)} fill="none" stroke="var(--gs-update)" stroke-width="1.5" stroke-linejoin="round" />
              {now !== null && Number.isFinite(now) && <circle cx={x(shown.value)} cy={y(now)} r="3" fill="var(--gs-update)" />}
            </g>
            {banded && <text class="gs-weak" x={left + inner + 6} y={(y(low) + y(high)) / 2 + 4}>healthy</text>}
          </svg>
          <StepLabels left={left} inner={inner} first={series.steps[0]!} last={series.steps.at(-1)!} />
        </>
      )}
    </section>
  );
}
