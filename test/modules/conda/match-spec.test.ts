import { describe, expect, test } from "bun:test";

import { parseMatchSpec, splitMatchSpec } from "../../../src/modules/conda/match-spec.ts";
import { parseVersion } from "../../../src/modules/conda/version.ts";
import { matchesSpec } from "./matches-spec.ts";

function takes(text: string, candidate: string): boolean | undefined {
  const [version = "", build = "py_0", buildNumber = "0"] = candidate.split(" ");
  const spec = parseMatchSpec(text);
  const parsedVersion = parseVersion(version);
  if (parsedVersion === undefined) throw new Error(`${version} is no version`);
  return spec && matchesSpec(spec, { version, parsedVersion, build, buildNumber: Number(buildNumber) });
}

/** The two blocks of CEP 29, and equivalent forms. */
const FUZZY = [
  "pkg=1.8",
  "pkg =1.8",
  "pkg 1.8.*",
  "pkg 1.8.* *",
  "pkg=1.8.*",
  "pkg=1.8.*=*",
  "pkg =1.8.* *",
  "pkg ==1.8.* *",
];
const FUZZY_IN_BRACKETS = ["pkg[version=1.8.*]", 'pkg[version="1.8.*"]', "pkg[version='=1.8']", "pkg =1.8 *"];
const EXACT = ["pkg 1.8", "pkg 1.8 *", "pkg==1.8", "pkg=1.8=*", "pkg==1.8=*", "pkg ==1.8 *", "pkg[version=1.8]"];
const EXACT_IN_BRACKETS = ['pkg[version="1.8"]', "pkg 1.9[version=1.8]", "pkg[ version = '1.8' ]"];

describe("the version of the MatchSpec", () => {
  test.each([...FUZZY, ...FUZZY_IN_BRACKETS])("%s means 1.8 or a version that starts with it", (text) => {
    expect(["1.8", "1.8.0", "1.8.3", "1.80", "1.9"].map((version) => takes(text, version))).toEqual([
      true,
      true,
      true,
      false,
      false,
    ]);
  });

  test.each([...EXACT, ...EXACT_IN_BRACKETS])("%s means exactly 1.8", (text) => {
    expect(["1.8", "1.8.0", "1.8.3", "1.80", "1.9"].map((version) => takes(text, version))).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
  });
});

