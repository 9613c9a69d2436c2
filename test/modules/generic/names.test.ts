import { describe, expect, test } from "bun:test";
import { genericNameProblem, genericSection, isGenericSection } from "../../../src/modules/generic/names.ts";
import { named } from "../../support/case-name.ts";

const problemOf = (name: string, version: string, fileName: string): string | undefined =>
  genericNameProblem({ name, version, fileName });

describe("names of generic packages", () => {
  test.each(named(["a", "7", "Tool", "my-tool_2.0+x", "...", "-x", "__", "n".repeat(255)]))(
    "include the package %s",
    (_, name) => expect(problemOf(name, "1", "x")).toBeUndefined(),
  );
  test.each(named(["", ".", "..", "_", "-", "+", "a b", "a/b", "a\\b", "a\n", "é", "a*", "n".repeat(256)]))(
    "exclude the package %s",
    (_, name) => expect(problemOf(name, "1", "x")).toContain("package name"),
  );

  test.each(named(["1.0", "latest build", "é", "v".repeat(255)]))("include the version %s", (_, version) =>
    expect(problemOf("a", version, "x")).toBeUndefined(),
  );
  test.each(named(["", " ", " 1", "1\t", "v".repeat(256)]))("exclude the version %s", (_, version) =>
    expect(problemOf("a", version, "x")).toContain("version"),
  );

  test.each(named(["x", "...", "..x", "a b", "-_+=:;.()[]{}~!@#$%^&", "f".repeat(255)]))(
    "include the file %s",
    (_, fileName) => expect(problemOf("a", "1", fileName)).toBeUndefined(),
  );
  test.each(named(["", ".", "..", " x", "x ", 'x"', "x,", "x'", "x/y", "x\\y", "x\n", "é", "f".repeat(256)]))(
    "exclude the file %s",
    (_, fileName) => expect(problemOf("a", "1", fileName)).toContain("file name"),
  );

  test.each(named(["tool/1.0", "a/1/2", "a/latest build"]))("have the section %s", (_, section) =>
    expect(isGenericSection(section)).toBe(true),
  );
  test.each(named(["", "tool", "tool/", "/1", "Tool/1", "tool/1.0-RC", "to ol/1"]))(
    "do not have the section %s",
    (_, section) => expect(isGenericSection(section)).toBe(false),
  );

  test("map to one section in either case", () => {
    expect(genericSection({ name: "Tool", version: "1.0-RC" })).toBe("tool/1.0-rc");
  });
});
