/** Processes of one run: which of them is shown, and how far each came. */

import { count, plural } from "../base/format";
import type { RunRanks } from "../schema";
import { ask, useStore } from "../store/state";
import { Menu } from "./menu";

const ALL = -1;
const MOST = 16;

/** All ranks or one; absent where there is one process, or nothing could send another. */
export function RankMenu() {
  const store = useStore();
  const { run, version, source } = store;
  void version.value;
  const { ranks } = run;
  if (!ranks || ranks.rank.length < 2 || !source.send) return null;
  const shown = ranks.shown ?? ALL;
  const choices = [{ value: ALL, label: "All ranks, merged" }, ...ranks.rank.map((rank, i) => ({ value: rank, label: `Rank ${rank}, ${reached(ranks, i)}` }))];
  return (
    <Menu label={shown === ALL ? "All ranks" : `Rank ${shown}`} title="Which processes are shown. All: steps and losses of the lowest rank, statistics and findings of every rank"
      value={shown} choices={choices} onChoose={(rank) => ask(store, { kind: "show_rank", rank })}>
      {shown === ALL ? "All ranks" : `Rank ${shown}`}
    </Menu>
  );
}

function reached({ last_step, finished }: RunRanks, i: number): string {
  const step = last_step[i];
  return `${step === null || step === undefined ? "no step" : `step ${count(step)}`}${finished[i] ? "" : ", not finished"}`;
}

/** For the overview. */
export function RankList() {
  const { run, version } = useStore();
  void version.value;
  const { ranks } = run;
  if (!ranks || ranks.rank.length < 2) return null;
  return (
    <section class="gs-section" data-graphscope="ranks">
      <div class="gs-head"><h3>Ranks</h3><span class="gs-space" /><span class="gs-label">{ranks.shown === null ? "merged" : `rank ${ranks.shown} alone`}</span></div>
      <dl class="gs-facts">
        {ranks.rank.slice(0, MOST).map((rank, i) => <><dt>rank {count(rank)}</dt><dd>{reached(ranks, i)}{ranks.last_seen[i] && <span class="gs-2">, last seen <bdi>{ranks.last_seen[i]}</bdi></span>}</dd></>)}
      </dl>
      {ranks.rank.length > MOST && <p class="gs-label">and {plural(ranks.rank.length - MOST, "more rank")}</p>}
    </section>
  );
}
