/** The aten ops inside one call of a module: asked for with a button, shown as a table once a step was captured. */

import { useState } from "preact/hooks";
import { count, duration, plural } from "../base/format";
import type { Call } from "../run/graph";
import { type AtenCount, atenCounts } from "../run/inside";
import type { AtenOps } from "../schema";
import { ask, useStore } from "../store/state";

const MOST_NAMES = 24;

export function Inside({ call }: { call: Call }) {
  const store = useStore();
  void store.version.value;
  const { run, source } = store;
  const record = run.inside(call.fqn, call.call);
  // What was known when it was asked for: a newer record, an error or an answer in words ends the waiting.
  const [asked, setAsked] = useState<{ call: string; known: AtenOps | null; error: unknown; notes: number } | null>(null);
  const can = source.send !== null && run.status?.state === "live" && !call.opaque;
  if (!can && !record) return null;
  const key = `${call.call} ${call.fqn}`;
  const waits = asked !== null && asked.call === key && asked.known === record && asked.error === run.lastError && asked.notes === run.notes.length;
  const look = () => {
    ask(store, { kind: "look_inside", fqn: call.fqn, call: call.call });
    setAsked({ call: key, known: record, error: run.lastError, notes: run.notes.length });
  };
  return (
    <section class="gs-section">
      <div class="gs-head">
        <h3>Inside</h3><span class="gs-space" />
        {can && (
          <button type="button" class="gs-button" disabled={waits} title="Record the aten ops of this call on the next captured step" onClick={look}>
            {waits ? "Waiting for a step" : record ? "Look again" : "Look inside"}
          </button>
        )}
      </div>
      {record && <Table record={record} />}
    </section>
  );
}

function Table({ record }: { record: AtenOps }) {
  const counts = atenCounts(record);
  return (
    <>
      <p class="gs-label">{plural(record.name.length, "aten op")} at step {count(record.step)}{record.left_out > 0 && `, ${count(record.left_out)} more were not recorded`}</p>
      {record.error && <p class="gs-2 gs-break">It raised: <bdi>{record.error}</bdi></p>}
      <div class="gs-scroll">
        <table class="gs-values">
          <thead><tr><th scope="col"><span class="gs-hidden">op</span></th><th scope="col">times</th><th scope="col">total</th></tr></thead>
          <tbody>{counts.slice(0, MOST_NAMES).map((row) => <Row key={row.name} row={row} />)}</tbody>
        </table>
      </div>
      {counts.length > MOST_NAMES && <p class="gs-label">and {count(counts.length - MOST_NAMES)} more names</p>}
    </>
  );
}

function Row({ row }: { row: AtenCount }) {
  return <tr><td class="gs-mono"><bdi>{row.name.slice(0, 120)}</bdi></td><td>{count(row.times)}</td><td>{duration(row.seconds)}</td></tr>;
}
