import { expect, test } from "bun:test";
import { encode } from "@msgpack/msgpack";
import { decodeMsgpack } from "../../src/modules/msgpack-reader.ts";
import { encodeMsgpack } from "../../src/modules/msgpack.ts";

const NUMBERS = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER];
const VALUES: unknown[] = [
  null,
  true,
  false,
  1.5,
  -0.1,
  ...NUMBERS.flatMap((number) => [number, -number]),
  ...[0, 31, 32, 255, 256, 65_536].map((length) => "ü".repeat(length)),
  ...[0, 255, 256, 65_536].map((length) => new Uint8Array(length).fill(7)),
  ...[0, 15, 16, 65_536].map((length) => Array.from({ length }, (_, at) => at % 100)),
  ...[0, 15, 16, 65_536].map((length) => Object.fromEntries(Array.from({ length }, (_, at) => [`k${at}`, at % 100]))),
  { nested: [{ deep: { bytes: Uint8Array.of(1, 2) } }] },
];

test("the msgpack reader reads what the server's encoder and another encoder write", () => {
  for (const value of VALUES) {
    for (const bytes of [encode(value), encodeMsgpack(value)]) {
      const read = decodeMsgpack(bytes);
      expect(Bun.deepEquals(normal(read), normal(value))).toBe(true);
    }
  }
});

test("the msgpack reader refuses truncated input, trailing bytes and types that documents do not use", () => {
  const bytes = encode({ a: [1, "text", new Uint8Array(300)], b: { c: 70_000 } });
  for (let length = 0; length < bytes.length; length += 1) {
    expect(() => decodeMsgpack(bytes.subarray(0, length))).toThrow(RangeError);
  }
  expect(() => decodeMsgpack(Buffer.concat([bytes, bytes]))).toThrow("follows");
  expect(() => decodeMsgpack(encode(new Date(0)))).toThrow("code");
  expect(() => decodeMsgpack(Uint8Array.of(0x81, 0x01, 0x01))).toThrow("not a string");
  expect(() => decodeMsgpack(Uint8Array.of(0x82, 0xa1, 0x61, 0x01, 0xa1, 0x61, 0x02))).toThrow("twice");
});

/** Without the differences between readers: prototypes, and whether bytes are a `Buffer`. */
function normal(value: unknown): unknown {
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString("hex")}`;
  if (Array.isArray(value)) return value.map(normal);
  if (typeof value !== "object" || value === null) return Object.is(value, -0) ? 0 : value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, normal(member)]));
}
