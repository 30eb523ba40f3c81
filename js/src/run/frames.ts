/**
 * Bytes of a message, a report or a run file -> payloads of the frames that are whole.
 *
 * A frame is that of TFRecord: length (u64, little endian), masked crc32c of those eight bytes, payload, masked crc32c of
 * the payload. Behind damage the next frame is found by the checksum of its length. Nothing here throws.
 */

/** No record is larger (`graphscope/run/codec.py`); a longer length is damage. */
export const MAX_PAYLOAD = 64 * 2 ** 20;
const HEADER = 12;
const FOOTER = 4;
const POLYNOMIAL = 0x82f63b78; // Castagnoli, reflected

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
  return crc;
});

/** crc32c of `bytes[start, end)`. */
export function crc32c(bytes: Uint8Array, start = 0, end = bytes.length): number {
  let crc = 0xffffffff;
  for (let i = start; i < end; i++) crc = TABLE[(crc ^ bytes[i]!) & 255]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** As TFRecord stores it: a checksum of data that contain checksums would be weak otherwise. */
export function masked(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

export interface Split {
  /** Views into the buffer, in order. */
  payloads: Uint8Array[];
  /** How many stretches or payloads were damaged. */
  damaged: number;
}

/** Cuts a buffer of whole frames into payloads; counts what is damaged and goes on behind it. */
export function split(buffer: Uint8Array): Split {
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  const payloads: Uint8Array[] = [];
  let damaged = 0;
  let at = 0;
  while (at < buffer.length) {
    const length = lengthAt(view, buffer, at);
    if (length === null) {
      damaged++;
      at = nextHeader(view, buffer, at + 1);
      continue;
    }
    const end = at + HEADER + length;
    if (end + FOOTER > buffer.length) {
      // Cut off, or a length that only looks right: look for a frame inside before giving up.
      damaged++;
      at = nextHeader(view, buffer, at + 1);
      continue;
    }
    if (masked(crc32c(buffer, at + HEADER, end)) === view.getUint32(end, true)) payloads.push(buffer.subarray(at + HEADER, end));
    else damaged++;
    at = end + FOOTER;
  }
  return { payloads, damaged };
}

/** The length that a sound header at `at` gives, else null. */
function lengthAt(view: DataView, buffer: Uint8Array, at: number): number | null {
  if (at + HEADER > buffer.length || view.getUint32(at + 4, true) !== 0) return null;
  const length = view.getUint32(at, true);
  if (length > MAX_PAYLOAD || masked(crc32c(buffer, at, at + 8)) !== view.getUint32(at + 8, true)) return null;
  return length;
}

function nextHeader(view: DataView, buffer: Uint8Array, from: number): number {
  for (let at = from; at + HEADER <= buffer.length; at++) if (lengthAt(view, buffer, at) !== null) return at;
  return buffer.length;
}
