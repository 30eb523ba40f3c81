/** First and last step under a plot; `end` stands behind the last, over the margin. */

import { count } from "../base/format";

export function StepLabels({ left, inner, first, last, end }: { left: number; inner: number; first: number; last: number; end?: string }) {
  return (
    <svg width={left + inner + 40} height="16" aria-hidden="true" style={{ maxWidth: "100%" }}>
      <text class="gs-weak" x={left} y="12">step {count(first)}</text>
      {last !== first && <text class="gs-weak" x={left + inner} y="12" text-anchor="end">{count(last)}</text>}
      {end && <text class="gs-weak" x={left + inner + 5} y="12">{end === count(last) ? "now" : end}</text>}
    </svg>
  );
}
