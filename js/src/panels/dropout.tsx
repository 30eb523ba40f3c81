/** Dropout: the share that was really dropped, against what p would give, and what the layer does in this mode. */

import { count, percent, setting } from "../base/format";
import type { DropoutStats } from "../schema";
import { linear } from "./time-scale";
import { dropBand, drawn } from "./binomial";
import type { Panel, PanelProps } from "./panel";

const SHOWN = 60;

function Body({ all, now, width }: PanelProps<DropoutStats>) {
  const recent = all.slice(-SHOWN);
  const training = recent.filter((stats) => stats.training && stats.dropped !== null);
  return (
    <>
      {training.length > 0 && <Shares recent={recent} training={training} now={now} width={width} />}
      <dl class="gs-facts" style={{ marginTop: "4px" }}>
        <dt>mode</dt><dd>{now.training ? (now.p > 0 ? "training, active" : "training, but p is 0") : "eval: passes values through"}</dd>
        <dt>asked p</dt><dd>{setting(now.p)}</dd>
        <dt>dropped here</dt><dd>{now.dropped === null ? "unknown: all inputs were zero" : <b>{percent(now.dropped, 2)}</b>}</dd>
        <dt>non-zero inputs</dt><dd>{count(now.nonzero)} of {count(now.count)}</dd>
        {now.training && now.p < 1 && <><dt>scale 1/(1 − p)</dt><dd>{setting(1 / (1 - now.p))}</dd></>}
        <dt>acts on</dt><dd>{now.drops === "channels" ? `whole channels, ${count(now.units)} drawn` : "single values"}</dd>
      </dl>
    </>
  );
}

function Shares({ recent, training, now, width }: { recent: readonly DropoutStats[]; training: readonly DropoutStats[]; now: DropoutStats; width: number }) {
  const last = training.at(-1)!;
  const { p } = last;
  const spread = dropBand(p, drawn(last));
  const away = Math.max(...training.map((stats) => Math.abs(stats.dropped! - p)), spread * 1.5) * 1.15;
  const [left, right, height] = [44, 54, 88];
  const inner = Math.max(60, width - left - right);
  const y = linear(Math.max(0, p - away), Math.min(1, p + away), height - 4, 4);
  const x = linear(0, Math.max(1, recent.length - 1), left + 6, left + inner - 6);
  const outside = training.filter((stats) => Math.abs(stats.dropped! - stats.p) > dropBand(stats.p, drawn(stats))).length;
  const evals = recent.filter((stats) => !stats.training).length;
  return (
    <>
      <p class="gs-label">Share dropped, last {count(recent.length)} recorded passes. Band: 95 % of passes if p is really {setting(p)}.</p>
      <svg width={width} height={height + 16} role="img" aria-label={`Share dropped in ${recent.length} passes; ${outside} outside the band`} style={{ marginTop: "4px" }}>
        <rect x={left} y={y(p + spread)} width={inner} height={Math.max(1, y(p - spread) - y(p + spread))} fill="var(--gs-hover)" />
        <path d={`M${left} ${y(p)}h${inner}`} stroke="var(--gs-fg-2)" />
        {[p - spread, p, p + spread].map((share, i) => <text key={i} class="gs-weak" x={left - 5} y={y(share) + 4} text-anchor="end">{percent(Math.max(0, share))}</text>)}
        {recent.map((stats, i) => {
          if (stats.dropped === null) return null;
          if (!stats.training) return <path key={stats.step} d={`M${x(i)} ${height - 6}v6`} stroke="var(--gs-fg-3)" stroke-width="1.5" />;
          const out = Math.abs(stats.dropped - stats.p) > dropBand(stats.p, drawn(stats));
          return <circle key={stats.step} cx={x(i)} cy={y(stats.dropped)} r={stats === now ? 4 : 2.75} fill={out ? "var(--gs-bg)" : "var(--gs-activation)"} stroke={stats === now ? "var(--gs-accent)" : "var(--gs-activation)"} stroke-width={stats === now ? 2 : out ? 1.5 : 0} />;
        })}
        <text class="gs-strong gs-ink" x={left + inner + 6} y={y(p) + 4}>p = {setting(p)}</text>
        <text x={left + inner + 6} y={y(p) + 20}>{count(outside)} of {count(training.length)}</text>
        <text x={left + inner + 6} y={y(p) + 34}>outside</text>
        <text class="gs-weak" x={left} y={height + 12}>step {count(recent[0]!.step)}</text>
        <text class="gs-weak" x={left + inner} y={height + 12} text-anchor="end">{count(recent.at(-1)!.step)}</text>
      </svg>
      {evals > 0 && <p class="gs-label">Ticks at the bottom: {count(evals)} passes in eval mode, where nothing is dropped.</p>}
    </>
  );
}

export const dropout: Panel<DropoutStats> = {
  title: "Dropout",
  facts: (now) => (now.training ? `p ${setting(now.p)}, active` : `p ${setting(now.p)}, eval`),
  Body,
};
