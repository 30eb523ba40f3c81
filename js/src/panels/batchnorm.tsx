/** BatchNorm: what the batch has against the running averages, per channel over the recorded steps, and of one channel. */

import { useMemo, useState } from "preact/hooks";
import { count, fixed, setting } from "../base/format";
import { type Theme, ramp, rgb } from "../base/theme";
import type { BatchNormStats } from "../schema";
import { linear, path, ticks } from "./time-scale";
import { columnsOver } from "./density";
import { channelsByWeight, forgetsIn, meanAbsolute, meanDrift, noise, varianceDrift } from "./drift";
import { Heat } from "./heat";
import type { Panel, PanelProps } from "./panel";
import { StepLabels } from "./step-labels";

const MOST_ROWS = 128;
const REACH = 2; // |z| at the ends of the ramp

/** One row a channel; where there are more than fit, the greatest |z| of neighbours. */
function groups(order: readonly number[]): number[][] {
  const size = Math.ceil(order.length / MOST_ROWS);
  return Array.from({ length: Math.ceil(order.length / size) }, (_, i) => order.slice(i * size, (i + 1) * size));
}

function greatest(stats: BatchNormStats, channels: readonly number[]): number | null {
  let found: number | null = null;
  for (const channel of channels) {
    const z = meanDrift(stats, channel);
    if (z !== null && (found === null || Math.abs(z) > Math.abs(found))) found = z;
  }
  return found;
}

function Body({ all, now, samples, width }: PanelProps<BatchNormStats>) {
  const [chosen, setChosen] = useState<number | null>(null);
  const rows = useMemo(() => groups(channelsByWeight(all.at(-1) ?? now)), [all.at(-1), now.batch_mean.length]);
  const band = noise(samples ?? now.count);
  const worst = useMemo(() => worstChannel(now), [now]);
  const channel = chosen !== null && chosen < now.batch_mean.length ? chosen : worst;
  if (!now.running_mean) return <p class="gs-2">This layer keeps no running statistics: eval() normalises with the batch as well.</p>;
  const steps = all.map((stats) => stats.step);
  const [left, right] = [34, 52];
  const inner = Math.max(60, width - left - right);
  const height = Math.max(48, Math.min(112, rows.length * 6));
  const columns = steps.length > 1 ? inner : 1;
  const places = columnsOver(steps, columns);
  const row = rows.findIndex((group) => group.includes(channel));
  const pick = (event: MouseEvent) => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const group = rows[Math.floor(((event.clientY - box.top) / box.height) * rows.length)];
    if (group) setChosen(group[0]!);
  };
  const ground = (theme: Theme) => rgb(theme.div[3]!);
  return (
    <>
      <p class="gs-label">(batch mean − running mean) / running σ; blank: noise, ± {fixed(band)}</p>
      <div style={{ display: "grid", gridTemplateColumns: `${left}px ${inner}px ${right}px`, marginTop: "4px" }}>
        <svg width={left} height={height} aria-hidden="true">
          <text class="gs-weak" transform={`rotate(-90 12 ${height - 2})`} x="12" y={height - 2}>{height > 84 ? "channels by γ" : "by γ"}</text>
        </svg>
        <div style={{ position: "relative", cursor: "pointer" }} onClick={pick} title="Choose a channel">
          <Heat rows={rows.length} columns={columns} width={inner} height={height} of={[all.length, all.at(-1), rows, columns]}
            label={`Drift of ${count(now.batch_mean.length)} channels over recorded steps`}
            colour={(theme) => {
              const colours = ramp(theme.div);
              const quiet = ground(theme);
              return (i, column) => {
                const at = places[column]!;
                const z = at < 0 ? null : greatest(all[at]!, rows[i]!);
                if (z === null) return null;
                return Math.abs(z) <= band ? quiet : colours(0.5 + z / (2 * REACH));
              };
            }} />
          {row >= 0 && <svg width={inner} height={height} style={{ position: "absolute", inset: 0 }} aria-hidden="true">
            <rect x="-1" y={(row / rows.length) * height - 1} width={inner + 2} height={Math.max(4, height / rows.length) + 2} rx="2" fill="none" stroke="var(--gs-accent)" stroke-width="1.5" />
          </svg>}
        </div>
        <Key height={height} width={right} />
      </div>
      <StepLabels left={left} inner={inner} first={steps[0]!} last={steps.at(-1)!} />
      <Channel all={all} channel={channel} band={band} left={left} inner={inner} right={right} now={now} />
      <Facts now={now} />
    </>
  );
}

function Key({ height, width }: { height: number; width: number }) {
  return (
    <svg width={width} height={height} aria-hidden="true">
      {[3, 2, 1, 0, -1, -2, -3].map((stop, i) => <rect key={stop} x="6" y={(i / 7) * height} width="8" height={height / 7 + 0.3} fill={`var(--gs-div-${stop < 0 ? `n${-stop}` : stop > 0 ? `p${stop}` : 0})`} />)}
      <text x="18" y="9">+{REACH}</text><text x="18" y={height / 2 + 4}>z 0</text><text x="18" y={height - 1}>−{REACH}</text>
    </svg>
  );
}

