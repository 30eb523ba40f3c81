/** The worker: levels in, layouts out. Bundled into a string (`./worker.ts?inline`). */

import { type Level, layoutLevel } from "./level";

// The DOM's types are the page's, not a worker's: this is the part that both have.
const scope = self as unknown as { onmessage: ((event: MessageEvent) => void) | null; postMessage(data: unknown): void };

scope.onmessage = (event: MessageEvent<{ job: number; levels: Level[] }>) => {
  const { job, levels } = event.data;
  try {
    scope.postMessage({ job, layouts: levels.map(layoutLevel) });
  } catch (error) {
    scope.postMessage({ job, error: String(error) });
  }
};
