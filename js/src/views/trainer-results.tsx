/** What the built-in trainer reached so far: loss and accuracy over steps, single test images, recall by class. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { count, percent, setting } from "../base/format";
import { Shape } from "../base/icons";
import { StepLabels } from "../panels/step-labels";
import { type Scale, extent, linear, logarithmic, path, smoothed } from "../panels/time-scale";
import type { Series } from "../run/run";
import { worstFirst } from "../run/samples";
import type { TrainerSamples, TrainerStatus } from "../schema";
import { useStore } from "../store/state";

const [LEFT, RIGHT] = [38, 8];
const [LOSS_HEIGHT, ACCURACY_HEIGHT] = [64, 56];
const FIRST_SAMPLES = 16;
const MAX_CLASSES = 12;

export function TrainerResults({ status, width }: { status: TrainerStatus; width: number }) {
  const { run, version } = useStore();
  void version.value;
  return (
    <>
      <LossAndAccuracy status={status} width={width} />
      {run.samples && <Samples samples={run.samples} classes={status.classes} />}
      {status.recall.length > 1 && <Recall status={status} width={width} />}
    </>
  );
}

function LossAndAccuracy({ status, width }: { status: TrainerStatus; width: number }) {
  const { run, at } = useStore();
  const [loss, accuracy] = [run.scalars("loss"), run.scalars("accuracy")];
  const tested = run.scalars("test_accuracy");
  if (!loss.steps.length) return null;
  const inner = Math.max(60, width - LEFT - RIGHT);
  const last = Math.max(1, run.lastStep() ?? 1);
  const x = linear(0, last, 0, inner);
  const playhead = at.value !== null && at.value < last ? at.value : null;
  return (
    <section class="gs-section" data-graphscope="trainer-results">
      <div class="gs-head">
        <h3>Loss and accuracy</h3><span class="gs-space" />
        <span class="gs-label">{status.loss !== null && <>loss <b>{setting(status.loss)}</b></>}</span>
      </div>
      <LossLine series={loss} x={x} inner={inner} playhead={playhead} classes={status.classes.length} />
      {(accuracy.steps.length > 0 || tested.steps.length > 0) && <AccuracyLine series={accuracy} tested={tested} x={x} inner={inner} playhead={playhead} />}
      <StepLabels left={LEFT} inner={inner} first={0} last={last} />
      <p class="gs-label">
        {status.accuracy !== null && <>train <b>{percent(status.accuracy)}</b></>}
        {status.test_accuracy !== null && <>{status.accuracy !== null && ", "}test{status.test_epoch !== null && ` after epoch ${count(status.test_epoch)}`} <b>{percent(status.test_accuracy, 2)}</b></>}
      </p>
    </section>
  );
}

function LossLine({ series, x, inner, playhead, classes }: { series: Series; x: Scale; inner: number; playhead: number | null; classes: number }) {
  const positive = useMemo(() => ({ steps: series.steps, values: series.values.map((v) => (v !== null && v > 0 ? v : null)) }), [series]);
  const smooth = useMemo(() => smoothed(positive), [positive]);
  const range = extent(positive, 0.005);
  if (!range) return null;
  const [low, high] = [range[0] / 1.2, Math.max(range[1], range[0] * 1.5) * 1.1];
  const y = logarithmic(low, high, LOSS_HEIGHT - 2, 4);
  const clipped = (v: number) => Math.max(2, y(v));
  const decades = powers(low, high);
  const chance = classes > 1 && Math.log(classes) > low && Math.log(classes) < high ? Math.log(classes) : null;
  return (
    <svg width={LEFT + inner + RIGHT} height={LOSS_HEIGHT} role="img" aria-label="Training loss over steps, logarithmic">
      <g transform={`translate(${LEFT} 0)`}>
        <rect width={inner} height={LOSS_HEIGHT} fill="var(--gs-canvas)" />
        {decades.map((v) => <g key={v}><path d={`M0 ${y(v)}H${inner}`} stroke="var(--gs-line)" /><text class="gs-weak" x="-4" y={y(v) + 4} text-anchor="end">{setting(v)}</text></g>)}
        {chance !== null && <path d={`M0 ${y(chance)}H${inner}`} stroke="var(--gs-fg-3)" stroke-dasharray="2 2" />}
        <path d={path(positive, x, clipped)} fill="none" stroke="var(--gs-fg-3)" stroke-width="0.75" opacity="0.45" />
        <path d={path(smooth, x, clipped)} fill="none" stroke="var(--gs-fg)" stroke-width="1.75" stroke-linejoin="round" />
        {chance !== null && <text class="gs-halo gs-weak" x={inner - 4} y={y(chance) + (y(chance) > 16 ? -3 : 11)} text-anchor="end">chance, ln {count(classes)}</text>}
        <text class="gs-halo gs-strong" x="4" y={LOSS_HEIGHT - 6} style={{ fill: "var(--gs-fg)" }}>loss, log</text>
        {playhead !== null && <path d={`M${x(playhead)} 0V${LOSS_HEIGHT}`} stroke="var(--gs-accent)" stroke-width="1.5" />}
      </g>
    </svg>
  );
}

/** Powers of ten within a range, or its ends where there is none. */
function powers(low: number, high: number): number[] {
  const out: number[] = [];
  for (let e = Math.ceil(Math.log10(low)); 10 ** e <= high; e++) out.push(10 ** e);
  if (out.length > 1) return out;
  return [low * 1.2, high / 1.2].map((v) => Number(v.toPrecision(2)));
}

