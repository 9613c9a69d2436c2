import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";

import { createFindings, type Finding } from "../../../../src/modules/conda/findings.ts";
import { readAbout } from "../../../../src/modules/conda/info/about.ts";

function read(text: string | Uint8Array): { about: Record<string, unknown>; findings: Finding[] } {
  const findings = createFindings();
  const about = readAbout(typeof text === "string" ? new TextEncoder().encode(text) : text, findings, {
    jsonDepth: 32,
  });
  return { about, findings: findings.list() };
}

test("about.json keeps its values unchanged", () => {
  const text = '{"__proto__":{"polluted":1},"home":"javascript:alert(1)","summary":"<b>\\u202ex\\u200b","tags":["a"]}';
  const { about, findings } = read(text);
  expect(findings).toEqual([]);
  expect(about.summary).toBe("<b>\u202ex\u200b");
  expect(about.home).toBe("javascript:alert(1)");
  expect(Object.keys(about)).toContain("__proto__");
  expect(Reflect.get({}, "polluted")).toBeUndefined();
});

test.each([
  ["a list", "[]", "about-shape"],
  ["text", '"x"', "about-shape"],
  ["null", "null", "about-shape"],
  ["nothing", "", "json-syntax"],
  ["half a file", '{"home":"x', "json-syntax"],
  [
    "too many keys",
    JSON.stringify(Object.fromEntries(Array.from({ length: 10_001 }, (_, i) => [`k${i}`, 1]))),
    "json-limit",
  ],
])("about.json that holds %s counts as no metadata, with a warning", (_, text, rule) => {
  const { about, findings } = read(text);
  expect(Object.keys(about)).toEqual([]);
  expect(findings.map((finding) => [finding.level, finding.rule])).toEqual([["warning", rule]]);
});

test.each([
  ["a key twice", '{"home":"a","x":1,"home":"b"}', "json-duplicate-key", { x: 1 }],
  ["a key twice, once escaped", '{"home":"a","x":1,"h\\u006fme":"b"}', "json-duplicate-key", { x: 1 }],
  ["a key three times", '{"home":"a","home":"b","home":"c"}', "json-duplicate-key", {}],
  ["a key twice, once unreadable", '{"home":NaN,"x":1,"home":"b"}', "json-number", { x: 1 }],
  ["a key twice, once unreadable later", '{"home":"b","x":1,"home":-Infinity}', "json-duplicate-key", { x: 1 }],
  ["a key twice further in", '{"extra":{"a":1,"a":2},"x":1}', "json-duplicate-key", { x: 1 }],
  ["NaN", '{"a":[1,{"b":NaN}],"x":1}', "json-number", { x: 1 }],
  ["1e999", '{"x":1,"y":1e999}', "json-number", { x: 1 }],
  ["a huge integer", '{"x":1,"y":123456789012345678901}', "json-number", { x: 1 }],
  ["U+0000", '{"y":"\\u0000","x":1}', "json-encoding", { x: 1 }],
  ["a zero byte", '{"y":"\u0000","x":1}', "json-encoding", { x: 1 }],
  ["half a surrogate pair", '{"y":"\\ud800","x":1}', "json-encoding", { x: 1 }],
  ["half a surrogate pair as a key", '{"\\ud800":1,"x":1}', "json-encoding", { x: 1 }],
  ["a byte order mark", '\ufeff { "x" : 1 } ', "json-encoding", { x: 1 }],
  ["a byte order mark and nothing", "\ufeff{}", "json-encoding", {}],
  ["a byte order mark before a list", "\ufeff[1]", "json-encoding", {}],
  ["100,000 levels", "[".repeat(100_000), "json-depth", {}],
  ["a member of 100 levels", `{"y":${"[".repeat(100)}${"]".repeat(100)},"x":1}`, "json-depth", { x: 1 }],
  ["a fault and a syntax error after it", '{"y":NaN,"x":1,"z":tru}', "json-number", {}],
  ["a fault and no end", '{"y":NaN,"x":1', "json-number", {}],
  ["a fault and a second object", '{"y":NaN,"x":1}{"z":1}', "json-number", {}],
  ["a fault and a comma without a member", '{"y":NaN,"x":1,}', "json-number", {}],
  ["a fault and a key without quotes", '{"y":NaN,"x":1,z:1}', "json-number", {}],
  [
    "a fault and text like structure",
    '{"y":NaN,"x":"},{\\"[,","z":{"a":[2,3]}}',
    "json-number",
    { x: '},{"[,', z: { a: [2, 3] } },
  ],
])("about.json with %s is a warning, and only its members without faults are used", (_, text, rule, expected) => {
  const { about, findings } = read(text);
  expect(findings.map((finding) => [finding.level, finding.rule])).toEqual([["warning", rule]]);
  expect(JSON.parse(JSON.stringify(about))).toEqual(expected);
});

describe("about.json that is not UTF-8", () => {
  const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");

  test("is a warning, and only its members in UTF-8 are used", () => {
    const { about, findings } = read(
      bytes('{"home":"h","summary":"caf\xe9","tags":["\xe9\\""],"\xe9":1,"z":{"a":"\\u00e9"}}'),
    );
    expect(findings.map((finding) => [finding.level, finding.rule])).toEqual([["warning", "json-encoding"]]);
    expect({ ...about }).toEqual({ home: "h", z: { a: "é" } });
  });

  test("has no usable members in another encoding than Latin-1", () => {
    for (const text of ['{"home":"h"}', '\ufeff{"home":"h"}'])
      expect({ ...read(Buffer.from(text, "utf16le")).about }).toEqual({});
  });

  test("keeps a replacement character that was written, where every byte is valid", () => {
    expect({ ...read('{"summary":"\ufffd","y":NaN}').about }).toEqual({ summary: "\ufffd" });
  });
});

test("about.json with a fault loses exactly the members at fault", () => {
  const good = fc.dictionary(fc.string({ unit: "grapheme" }), fc.jsonValue({ maxDepth: 3 }), { maxKeys: 6 });
  const faults = fc.constantFrom("NaN", '"\\ud800"', "1e400", '{"a":1,"a":2}', '[["\\u0000"]]');
  fc.assert(
    fc.property(good, fc.uniqueArray(fc.string(), { minLength: 1, maxLength: 3 }), faults, (members, keys, fault) => {
      const sound = JSON.stringify(members);
      fc.pre(read(sound).findings.length === 0 && keys.every((key) => !Object.hasOwn(members, key)));
      const texts = [
        ...Object.entries(members).map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`),
        ...keys.map((key) => `${JSON.stringify(key)} : ${fault}`),
      ];
      const { about, findings } = read(`{${texts.sort().join(" , ")}}`);
      expect(findings).toMatchObject([{ level: "warning" }]);
      expect(JSON.parse(JSON.stringify(about))).toEqual(JSON.parse(sound));
    }),
    { numRuns: 300 },
  );
});
