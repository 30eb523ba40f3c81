/** BatchNormStats -> how far a batch is from the running averages that eval() would use. Pure. */

import type { BatchNormStats } from "../schema";

/** (batch mean - running mean) / running σ of a channel; null without running statistics. */
export function meanDrift(stats: BatchNormStats, channel: number): number | null {
  const variance = stats.running_var?.[channel];
  const mean = stats.running_mean?.[channel];
  const batch = stats.batch_mean[channel];
  if (variance === undefined || mean === undefined || batch === undefined) return null;
  const z = (batch - mean) / Math.sqrt(variance + stats.eps);
  return Number.isFinite(z) ? z : null;
}

/** log2 of batch variance / running variance of a channel: 1 is twice as wide. */
export function varianceDrift(stats: BatchNormStats, channel: number): number | null {
  const [batch, running] = [stats.batch_var[channel], stats.running_var?.[channel]];
  if (batch === undefined || running === undefined) return null;
  const v = Math.log2((batch + stats.eps) / (running + stats.eps));
  return Number.isFinite(v) ? v : null;
}

/** Mean of the absolute drift over channels; null if it is known of none. */
export function meanAbsolute(stats: BatchNormStats, of: (stats: BatchNormStats, channel: number) => number | null): number | null {
  let [sum, n] = [0, 0];
  for (let channel = 0; channel < stats.batch_mean.length; channel++) {
    const drift = of(stats, channel);
    if (drift === null) continue;
    sum += Math.abs(drift);
    n++;
  }
  return n ? sum / n : null;
}

/**
 * Half width of the band that sampling alone gives to z: 2 / √n. `samples` are what is independent in a batch; the values
 * of one image are not.
 */
export const noise = (samples: number) => 2 / Math.sqrt(Math.max(1, samples));

/** Channels from the strongest |γ| to the weakest: what little γ lets through matters little. */
export function channelsByWeight(stats: BatchNormStats): number[] {
  const order = Array.from(stats.batch_mean, (_, channel) => channel);
  const { weight } = stats;
  return weight ? order.sort((a, b) => Math.abs(weight[b] ?? 0) - Math.abs(weight[a] ?? 0) || a - b) : order;
}

/** Steps until a running average has forgotten a share of what it was; null for a cumulative average. */
export function forgetsIn(momentum: number | null, share = 0.95): number | null {
  if (momentum === null || momentum <= 0) return null;
  return momentum >= 1 ? 1 : Math.ceil(Math.log(1 - share) / Math.log(1 - momentum));
}
