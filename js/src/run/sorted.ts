/** Lists that rise by step: where a step belongs. */

/** First index whose step is not below `step`, in a list that rises. */
export function lowerBound(list: readonly { step: number }[], step: number): number {
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle]!.step < step) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Puts a step into a list that rises, once. */
export function insertSorted(list: number[], step: number): void {
  let i = list.length;
  while (i > 0 && list[i - 1]! > step) i--;
  if (list[i - 1] !== step) list.splice(i, 0, step);
}

/** The last step not after `step` (null: the last of all), else the first; null in an empty list. */
export function nearest(list: readonly number[], step: number | null): number | null {
  if (step === null) return list.at(-1) ?? null;
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle]! <= step) low = middle + 1;
    else high = middle;
  }
  return list[Math.max(0, low - 1)] ?? null;
}
