import { expect, test } from "bun:test";

import { createFindings, type Finding } from "../../../../src/modules/conda/findings.ts";
import { readRunExports } from "../../../../src/modules/conda/info/run-exports.ts";

function read(content: unknown): { runExports: Record<string, string[]>; findings: Finding[] } {
  const findings = createFindings();
  const text = typeof content === "string" ? content : JSON.stringify(content);
  const runExports = readRunExports(new TextEncoder().encode(text), findings, { jsonDepth: 32 });
  return { runExports, findings: findings.list() };
}

test.each([
  [["a >=1"], { weak: ["a >=1"] }],
  [[], {}],
  [{}, {}],
  [{ weak: [], strong: null }, {}],
  [{ weak: "a >=1" }, { weak: ["a >=1"] }],
  [
    {
      schema_version: 2,
      strong: ["s"],
      weak: ["w"],
      weak_constrains: ["wc"],
      strong_constrains: ["sc"],
      noarch: ["n"],
    },
    { noarch: ["n"], strong: ["s"], strong_constrains: ["sc"], weak: ["w"], weak_constrains: ["wc"] },
  ],
])("run exports are read from %j", (content, expected) => {
  const { runExports, findings } = read(content);
  expect(runExports).toEqual(expected);
  expect(findings).toEqual([]);
});

test("run exports have one order for any order in the file", () => {
  const one = read({ weak: ["w"], strong: ["s"] }).runExports;
  const other = read({ strong: ["s"], weak: ["w"] }).runExports;
  expect(JSON.stringify(one)).toBe(JSON.stringify(other));
});

test.each([
  ["a kind that is unknown", { weak: ["a"], other: ["b"] }, { weak: ["a"] }, "run-exports-kind"],
  ["a kind named __proto__", '{"weak":["a"],"__proto__":["b"]}', { weak: ["a"] }, "run-exports-kind"],
  ["a list with a number", { weak: ["a"], strong: [1] }, { weak: ["a"] }, "run-exports-specs"],
  ["a table in its place", { weak: { a: 1 } }, {}, "run-exports-specs"],
  ["a line break", ["a\nb"], {}, "run-exports-specs"],
  ["1,001 entries", Array.from({ length: 1001 }, () => "a"), {}, "run-exports-specs"],
  ["text alone", '"a"', {}, "run-exports-shape"],
  ["no JSON", "{", {}, "json-syntax"],
])("run exports skip %s, with a warning", (_, content, expected, rule) => {
  const { runExports, findings } = read(content);
  expect(runExports).toEqual(expected);
  expect(findings.map((finding) => [finding.level, finding.rule])).toEqual([["warning", rule]]);
});

test.each([
  ["a kind twice", '{"weak":[],"weak":["a"]}', "json-duplicate-key"],
  ["half a surrogate pair", '["\\ud800"]', "json-encoding"],
])("run exports with %s are refused", (_, content, rule) => {
  expect(read(content).findings.map((finding) => [finding.level, finding.rule])).toEqual([["refused", rule]]);
});
