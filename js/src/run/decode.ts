/**
 * Frames -> records and replies, typed as `schema.ts` says.
 *
 * A payload is a safetensors blob: u64 length of a JSON header, the header, then the arrays. Its `__metadata__` holds the
 * kind and the JSON of all fields that are no arrays. What arrives may come from anyone: a field is taken over only if the
 * schema knows it and its type fits, and whatever does not fit is counted and skipped.
 */

import {
  type ArrayCode, DEFAULTS, FIELDS, JSON_FIELDS, NULLABLE, type PackedStats, RECORD_KINDS, REPLY_KINDS, type Reply, type RunRecord,
  SCHEMA_MAJOR, STORED_KINDS,
} from "../schema";
import { split } from "./frames";
import { unpack } from "./packed";

export type Message = RunRecord | Reply;

export interface Decoded {
  records: Message[];
  /** Frames whose checksum or contents do not fit. */
  damaged: number;
  /** Frames of a kind that this page does not know. */
  unknown: number;
}

const KINDS: ReadonlySet<string> = new Set([...RECORD_KINDS, ...STORED_KINDS, ...REPLY_KINDS]);
const MAX_DEPTH = 64;
const WIDTH: { readonly [K in ArrayCode]: number } = { u8: 1, u16: 2, u32: 4, i32: 4, i64: 8, f32: 4, f64: 8 };
const STORED: { readonly [dtype: string]: ArrayCode } = { U8: "u8", BOOL: "u8", U16: "u16", U32: "u32", I32: "i32", I64: "i64", F32: "f32", F64: "f64" };

class Unfit extends Error {}

/** All frames of a buffer. Never throws. */
export function decodeFrames(buffer: Uint8Array): Decoded {
  const { payloads, damaged } = split(buffer);
  const decoded: Decoded = { records: [], damaged, unknown: 0 };
  for (const payload of payloads) {
    try {
      const record = decodeRecord(payload);
      if (record === null) decoded.unknown++;
      else decoded.records.push(record);
    } catch {
      decoded.damaged++; // counted, and said in the overview
    }
  }
  return decoded;
}

/** One payload -> its record; null if its kind is unknown. Throws where the bytes do not fit. */
export function decodeRecord(payload: Uint8Array): Message | null {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  if (payload.length < 8) throw new Unfit("shorter than its header");
  const length = view.getUint32(0, true);
  if (view.getUint32(4, true) !== 0 || 8 + length > payload.length) throw new Unfit("header is longer than the blob");
  const header = object(JSON.parse(text(payload.subarray(8, 8 + length))));
  const metadata = object(header["__metadata__"]);
  const kind = metadata["kind"];
  if (typeof kind !== "string" || typeof metadata["json"] !== "string") throw new Unfit("no kind");
  if (!KINDS.has(kind)) return null;
  const record: { [field: string]: unknown } = { kind };
  const values = object(revived(JSON.parse(metadata["json"]), 0));
  if (kind === "run_header" && typeof values["schema_major"] === "number" && values["schema_major"] !== SCHEMA_MAJOR) return foreignHeader(values);
  for (const [field, type] of Object.entries(JSON_FIELDS[kind] ?? {})) {
    const value = Object.hasOwn(values, field) ? values[field] : DEFAULTS[kind]?.[field];
    if (!fits(value, type)) throw new Unfit(`${kind}.${field} is no ${type}`);
    record[field] = value;
  }
  const data = payload.subarray(8 + length);
  for (const [field, code] of Object.entries(FIELDS[kind] ?? {})) {
    const entry = Object.hasOwn(header, field) ? header[field] : undefined;
    if (entry !== undefined) record[field] = column(data, object(entry), code);
    else if (NULLABLE[kind]?.[field]) record[field] = null;
    else throw new Unfit(`${kind}.${field} is missing`);
  }
  const whole = record as unknown as Message | PackedStats;
  return whole.kind === "packed_stats" ? unpack(whole) : whole;
}

