// The gate runs the same queries for a stranger whatever exists, and one query of roles for a private read.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { findToken } from "../../src/models/access-token.ts";
import type { Reader } from "../../src/models/database.ts";
import { findUser } from "../../src/models/user.ts";
import { systemClock } from "../../src/modules/clock.ts";
import { createAccess, type Access } from "../../src/services/access.ts";
import { ANONYMOUS, type Identity, type RequestActor } from "../../src/services/actor.ts";
import { tokenLimits } from "../../src/services/token-limits.ts";
import { startTestApp, type TestApp } from "../support/app.ts";
import { newToken } from "../support/manage.ts";
import { recordedReader, type RecordedReader } from "../support/recorded-reader.ts";
import { rowsIn, sourceOf } from "../support/rows.ts";

let server: TestApp;
let recorded: RecordedReader;
let reader: Reader;
let queries: string[] = [];
const actors: Record<string, RequestActor> = {};

beforeAll(async () => {
  server = await startTestApp();
  const { manage } = server;
  for (const name of ["alice", "hider", "reader", "stranger"]) await server.addUser(name);
  for (const channel of ["secret", "secret/inner", "open"]) {
    await manage.channels.create({ owner: "alice", channel }, channel === "open" ? {} : { visibility: "private" });
  }
  await manage.grants.set({ owner: "alice", channel: "secret" }, "reader", "reader");
  await manage.channels.create({ owner: "hider", channel: "secret" }, {});
  await manage.users.setHidden("hider", true);
  recorded = recordedReader(sourceOf(server.folder), (sql) => void queries.push(sql));
  reader = recorded.reader;
  act("anonymous", ANONYMOUS);
  for (const name of ["stranger", "reader"]) act(name, { kind: "user", user: await userNamed(name) });
  act("bound", await tokenOf({ scopes: ["all"], channels: ["alice/open"] }));
  act("public-only", await tokenOf({ scopes: ["write:package", "public-only"], channels: [] }));
});
afterAll(async () => {
  await recorded.close();
  await server.close();
});

function act(name: string, identity: Identity): void {
  actors[name] = { kind: "request", identity, requestId: "r", address: "a", surface: "conda" };
}

async function userNamed(name: string) {
  const user = await findUser(reader, name);
  if (!user) throw new Error(`there is no user ${name}`);
  return user;
}

async function tokenOf(request: { scopes: string[]; channels: string[] }): Promise<Identity> {
  const name = `t ${Bun.randomUUIDv7()}`;
  await newToken(server.manage, { user: "reader", name, ...request });
  const [newest] = rowsIn(server.folder, "SELECT max(id) AS id FROM access_token");
  const row = await findToken(reader, Number(newest?.id));
  if (!row) throw new Error("there is no token");
  return { kind: "token", user: await userNamed("reader"), token: tokenLimits(row) };
}

/** Queries and refusal of one request. */
async function asked(
  access: Access,
  actor: string,
  action: "read" | "publish" | "delete" | "manage",
  path: string,
  surface: "conda" | "management" = "conda",
): Promise<{ queries: string[]; refusal: unknown }> {
  const [owner = "", ...rest] = path.split("/");
  const target = { kind: "channel", owner, channel: rest.join("/"), packageName: "x" } as const;
  const who = actors[actor];
  if (!who) throw new Error(`there is no actor ${actor}`);
  queries = [];
  const refusal: unknown = await access.require({ ...who, surface }, action, target).then(
    () => "none",
    (error: unknown) => (error instanceof Error && "code" in error ? [error.code, error.message] : error),
  );
  return { queries, refusal };
}

const HIDDEN = [
  "alice/secret/inner",
  "alice/secret/absent",
  "alice/absent/inner",
  "nobody/absent/inner",
  "hider/secret/absent",
];

for (const createChannels of [true, false]) {
  for (const actor of ["anonymous", "stranger", "bound", "public-only"]) {
    for (const action of ["read", "publish", "delete", "manage"] as const) {
      test(`${action} by ${actor} is refused with the same queries and message for every target, createChannels ${createChannels}`, async () => {
        const access = createAccess({
          reader,
          clock: systemClock,
          createChannels,
          twoFactor: "no",
          formerAddressMs: 0,
        });
        for (const surface of ["conda", "management"] as const) {
          const first = await asked(access, actor, action, "alice/secret/inner", surface);
          const code = actor === "anonymous" ? "unauthenticated" : surface === "conda" ? "forbidden" : "not-found";
          expect(first.refusal).toEqual([code, expect.stringMatching(/^(There is no|Sign in)/)]);
          // A message that depends on the role of a token's user would reveal the role too.
          expect(first.queries.length).toBeGreaterThan(1);
          for (const path of HIDDEN)
            expect([path, await asked(access, actor, action, path, surface)]).toEqual([path, first]);
        }
      });
    }
  }
}

