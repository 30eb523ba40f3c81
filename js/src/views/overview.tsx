/** With nothing selected: the run as a whole. */

import { count, date, percent, plural, setting } from "../base/format";
import { Shape } from "../base/icons";
import { findingKey } from "./findings";
import { useStore } from "../store/state";
import { RankList } from "./ranks";
import { overheadShown } from "./timebar";
import { TrainerResults } from "./trainer-results";

export function Overview({ width }: { width: number }) {
  const store = useStore();
  const { run, version, graph, tab, openFinding } = store;
  void version.value;
  const { header, status } = run;
  const model = graph.value?.modules[0];
  const overhead = overheadShown(run);
  const captured = run.capturedSteps();
  const params = graph.value?.modules.flatMap((module) => module.params) ?? [];
  const trainable = params.filter((param) => param.trainable && param.tiedTo === null).reduce((sum, param) => sum + param.shape.reduce((a, b) => a * b, 1), 0);
  if (!header && !model) return <div class="gs-state"><p>Details of the model appear here.</p></div>;
  const errors = run.passes.filter((pass) => pass.error !== null);
  return (
    <>
      <div style={{ padding: "8px 12px" }}>
        <div class="gs-title"><h2 class="gs-break"><bdi>{model?.type ?? header?.model}</bdi></h2><span class="gs-2 gs-break"><bdi>{header?.name ?? ""}</bdi></span></div>
        {header?.created && <div class="gs-2">{date(header.created) && `recorded ${date(header.created)}`}</div>}
      </div>
      {(run.damaged > 0 || run.unknown > 0) && <Damaged />}
      {run.trainer && <TrainerResults status={run.trainer} width={width} />}
      {graph.value?.partial && (
        <div class="gs-strip gs-error"><Shape kind="error" size={14} named /><span class="gs-break">The pass ended early: <bdi>{graph.value.partial}</bdi></span></div>
      )}
      {run.findings.slice(0, 4).map((finding) => (
        <div key={findingKey(finding)} class={`gs-strip gs-${finding.severity}`}>
          <Shape kind={finding.severity} size={14} named />
          <span class="gs-break"><bdi>{finding.title}</bdi>{finding.fqn && <> in <bdi class="gs-mono">{finding.fqn}</bdi></>}</span>
          <button type="button" class="gs-link" onClick={() => { tab.value = "findings"; openFinding.value = findingKey(finding); }}>Open</button>
        </div>
      ))}
      {run.findings.length > 4 && <p class="gs-2" style={{ padding: "0 12px 8px" }}>and {plural(run.findings.length - 4, "more finding", "more findings")}</p>}
      {graph.value && (
        <section class="gs-section">
          <div class="gs-head"><h3>Model</h3></div>
          <dl class="gs-facts">
            <dt>parameters</dt><dd><b>{count(model?.parameterCount)}</b>{model && trainable !== model.parameterCount && <span class="gs-2">, {count(trainable)} trainable</span>}</dd>
            <dt>modules</dt><dd>{count(graph.value.modules.length)}</dd>
            {graph.value.traced && <><dt>ops</dt><dd>{count(graph.value.ops.length)}</dd></>}
            {run.graphs.size > 1 && <><dt>graphs</dt><dd>{count(run.graphs.size)} <span class="gs-2">distinct</span></dd></>}
            {header?.device && <><dt>device</dt><dd><bdi>{header.device}</bdi></dd></>}
          </dl>
        </section>
      )}
      {run.steps.length > 0 && (
        <section class="gs-section">
          <div class="gs-head"><h3>Run</h3></div>
          <dl class="gs-facts">
            <dt>steps</dt><dd><b>{count((run.lastStep() ?? -1) + 1)}</b><span class="gs-2">, {count(captured.length)} recorded in full</span></dd>
            {overhead.share !== null && <><dt>overhead</dt><dd title={overhead.words}>{percent(overhead.share)}{header && <span class="gs-2"> of step time{header.every === "auto" ? "" : `, every ${header.every}`}</span>}</dd></>}
            <LastScalars />
            {errors.length > 0 && <><dt>errors</dt><dd class="gs-break"><bdi>{errors.at(-1)!.error}</bdi>{errors.at(-1)!.error_fqn && <> in <bdi class="gs-mono">{errors.at(-1)!.error_fqn}</bdi></>}</dd></>}
            {status?.run_dir && <><dt>folder</dt><dd class="gs-mono gs-break"><bdi>{status.run_dir}</bdi></dd></>}
          </dl>
        </section>
      )}
      <RankList />
      {run.notes.length > 0 && (
        <section class="gs-section">
          <div class="gs-head"><h3>Notes</h3></div>
          <ul style={{ display: "grid", gap: "4px" }}>
            {run.notes.slice(-12).map((note) => (
              <li key={`${note.step} ${note.text}`} class="gs-row" style={{ gap: "6px", alignItems: "flex-start" }}><span style={{ marginTop: "2px" }}><Shape kind={note.severity} size={12} named /></span><span class="gs-2 gs-break gs-note-text" title={note.text.length > 200 ? note.text.slice(0, 2000) : undefined}><bdi>{note.text}</bdi></span></li>
            ))}
          </ul>
        </section>
      )}
      {header && (
        <section class="gs-section">
          <div class="gs-head"><h3>Recorded with</h3></div>
          <dl class="gs-facts">
            {header.torch && <><dt>PyTorch</dt><dd><bdi>{header.torch}</bdi></dd></>}
            {header.python && <><dt>Python</dt><dd><bdi>{header.python}</bdi></dd></>}
            {header.graphscope && <><dt>GraphScope</dt><dd><bdi>{header.graphscope}</bdi></dd></>}
            {header.world_size > 1 && <><dt>ranks</dt><dd>{count(header.world_size)}</dd></>}
          </dl>
        </section>
      )}
    </>
  );
}

function LastScalars() {
  const { run, at } = useStore();
  const record = run.stepAt(at.value);
  if (!record) return null;
  return <>{Object.entries(record.scalars).slice(0, 6).map(([name, x]) => <><dt><bdi>{name.replace("grad_norm", "gradient norm")}</bdi></dt><dd>{setting(x)}</dd></>)}</>;
}

function Damaged() {
  const { run } = useStore();
  return (
    <div class="gs-strip gs-error">
      <Shape kind="error" size={14} named />
      <span>
        {run.damaged > 0 && <b>{plural(run.damaged, "record is", "records are")} damaged. </b>}
        {run.unknown > 0 && `${plural(run.unknown, "record is", "records are")} of a kind this version does not know. `}
        The rest is shown.
      </span>
    </div>
  );
}
