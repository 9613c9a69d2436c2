import { expect, test } from "bun:test";

import { createFindings, type Finding } from "../../../../src/modules/conda/findings.ts";
import { readAbout } from "../../../../src/modules/conda/info/about.ts";

function read(text: string): { about: Record<string, unknown>; findings: Finding[] } {
  const findings = createFindings();
  const about = readAbout(new TextEncoder().encode(text), findings, { jsonDepth: 32 });
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
  ["a key twice", '{"home":"a","home":"b"}', "json-duplicate-key"],
  ["NaN", '{"x":NaN}', "json-number"],
  ["1e999", '{"x":1e999}', "json-number"],
  ["U+0000", '{"x":"\\u0000"}', "json-encoding"],
  ["half a surrogate pair", '{"x":"\\ud800"}', "json-encoding"],
  ["a byte order mark", "\ufeff{}", "json-encoding"],
  ["100,000 levels", "[".repeat(100_000), "json-depth"],
])("about.json with %s is refused", (_, text, rule) => {
  const { findings } = read(text);
  expect(findings.map((finding) => [finding.level, finding.rule])).toEqual([["refused", rule]]);
});
