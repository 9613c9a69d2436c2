import { describe, expect, test } from "bun:test";

import { createFindings, type Finding } from "../../../../src/modules/conda/findings.ts";
import { isInnerPath, readPaths, type PathEntry } from "../../../../src/modules/conda/info/paths.ts";

const SHA256 = "0123456789abcdef".repeat(4);
const FILE = { _path: "lib/a.so", path_type: "hardlink", sha256: SHA256, size_in_bytes: 5 };

type Read = { entries: PathEntry[] | undefined; flags: readonly string[]; findings: Finding[] };

function read(content: unknown): Read {
  const findings = createFindings();
  const text = typeof content === "string" ? content : JSON.stringify(content);
  const entries = new Map<string, PathEntry>();
  const paths = readPaths(new TextEncoder().encode(text), findings, { jsonDepth: 32 }, (entry) => {
    const isRepeated = entries.has(entry.path);
    entries.set(entry.path, entry);
    return isRepeated;
  });
  return { entries: paths && [...entries.values()], flags: paths?.flags ?? [], findings: findings.list() };
}

const readEntries = (paths: unknown): Read => read({ paths, paths_version: 1 });
const flagsOf = (...entries: object[]): readonly string[] => readEntries(entries).flags;
const rulesOf = (findings: Finding[]): string[] => findings.map(({ level, rule }) => `${level} ${rule}`);

test("paths.json is read with every kind of entry", () => {
  const { entries, findings } = readEntries([
    FILE,
    { ...FILE, _path: "bin/x", file_mode: "text", prefix_placeholder: "/opt/p", no_link: true },
    { ...FILE, _path: "bin/y", file_mode: "binary", prefix_placeholder: "/opt/p" },
    { ...FILE, _path: "lib/l", path_type: "softlink" },
    { _path: "share/empty", path_type: "directory" },
    { _path: "old", sha256: SHA256, size_in_bytes: 0 },
  ]);
  expect(findings).toEqual([]);
  expect(entries).toEqual([
    { path: "lib/a.so", type: "hardlink", size: 5 },
    { path: "bin/x", type: "hardlink", size: 5 },
    { path: "bin/y", type: "hardlink", size: 5 },
    { path: "lib/l", type: "softlink", size: 5 },
    { path: "share/empty", type: "directory", size: undefined },
    { path: "old", type: "hardlink", size: 0 },
  ]);
});

test("paths.json sets the flags that follow from prefixes", () => {
  const entry = (file_mode: string): object => ({ ...FILE, _path: file_mode, file_mode, prefix_placeholder: "/p" });
  expect(flagsOf(FILE)).toEqual([]);
  expect(flagsOf(entry("text"))).toEqual(["text-prefix"]);
  expect(flagsOf(entry("text"), entry("binary"))).toEqual(["binary-prefix", "text-prefix"]);
});

describe("paths.json", () => {
  const OUTSIDE = ["../x", "a/../../x", "..", "/etc/passwd", "\\x", "C:/x", "c:x", "a\\..\\x", "", "a\nb", "a\u0085b"];

  test.each(OUTSIDE)("is refused for the path %j", (path) => {
    const { entries, findings } = readEntries([FILE, { ...FILE, _path: path }]);
    expect(entries).toBeUndefined();
    expect(rulesOf(findings)).toEqual(["refused paths-outside"]);
    expect(isInnerPath(path)).toBe(false);
  });

  test.each(["a", "..a", "a..", "a/...", "share/man/man3/A::B.3", "lib/systemd/x\\x2dy", "é"])(
    "is accepted with the path %j",
    (path) => {
      expect(readEntries([{ ...FILE, _path: path }]).findings).toEqual([]);
    },
  );
});

test.each([
  ["no path", [{ ...FILE, _path: undefined }], 0],
  ["a text", ["lib/a"], 0],
  ["no hash", [{ ...FILE, sha256: undefined }], 1],
  ["a hash that is none", [{ ...FILE, sha256: "x" }], 1],
  ["a size below 0", [{ ...FILE, size_in_bytes: -1 }], 1],
  ["an unknown kind", [{ ...FILE, path_type: "x" }], 1],
  ["an unknown mode", [{ ...FILE, file_mode: "x" }], 1],
  ["the same path twice", [FILE, FILE], 1],
])("paths.json gives one warning for entries with %s", (_, entries, kept) => {
  const { entries: taken, findings } = readEntries(entries);
  expect(rulesOf(findings)).toEqual(["warning paths-entry"]);
  expect(taken?.length).toBe(kept);
});

test.each([
  ["a list", [], "warning paths-shape"],
  ["no version", { paths: [] }, "warning paths-shape"],
  ["an unknown version", { paths: [], paths_version: 2 }, "warning paths-shape"],
  ["no list", { paths: {}, paths_version: 1 }, "warning paths-shape"],
  ["no JSON", "x", "warning json-syntax"],
  ["a path of 5,000 characters", { paths: [{ _path: "a".repeat(5000) }], paths_version: 1 }, "warning json-limit"],
  ["a key twice", '{"paths":[],"paths":[],"paths_version":1}', "refused json-duplicate-key"],
  ["a size of 1e999", '{"paths":[{"size_in_bytes":1e999}],"paths_version":1}', "refused json-number"],
])("paths.json with %s is ignored", (_, content, rule) => {
  const { entries, findings } = read(content);
  expect(entries).toBeUndefined();
  expect(rulesOf(findings)).toEqual([rule]);
});

test("paths.json is read with its entries in any position and the version behind them", () => {
  const text = JSON.stringify({ x: [1], paths: [FILE], paths_version: 1 });
  expect(read(text).entries?.length).toBe(1);
  expect(read(text.replace('"paths_version":1', '"paths_version":2')).entries).toBeUndefined();
});

test("the entries of paths.json are counted from first to last", () => {
  const { findings } = readEntries([FILE, { ...FILE, _path: "b" }, 1, 2]);
  expect(findings).toMatchObject([{ path: "entry 2", message: expect.stringContaining("2 entries") }]);
});

test.each([
  ["around the entries", { x: Array.from({ length: 1001 }, () => ({})), paths: [], paths_version: 1 }],
  ["in an entry", { paths: [{ ...FILE, x: Array.from({ length: 1001 }, () => ({})) }], paths_version: 1 }],
])("paths.json with many values %s is read in little memory", (_, content) => {
  const { entries, findings } = read(content);
  expect(entries).toBeUndefined();
  expect(rulesOf(findings)).toEqual(["warning json-limit"]);
});

test("paths.json of 100,000 entries is read within a second", () => {
  const entries = Array.from({ length: 100_000 }, (_, i) => ({
    ...FILE,
    _path: `lib/python3.12/site-packages/x/${i}.py`,
  }));
  const bytes = new TextEncoder().encode(JSON.stringify({ paths: entries, paths_version: 1 }));
  const started = performance.now();
  let taken = 0;
  readPaths(bytes, createFindings(), { jsonDepth: 32 }, () => {
    taken += 1;
    return false;
  });
  expect(taken).toBe(100_000);
  expect(performance.now() - started).toBeLessThan(1000);
});
