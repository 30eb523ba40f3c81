/** What a share of independent draws does by chance alone. Pure. */

import type { DropoutStats } from "../schema";

/** Half width of the band that holds 95 % of shares of n draws with probability p: 1.96 √(p(1 − p)/n). */
export const dropBand = (p: number, n: number) => 1.96 * Math.sqrt((p * (1 - p)) / Math.max(1, n));

/** How many draws a pass made where it could be seen: a dropped zero looks like a kept one. */
export const drawn = (stats: DropoutStats) => (stats.drops === "channels" ? stats.units : stats.nonzero);
