import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";

import {
  buildFileName,
  compareText,
  formatOf,
  isBuild,
  isPackageName,
  isVersionText,
  orderKey,
  parseFileName,
} from "../../../src/modules/conda/file-name.ts";
import { named } from "../../support/case-name.ts";

/** The pattern as CEP 26 prints it; in addition, its text forbids consecutive separators. */
const CEP_26 = /^(([a-z0-9])|([a-z0-9_](?!_)))[._-]?([a-z0-9]+(\.|-|_|$))*$/;
const isNameByCep = (text: string): boolean => CEP_26.test(text) && !/[._-]{2}/.test(text) && text.length <= 64;

const name = fc.stringMatching(/^_?[a-z0-9]{1,9}([._-][a-z0-9]{1,9}){0,4}[._-]?$/);
const version = fc.stringMatching(/^[0-9a-z._+!]{1,64}$/);
const build = fc.stringMatching(/^[0-9A-Za-z._+]{1,64}$/);
const format = fc.constantFrom("conda" as const, "tar.bz2" as const);

describe("package names", () => {
  test.each([
    "a",
    "1",
    "_",
    "_libgcc_mutex",
    "123",
    "t",
    "constructor",
    "valueof",
    "r-base",
    "a.b-c_d",
    "foo-",
    "x".repeat(64),
  ])("include %s", (text) => expect(isPackageName(text)).toBe(true));

  test.each([
    "",
    "-a",
    ".a",
    "__cuda",
    "a__b",
    "a..b",
    "a.-b",
    "_.a",
    "NumPy",
    "a b",
    "a/b",
    "a\n",
    "../a",
    "ａ",
    "\u212a",
    "ſ",
    "ı",
    "é",
    "x".repeat(65),
  ])("exclude %j", (text) => expect(isPackageName(text)).toBe(false));

  test("match the pattern and the text of CEP 26 together", () => {
    const names = fc.array(fc.constantFrom(..."ab09._-".split(""), "A", " ", "é"), { maxLength: 12 });
    fc.assert(
      fc.property(names, (letters) => isPackageName(letters.join("")) === isNameByCep(letters.join(""))),
      { numRuns: 5000 },
    );
  });

  test("are checked at once for a million characters", () => {
    const started = performance.now();
    for (const text of ["a".repeat(1_000_000), "a.".repeat(500_000), `${"a".repeat(1_000_000)}!`]) {
      expect(isPackageName(text)).toBe(false);
      expect(isVersionText(text)).toBe(false);
      expect(isBuild(text)).toBe(false);
      expect(parseFileName(`${text}-1-0.conda`)).toBeUndefined();
    }
    expect(performance.now() - started).toBeLessThan(50);
  });
});

describe("versions and builds", () => {
  test.each(["1", "1.0_1", "1!2.0+local.1", "v", "x".repeat(64)])("include the version %s", (text) =>
    expect(isVersionText(text)).toBe(true),
  );

  test.each(["", "1-1", "1.0RC1", "1.0 ", "1.0\n", "1*", "1/2", "x".repeat(65)])("exclude the version %j", (text) =>
    expect(isVersionText(text)).toBe(false),
  );

  test.each(["0", "py310h1234567_0", "Mixed_Case.1+2"])("include the build %s", (text) =>
    expect(isBuild(text)).toBe(true),
  );

  test.each(["", "a-b", "a b", "a\n", "a/b", "é", "x".repeat(65)])("exclude the build %j", (text) =>
    expect(isBuild(text)).toBe(false),
  );
});

describe("conda file names", () => {
  test.each([
    ["a-1-0.conda", { name: "a", version: "1", build: "0", format: "conda" }],
    ["a-b-1.0-1-py_0.tar.bz2", { name: "a-b-1.0", version: "1", build: "py_0", format: "tar.bz2" }],
    ["foo--1!1.0+x-H_0.conda", { name: "foo-", version: "1!1.0+x", build: "H_0", format: "conda" }],
    ["123-1-0.conda", { name: "123", version: "1", build: "0", format: "conda" }],
    ["constructor-1-0.conda", { name: "constructor", version: "1", build: "0", format: "conda" }],
    ["a-1-0.conda.conda", { name: "a", version: "1", build: "0.conda", format: "conda" }],
  ] as const)("are split from the right: %s", (fileName, parts) => expect(parseFileName(fileName)).toEqual(parts));

  test.each(
    named([
      "",
      ".conda",
      "a.conda",
      "package-1.0.conda",
      "-1-0.conda",
      "a--0.conda",
      "a-1-.conda",
      "A-1-0.conda",
      "a-1-0.CONDA",
      "a-1-0.zip",
      "a-1-0.conda ",
      "a-1-0.conda\n",
      "a%2d1-0-0.conda",
      "../a-1-0.conda",
      "noarch/a-1-0.conda",
      "a-1.0RC-0.conda",
      "__cuda-1-0.conda",
      "a-1-0conda",
      `${"n".repeat(64)}-${"1".repeat(64)}-${"b".repeat(65)}.conda`,
    ]),
  )("are refused: %s", (_, fileName) => expect(parseFileName(fileName)).toBeUndefined());

  test("are parsed back to the parts they were built from", () => {
    fc.assert(
      fc.property(name, version, build, format, (...parts) => {
        const [n, v, b, f] = parts;
        expect(parseFileName(buildFileName({ name: n, version: v, build: b }, f))).toEqual({
          name: n,
          version: v,
          build: b,
          format: f,
        });
      }),
    );
  });

  test("reveal the format by the extension alone", () => {
    expect(formatOf("whatever.tar.bz2")).toBe("tar.bz2");
    expect(formatOf("what ever.conda")).toBe("conda");
    expect(formatOf("a.tar.gz")).toBeUndefined();
    expect(formatOf("conda")).toBeUndefined();
  });

  test("sort by package name before file name", () => {
    const fileNames = ["foo-bar-1-0.conda", "foo.a-1-0.conda", "foo-2-0.conda", "foo-10-0.conda", "Foo-1-0.conda"];
    const sorted = fileNames.toSorted((a, b) => compareText(orderKey(a), orderKey(b)));
    expect(sorted).toEqual([
      "Foo-1-0.conda",
      "foo-10-0.conda",
      "foo-2-0.conda",
      "foo-bar-1-0.conda",
      "foo.a-1-0.conda",
    ]);
  });
});
