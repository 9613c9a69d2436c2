import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";

import { parseStrictJson, StrictJsonError, type StrictJsonLimits } from "../../../src/modules/conda/strict-json.ts";

const LIMITS: StrictJsonLimits = { maxDepth: 32 };
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const parse = (text: string, limits = LIMITS): unknown => parseStrictJson(encode(text), limits);

function reasonOf(bytes: Uint8Array | string, limits = LIMITS): string {
  try {
    parseStrictJson(typeof bytes === "string" ? encode(bytes) : bytes, limits);
  } catch (error) {
    if (error instanceof StrictJsonError) return error.reason;
    throw error;
  }
  return "accepted";
}

describe("the strict JSON parser", () => {
  test("reads everything that JSON.parse reads", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6, stringUnit: "binary" }), fc.constantFrom(0, 2), (value, indent) => {
        const text = JSON.stringify(value, undefined, indent);
        fc.pre(!text.includes("\\u0000") && !/\\ud[89a-f]/.test(text) && !hasLargeNumber(value));
        expect(JSON.stringify(parse(text))).toBe(JSON.stringify(JSON.parse(text)));
      }),
      { numRuns: 500 },
    );
  });

  test("refuses everything that JSON.parse refuses", () => {
    const pieces = fc.array(
      fc.constantFrom("{", "}", "[", "]", ",", ":", '"a"', '"', "1", "-", ".", "e", "true", "nul", " ", "\\"),
      {
        maxLength: 8,
      },
    );
    fc.assert(
      fc.property(pieces, (parts) => {
        const text = parts.join("");
        expect(reasonOf(text) === "syntax").toBe(!isJson(text) && reasonOf(text) !== "duplicate-key");
      }),
      { numRuns: 3000 },
    );
  });

  test.each([
    "",
    " ",
    "{",
    '{"a"',
    '{"a":',
    '{"a":1',
    "[1,]",
    '{"a":1,}',
    "01",
    "1.",
    ".5",
    "+1",
    "1e",
    "'a'",
    '"a',
    '"\\',
    '"\\u12"',
    '"\\x41"',
    '"a\nb"',
    "{}x",
    "[] []",
    "tru",
    "nulll",
    "undefined",
    "// c\n1",
    "{1:2}",
    "\u00a01",
  ])("refuses %j as a syntax error", (text) => expect(reasonOf(text)).toBe("syntax"));

  test.each([
    ["1.10", 1.1],
    ["-0", 0],
    ["-0.0", 0],
    ["1e2", 100],
    ["9007199254740991", 9007199254740991],
    ["1e-400", 0],
  ])("reads the number %s", (text, value) => expect(Object.is(parse(text), value)).toBe(true));

  test("reads escapes and text outside the basic plane", () => {
    expect(parse('"\\u0041\\n\\"\\ud83d\\ude00😀"')).toBe('A\n"😀😀');
  });
});

