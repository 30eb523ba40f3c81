/**
 * What a kernel holds -> the JupyterLab sidebar: sessions, models, and of the chosen session modules and findings.
 *
 * A function of what it is given; the panel around it (lab/panel.ts) owns the comm and calls it again on every change.
 */

import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import { count, fixed, percent, shortCount, value } from "../base/format";
import { Icon, Shape } from "../base/icons";
import type { Run } from "../run/run";
import type { Finding, SessionState, SessionStatus, Severity } from "../schema";
import { ModuleRows } from "./sidebar-modules";
import { SparkLine } from "./spark-line";

export interface SessionRow {
  status: SessionStatus;
  /** At most a few dozen losses, oldest first. */
  losses: readonly number[];
  /** Ids of the widgets that show it. */
  views: readonly string[];
}

export interface ModelRow {
  name: string;
  type: string;
  parameters: number | null;
  training: boolean | null;
  /** Id of the session that watches it, or empty. */
  session: string;
}

/** `none`: nothing with a kernel is open; `foreign`: not a Python kernel; `missing`: graphscope is not installed in it. */
export type Phase = "none" | "connecting" | "foreign" | "missing" | "failed" | "ready";

export interface SidebarState {
  phase: Phase;
  /** File name of the notebook or console that is followed. */
  place: string;
  sessions: readonly SessionRow[];
  models: readonly ModelRow[];
  /** Id of the chosen session, or empty. */
  focus: string;
  /** What is known about the chosen session. */
  run: Run;
  /** Seconds since the last answer while the kernel owes one; null while it answers. */
  silent: number | null;
  /** The last thing that went wrong, in one sentence. */
  problem: string;
}

export interface SidebarActions {
  openSession(id: string): void;
  openModel(name: string): void;
  /** Shows a module of the chosen session in its view. */
  selectModule(fqn: string): void;
  captureNext(): void;
  saveReport(): void;
  trainer(action: "pause" | "resume"): void;
  refresh(): void;
}

const STATES: { [K in SessionState]: string } = { live: "Live", paused: "Paused", closed: "Finished", off: "Recording off" };

export function Sidebar({ state, actions }: { state: SidebarState; actions: SidebarActions }) {
  const [query, setQuery] = useState("");
  const search = useRef<HTMLInputElement>(null);
  const ready = state.phase === "ready";
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === "/" && !(event.target instanceof HTMLInputElement)) {
      event.preventDefault();
      search.current?.focus();
    }
  };
  return (
    <div class="gs-side" onKeyDown={onKeyDown}>
      <header class="gs-side-head"><h1>GraphScope</h1><span class="gs-side-place" title={state.place}>{state.place}</span></header>
      {ready && (
        <label class="gs-side-search">
          <Icon name="search" />
          <input ref={search} type="search" value={query} placeholder="Find by name" aria-label="Find model, module, finding"
            onInput={(event) => setQuery(event.currentTarget.value)} />
          {query === "" && <kbd aria-hidden="true">/</kbd>}
        </label>
      )}
      {state.silent !== null && <Busy seconds={state.silent} />}
      {state.problem !== "" && (
        <p class="gs-side-problem" role="alert"><Shape kind="error" named /><span>{state.problem}</span></p>
      )}
      {ready ? <Contents state={state} actions={actions} query={query.trim().toLowerCase()} /> : <NotReady state={state} retry={actions.refresh} />}
    </div>
  );
}

function Contents({ state, actions, query }: { state: SidebarState; actions: SidebarActions; query: string }) {
  if (!state.models.length && !state.sessions.length) {
    return (
      <Message><p>No model in this kernel yet. Models and sessions appear here when a cell has made one.</p>
        <code>session = graphscope.watch(model)</code></Message>
    );
  }
  const hit = (...texts: string[]) => query === "" || texts.some((text) => text.toLowerCase().includes(query));
  const models = state.models.filter((model) => hit(model.name, model.type));
  const findings = state.run.findings.filter((finding) => hit(finding.title, finding.fqn, finding.rule));
  const focused = state.sessions.find((session) => session.status.session === state.focus);
  const graph = focused ? state.run.graphAt(null) : null;
  return (
    <div class="gs-side-scroll">
      <Section title="Sessions" count={state.sessions.length}>
        {state.sessions.length ? (
          <ul class="gs-side-list">
            {state.sessions.map((row) => (
              <Session key={row.status.session} row={row} chosen={row === focused} state={state} actions={actions} />
            ))}
          </ul>
        ) : <p class="gs-side-empty">Nothing is watched. <code>%%graphscope</code> above a training cell, or <code>graphscope.watch(model)</code>.</p>}
      </Section>
      <Section title="Models in the kernel" count={state.models.length}>
        {models.length ? <Models models={models} sessions={state.sessions} open={actions.openModel} /> : <p class="gs-side-empty">No model {query ? "of that name" : "has a name here"}.</p>}
      </Section>
      {focused && graph && (
        <Section title="Modules" of={focused.status.name} aside={<span class="gs-side-columns" aria-hidden="true"><i>act</i><i>grad</i></span>}>
          <ModuleRows run={state.run} graph={graph} query={query} select={actions.selectModule} />
        </Section>
      )}
      {focused && (
        <Section title="Findings" count={findings.length}>
          {findings.length ? (
            <ul class="gs-side-list">{findings.map((finding) => <FindingRow key={`${finding.rule} ${finding.fqn} ${finding.call}`} finding={finding} select={actions.selectModule} />)}</ul>
          ) : <p class="gs-side-empty">{query ? "No finding matches." : "Nothing found so far."}</p>}
        </Section>
      )}
    </div>
  );
}

