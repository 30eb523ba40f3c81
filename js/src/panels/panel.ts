/** What a layer kind's panel is given and gives. */

import type { JSX } from "preact";
import type { LayerStats } from "../schema";

export interface PanelProps<S extends LayerStats> {
  /** All recorded passes of the layer, by step. */
  all: readonly S[];
  /** Those of the step shown. */
  now: S;
  /** Samples in a batch, if known: what the noise of a batch's mean is reckoned with. */
  samples: number | null;
  /** Width there is, px. */
  width: number;
}

export interface Panel<S extends LayerStats> {
  title: string;
  /** The few words at the right of the title. */
  facts: (now: S) => string;
  Body: (props: PanelProps<S>) => JSX.Element;
}
