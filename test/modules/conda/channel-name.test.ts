import { describe, expect, test } from "bun:test";

import { channelNameProblem, isReservedName } from "../../../src/modules/conda/channel-name.ts";
import { KNOWN_SUBDIRS } from "../../../src/modules/conda/subdir.ts";
import { isOwnerName } from "../../../src/modules/owner-name.ts";
import { named, namedRows } from "../../support/case-name.ts";

const ENDINGS = [".json", ".zst", ".bz2", ".conda", ".xml", ".ico", ".txt"];

const isOwner = (name: string, extraSubdirs?: readonly string[]): boolean =>
  isOwnerName(name) && !isReservedName(name, "owner", extraSubdirs);

describe("owner names", () => {
  test.each(["a", "alice", "0-day", "my.team_1", "label", "constructor", "o".repeat(63)])("include %s", (name) =>
    expect(isOwner(name)).toBe(true),
  );

  test.each([
    "",
    "-",
    "-a",
    "_a",
    ".a",
    "..",
    "Alice",
    "a/b",
    "a b",
    "a\n",
    "é",
    "o".repeat(64),
    "t",
    "api",
    "get",
    "login",
    "logout",
    "assets",
    "static",
    "docs",
    "health",
    "metrics",
    "conda",
    ...KNOWN_SUBDIRS,
    ...ENDINGS.map((ending) => `a${ending}`),
  ])("exclude %j", (name) => expect(isOwner(name)).toBe(false));

  test("exclude a subdir that only the setting lists", () => {
    expect(isOwner("plan9-64")).toBe(true);
    expect(isOwner("plan9-64", ["plan9-64"])).toBe(false);
  });
});

describe("channel names", () => {
  test.each(
    named([
      "",
      "main",
      "_x",
      "test-channel",
      "a/b/c",
      "api",
      "conda",
      "c".repeat(128),
      `${"c".repeat(128)}/${"d".repeat(127)}`,
    ]),
  )("include %s", (_, name) => expect(channelNameProblem(name)).toBeUndefined());

  test.each(
    namedRows([
      ["/", "slash"],
      ["/a", "slash"],
      ["a/", "slash"],
      ["a//b", "slash"],
      ["A", "a-z"],
      [".a", "a-z"],
      ["a/..", "a-z"],
      ["a/../b", "a-z"],
      ["-", "a-z"],
      ["a/-", "a-z"],
      ["a b", "a-z"],
      ["a\n", "a-z"],
      ["a\\b", "a-z"],
      ["t", "reserved"],
      ["a/t/b", "reserved"],
      ["label", "reserved"],
      ["a/label/b", "reserved"],
      ["noarch", "reserved"],
      ["a/linux-64", "reserved"],
      ["x/repodata.json", "reserved"],
      ["c".repeat(129), "128"],
      [`${"c".repeat(128)}/${"d".repeat(128)}`, "256"],
      ["/".repeat(1_000_000), "256"],
    ]),
  )("exclude %s with the problem named", (_, name, word) => expect(channelNameProblem(name)).toContain(word));

  test("exclude a subdir that only the setting lists", () => {
    expect(channelNameProblem("plan9-64")).toBeUndefined();
    expect(channelNameProblem("plan9-64", ["plan9-64"])).toContain("reserved");
  });
});

test("a word is reserved only as an owner or only as a channel where it has a meaning there", () => {
  expect(isReservedName("conda", "owner")).toBe(true);
  expect(isReservedName("conda", "channel")).toBe(false);
  expect(isReservedName("label", "channel")).toBe(true);
  expect(isReservedName("label", "owner")).toBe(false);
  expect(isReservedName("alice", "owner")).toBe(false);
});