function AccuracyLine({ series, tested, x, inner, playhead }: { series: Series; tested: Series; x: Scale; inner: number; playhead: number | null }) {
  const smooth = useMemo(() => smoothed(series, Math.max(8, series.values.length / 40)), [series]);
  const y = linear(0, 1, ACCURACY_HEIGHT - 3, 5);
  return (
    <svg width={LEFT + inner + RIGHT} height={ACCURACY_HEIGHT + 4} role="img" aria-label="Training and test accuracy over steps, 0 to 100 %">
      <g transform={`translate(${LEFT} 4)`}>
        <rect width={inner} height={ACCURACY_HEIGHT} fill="var(--gs-canvas)" />
        {[0, 0.5, 1].map((v) => <g key={v}><path d={`M0 ${y(v)}H${inner}`} stroke="var(--gs-line)" /><text class="gs-weak" x="-4" y={y(v) + 4} text-anchor="end">{v * 100} %</text></g>)}
        <path d={path(smooth, x, y)} fill="none" stroke="var(--gs-activation)" stroke-width="1.5" stroke-linejoin="round" />
        {tested.steps.map((step, i) => tested.values[i] != null && <path key={step} d={`M${x(step)} ${y(tested.values[i]!) - 4}l4 4l-4 4l-4-4z`} fill="var(--gs-bg)" stroke="var(--gs-fg)" stroke-width="1.3" />)}
        <text class="gs-halo gs-strong" x={inner - 4} y={y(0.5) + 14} text-anchor="end" style={{ fill: "var(--gs-activation)" }}>train accuracy{tested.steps.length > 0 && <tspan style={{ fill: "var(--gs-fg)" }}>, ◇ test</tspan>}</text>
        {playhead !== null && <path d={`M${x(playhead)} 0V${ACCURACY_HEIGHT}`} stroke="var(--gs-accent)" stroke-width="1.5" />}
      </g>
    </svg>
  );
}

function Samples({ samples, classes }: { samples: TrainerSamples; classes: readonly string[] }) {
  const [all, setAll] = useState(false);
  const order = useMemo(() => worstFirst(samples), [samples]);
  if (samples.message) return <section class="gs-section"><div class="gs-head"><h3>Pinned batch</h3></div><p class="gs-2 gs-break">{samples.message}</p></section>;
  const wrong = order.filter((i) => samples.label[i] !== samples.predicted[i]).length;
  const name = (index: number) => classes[index] ?? count(index);
  return (
    <section class="gs-section" data-graphscope="samples">
      <div class="gs-head">
        <h3 class="gs-nowrap" title="Test images that stay the same all along; the most confident mistakes come first">Pinned batch</h3><span class="gs-label gs-nowrap">{count(wrong)} wrong of {count(order.length)}</span><span class="gs-space" />
        {order.length > FIRST_SAMPLES && <button type="button" class="gs-link gs-nowrap" aria-expanded={all} onClick={() => setAll(!all)}>{all ? "Fewer" : `All ${count(order.length)}`}</button>}
      </div>
      <ul class="gs-samples" aria-label={`Test images after step ${samples.step}`}>
        {order.slice(0, all ? order.length : FIRST_SAMPLES).map((i) => {
          const [label, predicted] = [samples.label[i]!, samples.predicted[i]!];
          const right = label === predicted;
          const share = percent(samples.confidence[i], 0);
          const words = right ? `${name(label)}, ${share} sure` : `taken for ${name(predicted)} (${share} sure), is ${name(label)}`;
          return (
            <li key={i} class={`gs-sample ${right ? "" : "gs-wrong"}`} title={words}>
              {samples.pixels.length > 0 && <Picture samples={samples} index={i} label={words} />}
              <span><Shape kind={right ? "ok" : "error"} size={10} named /><b>{name(predicted)}</b><span class="gs-2 gs-ell">{right ? share : `is ${name(label)}`}</span></span>
            </li>
          );
        })}
      </ul>
    </section>
  );
}

