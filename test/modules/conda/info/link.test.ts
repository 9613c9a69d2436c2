import { expect, test } from "bun:test";

import { createFindings, type Finding } from "../../../../src/modules/conda/findings.ts";
import { readLink } from "../../../../src/modules/conda/info/link.ts";

function read(content: unknown): { entryPoints: string[] | undefined; findings: Finding[] } {
  const findings = createFindings();
  const text = typeof content === "string" ? content : JSON.stringify(content);
  const link = readLink(new TextEncoder().encode(text), findings, { jsonDepth: 32 });
  return { entryPoints: link?.entryPoints, findings: findings.list() };
}

const withEntryPoints = (...entry_points: unknown[]): ReturnType<typeof read> =>
  read({ noarch: { entry_points, type: "python" }, package_metadata_version: 1 });

const rulesOf = (findings: Finding[]): string[] => findings.map(({ level, rule }) => `${level} ${rule}`);

test.each([
  "isympy = isympy:main",
  "isympy=isympy:main",
  "bsdiff4 = bsdiff4.cli:main_bsdiff4",
  "my-tool_2.0 = my_pkg.sub.cli:Group.main",
  "c++filt = a:b",
  "tool = pkg-x.mod:func [extra1, extra-2]",
  "öffnen = paket.größe:start",
])("the entry point %s is accepted", (entryPoint) => {
  expect(withEntryPoints(entryPoint)).toEqual({ entryPoints: [entryPoint], findings: [] });
});

test.each([
  "../../../.bashrc = a:b",
  "/etc/cron.d/x = a:b",
  "..\\x = a:b",
  "a/b = a:b",
  "a = os;import os:main",
  "a = b:main()",
  "a = b:main\nimport os",
  "a\0 = b:c",
  "$(id) = a:b",
  "`id` = a:b",
  "a|b = a:b",
  "a&b = a:b",
  "a>b = a:b",
  "a'b = a:b",
  'a"b = a:b',
  "a = b:c#d",
  "a = b:c*d",
  "~a = b:c",
  "a\u202eb = c:d",
  "a\u2028b = c:d",
])("the entry point %j is refused", (entryPoint) => {
  const { findings } = withEntryPoints("good = a:b", entryPoint);
  expect(findings.filter(({ level }) => level === "refused").length).toBe(1);
});

test.each([[1], [null], [["a = b:c"]], [{ a: 1 }]])("an entry point list with %j is refused", (item) => {
  expect(rulesOf(withEntryPoints(item).findings)).toEqual(["refused link-entry-point"]);
});

test.each([
  "",
  "a",
  "a = b",
  "a:b",
  "= a:b",
  "a = :b",
  "a = b:",
  "a = b:c:d",
  ".. = a:b",
  "-x = a:b",
  "a = b c:d",
  "a b = c:d",
])("the entry point %j is skipped with a warning", (entryPoint) => {
  const { entryPoints, findings } = withEntryPoints("good = a:b", entryPoint);
  expect(entryPoints).toEqual(["good = a:b"]);
  expect(rulesOf(findings)).toEqual(["warning link-entry-point"]);
});

test.each([
  [{ noarch: { type: "generic" }, package_metadata_version: 1 }],
  [{ package_metadata_version: 1 }],
  [{ noarch: { type: "python", entry_points: null } }],
])("link.json with %j has no entry points", (content) => {
  expect(read(content)).toEqual({ entryPoints: [], findings: [] });
});

test.each([
  ["a list", [], "warning link-shape"],
  ["entry points as text", { noarch: { entry_points: "a = b:c" } }, "warning link-shape"],
  ["noarch as text", { noarch: "python" }, "warning link-shape"],
  ["no JSON", "x", "warning json-syntax"],
  ["a key twice", '{"noarch":{},"noarch":{"entry_points":["a/b = c:d"]}}', "refused json-duplicate-key"],
])("link.json with %s is ignored", (_, content, rule) => {
  const { entryPoints, findings } = read(content);
  expect(entryPoints).toBeUndefined();
  expect(rulesOf(findings)).toEqual([rule]);
});

test("entry points built to be slow are checked at once", () => {
  const started = performance.now();
  for (const text of [
    " ".repeat(1000),
    `a${" ".repeat(1000)}`,
    `a = ${"b.".repeat(500)}`,
    "a=".repeat(500),
    `a = b:c ${"[".repeat(900)}`,
  ]) {
    withEntryPoints(...Array.from({ length: 100 }, () => text));
  }
  expect(performance.now() - started).toBeLessThan(500);
});
