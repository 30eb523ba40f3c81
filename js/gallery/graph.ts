/** A page with one graph on it: `?model=resNet(5)&dark&looks&open=layer2,layer2.0&select=...`. For looking at pictures while working on them. */

import tokens from "../src/base/css/tokens.css";
import { readTheme } from "../src/base/theme";
import { LayoutClient } from "../src/layout/client";
import { around, openItems } from "../src/layout/expansion";
import workerSource from "../src/layout/worker.ts?inline";
import type { Graph } from "../src/run/graph";
import { GraphCanvas } from "../src/views/canvas/graph-canvas";
import type { Stop } from "../src/views/canvas/types";
import * as models from "./models";

const MODELS: Record<string, () => Graph> = {
  cnn: models.smallCnn, resnet: () => models.resNet(5), resnet18: () => models.resNet(2, [64, 128, 256, 512]), transformer: () => models.transformer(6),
  mixture: () => models.mixture(4), inception: models.inception, unet: () => models.uNet(3), chain: () => models.chain(2000), siamese: models.siamese,
  nested: () => models.nested(12),
};

const query = new URLSearchParams(location.search);
const style = document.createElement("style");
style.textContent = `${tokens} body { margin: 0 } .gs { width: 100vw; height: 100vh } `;
document.head.append(style);
const host = document.createElement("div");
host.className = "gs";
if (query.has("dark")) host.dataset["gsTheme"] = "dark";
document.body.append(host);

const graph = (window as { graph?: Graph }).graph ?? (MODELS[query.get("model") ?? "resnet"] ?? MODELS["resnet"])();
const theme = readTheme(host);
const expanded = new Set<string>();
let client: LayoutClient;
const canvas = new GraphCanvas(host, {
  select: (id) => canvas.setSelection(id),
  toggle: (id) => {
    if (!expanded.delete(id)) expanded.add(id);
    void show(id);
  },
  describe: (target) => (target.kind === "edge" ? ["gradient RMS 2.1e−6"] : []),
}, theme);
client = new LayoutClient(canvas.measure, query.has("noworker") ? null : workerSource);

const hash = (text: string) => [...text].reduce((sum, c) => (sum * 31 + c.charCodeAt(0)) % 9973, 7);
/** Made-up looks, only to see every way a node can look. */
if (query.has("looks")) {
  const stopOf = (n: number): Stop => ([0, 0, 0, 0, 1, 0, -1, 2, 0, 0, -2, 3, -3] as const)[n % 13];
  canvas.setLooks({
    node: (node) => {
      const n = hash(node.id);
      const weights = /conv|fc|bn|shortcut|head|norm|\.q|\.k|\.v|out|[12]$/.test(node.label);
      const fill = weights && !node.expanded ? stopOf(n) : null;
      return {
        fill, value: node.cells ? "−2.6 … −1.9" : fill === null ? "" : `−${(1 + (n % 30) / 10).toFixed(1)}`, activation: node.kind === "input" ? null : ((n % 40) - 20) / 12, gradient: ((n % 29) - 14) / 9,
        badge: n % 11 === 3 ? { shape: "warning", text: "drift" } : node.cells && n % 3 === 0 ? { shape: "info", text: "3: dead 58 %" } : null, absent: n % 37 === 5,
      };
    },
    edge: (edge) => ({ flow: ([0, 0, 0, 1, 0, 2, 0, -1, 0, -2] as const)[hash(edge.id) % 10], dashed: !edge.requiresGrad }),
    cell: (call) => ({ fill: stopOf(call * 7 + 1), outlier: call % 17 === 3 }),
  });
}

async function show(keep?: string): Promise<void> {
  const scene = await client.scene(graph, expanded);
  if (!scene) return;
  canvas.setScene(scene, keep);
  document.documentElement.dataset["ready"] = `${scene.nodes.length} nodes, ${scene.width} x ${scene.height}`;
}

const hierarchy = client.hierarchy(graph);
const depth = query.get("depth");
for (const id of openItems(hierarchy, depth ? Number(depth) : undefined)) expanded.add(id);
for (const id of query.get("open")?.split(",") ?? []) {
  for (const outer of around(hierarchy, id) ?? []) expanded.add(outer);
  expanded.add(id);
}
for (const id of query.get("close")?.split(",") ?? []) expanded.delete(id);
if (query.get("select")) canvas.setSelection(query.get("select"));
if (query.get("hits")) canvas.setHits(query.get("hits")!.split(","));
Object.assign(window, { canvas, client, expanded, show });
await show();
if (query.get("reveal")) canvas.reveal(query.get("reveal")!);
if (query.has("fit")) canvas.fit();
