/** In which order single predictions are worth looking at. */

import type { TrainerSamples } from "../schema";

/** Indexes: wrong ones first, the most confident mistake before the others; then right ones, the least confident first. */
export function worstFirst({ label, predicted, confidence }: Pick<TrainerSamples, "label" | "predicted" | "confidence">): number[] {
  const wrong = (i: number) => label[i] !== predicted[i];
  return Array.from(label, (_, i) => i).sort((a, b) => {
    if (wrong(a) !== wrong(b)) return wrong(a) ? -1 : 1;
    const more = confidence[a]! - confidence[b]!;
    return (wrong(a) ? -more : more) || a - b;
  });
}