function worstChannel(stats: BatchNormStats): number {
  let [worst, size] = [0, -1];
  for (let channel = 0; channel < stats.batch_mean.length; channel++) {
    const z = Math.abs(meanDrift(stats, channel) ?? -1);
    if (z > size) [worst, size] = [channel, z];
  }
  return worst;
}

/** Thin: the batch. Thick: the running average. Around it what noise alone would give. */
function Channel(props: { all: readonly BatchNormStats[]; now: BatchNormStats; channel: number; band: number; left: number; inner: number; right: number }) {
  const { all, now, channel, band, left, inner, right } = props;
  const z = meanDrift(now, channel);
  const heading = <div class="gs-head" style={{ marginTop: "8px" }}><h3>Channel {count(channel)}</h3><span class="gs-2">batch against running mean</span></div>;
  const facts = z === null ? null : <p class="gs-label">z {z > 0 ? "+" : ""}{fixed(z)} at step {count(now.step)}{Math.abs(z) <= band ? ", within noise" : ""}</p>;
  if (all.length < 2) return <>{heading}{facts}</>;
  const height = 72;
  const steps = all.map((stats) => stats.step);
  const of = (read: (stats: BatchNormStats) => number | undefined) => all.map((stats) => read(stats) ?? null);
  const batch = of((stats) => stats.batch_mean[channel]);
  const running = of((stats) => stats.running_mean?.[channel]);
  const spread = of((stats) => band * Math.sqrt((stats.running_var?.[channel] ?? Number.NaN) + stats.eps));
  const [above, below] = [running.map((m, i) => (m === null ? null : m + (spread[i] ?? 0))), running.map((m, i) => (m === null ? null : m - (spread[i] ?? 0)))];
  const known = [...batch, ...above, ...below].filter((v): v is number => v !== null && Number.isFinite(v));
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const y = linear(low, high, height - 4, 4);
  const x = linear(steps[0]!, steps.at(-1)!, left, left + inner);
  const edge = (list: (number | null)[]) => list.map((v, i) => `${x(steps[i]!).toFixed(1)} ${y(v ?? (low + high) / 2).toFixed(1)}`);
  const [b, r] = [batch.at(-1) ?? null, running.at(-1) ?? null];
  const apart = b === null || r === null || Math.abs(y(b) - y(r)) >= 12;
  return (
    <>
      {heading}
      <svg width={left + inner + right} height={height} role="img" aria-label={`Batch and running mean of channel ${channel}`}>
        {ticks(low, high, 2).map((v) => <g key={v}><path d={`M${left} ${y(v)}h${inner}`} stroke="var(--gs-line)" /><text class="gs-weak" x={left - 4} y={y(v) + 4} text-anchor="end">{setting(v)}</text></g>)}
        <path d={`M${[...edge(above), ...edge(below).reverse()].join("L")}Z`} fill="var(--gs-hover)" stroke="var(--gs-line-strong)" stroke-width="0.75" />
        <path d={path({ steps, values: running }, x, y)} fill="none" stroke="var(--gs-fg)" stroke-width="2" />
        <path d={path({ steps, values: batch }, x, y)} fill="none" stroke="var(--gs-activation)" stroke-width="1.25" />
        <path d={`M${x(now.step)} 0V${height}`} stroke="var(--gs-accent)" />
        {b !== null && <text class="gs-strong" x={left + inner + 4} y={apart ? y(b) + 4 : y(b) + (y(b) < y(r!) ? -2 : 10)} style={{ fill: "var(--gs-activation)" }}>batch</text>}
        {r !== null && <text class="gs-strong gs-ink" x={left + inner + 4} y={apart ? y(r) + 4 : y(r) + (y(b!) < y(r) ? 10 : -2)}>running</text>}
      </svg>
      {facts}
    </>
  );
}

function Facts({ now }: { now: BatchNormStats }) {
  const forgets = forgetsIn(now.momentum);
  const [z, v] = [meanAbsolute(now, meanDrift), meanAbsolute(now, varianceDrift)];
  return (
    <dl class="gs-facts" style={{ marginTop: "8px" }}>
      <dt>mode</dt><dd>{now.training ? "training: the batch normalises" : "eval: the running averages normalise"}</dd>
      <dt>momentum</dt><dd>{now.momentum === null ? "none: cumulative average" : setting(now.momentum)}{forgets !== null && <span class="gs-2">, forgets 95 % in {count(forgets)} steps</span>}</dd>
      <dt>drift of mean</dt><dd>{z === null ? "–" : <><b>{fixed(z)}</b> σ <span class="gs-2">mean of |z|</span></>}</dd>
      <dt>drift of variance</dt><dd>{v === null ? "–" : <><b>{fixed(v)}</b> <span class="gs-2">mean of |log₂ ratio|</span></>}</dd>
      <dt>values per channel</dt><dd>{count(now.count)}</dd>
      {now.batches_tracked !== null && <><dt>batches tracked</dt><dd>{count(now.batches_tracked)}</dd></>}
    </dl>
  );
}

export const batchNorm: Panel<BatchNormStats> = {
  title: "BatchNorm",
  facts: (now) => `${now.momentum === null ? "cumulative" : `momentum ${setting(now.momentum)}`}, ${count(now.batch_mean.length)} channels`,
  Body,
};
