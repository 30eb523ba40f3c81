/** Every kind of layer statistics has a panel: one without does not compile. */

import type { LayerStats } from "../schema";
import { batchNorm } from "./batchnorm";
import { dropout } from "./dropout";
import type { Panel } from "./panel";

export const PANELS: { [K in LayerStats["kind"]]: Panel<Extract<LayerStats, { kind: K }>> } = {
  batchnorm_stats: batchNorm,
  dropout_stats: dropout,
};
