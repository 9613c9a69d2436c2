import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";

import { canonicalRecord, recordWith, setRecordSubdir } from "../../../src/modules/conda/record.ts";
import { isJsonObject, parseStrictJson, type JsonObject } from "../../../src/modules/conda/strict-json.ts";

const NAMES = ["name", "a", "z", "10", "9", "é", "Z", "__proto__", "constructor", "toString", "", "fn", "md5"];

function parse(text: string): JsonObject {
  const value = parseStrictJson(new TextEncoder().encode(text), { maxDepth: 32 });
  if (!isJsonObject(value)) throw new Error("not an object");
  return value;
}

/** JSON text of objects whose keys differ only in their order. */
const { value: anyText } = fc.letrec<{ value: string; object: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom('"x"', '"\\u00e9\\n"', "1", "1.50", "-0", "1e-7", "true", "null", "[]", "{}"),
    fc.array(tie("value"), { maxLength: 3 }).map((items) => `[${items.join(", ")}]`),
    tie("object"),
  ),
  object: fc
    .uniqueArray(fc.tuple(fc.constantFrom(...NAMES), tie("value")), { selector: ([key]) => key, maxLength: 5 })
    .map((members) => `{${members.map(([key, value]) => `${JSON.stringify(key)}: ${value}`).join(", ")}}`),
}));
const anyObject = anyText.map((value) => `{"name": "a", "v": ${value}}`);

describe("the canonical form of a record", () => {
  test("sorts the keys at every depth by code unit and has no spaces", () => {
    const index = parse('{"name": "a", "b": {"z": 1, "Z": [ {"b": 1, "a": 2} ], "é": 2, "10": 3, "9": 4}}');
    expect(canonicalRecord(index)).toBe('{"b":{"10":3,"9":4,"Z":[{"a":2,"b":1}],"z":1,"é":2},"name":"a"}');
  });

  test("is the same for the same content in another order", () => {
    fc.assert(
      fc.property(anyObject, (text) => {
        const reversed = JSON.stringify(parse(text), (_, value) =>
          isJsonObject(value)
            ? Object.assign(
                Object.create(null),
                ...Object.entries(value)
                  .reverse()
                  .map(([k, v]) => member(k, v)),
              )
            : value,
        );
        expect(canonicalRecord(parse(reversed))).toBe(canonicalRecord(parse(text)));
      }),
    );
  });

  test("does not change when it is parsed and written again", () => {
    fc.assert(
      fc.property(anyObject, (text) => {
        const record = canonicalRecord(parse(text));
        expect(canonicalRecord(parse(record))).toBe(record);
        expect(canonicalRecord(JSON.parse(record))).toBe(record);
      }),
      { numRuns: 500 },
    );
  });

  test("omits the members that the server sets, at the top level only", () => {
    const left = ["fn", "url", "channel", "md5", "sha256", "size", "indexed_timestamp"];
    const members = left.map((key) => `"${key}":1`).join(",");
    expect(canonicalRecord(parse(`{${members},"name":"a","x":{${members}}}`))).toBe(
      '{"name":"a","x":{"channel":1,"fn":1,"indexed_timestamp":1,"md5":1,"sha256":1,"size":1,"url":1}}',
    );
  });

  test("keeps keys with a meaning in JavaScript as data", () => {
    const text = '{"__proto__":{"a":1},"constructor":1,"name":"a","toString":null}';
    expect(canonicalRecord(parse(text))).toBe(text);
    expect(Reflect.get({}, "a")).toBeUndefined();
  });
});

test("the columns of a file join to its record", () => {
  const record = canonicalRecord(parse('{"name":"a","size":1,"version":"1"}'));
  const columns = { md5: "0f", sha256: "1e", size: 12, indexedTimestamp: 1_700_000_000_000 };
  const text = recordWith(record, columns);
  expect(text).toBe('{"name":"a","version":"1","indexed_timestamp":1700000000000,"md5":"0f","sha256":"1e","size":12}');
  expect(reasonless(text)).toEqual({
    name: "a",
    version: "1",
    indexed_timestamp: 1_700_000_000_000,
    md5: "0f",
    sha256: "1e",
    size: 12,
  });
});

test("the run exports of a package do not join to its record, which keeps those of index.json", () => {
  const columns = { md5: "0f", sha256: "1e", size: 12, indexedTimestamp: 5, runExports: { weak: ["a >=1"] } };
  expect(recordWith('{"name":"a"}', columns)).toBe(
    '{"name":"a","indexed_timestamp":5,"md5":"0f","sha256":"1e","size":12}',
  );
  const record = canonicalRecord(parse('{"run_exports":{"weak":["b"],"noarch":[]},"name":"a"}'));
  expect(recordWith(record, columns)).toBe(
    '{"name":"a","run_exports":{"noarch":[],"weak":["b"]},"indexed_timestamp":5,"md5":"0f","sha256":"1e","size":12}',
  );
});

test("setting the subdir of a record changes nothing else", () => {
  const record = '{"__proto__":{"b":1},"name":"a","version":"1"}';
  expect(setRecordSubdir(record, "linux-64")).toBe(
    '{"__proto__":{"b":1},"name":"a","subdir":"linux-64","version":"1"}',
  );
  expect(setRecordSubdir(setRecordSubdir(record, "noarch"), "linux-64")).toBe(setRecordSubdir(record, "linux-64"));
});

function member(key: string, value: unknown): JsonObject {
  return Object.defineProperty(Object.create(null), key, { value, enumerable: true });
}

function reasonless(text: string): unknown {
  return JSON.parse(text);
}
