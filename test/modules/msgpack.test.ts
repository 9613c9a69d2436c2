import { describe, expect, test } from "bun:test";
import { decode } from "@msgpack/msgpack";
import * as fc from "fast-check";

import { encodeMsgpack, msgpackMapHeader } from "../../src/modules/msgpack.ts";
import { named, namedRows } from "../support/case-name.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("the msgpack encoder", () => {
  test.each(
    namedRows<[unknown, string]>([
      [null, "c0"],
      [false, "c2"],
      [true, "c3"],
      [0, "00"],
      [-0, "00"],
      [127, "7f"],
      [128, "cc80"],
      [255, "ccff"],
      [256, "cd0100"],
      [65_535, "cdffff"],
      [65_536, "ce00010000"],
      [4_294_967_295, "ceffffffff"],
      [4_294_967_296, "cf0000000100000000"],
      [1_700_000_000_123, "cf0000018bcfe5687b"],
      [Number.MAX_SAFE_INTEGER, "cf001fffffffffffff"],
      [-1, "ff"],
      [-32, "e0"],
      [-33, "d0df"],
      [-128, "d080"],
      [-129, "d1ff7f"],
      [-32_769, "d2ffff7fff"],
      [-2_147_483_648, "d280000000"],
      [-2_147_483_649, "d3ffffffff7fffffff"],
      [Number.MIN_SAFE_INTEGER, "d3ffe0000000000001"],
      [1.5, "cb3ff8000000000000"],
      [-0.1, "cbbfb999999999999a"],
      [1e300, "cb7e37e43c8800759c"],
      ["", "a0"],
      ["é", "a2c3a9"],
      ["a".repeat(31), `bf${"61".repeat(31)}`],
      ["a".repeat(32), `d920${"61".repeat(32)}`],
      ["a".repeat(256), `da0100${"61".repeat(256)}`],
      ["é".repeat(16), `d920${"c3a9".repeat(16)}`],
      ["a".repeat(65_536), `db00010000${"61".repeat(65_536)}`],
      [new Uint8Array(0), "c400"],
      [new Uint8Array(2), "c4020000"],
      [Buffer.alloc(256), `c50100${"00".repeat(256)}`],
      [new Uint8Array(65_536), `c600010000${"00".repeat(65_536)}`],
      [[], "90"],
      [[[null]], "9191c0"],
      [Array.from({ length: 16 }, () => 1), `dc0010${"01".repeat(16)}`],
      [{}, "80"],
      [{ b: 1, a: 2 }, "82a16102a16201"],
    ]),
  )("uses the fewest bytes that the format allows for %s", (_, value, expected) =>
    expect(hex(encodeMsgpack(value))).toBe(expected),
  );
});

test("the msgpack encoder writes the header of a map that callers fill", () => {
  expect([0, 15, 16, 65_536].map((count) => hex(msgpackMapHeader(count)))).toEqual([
    "80",
    "8f",
    "de0010",
    "df00010000",
  ]);
});

test("the msgpack encoder sorts keys by their bytes, also where code units have another order", () => {
  const value = { "\uffee": 1, "\u{1f600}": 2, z: 3, 10: 4, 9: 5 };
  const keys = Object.keys(Object(decode(encodeMsgpack(value))));
  expect(keys.filter((key) => !/^[0-9]/.test(key))).toEqual(["z", "\uffee", "\u{1f600}"]);
  expect(hex(encodeMsgpack({ 10: 4, 9: 5 }))).toBe("82a2313004a13905");
});

test("the msgpack encoder keeps keys with a meaning in JavaScript as data", () => {
  expect(hex(encodeMsgpack(JSON.parse('{"__proto__":1}')))).toBe(`81a9${hex(Buffer.from("__proto__"))}01`);
  const bare = Object.assign(Object.create(null), { constructor: 1, toString: [2] });
  expect(decode(encodeMsgpack(bare))).toEqual({ constructor: 1, toString: [2] });
});

test.each(
  named<unknown>([
    undefined,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    1n,
    Symbol("s"),
    () => 1,
    new Map([[1, 2]]),
    new Date(0),
    { a: undefined },
    [undefined],
  ]),
)("the msgpack encoder refuses %s, which JSON cannot express", (_, value) =>
  expect(() => encodeMsgpack(value)).toThrow(TypeError),
);

test("the msgpack encoder's output is read by another reader, for any JSON and any order of its keys", () => {
  const key = fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom("constructor", "123", "toString"));
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom(null, true, false),
      fc.maxSafeInteger(),
      fc.double({ noNaN: true, noDefaultInfinity: true }).filter((number) => !Object.is(number, -0)),
      fc.string({ unit: "binary", maxLength: 300 }),
      fc.array(tie("value"), { maxLength: 20 }),
      fc.dictionary(
        key.filter((text) => text !== "__proto__"),
        tie("value"),
        { maxKeys: 20 },
      ),
    ),
  }));
  fc.assert(
    fc.property(value, (given) => {
      const bytes = encodeMsgpack(given);
      expect(decode(bytes)).toEqual(structuredClone(given));
      expect(hex(encodeMsgpack(reversed(given)))).toBe(hex(bytes));
    }),
    { numRuns: 500 },
  );
});

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, item]) => [key, reversed(item)]),
  );
}
