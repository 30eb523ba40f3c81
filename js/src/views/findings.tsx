/** What rules found, worst first; an open one shows its evidence, what to do and why. */

import { count, setting } from "../base/format";
import { Icon, Shape } from "../base/icons";
import type { Finding } from "../schema";
import { goTo, select, useStore } from "../store/state";

/** A later finding with the same key takes the place of an earlier one. */
export const findingKey = (finding: Finding) => `${finding.rule}#${finding.call}#${finding.fqn}`;

export function FindingsPane() {
  const { run, version, openFinding, source } = useStore();
  void version.value;
  if (!run.findings.length) {
    const started = run.lastStep() !== null;
    return (
      <div class="gs-state">
        <p>{started ? "No rule has found anything." : "Rules look at every recorded step; what they find appears here."}</p>
        {!started && source.live && <code>session = graphscope.watch(model, optimizer)</code>}
      </div>
    );
  }
  return (
    <div class="gs-tree" role="list" aria-label="Findings">
      {run.findings.map((finding) => {
        const key = findingKey(finding);
        const open = openFinding.value === key;
        return (
          <div key={key} role="listitem">
            <button type="button" class="gs-finding" aria-expanded={open} onClick={() => { openFinding.value = open ? null : key; }}>
              <Shape kind={finding.severity} size={14} named />
              <span style={{ minWidth: 0 }}>
                <b class="gs-break"><bdi>{finding.title}</bdi></b>
                <span class="gs-mono gs-2 gs-break" style={{ display: "block" }}><bdi>{finding.fqn || "whole model"}</bdi></span>
              </span>
              {finding.step !== null && <span class="gs-2 gs-nowrap">since {count(finding.step)}</span>}
            </button>
            {open && <FindingBody finding={finding} />}
          </div>
        );
      })}
    </div>
  );
}

function FindingBody({ finding }: { finding: Finding }) {
  const store = useStore();
  const seen = [finding.count > 1 ? `seen ${count(finding.count)} times` : "", finding.last_step !== null ? `last at step ${count(finding.last_step)}` : ""].filter(Boolean).join(", ");
  const target = finding.node !== null && finding.graph_id === store.graph.value?.id && store.hierarchy.value?.byId.has(`op:${finding.node}`)
    ? `op:${finding.node}` : finding.call ? `${finding.fqn}#${finding.call}` : finding.fqn;
  return (
    <div class="gs-findingbody">
      <p class="gs-break"><bdi>{finding.message}</bdi></p>
      {(finding.value !== null || seen) && (
        <dl class="gs-facts">
          {finding.value !== null && <><dt>measured</dt><dd><b>{setting(finding.value)}</b></dd></>}
          {finding.limit !== null && <><dt>limit</dt><dd>{setting(finding.limit)}</dd></>}
          {seen && <><dt>evidence</dt><dd>{seen}</dd></>}
          {finding.file && <><dt>where</dt><dd class="gs-mono"><bdi>{finding.file}{finding.line !== null && `:${finding.line}`}</bdi></dd></>}
        </dl>
      )}
      <div><h3>What to do</h3><p class="gs-2 gs-break"><bdi>{finding.advice}</bdi></p></div>
      {finding.fix && <Diff fix={finding.fix} />}
      <div><h3>Why it matters</h3><p class="gs-2 gs-break"><bdi>{finding.why}</bdi></p></div>
      <div class="gs-row" style={{ gap: "4px", flexWrap: "wrap" }}>
        {target && <button type="button" class="gs-button" onClick={() => { if (store.narrow.value) store.tab.value = "graph"; select(store, target); }}><Icon name="graph" />Select in graph</button>}
        {finding.step !== null && <button type="button" class="gs-button" onClick={() => goTo(store, finding.step!)}>Go to step {count(finding.step)}</button>}
      </div>
      <span class="gs-mono gs-3"><bdi>{finding.rule}</bdi></span>
    </div>
  );
}

/** Lines that go begin with `- `, those that come with `+ `. */
export function Diff({ fix }: { fix: string }) {
  return (
    <div class="gs-diff" role="group" aria-label="Fix">
      {fix.split("\n").map((line, i) => (
        <div key={i} class={line.startsWith("-") ? "gs-removed" : line.startsWith("+") ? "gs-added" : undefined}><bdi>{line}</bdi></div>
      ))}
    </div>
  );
}