function Picture({ samples, index, label }: { samples: TrainerSamples; index: number; label: string }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [, height = 0, width = 0, channels = 0] = samples.size;
  useEffect(() => {
    const pen = canvas.current?.getContext("2d");
    if (!pen || !width || !height) return;
    const image = pen.createImageData(width, height);
    const from = index * height * width * channels;
    for (let k = 0; k < height * width; k++) {
      for (let c = 0; c < 3; c++) image.data[4 * k + c] = samples.pixels[from + k * channels + (channels === 3 ? c : 0)] ?? 0;
      image.data[4 * k + 3] = 255;
    }
    pen.putImageData(image, 0, 0);
  }, [samples, index]);
  return <canvas ref={canvas} width={width} height={height} role="img" aria-label={label} style={{ aspectRatio: `${width} / ${height}` }} />;
}

/** A stem per class, from the lowest full ten below all of them; with many classes the lowest. */
function Recall({ status, width }: { status: TrainerStatus; width: number }) {
  const known = status.recall.map((share, index) => ({ share, name: status.classes[index] ?? count(index) })).filter((row): row is { share: number; name: string } => row.share !== null);
  if (!known.length) return null;
  const lowest = known.reduce((a, b) => (b.share < a.share ? b : a));
  const rows = known.length > MAX_CLASSES ? [...known].sort((a, b) => a.share - b.share).slice(0, MAX_CLASSES) : known;
  const short = rows.every((row) => row.name.length <= 3);
  const from = Math.max(0, Math.floor(lowest.share * 10 - 0.001) / 10);
  const after = status.test_epoch === null ? "" : `, epoch ${count(status.test_epoch)}`;
  return (
    <section class="gs-section" data-graphscope="recall">
      <div class="gs-head"><h3>Recall by class</h3><span class="gs-label">test set{after}{known.length > rows.length && `, lowest ${count(rows.length)} of ${count(known.length)}`}</span></div>
      {short ? <Stems rows={rows} lowest={lowest} from={from} width={width} /> : (
        <dl class="gs-facts">{rows.map((row) => <><dt><bdi>{row.name}</bdi></dt><dd>{row === lowest ? <b>{percent(row.share)}, lowest</b> : percent(row.share)}</dd></>)}</dl>
      )}
    </section>
  );
}

function Stems({ rows, lowest, from, width }: { rows: { share: number; name: string }[]; lowest: { name: string }; from: number; width: number }) {
  const y = linear(from, 1, 52, 18);
  const x = (i: number) => 12 + (i * (width - 24)) / Math.max(1, rows.length - 1);
  return (
    <>
      <svg width={width} height="70" role="img" aria-label={rows.map((row) => `${row.name} ${percent(row.share)}`).join(", ")}>
        <path d={`M0 52.5H${width}`} stroke="var(--gs-line-strong)" />
        {rows.map((row, i) => {
          const worst = row.name === lowest.name;
          return (
            <g key={row.name}>
              <path d={`M${x(i)} 52V${y(row.share)}`} stroke={worst ? "var(--gs-edge-low)" : "var(--gs-fg-2)"} />
              <circle cx={x(i)} cy={y(row.share)} r="3" fill={worst ? "var(--gs-edge-low)" : "var(--gs-fg-2)"} />
              <text class={worst ? "gs-strong gs-ink" : ""} x={x(i)} y={y(row.share) - 6} text-anchor="middle" style={{ fontSize: "10px" }}>{setting(Number((row.share * 100).toFixed(1)))}</text>
              <text class={worst ? "gs-strong gs-ink" : "gs-weak"} x={x(i)} y="65" text-anchor="middle">{row.name}</text>
            </g>
          );
        })}
      </svg>
      <p class="gs-label">per cent, scale from {setting(from * 100)} to 100; lowest: {lowest.name}</p>
    </>
  );
}
