/**
 * Numbers -> text as every view writes them: true minus, thousands with commas, three significant digits, a thin
 * exponent (`−1.2e−9`), a space before the per cent sign. Unknown is an en dash, never a zero.
 */

export const UNKNOWN = "–";
const MINUS = "−";
const TIMES = "×";

const minus = (text: string) => text.replace(/-/g, MINUS);
const special = (x: number) => (Number.isNaN(x) ? "NaN" : x > 0 ? "∞" : `${MINUS}∞`);

/** 2480 -> `2,480`. */
export function count(x: number | null | undefined): string {
  if (x === null || x === undefined) return UNKNOWN;
  if (!Number.isFinite(x)) return special(x);
  return minus(String(Math.round(x)).replace(/\B(?=(\d{3})+$)/g, ","));
}

/** A count where there is little room: `466,906` -> `467 k`, `11,173,962` -> `11.2 M`; below ten thousand as it is. */
export function shortCount(x: number | null | undefined): string {
  if (x === null || x === undefined || !Number.isFinite(x) || Math.abs(x) < 10_000) return count(x);
  const power = Math.abs(x) >= 999.5e6 ? 9 : Math.abs(x) >= 999.5e3 ? 6 : 3;
  const scaled = x / 10 ** power;
  return `${minus(scaled.toFixed(Math.abs(scaled) < 99.95 ? 1 : 0))} ${{ 3: "k", 6: "M", 9: "G" }[power]}`;
}

/** A fixed number of decimals: `0.63`, `−1.5`. */
export function fixed(x: number | null | undefined, decimals = 2): string {
  if (x === null || x === undefined) return UNKNOWN;
  if (!Number.isFinite(x)) return special(x);
  const text = x.toFixed(decimals);
  return minus(Number(text) === 0 ? text.replace("-", "") : text);
}

/** A measured value with three significant digits: `−0.146`, `5.21`, `1,230`, `−1.2e−9`. */
export function value(x: number | null | undefined): string {
  if (x === null || x === undefined) return UNKNOWN;
  if (x === 0) return "0";
  if (!Number.isFinite(x)) return special(x);
  const size = Math.abs(x);
  if (size < 0.001 || size >= 1e6) return scientific(x);
  if (size < 0.9995) return fixed(x, 3);
  if (size < 9.995) return fixed(x, 2);
  if (size < 99.95) return fixed(x, 1);
  return count(x);
}

/** `3.1e−5`. */
export function scientific(x: number, decimals = 1): string {
  if (!Number.isFinite(x)) return special(x);
  const [mantissa, exponent] = x.toExponential(decimals).split("e");
  return `${minus(mantissa!)}e${minus(String(Number(exponent)))}`;
}

/** A setting as people write it, without padding: `0.02`, `0.0005`, `1e−6`. */
export function setting(x: number | null | undefined): string {
  if (x === null || x === undefined) return UNKNOWN;
  if (!Number.isFinite(x)) return special(x);
  const size = Math.abs(x);
  if (x !== 0 && (size < 1e-4 || size >= 1e9)) return scientific(x, 2).replace(/\.?0*e/, "e");
  return minus(String(Number(x.toPrecision(size >= 1000 ? 9 : 4))));
}

/** A share 0 ... 1: `0.6 %`, `58.0 %`; a share that is not 0 never reads `0 %`, nor one below 1 `100 %`. */
export function percent(share: number | null | undefined, decimals = 1): string {
  if (share === null || share === undefined) return UNKNOWN;
  if (!Number.isFinite(share)) return special(share);
  if (share === 0) return "0 %";
  if (share === 1) return "100 %";
  const smallest = 10 ** -decimals;
  const x = share * 100;
  if (x > 0 && x < smallest / 2) return `< ${smallest.toFixed(decimals)} %`;
  if (x < 100 && x > 100 - smallest / 2) return `> ${(100 - smallest).toFixed(decimals)} %`;
  return `${fixed(x, decimals)} %`;
}

/** Sizes of a tensor: `128×32×16×16`; `scalar` for none. */
export const shape = (sizes: readonly number[]) => (sizes.length ? sizes.join(TIMES) : "scalar");

/** The same as code: `[128, 32]`. */
export const sizes = (list: readonly number[]) => `[${list.join(", ")}]`;

/** `5 KiB`, `8.0 MiB`. */
export function bytes(x: number): string {
  if (x < 1024) return `${count(x)} B`;
  const unit = Math.min(4, Math.floor(Math.log2(x) / 10));
  const scaled = x / 2 ** (10 * unit);
  return `${scaled < 10 && unit > 1 ? fixed(scaled, 1) : count(scaled)} ${["B", "KiB", "MiB", "GiB", "TiB"][unit]}`;
}

/** Seconds: `0:51`, `1:02:07`; under ten seconds `2.1 s`. */
export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return UNKNOWN;
  if (seconds < 10) return `${fixed(seconds, 1)} s`;
  const whole = Math.round(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${String(m).padStart(2, "0")}:${String(s).padStart(2, "0")}` : `${m}:${String(s).padStart(2, "0")}`;
}

/** `1 module`, `2 modules`. */
export const plural = (n: number, word: string, many = `${word}s`) => `${count(n)} ${n === 1 ? word : many}`;

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** An ISO 8601 time -> `22 Nov 2026`, as it was written (no change of zone); empty if it is none. */
export function date(iso: string): string {
  const match = /^(\d{4})-(\d{2})-(\d{2})/.exec(iso);
  const month = match && MONTHS[Number(match[2]) - 1];
  return match && month ? `${Number(match[3])} ${month} ${match[1]}` : "";
}
