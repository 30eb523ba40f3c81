import { describe, expect, it } from "vitest";
import { bytes, count, date, duration, fixed, percent, scientific, setting, shape, shortCount, value } from "../../src/base/format";

describe("numbers as the look writes them", () => {
  it.each([
    [2480, "2,480"], [466906, "466,906"], [-1234567, "−1,234,567"], [0, "0"], [999, "999"],
  ])("count %d", (x, text) => expect(count(x)).toBe(text));

  it.each([
    [999, "999"], [9999, "9,999"], [466906, "467 k"], [11173962, "11.2 M"], [1199978, "1.2 M"], [999_950, "1.0 M"], [2.5e9, "2.5 G"], [null, "–"],
  ])("short count %d", (x, text) => expect(shortCount(x)).toBe(text));

  it.each([
    [-0.146, "−0.146"], [0.693, "0.693"], [5.21, "5.21"], [-1.2e-9, "−1.2e−9"], [3.1e-5, "3.1e−5"], [8.8e-4, "8.8e−4"], [0, "0"],
    [12.34, "12.3"], [1234.5, "1,235"], [2.5e7, "2.5e7"], [Number.NaN, "NaN"], [Number.NEGATIVE_INFINITY, "−∞"], [0.9996, "1.00"], [9.996, "10.0"],
  ])("value %d", (x, text) => expect(value(x)).toBe(text));

  it.each([
    [0.006, "0.6 %"], [0.58, "58.0 %"], [0, "0 %"], [1, "100 %"], [0.00001, "< 0.1 %"], [0.99999, "> 99.9 %"],
  ])("percent %d", (x, text) => expect(percent(x)).toBe(text));

  it("writes unknown as a dash and no negative zero", () => {
    for (const format of [count, value, percent, fixed, duration, setting]) expect(format(null)).toBe("–");
    expect(fixed(-0.0001, 2)).toBe("0.00");
  });

  it("writes sizes, settings and times", () => {
    expect(bytes(5 * 1024)).toBe("5 KiB");
    expect(bytes(8 * 2 ** 20)).toBe("8.0 MiB");
    expect(bytes(12)).toBe("12 B");
    expect(shape([128, 32, 16, 16])).toBe("128×32×16×16");
    expect(shape([])).toBe("scalar");
    expect(setting(0.0005)).toBe("0.0005");
    expect(setting(1e-6)).toBe("1e−6");
    expect(scientific(2.1e-6)).toBe("2.1e−6");
    expect([2.14, 51, 3727].map(duration)).toEqual(["2.1 s", "0:51", "1:02:07"]);
    expect(date("2026-11-22T10:00:00+01:00")).toBe("22 Nov 2026");
    expect(date("yesterday")).toBe("");
  });
});