function Section(props: { title: string; of?: string; count?: number; aside?: ComponentChildren; children: ComponentChildren }) {
  const [open, setOpen] = useState(true);
  return (
    <section class="gs-side-section" aria-label={props.of ? `${props.title} of ${props.of}` : props.title}>
      <h2 class="gs-side-title">
        <button type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
          <Icon name={open ? "down" : "right"} size={12} /><b>{props.title}{props.of && <span class="gs-side-wide"> of {props.of}</span>}</b>{props.count !== undefined && <span>{count(props.count)}</span>}
        </button>
        {open && props.aside}
      </h2>
      {open && props.children}
    </section>
  );
}

function Session(props: { row: SessionRow; chosen: boolean; state: SidebarState; actions: SidebarActions }) {
  const { row: { status, losses }, chosen, actions } = props;
  const queued = props.state.silent !== null ? "The kernel is busy; it is done when the kernel answers." : "";
  const open = () => actions.openSession(status.session);
  const step = status.step === null ? "no step yet" : `step ${count(status.step)}${status.epoch === null ? "" : `, epoch ${count(status.epoch)}`}`;
  const name = `${status.name}, ${STATES[status.state]}`;
  return (
    <li class={`gs-side-session${chosen ? " gs-chosen" : ""}`} data-session={status.session}>
      <button type="button" class="gs-side-open" aria-current={chosen} aria-label={`${name}: show its view`} title={`Show the view of ${status.name}`} onClick={open}>
        <span class="gs-side-line">
          <StateMark state={status.state} /><b class="gs-side-name">{status.name}</b>
          <span class={`gs-side-state gs-${status.state}`}>{STATES[status.state]}</span>
          <span class="gs-push" />
          {chosen ? <Counts status={status} /> : <><Worst status={status} /><span class="gs-side-soft">{step}</span><SparkLine values={losses} width={40} height={14} /></>}
        </span>
        {chosen && (
          <span class="gs-side-line gs-side-figures">
            <SparkLine values={losses} width={104} height={44} label="Loss" />
            <span class="gs-side-lines">
              <span>{step}</span>
              <span>{status.loss === null ? "no loss known yet" : `loss ${value(status.loss)}`}</span>
              <span class="gs-side-rates">
                {status.steps_per_second !== null && <span>{fixed(status.steps_per_second, 1)} steps/s</span>}
                {(status.steady_overhead ?? status.overhead) !== null && <span>overhead {percent(status.steady_overhead ?? status.overhead)}</span>}
              </span>
            </span>
          </span>
        )}
      </button>
      {chosen && status.message && <p class="gs-side-note">{status.message}</p>}
      {chosen && (
        <div class="gs-side-actions">
          <TrainerButton state={props.state} actions={actions} />
          {status.state === "live" && (
            <button type="button" class="gs-button" title={queued || "Capture the next step in full"} onClick={actions.captureNext}><Icon name="camera" />Look</button>
          )}
          <button type="button" class="gs-button" title={queued || "Write report.html beside the run"} onClick={actions.saveReport}><Icon name="export" />Report</button>
        </div>
      )}
      {chosen && <LastNote run={props.state.run} />}
    </li>
  );
}

/** Where the report went, or why it did not. */
function LastNote({ run }: { run: Run }) {
  const note = run.notes.at(-1);
  return (
    <>
      {note && <p class="gs-side-note" role="status">{note.text}</p>}
      {run.lastError && <p class="gs-side-note gs-side-wrong" role="alert"><Shape kind="error" named /><span>{run.lastError.text}</span></p>}
    </>
  );
}

/** Only the built-in trainer can be paused from here; a loop of the user's own has no such button. */
function TrainerButton({ state, actions }: { state: SidebarState; actions: SidebarActions }) {
  switch (state.run.trainer?.state) {
    case "training": return <button type="button" class="gs-button" title="Pause after the batch under way" onClick={() => actions.trainer("pause")}><Icon name="pause" />Pause</button>;
    case "paused": return <button type="button" class="gs-button" onClick={() => actions.trainer("resume")}><Icon name="play" />Resume</button>;
    default: return null;
  }
}

