// The channels to which a token can be limited: a limit that no channel can meet is refused when the token is made.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { PACKAGE_TYPES } from "../../src/package-types.ts";
import { createPackageTypes, type PackageType } from "../../src/services/package-type.ts";
import { labelPatternProblem } from "../../src/services/label-patterns.ts";
import { errorOf } from "../modules/error-of.ts";
import { startTestApp, type TestApp } from "../support/app.ts";
import { newToken } from "../support/manage.ts";

const IMPOSSIBLE = [
  "alice",
  "alice/",
  "/main",
  "alice//main",
  "/",
  "alice/a/",
  "alice/t",
  "alice/label",
  "alice/noarch",
  "alice/a/linux-64",
  "alice/main.json",
  "alice/.x",
  "alice/a b",
  "Alice/main",
  "alice/Main",
  "alice/mäin",
  "alice/main\n",
  "alice/-/x",
  "alice/a/-",
  "t/main",
  "api/main",
  "get/*",
  "noarch/*",
  "conda/*",
  "-/main",
  "al:ice/main",
  "conda:alice/main",
  "npm:alice/main",
  ":alice/main",
  "generic:alice/main",
  "generic:alice/",
  "generic:t/-",
  "*/t",
  "*/noarch",
  "generic:*/main",
  "npm:*",
  "Alice/*",
];
const POSSIBLE = [
  "alice/main",
  "alice/-",
  "alice/a/b",
  "alice/_x",
  "alice/*",
  "*",
  "*/main",
  "a*/m?in",
  "*/-",
  "?*",
  "generic:alice/-",
  "generic:alice/*",
  "generic:*",
  "gen*:alice/-",
  "generic:conda/-",
  "*ic:*/-",
  "not-yet/there",
];

describe("the channels of a token", () => {
  let server: TestApp;
  beforeAll(async () => {
    server = await startTestApp();
    await server.addUser("alice");
  });
  afterAll(() => server.close());

  test.each(IMPOSSIBLE)("cannot be %j, which no channel can match", async (pattern) => {
    expect(labelPatternProblem(pattern, PACKAGE_TYPES)).toBeString();
    const request = { user: "alice", name: `for ${IMPOSSIBLE.indexOf(pattern)}`, channels: ["alice/main", pattern] };
    const refusal = { code: "invalid-argument", message: expect.stringContaining(JSON.stringify(pattern)) };
    expect(await errorOf(newToken(server.manage, request))).toMatchObject(refusal);
    expect(await server.manage.tokens.list("alice")).toEqual([]);
  });

  test.each(POSSIBLE)("can be %j", (pattern) => {
    expect(labelPatternProblem(pattern, PACKAGE_TYPES)).toBeUndefined();
  });

  test("can be of any type when a wildcard can stand for the type", () => {
    const [conda] = PACKAGE_TYPES.all;
    if (!conda) throw new Error("there is no type");
    const other: PackageType = { ...conda, name: "other", channelNameProblem: () => undefined };
    const types = createPackageTypes([conda, other]);
    expect(labelPatternProblem("*/noarch", types)).toBeUndefined();
    expect(labelPatternProblem("alice/noarch", types)).toBeString();
    expect(labelPatternProblem("o*r:alice/noarch", types)).toBeUndefined();
  });
});
