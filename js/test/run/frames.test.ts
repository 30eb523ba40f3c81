import { describe, expect, it } from "vitest";
import { crc32c, masked, split } from "../../src/run/frames";
import { frame, join } from "../encode";

const ascii = (text: string) => new TextEncoder().encode(text);

describe("crc32c", () => {
  it("equals the check values of RFC 3720 and of the polynomial's catalogue", () => {
    expect(crc32c(ascii("123456789"))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
  });

  it("is masked as TFRecord does: rotated right by 15 bits, plus a constant", () => {
    expect(masked(0)).toBe(0xa282ead8);
    expect(masked(0x8000)).toBe(0xa282ead9);
  });
});

describe("split", () => {
  const three = ["one", "two", "three"].map((text) => frame(ascii(text)));
  const texts = (bytes: Uint8Array) => split(bytes).payloads.map((payload) => new TextDecoder().decode(payload));

  it("gives every payload of a sound buffer", () => {
    expect(texts(join(three))).toEqual(["one", "two", "three"]);
    expect(split(join(three)).damaged).toBe(0);
    expect(split(new Uint8Array())).toEqual({ payloads: [], damaged: 0 });
  });

  it("skips a damaged payload and counts it", () => {
    const bytes = join(three);
    bytes[three[0]!.length + 12] = bytes[three[0]!.length + 12]! ^ 1;
    expect(texts(bytes)).toEqual(["one", "three"]);
    expect(split(bytes).damaged).toBe(1);
  });

  it("finds the next frame behind a damaged length and behind foreign bytes", () => {
    const bytes = join(three);
    bytes[three[0]!.length] = 0xee;
    expect(texts(bytes)).toEqual(["one", "three"]);
    expect(texts(join([ascii("not a frame at all"), ...three]))).toEqual(["one", "two", "three"]);
  });

  it("keeps what came before a cut, at every length", () => {
    const bytes = join(three);
    for (let end = 0; end < bytes.length; end++) {
      const whole = three.filter((_, i) => join(three.slice(0, i + 1)).length <= end).length;
      const cut = split(bytes.subarray(0, end));
      expect(cut.payloads.length).toBe(whole);
      expect(cut.damaged).toBe(join(three.slice(0, whole)).length === end ? 0 : 1);
    }
  });
});
