import { describe, expect, test } from "bun:test";
import { genericNameProblem, genericSection } from "../../../src/modules/generic/names.ts";

const problemOf = (name: string, version: string, fileName: string): string | undefined =>
  genericNameProblem({ name, version, fileName });

describe("names of generic packages", () => {
  test.each(["a", "7", "Tool", "my-tool_2.0+x", "...", "-x", "__", "n".repeat(255)])("takes the package %s", (name) =>
    expect(problemOf(name, "1", "x")).toBeUndefined(),
  );
  test.each(["", ".", "..", "_", "-", "+", "a b", "a/b", "a\\b", "a\n", "é", "a*", "n".repeat(256)])(
    "refuses the package %j",
    (name) => expect(problemOf(name, "1", "x")).toContain("package name"),
  );

  test.each(["1.0", "latest build", "é", "v".repeat(255)])("takes the version %s", (version) =>
    expect(problemOf("a", version, "x")).toBeUndefined(),
  );
  test.each(["", " ", " 1", "1\t", "v".repeat(256)])("refuses the version %j", (version) =>
    expect(problemOf("a", version, "x")).toContain("version"),
  );

  test.each(["x", "...", "..x", "a b", "-_+=:;.()[]{}~!@#$%^&", "f".repeat(255)])("takes the file %s", (fileName) =>
    expect(problemOf("a", "1", fileName)).toBeUndefined(),
  );
  test.each(["", ".", "..", " x", "x ", 'x"', "x,", "x'", "x/y", "x\\y", "x\n", "é", "f".repeat(256)])(
    "refuses the file %j",
    (fileName) => expect(problemOf("a", "1", fileName)).toContain("file name"),
  );

  test("are one section in either case", () => {
    expect(genericSection({ name: "Tool", version: "1.0-RC" })).toBe("tool/1.0-rc");
  });
});
