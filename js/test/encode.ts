/** Records -> the bytes that Python's codec writes, for tests and the gallery: an encoder that shares no code with decode.ts. */

import { DEFAULTS, FIELDS, HISTOGRAM_BINS, JSON_FIELDS } from "../src/schema";

type Fields = { [field: string]: unknown };
const DTYPES: { [code: string]: [string, (list: ArrayLike<number>) => ArrayBufferView] } = {
  u8: ["U8", (list) => Uint8Array.from(list)], u16: ["U16", (list) => Uint16Array.from(list)], u32: ["U32", (list) => Uint32Array.from(list)], i32: ["I32", (list) => Int32Array.from(list)],
  i64: ["I64", (list) => BigInt64Array.from(Array.from(list, BigInt))], f32: ["F32", (list) => Float32Array.from(list)],
  f64: ["F64", (list) => Float64Array.from(list)],
};

/** Bitwise crc32c: slow and evident. */
function crc(bytes: Uint8Array): number {
  let c = 0xffffffff;
  for (const byte of bytes) {
    c ^= byte;
    for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  }
  const plain = ~c >>> 0;
  return (((plain >>> 15) | (plain << 17)) + 0xa282ead8) >>> 0;
}

export function blob(kind: string, fields: Fields): Uint8Array {
  const all: Fields = { ...DEFAULTS[kind], ...fields };
  const json: Fields = {};
  for (const name of Object.keys(JSON_FIELDS[kind] ?? {})) if (name in all) json[name] = all[name];
  const header: Fields = {
    __metadata__: { kind, json: JSON.stringify(json, (_, x) => (typeof x === "number" && !Number.isFinite(x) ? { $float: Number.isNaN(x) ? "nan" : x > 0 ? "inf" : "-inf" } : x)) },
  };
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const [name, code] of Object.entries(FIELDS[kind] ?? {})) {
    const list = all[name] as ArrayLike<number> | null | undefined;
    if (list === null || list === undefined) continue;
    const array = DTYPES[code]![1](list);
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    const shape = name === "histogram" ? [list.length / HISTOGRAM_BINS, HISTOGRAM_BINS] : [list.length];
    header[name] = { dtype: DTYPES[code]![0], shape, data_offsets: [at, at + bytes.length] };
    parts.push(bytes);
    at += bytes.length;
  }
  let text = JSON.stringify(header);
  while (new TextEncoder().encode(text).length % 8) text += " ";
  const head = new TextEncoder().encode(text);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setUint32(0, head.length, true);
  return join([length, head, ...parts]);
}

export function frame(payload: Uint8Array): Uint8Array {
  const head = new Uint8Array(12);
  const view = new DataView(head.buffer);
  view.setUint32(0, payload.length, true);
  view.setUint32(8, crc(head.subarray(0, 8)), true);
  const foot = new Uint8Array(4);
  new DataView(foot.buffer).setUint32(0, crc(payload), true);
  return join([head, payload, foot]);
}

/** The records one after the other, as a message carries them. */
export const frames = (records: readonly (Fields & { kind: string })[]) => join(records.map(({ kind, ...fields }) => frame(blob(kind, fields))));

export function join(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