describe("the MatchSpec", () => {
  test.each([
    ["pkg", ["1", "2 x 3"], []],
    ["pkg >=1.8,<2", ["1.9"], ["2"]],
    ["pkg >=1.8, <2", ["1.9"], ["2"]],
    ["pkg >= 1.8 , < 2 py*", ["1.9 py38_0"], ["2 py38_0", "1.9 cpu_0"]],
    ["pkg>=1.8", ["1.9"], ["1"]],
    ["pkg>=1.8=py_0", ["1.9 py_0"], ["1.9 py_1"]],
    ["pkg (>=1|<0.5),<2", ["1", "0.1"], ["0.7"]],
    ["pkg ( >=1 | <0.5 ), <2", ["1", "0.1"], ["0.7"]],
    ["pkg !=1.8", ["1.9"], ["1.8"]],
    ["pkg 1.8 py_0", ["1.8 py_0"], ["1.8 py_1", "1.8.1 py_0"]],
    ["pkg 1.8 PY_0", ["1.8 py_0"], []],
    ["pkg=1.8=py*_0", ["1.8 py_0", "1.8 py38_0"], ["1.8 py38_1", "1.8 xpy_0", "1.8.1 py_0"]],
    ["pkg * *_cpython", ["3.9 h1_cpython"], ["3.9 h1_pypy"]],
    ["pkg * ab*ba", ["1 abba", "1 abxba"], ["1 aba"]],
    ["pkg * *ab*b", ["1 abb", "1 xabxb"], ["1 ab", "1 abba"]],
    ["pkg[build_number=3]", ["1 a 3"], ["1 a 30", "1 a 2"]],
    ["pkg[build_number='>=3']", ["1 a 3", "1 a 10"], ["1 a 2"]],
    ["pkg 1[build=a_0,build_number=0]", ["1 a_0 0"], ["1 a_0 1", "1 b_0 0", "2 a_0 0"]],
    ["conda-forge::pkg 1", ["1"], ["2"]],
    ["conda-forge/linux-64:ns:pkg 1", ["1"], ["2"]],
    ["https://host:8080/channel::pkg=1", ["1.2"], ["2"]],
    ["pkg 1 # [py3k]", ["1"], ["2"]],
    ['pkg >=1[when="python>=3.10 and __unix", extras=[a, b]]', ["1"], ["0.5"]],
    ["pkg[name=other, md5=12345678901234567890123456789012, version=1]", ["1"], ["2"]],
  ])("%s matches %p and not %p", (text, taken, left) => {
    expect(parseMatchSpec(text)?.name).toBe("pkg");
    expect(taken.filter((candidate) => takes(text, candidate) !== true)).toEqual([]);
    expect(left.filter((candidate) => takes(text, candidate) !== false)).toEqual([]);
  });

  test.each([
    "",
    " ",
    "=1",
    ">=1",
    "[version=1]",
    "pkg >",
    "pkg 1 a b",
    "pkg >=1 <2",
    "pkg 1 ^a$",
    "pkg ^1$",
    "pkg[",
    "pkg]",
    "pkg[]x",
    "pkg[optional]",
    "pkg[version]",
    "pkg[version=]",
    "pkg[version='1]",
    "pkg[version=1",
    "pkg[version=1] x",
    "pkg[version=1](optional=True)",
    "pkg;1",
    "pkg@1",
    "pkg 1;if x",
    "channel[linux-64]::pkg",
    'pkg[version="1" "2"]',
    "pkg[build='^a$']",
    "pkg[build_number='>']",
  ])("%p is invalid", (text) => expect(parseMatchSpec(text)).toBeUndefined());

  test("has its name in lower case, and can match any name", () => {
    expect(parseMatchSpec("NumPy >=1")?.name).toBe("numpy");
    expect(parseMatchSpec("*[build=a]")?.name).toBe("*");
    expect(parseMatchSpec("__glibc >=2.17,<3.0.a0")?.name).toBe("__glibc");
  });

  test.each([
    ["brackets", `pkg${"[".repeat(4000)}`],
    ["quotes", `pkg[a="${'\\"'.repeat(2000)}`],
    ["pairs", `pkg[${"a=b,".repeat(1000)}`],
    ["spaces", `pkg ${" ".repeat(4000)}[ ${" ".repeat(4000)}a`],
    ["equals", `pkg ${"1=".repeat(2000)})`],
    ["words", `pkg ${">=1 ".repeat(1000)}`],
    ["stars", `pkg 1 ${"*a".repeat(2000)}`],
    ["letters", `${"a".repeat(4000)}^`],
    ["colons", ":".repeat(4000)],
  ])("is parsed no slower for a hostile number of %s", (_, text) => {
    const started = performance.now();
    takes(text, `1 ${"a".repeat(63)}b`);
    expect(performance.now() - started).toBeLessThan(50);
  });
});

test("the parts of a MatchSpec join back to the same meaning", () => {
  expect(
    splitMatchSpec(`forge::Pkg >=1, <2 py*[when="a \\"b\\"", extras=[x, y], flags='blas:*', build_number=3]`),
  ).toEqual({
    channel: "forge:",
    name: "pkg",
    version: ">=1,<2",
    build: "py*",
    keywords: new Map([
      ["when", 'a "b"'],
      ["extras", "[x, y]"],
      ["flags", "blas:*"],
      ["build_number", "3"],
    ]),
  });
});

test("a MatchSpec of a thousand parts is read in the time of one, however the parts are joined", () => {
  const started = performance.now();
  expect(splitMatchSpec(`a ${">= 1 , ".repeat(30_000)}2`)?.version).toHaveLength(120_001);
  expect(performance.now() - started).toBeLessThan(3000);
});