/** Of another major version only the version can be relied on: enough to say so. */
function foreignHeader(values: { [field: string]: unknown }): Message {
  const header = { ...DEFAULTS["run_header"], schema_major: values["schema_major"], graphscope: typeof values["graphscope"] === "string" ? values["graphscope"] : "" };
  return { kind: "run_header", run_id: "", name: "", model: "", created: "", ...header } as unknown as Message;
}

const decoder = new TextDecoder("utf-8", { fatal: true });
const text = (bytes: Uint8Array) => decoder.decode(bytes);

function object(value: unknown): { [key: string]: unknown } {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Unfit("not an object");
  return value as { [key: string]: unknown };
}

/** `{"$float": "nan"}` -> NaN, anywhere. Refuses what is nested too deep. */
function revived(value: unknown, depth: number): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (depth > MAX_DEPTH) throw new Unfit("nested too deep");
  if (Array.isArray(value)) return value.map((item) => revived(item, depth + 1));
  const entries = Object.entries(value);
  if (entries.length === 1 && entries[0]![0] === "$float") {
    const float = { nan: Number.NaN, inf: Number.POSITIVE_INFINITY, "-inf": Number.NEGATIVE_INFINITY }[String(entries[0]![1])];
    if (float === undefined) throw new Unfit("no float");
    return float;
  }
  const out: { [key: string]: unknown } = Object.create(null) as { [key: string]: unknown };
  for (const [key, item] of entries) out[key] = revived(item, depth + 1);
  return out;
}

/** Whether a JSON value is of a type as `schema.ts` writes it: `string`, `number[][]`, `(number | null)[]`, `Record<string, number>`, unions. */
function fits(value: unknown, type: string): boolean {
  if (type.startsWith("(") && type.endsWith(")[]")) return Array.isArray(value) && value.every((item) => fits(item, type.slice(1, -3)));
  if (type.includes(" | ")) return type.split(" | ").some((option) => fits(value, option));
  if (type.endsWith("[]")) return Array.isArray(value) && value.every((item) => fits(item, type.slice(0, -2)));
  if (type.startsWith("Record<string, ")) {
    const of = type.slice("Record<string, ".length, -1);
    return typeof value === "object" && value !== null && !Array.isArray(value) && Object.values(value).every((item) => fits(item, of));
  }
  if (type === "unknown") return true;
  if (type === "null") return value === null;
  return type.startsWith('"') ? value === type.slice(1, -1) : typeof value === type;
}

/** A tensor's bytes -> its typed array, copied so that it is aligned and does not keep the whole message alive. */
function column(data: Uint8Array, entry: { [key: string]: unknown }, wanted: ArrayCode) {
  const code = STORED[String(entry["dtype"])];
  const offsets = entry["data_offsets"];
  if (code === undefined || !Array.isArray(offsets) || offsets.length !== 2) throw new Unfit("no array");
  const [from, to] = offsets as unknown[];
  if (!Number.isInteger(from) || !Number.isInteger(to)) throw new Unfit("offsets are no integers");
  const [start, end] = [from as number, to as number];
  if (start < 0 || end < start || end > data.length || (end - start) % WIDTH[code] !== 0) throw new Unfit("array lies outside");
  const bytes = data.slice(start, end).buffer;
  if (code !== wanted && !(code === "f32" && wanted === "f64")) throw new Unfit(`${code} instead of ${wanted}`);
  switch (code) {
    case "u8": return new Uint8Array(bytes);
    case "u16": return new Uint16Array(bytes);
    case "u32": return new Uint32Array(bytes);
    case "i32": return new Int32Array(bytes);
    case "i64": return Float64Array.from(new BigInt64Array(bytes), Number); // counts: exact to 2**53
    case "f32": return wanted === "f64" ? Float64Array.from(new Float32Array(bytes)) : new Float32Array(bytes);
    case "f64": return new Float64Array(bytes);
  }
}