const SEVERITIES: readonly [Severity, "errors" | "warnings" | "infos", string][] = [
  ["error", "errors", "errors"], ["warning", "warnings", "warnings"], ["info", "infos", "notes"],
];

function Counts({ status }: { status: SessionStatus }) {
  return (
    <>
      {SEVERITIES.map(([severity, field, word]) => status[field] > 0 && (
        <span key={severity} class={`gs-chip gs-chip-${severity}`} title={`${count(status[field])} ${word}`}>
          <Shape kind={severity} size={10} named />{count(status[field])}
        </span>
      ))}
    </>
  );
}

/** The worst of a session's findings as a mark alone. */
function Worst({ status }: { status: SessionStatus }) {
  const worst = SEVERITIES.find(([, field]) => status[field] > 0);
  if (!worst) return null;
  const [severity, field, word] = worst;
  return <span title={`${count(status[field])} ${word}`}><Shape kind={severity} size={11} named /></span>;
}

function StateMark({ state }: { state: SessionState }) {
  switch (state) {
    case "live": return <svg class="gs-icon" width="10" height="10" aria-hidden="true"><circle cx="5" cy="5" r="4" fill="var(--gs-ok)" /></svg>;
    case "paused": return <svg class="gs-icon" width="10" height="10" aria-hidden="true"><path d="M1.5 1h2.5v8h-2.5zM6 1h2.5v8h-2.5z" fill="var(--gs-fg-2)" /></svg>;
    case "closed": return <Shape kind="state" size={10} />;
    case "off": return <Shape kind="warning" size={10} />;
  }
}

function Models({ models, sessions, open }: { models: readonly ModelRow[]; sessions: readonly SessionRow[]; open: (name: string) => void }) {
  return (
    <table class="gs-side-models">
      <thead><tr><th>name</th><th>type</th><th><span class="gs-side-wide">parameters</span><span class="gs-side-tight" aria-hidden="true">params</span></th><th>mode</th></tr></thead>
      <tbody>
        {models.map((model) => [model, sessions.find((row) => model.session !== "" && row.status.session === model.session)] as const).map(([model, session]) => (
          <tr key={model.name} data-model={model.name} onClick={() => open(model.name)}>
            <td><button type="button" title={`Show ${model.name}`} onClick={(event) => { event.stopPropagation(); open(model.name); }}>{model.name}</button>{session && <Worst status={session.status} />}</td>
            <td title={model.type}>{model.type}</td>
            <td title={model.parameters === null ? "not known before the first forward" : count(model.parameters)}><span class="gs-side-wide">{count(model.parameters)}</span><span class="gs-side-tight" aria-hidden="true">{shortCount(model.parameters)}</span></td>
            <td>{model.training === null ? "–" : <span class={`gs-chip ${model.training ? "" : "gs-chip-outline"}`}>{model.training ? "train" : "eval"}</span>}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function FindingRow({ finding, select }: { finding: Finding; select: (fqn: string) => void }) {
  return (
    <li>
      <button type="button" class="gs-side-finding" title={finding.message} onClick={() => select(finding.fqn)}>
        <Shape kind={finding.severity} named /><b>{finding.title}</b>
        <span class="gs-side-soft">{finding.step === null ? "" : `since ${count(finding.step)}`}</span>
        <code>{finding.fqn || "whole model"}</code>
      </button>
    </li>
  );
}

function Busy({ seconds }: { seconds: number }) {
  return (
    <p class="gs-side-busy" role="status"><Shape kind="info" named />
      <span>This kernel answers when the cell ends.</span><span class="gs-push" /><span class="gs-side-soft">last answer {fixed(seconds, 0)} s ago</span></p>
  );
}

function Message({ children }: { children: ComponentChildren }) {
  return <div class="gs-side-message">{children}</div>;
}

function NotReady({ state, retry }: { state: SidebarState; retry: () => void }) {
  const again = <button type="button" class="gs-button" onClick={retry}>Try again</button>;
  switch (state.phase) {
    case "none": return <Message><p>Open a notebook or a console to see its models and sessions.</p></Message>;
    case "connecting": return <div class="gs-side-skeleton" role="status" aria-label="Asking the kernel"><i /><i /><i /><i /></div>;
    case "foreign": return <Message><p>GraphScope looks into Python kernels; this one runs another language.</p></Message>;
    case "missing":
      return (
        <Message><Shape kind="info" size={20} /><p><b>graphscope is not installed in this kernel.</b><br />Install torch-graphscope into its environment, then try again.</p>
          <code>%pip install torch-graphscope</code>{again}</Message>
      );
    case "failed": return <Message>{again}</Message>;
    case "ready": return null;
  }
}
