/**
 * States of the view to look at, over made-up records: `gallery.html#state=training&theme=dark&width=480`.
 * `node gallery/build.mjs OUT` writes the page; it is never shipped.
 */

import { decodeFrames } from "../src/run/decode";
import type { Command } from "../src/schema";
import { CommSource, type Channel } from "../src/sources/comm";
import type { Source } from "../src/sources/source";
import { mount } from "../src/views/app";
import { frames } from "../test/encode";
import { type FixtureRecord, smallRun } from "../test/small-run";

/** A kernel that says these records when it is greeted, and answers pings unless it is busy. */
function kernel(bytes: Uint8Array, busy = false): Channel {
  let deliver: (content: unknown, buffers: Uint8Array[]) => void = () => undefined;
  return {
    send(content) {
      const command = content as unknown as Command;
      if (command.kind === "hello") setTimeout(() => deliver({ type: "frames" }, [bytes]), 0);
      if (command.kind === "ping" && !busy) setTimeout(() => deliver({ type: "frames" }, [frames([{ kind: "pong", request: command.request }])]), 5);
    },
    onMessage(callback) {
      deliver = callback as typeof deliver;
      return () => undefined;
    },
  };
}

const file = (bytes: Uint8Array): Source => ({
  live: false, send: null,
  subscribe: (onBatch) => {
    queueMicrotask(() => onBatch(decodeFrames(bytes)));
    return () => undefined;
  },
});

const trainer: FixtureRecord = {
  kind: "trainer_status", state: "training", settings: { data: "digits", model: "cnn", optimizer: "SGD", lr: 0.02, momentum: 0.9, weight_decay: 0.0005, schedule: "cosine", batch_size: 64, epochs: 3, seed: 0 },
  choices: { data: ["digits", "shapes"], model: ["cnn", "mlp", "resnet"], optimizer: ["SGD", "Adam"], schedule: ["constant", "cosine"] }, step: 479, total_steps: 1200, epoch: 4, epochs: 12, loss: 0.12,
  accuracy: 0.96, test_accuracy: 0.94, images_per_second: 2012, seconds_left: 51, data_text: "1,437 training images", model_text: "27,130 parameters on cpu",
};

const STATES: { [name: string]: () => Source } = {
  training: () => new CommSource(kernel(frames(smallRun()))),
  report: () => file(frames(smallRun({ closed: true }))),
  empty: () => new CommSource(kernel(frames([]))),
  busy: () => new CommSource(kernel(frames(smallRun()), true)),
  traced: () => file(frames(smallRun().slice(0, 2))),
  damaged: () => {
    const bytes = frames(smallRun({ steps: 60, closed: true }));
    bytes[bytes.length >> 1]! ^= 255;
    bytes[bytes.length >> 2]! ^= 255;
    return file(bytes);
  },
  trainer: () => new CommSource(kernel(frames([...smallRun(), trainer]))),
};

declare global {
  interface Window {
    /** Base64 of frames to be shown instead, set before this script runs. */
    gallery?: { base64?: string; live?: boolean };
  }
}

const options = new URLSearchParams(location.hash.slice(1));
document.body.dataset["jpThemeLight"] = String(options.get("theme") !== "dark");
document.body.style.cssText = `margin:0;padding:16px;background:${options.get("theme") === "dark" ? "#111315" : "#fff"}`;
const host = document.createElement("div");
host.style.width = `${options.get("width") ?? 1040}px`;
document.body.append(host);
const given = window.gallery?.base64;
const bytes = given ? Uint8Array.from(atob(given), (char) => char.charCodeAt(0)) : null;
const source = bytes ? (window.gallery?.live ? new CommSource(kernel(bytes)) : file(bytes)) : (STATES[options.get("state") ?? "training"] ?? STATES["training"]!)();
mount(host, source);
