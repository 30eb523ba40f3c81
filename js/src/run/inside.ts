/** AtenOps -> how often each op ran inside a module's call. The twin of `Inside.counts` in `graphscope/run/inside.py`. */

import type { AtenOps } from "../schema";

export interface AtenCount {
  name: string;
  times: number;
  seconds: number;
}

/** Throws a RangeError where columns do not fit together: a file can hold anything. */
export function checkInside(record: AtenOps): AtenOps {
  const { name, names, node, seconds } = record;
  if (node.length !== name.length || seconds.length !== name.length) throw new RangeError("AtenOps: columns of different lengths");
  if (name.some((code) => code >= names.length)) throw new RangeError("AtenOps: an op without a name");
  return record;
}

/** The longest first. */
export function atenCounts({ names, name, seconds }: AtenOps): AtenCount[] {
  const rows = names.map((text) => ({ name: text, times: 0, seconds: 0 }));
  name.forEach((code, i) => {
    rows[code]!.times++;
    rows[code]!.seconds += seconds[i]!;
  });
  return rows.sort((a, b) => b.seconds - a.seconds);
}