describe("the strict JSON parser on ambiguous text", () => {
  const table: [name: string, bytes: Uint8Array | string, reason: string][] = [
    ["a byte that is no UTF-8", Uint8Array.of(0x22, 0xff, 0x22), "encoding"],
    ["overlong UTF-8", Uint8Array.of(0x22, 0xc0, 0xaf, 0x22), "encoding"],
    ["a surrogate in UTF-8", Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22), "encoding"],
    ["a byte order mark", "\ufeff{}", "encoding"],
    ["UTF-16, little endian", Uint8Array.of(0x7b, 0, 0x7d, 0), "encoding"],
    ["UTF-16, big endian", Uint8Array.of(0, 0x7b, 0, 0x7d), "encoding"],
    ["UTF-16 with its mark", Uint8Array.of(0xff, 0xfe, 0x7b, 0, 0x7d, 0), "encoding"],
    ["half a surrogate pair in a value", '{"a":"\\ud800"}', "encoding"],
    ["half a surrogate pair in a key", '{"\\udc00":1}', "encoding"],
    ["U+0000 in a value", '{"a":"x\\u0000"}', "encoding"],
    ["U+0000 in a key", '{"x\\u0000":1}', "encoding"],
    ["a raw zero byte in a string", '"a\0"', "encoding"],
    ["a key twice", '{"name":"a","name":"b"}', "duplicate-key"],
    ["a key twice, once escaped", '{"name":"a","n\\u0061me":"a"}', "duplicate-key"],
    ["a key twice, deep", '[{"a":{"b":1,"c":2,"b":1}}]', "duplicate-key"],
    ["__proto__ twice", '{"__proto__":1,"__proto__":2}', "duplicate-key"],
    ["NaN", '{"a":NaN}', "number"],
    ["-Infinity", "[-Infinity]", "number"],
    ["a number that is infinite as a double", "1e999", "number"],
    ["a negative one", "[-1e999]", "number"],
    ["an integer past 2^53", "9007199254740992", "number"],
    ["the same with an exponent", "1e16", "number"],
    ["a number of a million digits", "1".repeat(1_000_000), "number"],
    ["33 arrays", "[".repeat(33) + "]".repeat(33), "depth"],
    ["33 objects", '{"a":'.repeat(33) + "1" + "}".repeat(33), "depth"],
    ["100,000 arrays", "[".repeat(100_000) + "]".repeat(100_000), "depth"],
    ["5,000,000 brackets", "[".repeat(5_000_000), "depth"],
  ];

  test.each(table)("refuses %s", (_, bytes, reason) => expect(reasonOf(bytes)).toBe(reason));

  test("accepts 32 levels, and the same key in two objects", () => {
    expect(reasonOf("[".repeat(32) + "]".repeat(32))).toBe("accepted");
    expect(reasonOf('[{"a":{"a":1}},{"a":1}]')).toBe("accepted");
  });
});

describe("the limits of the strict JSON parser", () => {
  test("count the keys of one object", () => {
    expect(reasonOf(objectOf(3), { maxDepth: 2, maxKeys: 3 })).toBe("accepted");
    expect(reasonOf(objectOf(4), { maxDepth: 2, maxKeys: 3 })).toBe("limit");
    expect(reasonOf(`[${objectOf(3)},${objectOf(3)}]`, { maxDepth: 2, maxKeys: 3 })).toBe("accepted");
  });

  test("measure strings and keys", () => {
    expect(reasonOf('"abc"', { maxDepth: 2, maxString: 3 })).toBe("accepted");
    expect(reasonOf('"abcd"', { maxDepth: 2, maxString: 3 })).toBe("limit");
    expect(reasonOf('{"abcd":1}', { maxDepth: 2, maxString: 3 })).toBe("limit");
  });
});

describe("names with a meaning in JavaScript", () => {
  test.each(["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "valueOf"])(
    "such as %s are kept as data",
    (key) => {
      const object = parse(`{"${key}":{"polluted":true},"other":1}`);
      expect(Object.keys(Object(object))).toEqual([key, "other"]);
      expect(Object.getPrototypeOf(object)).toBeNull();
      expect(JSON.stringify(object)).toBe(`{"${key}":{"polluted":true},"other":1}`);
      expect(Reflect.get({}, "polluted")).toBeUndefined();
    },
  );

  test("add nothing that the text does not contain", () => {
    const object = Object(parse("{}"));
    expect("toString" in object).toBe(false);
    expect(object.constructor).toBeUndefined();
  });
});

test("the strict JSON parser reads a paths.json of 100,000 entries within a second", () => {
  const sha256 = "0".repeat(64);
  const paths = Array.from({ length: 100_000 }, (_, i) => ({
    _path: `lib/${i}.py`,
    path_type: "hardlink",
    sha256,
    size_in_bytes: i,
  }));
  const bytes = encode(JSON.stringify({ paths, paths_version: 1 }));
  const started = performance.now();
  parseStrictJson(bytes, LIMITS);
  expect(performance.now() - started).toBeLessThan(1000);
});

function objectOf(keys: number): string {
  return JSON.stringify(Object.fromEntries(Array.from({ length: keys }, (_, i) => [`k${i}`, i])));
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function hasLargeNumber(value: unknown): boolean {
  if (typeof value === "number") return Math.abs(value) > Number.MAX_SAFE_INTEGER;
  return typeof value === "object" && value !== null && Object.values(value).some(hasLargeNumber);
}
