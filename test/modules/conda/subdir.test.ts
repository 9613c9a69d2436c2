import { expect, test } from "bun:test";

import { isKnownSubdir, isSubdir, KNOWN_SUBDIRS } from "../../../src/modules/conda/subdir.ts";
import { named } from "../../support/case-name.ts";

test.each([...KNOWN_SUBDIRS, "weird-1", "test-channel", `${"a".repeat(15)}-${"b".repeat(16)}`])(
  "the subdir %s is well-formed",
  (text) => expect(isSubdir(text)).toBe(true),
);

test.each(
  named([
    "",
    "linux",
    "NOARCH",
    "noarch ",
    "noarch\n",
    "Linux-64",
    "linux-64-x",
    "linux_64",
    "../../x",
    "linux-64/../noarch",
    "linux-",
    "-64",
    "a".repeat(1_000_000),
    `${"a".repeat(16)}-${"b".repeat(16)}`,
  ]),
)("the subdir %s is refused", (_, text) => expect(isSubdir(text)).toBe(false));

test("the known subdirs are conda's and those of the setting, and no other", () => {
  expect(isKnownSubdir("linux-64")).toBe(true);
  expect(isKnownSubdir("test-channel")).toBe(false);
  expect(isKnownSubdir("plan9-64")).toBe(false);
  expect(isKnownSubdir("plan9-64", ["plan9-64"])).toBe(true);
  expect(isKnownSubdir("constructor")).toBe(false);
});
