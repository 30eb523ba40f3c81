/** A report's own script element -> Source: base64 of gzipped frames, inflated by the browser. Nothing can answer. */

import { decodeFrames } from "../run/decode";
import type { Batch, Source } from "./source";

/** `text`: base64 of a gzip stream of frames; white space in it is ignored. */
export function embeddedSource(text: string): Source {
  return {
    live: false,
    send: null,
    subscribe(onBatch) {
      let open = true;
      void inflate(text).then(
        (bytes) => open && onBatch(decodeFrames(bytes)),
        () => open && onBatch({ records: [], damaged: 1, unknown: 0 } satisfies Batch),
      );
      return () => {
        open = false;
      };
    },
  };
}

/** What is whole of a stream: a report cut off in the middle still shows its beginning. */
async function inflate(text: string): Promise<Uint8Array> {
  const binary = atob(text.replace(/\s+/g, ""));
  const packed = Uint8Array.from(binary, (char) => char.charCodeAt(0));
  const reader = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip")).getReader();
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      chunks.push(part.value);
      size += part.value.length;
    }
  } catch (error) {
    if (!chunks.length) throw error;
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
