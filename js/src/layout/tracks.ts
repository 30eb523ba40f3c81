/** Hubs between two rows -> the track of each horizontal run, so that runs neither lie on one another nor cross needlessly. */

import type { Hub } from "./level";

type Bent = (hub: Hub) => Hub["to"];

interface Run {
  hubs: Hub[];
  low: number;
  high: number;
  starts: number[];
  ends: number[];
}

/** `bent` lists the targets for which a hub needs a horizontal run. */
export function tracksOf(hubs: Hub[], bent: Bent, x: Float64Array): { track: Map<Hub, number>; count: number } {
  const runs: Run[] = [];
  const byEnds = new Map<string, Run>();
  for (const hub of hubs) {
    const targets = bent(hub);
    if (!targets.length) continue;
    const start = x[hub.from] + hub.port;
    const ends = targets.map((to) => x[to.vertex] + to.port);
    // Edges that lead to the same places may share a run: nothing then reads wrong.
    const key = targets.length === hub.to.length ? [...ends].sort((a, b) => a - b).join() : `${start}:`;
    const run = byEnds.get(key) ?? { hubs: [], low: start, high: start, starts: [], ends };
    if (!byEnds.has(key)) runs.push(run);
    byEnds.set(key, run);
    run.hubs.push(hub);
    run.starts.push(start);
    run.low = Math.min(run.low, start, ...ends);
    run.high = Math.max(run.high, start, ...ends);
  }
  const after: number[][] = runs.map(() => []);
  const waits = runs.map(() => 0);
  const many = runs.length > 200;
  for (let i = 0; i < runs.length && !many; i++) {
    for (let j = i + 1; j < runs.length; j++) {
      const [a, b] = [runs[i], runs[j]];
      if (a.high < b.low || b.high < a.low) continue;
      const [first, second] = cost(a, b) <= cost(b, a) ? [i, j] : [j, i];
      after[first].push(second);
      waits[second]++;
    }
  }
  const level = runs.map(() => 0);
  const done = runs.map(() => false);
  const ready = runs.flatMap((_, i) => (waits[i] ? [] : [i]));
  const placed: { run: Run; level: number }[] = [];
  for (let count = 0; count < runs.length; ) {
    // Two runs may each want to be above the other: then the first goes first.
    const i = ready.shift() ?? done.indexOf(false);
    if (done[i]) continue;
    done[i] = true;
    count++;
    const { low, high } = runs[i];
    while (placed.some((p) => p.level === level[i] && p.run.low <= high && low <= p.run.high)) level[i]++;
    placed.push({ run: runs[i], level: level[i] });
    for (const j of after[i]) {
      level[j] = Math.max(level[j], level[i] + 1);
      if (--waits[j] === 0) ready.push(j);
    }
  }
  const track = new Map<Hub, number>();
  runs.forEach((run, i) => run.hubs.forEach((hub) => track.set(hub, level[i])));
  return { track, count: runs.reduce((most, _, i) => Math.max(most, level[i] + 1), 0) };
}

/** What it costs to draw run a above run b: crossings, and far worse, verticals that lie on one another. */
function cost(a: Run, b: Run): number {
  const inside = (list: number[], run: Run) => list.filter((at) => at > run.low && at < run.high).length;
  const same = a.ends.filter((end) => b.starts.includes(end)).length;
  return inside(a.ends, b) + inside(b.starts, a) + 1000 * same;
}
