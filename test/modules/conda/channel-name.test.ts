import { describe, expect, test } from "bun:test";

import { channelNameProblem, isReservedName } from "../../../src/modules/conda/channel-name.ts";
import { KNOWN_SUBDIRS } from "../../../src/modules/conda/subdir.ts";
import { isOwnerName } from "../../../src/modules/owner-name.ts";

const ENDINGS = [".json", ".zst", ".bz2", ".conda", ".xml", ".ico", ".txt"];

const isOwner = (name: string, extraSubdirs?: readonly string[]): boolean =>
  isOwnerName(name) && !isReservedName(name, "owner", extraSubdirs);

describe("owners", () => {
  test.each(["a", "alice", "0-day", "my.team_1", "label", "constructor", "o".repeat(63)])("takes %s", (name) =>
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
  ])("refuses %j", (name) => expect(isOwner(name)).toBe(false));

  test("refuses a subdir that only the setting knows", () => {
    expect(isOwner("plan9-64")).toBe(true);
    expect(isOwner("plan9-64", ["plan9-64"])).toBe(false);
  });
});

describe("channels", () => {
  test.each([
    "",
    "main",
    "_x",
    "test-channel",
    "a/b/c",
    "api",
    "conda",
    "c".repeat(128),
    `${"c".repeat(128)}/${"d".repeat(127)}`,
  ])("takes %j", (name) => expect(channelNameProblem(name)).toBeUndefined());

  test.each([
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
  ])("says what is wrong with %#", (name, word) => expect(channelNameProblem(name)).toContain(word));

  test("refuses a subdir that only the setting knows", () => {
    expect(channelNameProblem("plan9-64")).toBeUndefined();
    expect(channelNameProblem("plan9-64", ["plan9-64"])).toContain("reserved");
  });
});

test("reserves words where they mean something", () => {
  expect(isReservedName("conda", "owner")).toBe(true);
  expect(isReservedName("conda", "channel")).toBe(false);
  expect(isReservedName("label", "channel")).toBe(true);
  expect(isReservedName("label", "owner")).toBe(false);
  expect(isReservedName("alice", "owner")).toBe(false);
});