describe("the role and scopes needed", () => {
  const ROLES = ["reader", "publisher", "maintainer", "owner"] as const;
  const SCOPE_SETS = [
    [],
    ["read:package"],
    ["write:package"],
    ["delete:package"],
    ["write:package", "delete:package"],
    ["manage:channel"],
    ["all"],
  ];
  /** The least role, and for each of SCOPE_SETS whether it is enough. */
  const NEEDED = {
    read: ["reader", "yyyyyyy"],
    publish: ["publisher", "nnynyny"],
    delete: ["maintainer", "nnnyyny"],
    yank: ["maintainer", "nnnyyny"],
    replace: ["maintainer", "nnnnyny"],
    manage: ["owner", "nnnnnyy"],
    create: ["owner", "nnnnnyy"],
  } as const;

  test.each(Object.entries(NEEDED))("to %s are %j", async (action, [least, scopes]) => {
    const access = createAccess({
      reader,
      clock: systemClock,
      createChannels: true,
      twoFactor: "no",
      formerAddressMs: 0,
    });
    const may = async (name: string): Promise<boolean> => {
      const verb = action as keyof typeof NEEDED;
      const channel = verb === "create" ? "absent" : "secret";
      const who = actors[name];
      if (!who) throw new Error(`there is no actor ${name}`);
      return await access.require(who, verb, { kind: "channel", owner: "alice", channel, packageName: "x" }).then(
        () => true,
        () => false,
      );
    };
    for (const [at, role] of ROLES.entries()) {
      // On the owner the role creates channels, too.
      const on = { owner: "alice", channel: action === "create" ? undefined : "secret" };
      await server.manage.grants.set(on, "stranger", role);
      expect([role, await may("stranger")]).toEqual([role, at >= ROLES.indexOf(least)]);
      await server.manage.grants.revoke(on, "stranger");
    }
    const on = { owner: "alice", channel: undefined };
    await server.manage.grants.set(on, "reader", "owner");
    for (const [at, set] of SCOPE_SETS.entries()) {
      act("scoped", await tokenOf({ scopes: set, channels: [] }));
      expect([set, await may("scoped")]).toEqual([set, scopes[at] === "y"]);
    }
    await server.manage.grants.revoke(on, "reader");
  });
});

test("a private read costs one query for the owner with the channel, one for a former address and one for both kinds of roles", async () => {
  const access = createAccess({
    reader,
    clock: systemClock,
    createChannels: true,
    twoFactor: "no",
    formerAddressMs: 0,
  });
  const { queries: run, refusal } = await asked(access, "reader", "read", "alice/secret");
  expect(refusal).toBe("none");
  expect(run.map((sql) => /from "(\w+)"/.exec(sql)?.[1])).toEqual(["owner", "former_address", "grant"]);
  // Each side of the OR has its index: nothing is scanned, however many roles there are.
  const plan = recorded.plan(run[2] ?? "");
  expect(plan.filter((line) => line.includes("SCAN") || line.includes("Seq Scan"))).toEqual([]);
  expect(plan.join()).toContain("grant_owner");
});

test("members of a channel get the reason of a refusal, within the bounds of their token", async () => {
  const access = createAccess({
    reader,
    clock: systemClock,
    createChannels: true,
    twoFactor: "no",
    formerAddressMs: 0,
  });
  expect((await asked(access, "reader", "publish", "alice/secret")).refusal).toEqual([
    "forbidden",
    "This requires the role publisher on this channel or owner.",
  ]);
  for (const actor of ["bound", "public-only"]) {
    expect((await asked(access, actor, "publish", "alice/secret")).refusal).toEqual(
      (await asked(access, "stranger", "publish", "nobody/x")).refusal,
    );
    expect((await asked(access, actor, "publish", "alice/open")).refusal).toEqual([
      "forbidden",
      "This requires the role publisher on this channel or owner.",
    ]);
  }
  expect((await asked(access, "bound", "publish", "alice/open")).queries).toHaveLength(3);
});
