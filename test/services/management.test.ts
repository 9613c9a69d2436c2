// Every management call, by every kind of actor, on every kind of target: who is allowed, what a stranger learns,
// that a refusal changes no row, and that a change writes its audit row.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { AppError } from "../../src/errors.ts";
import { findToken } from "../../src/models/access-token.ts";
import type { Database } from "../../src/models/database.ts";
import { openDatabase } from "../../src/models/open-database.ts";
import { findUser } from "../../src/models/user.ts";
import { systemClock } from "../../src/modules/clock.ts";
import { ANONYMOUS, COMMAND_LINE, type Actor, type Identity } from "../../src/services/actor.ts";
import { tokenLimits } from "../../src/services/token-limits.ts";
import type { Management } from "../../src/management.ts";
import { PASSWORD, startTestApp, type TestApp } from "../support/app.ts";
import { newToken } from "../support/manage.ts";
import { buildPackage } from "../support/package-builder.ts";
import { rightsTable } from "../support/rights-table.ts";
import { openTables, sourceOf, type AuditRow, type Tables } from "../support/rows.ts";

setDefaultTimeout(60_000);

let server: TestApp;
let database: Database;
let tables: Tables;
let services: Management;
const actors = new Map<string, Actor>();

const CHANNELS = ["owner/public", "owner/internal", "owner/private", "hider/public", "owner/absent", "nobody/absent"];
const ROLES = ["reader", "publisher", "maintainer", "owner"] as const;

beforeAll(async () => {
  // Users are deleted and made again.
  server = await startTestApp({ settings: { "name-hold-days": "0" } });
  services = server.app;
  tables = openTables(server.folder);
  database = await openDatabase(sourceOf(server.folder), { clock: systemClock, create: false });
  await makeScene();
  await makeActors();
});
afterAll(async () => {
  tables.close();
  await database.close();
  await server.close();
});

async function makeScene(): Promise<void> {
  const { manage } = server;
  tables.shiftIds();
  const users = ["owner", "hider", "victim", "stranger", "heir", "clerk", ...ROLES.map((role) => `a-${role}`)];
  for (const name of users) await server.addUser(name);
  for (const name of ["boss", "gone-disabled", "gone-password", "gone-expired", "gone-revoked", "gone-demoted"]) {
    await server.addUser(name, { admin: true });
  }
  for (const visibility of ["public", "internal", "private"] as const) {
    await manage.channels.create({ owner: "owner", channel: visibility }, { visibility });
  }
  await manage.channels.create({ owner: "hider", channel: "public" }, {});
  for (const label of CHANNELS.slice(0, 4)) {
    for (const role of ROLES) await manage.grants.set(nameOf(label), `a-${role}`, role);
  }
  for (const owner of ["owner", "hider"]) {
    await manage.grants.set({ owner, channel: undefined }, "heir", "owner");
    await manage.grants.set({ owner, channel: undefined }, "clerk", "maintainer");
  }
  await manage.users.setHidden("hider", true);
  protectVictim();
  for (const user of ["owner", "stranger"]) await newToken(manage, { user, name: "spare" });
}

/** Gives `victim` two-factor authentication. */
function protectVictim(): void {
  tables.run(
    "INSERT INTO second_factor SELECT user.id, 'A', 0, 0, 0 FROM user JOIN owner ON owner.id = owner_id WHERE name = 'victim'",
  );
}

/** For `owner`: one token per scope and per kind of bound; for `boss`: those that could pass for an administrator. */
const TOKENS: Readonly<Record<string, { user: string; scopes: string[]; channels?: string[]; packages?: string[] }>> = {
  "token without scopes": { user: "owner", scopes: [] },
  "token to read": { user: "owner", scopes: ["read:package"] },
  "token to write": { user: "owner", scopes: ["write:package"] },
  "token to delete": { user: "owner", scopes: ["delete:package"] },
  "token to manage": { user: "owner", scopes: ["manage:channel"] },
  "token to manage one": { user: "owner", scopes: ["manage:channel"], channels: ["owner/private"] },
  "token for all": { user: "owner", scopes: ["all"] },
  "token for all of one": { user: "owner", scopes: ["all"], channels: ["owner/public"] },
  "token for all of some packages": { user: "owner", scopes: ["all"], packages: ["mine-*"] },
  "token for all that is public": { user: "owner", scopes: ["all", "public-only"] },
  "administrator's token for all": { user: "boss", scopes: ["all"] },
  "administrator's token to read": { user: "boss", scopes: ["read:package"] },
  "administrator's token for one": { user: "boss", scopes: ["all"], channels: ["owner/public"] },
  "administrator's token for some packages": { user: "boss", scopes: ["all"], packages: ["mine-*"] },
  "administrator's token for what is public": { user: "boss", scopes: ["all", "public-only"] },
};

async function makeActors(): Promise<void> {
  const { manage } = server;
  const act = (name: string, identity: Identity): void => {
    const requestId = `request of ${name}`;
    actors.set(name, { kind: "request", identity, requestId, address: "192.0.2.7", surface: "management" });
  };
  actors.set("command line", COMMAND_LINE);
  act("anonymous", ANONYMOUS);
  for (const name of ["stranger", "owner", "hider", "heir", "clerk", "boss", ...ROLES.map((role) => `a-${role}`)]) {
    act(name, { kind: "user", user: await userNamed(name) });
  }
  for (const [name, { user, scopes, channels = [], packages = [] }] of Object.entries(TOKENS)) {
    act(name, await tokenIdentity({ user, name: name.replace("'", ""), scopes, channels, packages }));
  }
  // An actor who was an administrator when the request arrived, and is none when it is about to change something.
  act("demoted", { kind: "user", user: await userNamed("gone-demoted") });
  tables.run(
    "UPDATE \"user\" SET is_admin = false WHERE owner_id = (SELECT id FROM owner WHERE name = 'gone-demoted')",
  );
  act("disabled", { kind: "user", user: await userNamed("gone-disabled") });
  await manage.users.setDisabled("gone-disabled", true);
  act("with an old password", { kind: "user", user: await userNamed("gone-password") });
  await manage.users.setPassword("gone-password", `${PASSWORD}2`);
  act("with an expired token", await tokenIdentity({ user: "gone-expired", name: "t", scopes: ["all"], lifetime: 1 }));
  await Bun.sleep(5);
  act("with a revoked token", await tokenIdentity({ user: "gone-revoked", name: "t", scopes: ["all"] }));
  await manage.tokens.revoke("gone-revoked", "t");
}

type NewToken = {
  user: string;
  name: string;
  scopes: string[];
  channels?: string[];
  packages?: string[];
  lifetime?: number;
};

async function tokenIdentity(request: NewToken): Promise<Identity> {
  await newToken(server.manage, request);
  const id = tables.all("SELECT max(id) AS id FROM access_token")[0]?.id;
  const row = await findToken(database.read, Number(id));
  if (!row) throw new Error("there is no token");
  return { kind: "token", user: await userNamed(request.user), token: tokenLimits(row) };
}

async function userNamed(name: string) {
  const user = await findUser(database.read, name);
  if (!user) throw new Error(`there is no user ${name}`);
  return user;
}

/** Of `owner/channel`. */
function nameOf(label: string): { owner: string; channel: string } {
  const slash = label.indexOf("/");
  return { owner: label.slice(0, slash), channel: label.slice(slash + 1) };
}

/** + done, U not signed in, F refused with the reason, N as if it did not exist. */
type Outcome = "+" | "U" | "F" | "N";
const OUTCOMES: Readonly<Record<string, Outcome>> = { unauthenticated: "U", forbidden: "F", "not-found": "N" };

type Case = {
  /** Runs the call on a target. */
  readonly call: (actor: Actor, target: string) => Promise<unknown>;
  /** Reverts an allowed call. */
  readonly undo?: (target: string) => Promise<unknown>;
  /** The audit row of an allowed change; undefined for a call that changes nothing. */
  readonly audit?: (target: string) => { readonly action: string; readonly target: string; readonly detail: object };
};

function tableTest(targets: readonly string[], calls: Readonly<Record<string, Case>>, table: string): void {
  const rows = rightsTable(table);

  test("the table has a row for every actor and a column for every target", () => {
    expect(rows.map(({ name }) => name).sort()).toEqual([...actors.keys()].sort());
    expect(rows.filter(({ outcomes }) => outcomes.length !== targets.length)).toEqual([]);
  });

  for (const [verb, one] of Object.entries(calls)) {
    for (const { name, outcomes } of rows) {
      test(`${verb} by ${name} gives ${outcomes.join(" ")} on ${targets.join(", ")}`, async () => {
        const seen: string[] = [];
        for (const target of targets) seen.push(await outcomeOf(one, name, target));
        expect(seen).toEqual(outcomes);
      });
    }
  }
}

async function outcomeOf({ call, undo, audit }: Case, name: string, target: string): Promise<string> {
  const actor = actors.get(name) ?? COMMAND_LINE;
  const before = tables.dump();
  const trail = tables.audit().length;
  try {
    await call(actor, target);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    expect([name, target, tables.dump() === before]).toEqual([name, target, true]);
    if (error.code !== "forbidden" && name !== "command line") expect(error.message).not.toMatch(/private|hidden/);
    return OUTCOMES[error.code] ?? error.code;
  }
  const written = tables.audit().slice(trail);
  if (!audit) {
    expect([written, tables.dump() === before]).toEqual([[], true]);
    return "+";
  }
  expect(tables.dump()).not.toBe(before);
  const row = written.at(-1);
  const { detail, ...wanted } = audit(target);
  expect(row).toMatchObject({ ...wanted, ...whoIs(actor), outcome: "done" });
  expect(JSON.parse(row?.detail ?? "null")).toMatchObject(detail);
  expect(Math.abs(Date.now() - (row?.at ?? 0))).toBeLessThan(60_000);
  expect(placeOf(row)).toBe(wanted.target);
  await undo?.(target);
  return "+";
}

function whoIs(actor: Actor): Partial<AuditRow> {
  if (actor.kind === "command-line") {
    return { actor: "command line", actor_id: null, token_id: null, request_id: null, address: null };
  }
  const { identity, requestId: request_id, address } = actor;
  if (identity.kind === "anonymous") throw new Error("nobody does anything");
  const { id: actor_id, owner } = identity.user;
  const token = identity.kind === "token" ? identity.token : undefined;
  const shown = token ? `${owner.name} (token ${token.name})` : owner.name;
  return { actor: shown, actor_id, token_id: token?.id ?? null, request_id, address };
}

/** The row's ids as names, while the named rows exist. */
function placeOf(row: AuditRow | undefined): string {
  const owner = tables.all("SELECT name FROM owner WHERE id = ?", row?.owner_id ?? 0)[0]?.name;
  const channel = tables.all("SELECT name FROM channel WHERE id = ?", row?.channel_id ?? 0)[0]?.name;
  if (owner === undefined || (row?.channel_id !== null && channel === undefined)) return row?.target ?? "";
  return channel === undefined ? String(owner) : `${owner}/${channel}`;
}

describe("the rights of a channel's owners", () => {
  let visibility: string | null = null;
  tableTest(
    CHANNELS,
    {
      "changing a channel": {
        call: async (actor, target) => {
          const { owner, channel } = nameOf(target);
          const sql =
            "SELECT channel.visibility FROM channel JOIN owner ON owner.id = owner_id WHERE owner.name = ? AND channel.name = ?";
          visibility = String(tables.all(sql, owner, channel)[0]?.visibility ?? "");
          const policy = { validation: "strict", maxAge: 60 };
          await services.channels.change(
            actor,
            { owner, channel },
            { visibility: "private", description: "d", policy },
          );
        },
        undo: async (target) => {
          const { owner, channel } = nameOf(target);
          const policy = { validation: "standard", maxAge: 0 };
          await server.manage.channels.change({ owner, channel }, { description: "", policy });
          const sql =
            "UPDATE channel SET visibility = nullif(?, '') WHERE name = ? AND owner_id = (SELECT id FROM owner WHERE name = ?)";
          tables.run(sql, visibility ?? "", channel, owner);
        },
        audit: (target) => ({
          action: "channel.settings",
          target,
          detail: {
            visibility: "private",
            description: "d",
            policy: { validation: "strict", shards: "fresh", maxAge: 60 },
          },
        }),
      },
      "listing roles": { call: (actor, target) => services.grants.list(actor, nameOf(target)) },
      "giving a role": {
        call: (actor, target) => services.grants.set(actor, nameOf(target), "victim", "publisher"),
        undo: (target) => server.manage.grants.revoke(nameOf(target), "victim"),
        audit: (target) => ({ action: "grant.set", target, detail: { user: "victim", role: "publisher" } }),
      },
      "taking a role": {
        call: (actor, target) => services.grants.revoke(actor, nameOf(target), "a-reader"),
        undo: (target) => server.manage.grants.set(nameOf(target), "a-reader", "reader"),
        audit: (target) => ({ action: "grant.revoke", target, detail: { user: "a-reader", role: "reader" } }),
      },
    },
    `
      + + + + N N  command line, boss, administrator's token for all
      U U U U U U  anonymous, disabled, with an old password, with an expired token, with a revoked token
      F F N N N N  stranger, demoted
      F F F F N N  a-reader, a-publisher, a-maintainer, clerk, administrator's token to read,
                   administrator's token for some packages
      + + + F N N  a-owner, heir
      + + + N N N  owner, token to manage, token for all
      F F N F N N  hider
      F F F N N N  token without scopes, token to read, token to write, token to delete,
                   token for all of some packages
      F N + N N N  token to manage one
      + N N N N N  token for all of one, token for all that is public, administrator's token for one,
                   administrator's token for what is public
    `,
  );
});

describe("the right to delete a channel", () => {
  tableTest(
    ["owner/public", "owner/private", "hider/public", "owner/absent"],
    {
      "deleting a channel": {
        call: (actor, target) => services.channels.remove(actor, nameOf(target)),
        undo: async (target) => {
          const { owner, channel } = nameOf(target);
          const visibility = channel === "private" ? "private" : undefined;
          await server.manage.channels.create({ owner, channel }, { visibility });
          for (const role of ROLES) await server.manage.grants.set({ owner, channel }, `a-${role}`, role);
        },
        audit: (target) => ({ action: "channel.delete", target, detail: {} }),
      },
    },
    `
      + + + N  command line, boss, administrator's token for all
      U U U U  anonymous, disabled, with an old password, with an expired token, with a revoked token
      F N N N  stranger, demoted
      F F F N  a-reader, a-publisher, a-maintainer, clerk, administrator's token to read,
               administrator's token for some packages
      + + F N  a-owner, heir
      + + N N  owner, token to manage, token for all
      F N F N  hider
      F F N N  token without scopes, token to read, token to write, token to delete, token for all of some packages
      F + N N  token to manage one
      + N N N  token for all of one, token for all that is public, administrator's token for one,
               administrator's token for what is public
    `,
  );
});

describe("the right to read", () => {
  tableTest(
    CHANNELS,
    { "showing a channel": { call: (actor, target) => services.channels.show(actor, nameOf(target)) } },
    `
      + + + + N N  command line, boss, administrator's token for all, administrator's token to read,
                   administrator's token for some packages
      + U U U U U  anonymous
      + + N N N N  stranger, demoted
      + + + F N N  a-reader, a-publisher, a-maintainer, a-owner, heir, clerk
      + + + N N N  owner, token without scopes, token to read, token to write, token to delete, token to manage,
                   token for all, token for all of some packages
      + + N F N N  hider
      + N + N N N  token to manage one
      + N N N N N  token for all of one, token for all that is public, administrator's token for one,
                   administrator's token for what is public
      U U U U U U  disabled, with an old password, with an expired token, with a revoked token
    `,
  );

  test("a list has exactly the readable items", async () => {
    const listed = async (name: string): Promise<string> => {
      const infos = await services.channels.list(actors.get(name) ?? COMMAND_LINE);
      return infos.map(({ channel }) => channel).join(" ");
    };
    const [all, members] = [
      "hider/public owner/internal owner/private owner/public",
      "owner/internal owner/private owner/public",
    ];
    expect(await listed("command line")).toBe(all);
    expect(await listed("boss")).toBe(all);
    expect(await listed("a-reader")).toBe(members);
    expect(await listed("stranger")).toBe("owner/internal owner/public");
    expect(await listed("anonymous")).toBe("owner/public");
    expect(await listed("token to manage one")).toBe("owner/private owner/public");
    expect(await listed("administrator's token for what is public")).toBe("owner/public");
  });
});

describe("the right to create a channel", () => {
  tableTest(
    ["owner/new", "owner/private/new", "hider/new", "nobody/new"],
    {
      "making a channel": {
        call: (actor, target) => services.channels.create(actor, nameOf(target), { description: "d" }),
        undo: (target) => server.manage.channels.remove(nameOf(target)),
        audit: (target) => ({ action: "channel.create", target, detail: { description: "d" } }),
      },
    },
    `
      + + + N  command line, boss, administrator's token for all
      U U U U  anonymous, disabled, with an old password, with an expired token, with a revoked token
      N N N N  stranger, demoted, a-reader, a-publisher, a-maintainer, a-owner, token to manage one,
               token for all of one, administrator's token for one
      + + F N  heir
      F F F N  clerk, administrator's token to read, administrator's token for some packages
      + + N N  owner, token to manage, token for all
      N N F N  hider
      F F N N  token without scopes, token to read, token to write, token to delete, token for all of some packages
      + N N N  token for all that is public, administrator's token for what is public
    `,
  );
});

describe("the rights on an owner", () => {
  const owner = (label: string) => ({ owner: label, channel: undefined });
  tableTest(
    ["owner", "hider", "nobody"],
    {
      "changing an owner": {
        call: (actor, target) => services.channels.change(actor, owner(target), { visibility: "internal" }),
        undo: (target) => server.manage.channels.change(owner(target), { visibility: "public" }),
        audit: (target) => ({ action: "owner.settings", target, detail: { visibility: "internal" } }),
      },
      "listing roles on an owner": { call: (actor, target) => services.grants.list(actor, owner(target)) },
      "giving a role on an owner": {
        call: (actor, target) => services.grants.set(actor, owner(target), "victim", "reader"),
        undo: (target) => server.manage.grants.revoke(owner(target), "victim"),
        audit: (target) => ({ action: "grant.set", target, detail: { user: "victim", role: "reader" } }),
      },
      "taking a role on an owner": {
        call: async (actor, target) => await services.grants.revoke(actor, owner(target), "heir"),
        undo: (target) => server.manage.grants.set(owner(target), "heir", "owner"),
        audit: (target) => ({ action: "grant.revoke", target, detail: { user: "heir", role: "owner" } }),
      },
    },
    `
      + + N  command line, boss, administrator's token for all
      U U U  anonymous, disabled, with an old password, with an expired token, with a revoked token
      N N N  stranger, demoted, a-reader, a-publisher, a-maintainer, a-owner, token to manage one,
             token for all of one, token for all of some packages, token for all that is public,
             administrator's token for one, administrator's token for some packages,
             administrator's token for what is public
      + F N  heir
      F F N  clerk, administrator's token to read
      + N N  owner, token to manage, token for all
      N F N  hider
      F N N  token without scopes, token to read, token to write, token to delete
    `,
  );
});

describe("the rights on the server", () => {
  const audit =
    (action: string, detail = {}) =>
    () => ({ action, target: "victim", detail });
  tableTest(
    ["victim"],
    {
      "listing users": { call: (actor) => services.users.list(actor) },
      "disabling a user": {
        call: (actor, target) => services.users.setDisabled(actor, target, true),
        undo: (target) => server.manage.users.setDisabled(target, false),
        audit: audit("user.disable"),
      },
      "enabling a user": {
        call: (actor, target) => services.users.setDisabled(actor, target, false),
        audit: audit("user.enable"),
      },
      "unhiding a user": {
        call: (actor, target) => services.users.setHidden(actor, target, false),
        audit: audit("user.unhide"),
      },
      "hiding a user": {
        call: (actor, target) => services.users.setHidden(actor, target, true),
        undo: (target) => server.manage.users.setHidden(target, false),
        audit: audit("user.hide"),
      },
      "unlocking a user": {
        call: (actor, target) => services.users.unlock(actor, target),
        audit: audit("user.unlock"),
      },
      "resetting two-factor authentication": {
        call: (actor, target) => services.twoFactor.reset(actor, target),
        undo: async () => protectVictim(),
        audit: audit("two-factor.reset"),
      },
      "setting a password": {
        call: (actor, target) => services.users.setPassword(actor, target, PASSWORD),
        audit: audit("user.password"),
      },
      "changing a user": {
        call: (actor, target) => services.users.change(actor, target, { displayName: "Changed", isAdmin: true }),
        undo: (target) => server.manage.users.change(target, { displayName: "", isAdmin: false }),
        audit: audit("user.settings", { displayName: "Changed", admin: true }),
      },
      "listing profiles": { call: (actor) => services.profiles.list(actor, { offset: 0, limit: 1 }) },
      "asking whose a token is": { call: (actor) => services.leakedTokens.identify(actor, "cdr-x") },
      "deleting a user": {
        call: (actor, target) => services.users.remove(actor, target),
        undo: async (name) => {
          await server.manage.users.create({ name, password: PASSWORD, isAdmin: false });
          protectVictim();
        },
        audit: audit("user.delete"),
      },
      "making a user": {
        call: (actor) => services.users.create(actor, { name: "made", password: PASSWORD, isAdmin: true }),
        undo: () => server.manage.users.remove("made"),
        audit: () => ({ action: "user.create", target: "made", detail: { admin: true } }),
      },
    },
    `
      +  command line, boss, administrator's token for all
      U  anonymous, disabled, with an old password, with an expired token, with a revoked token
      F  stranger, demoted, a-reader, a-publisher, a-maintainer, a-owner, heir, clerk, owner, hider,
         token without scopes, token to read, token to write, token to delete, token to manage, token to manage one,
         token for all, token for all of one, token for all of some packages, token for all that is public,
         administrator's token to read, administrator's token for one, administrator's token for some packages,
         administrator's token for what is public
    `,
  );
});

describe("the rights on a user's tokens", () => {
  const request = {
    name: "made",
    scopes: ["write:package"],
    channels: ["owner/*"],
    packages: ["mine-*"],
    lifetime: 1000,
  };
  tableTest(
    ["owner", "stranger", "nobody"],
    {
      "listing tokens": { call: (actor, target) => services.tokens.list(actor, target) },
      "making a token": {
        call: (actor, user) => services.tokens.create(actor, { ...request, user }),
        undo: (target) => server.manage.tokens.revoke(target, "made"),
        audit: (target) => {
          const { lifetime: _, ...detail } = request;
          return { action: "token.create", target, detail };
        },
      },
      "revoking a token": {
        call: async (actor, target) => {
          await services.tokens.revoke(actor, target, "spare");
        },
        undo: (user) => server.manage.tokens.create({ ...request, user, name: "spare", lifetime: undefined }),
        audit: (target) => ({ action: "token.revoke", target, detail: { name: "spare" } }),
      },
    },
    `
      + + N  command line, boss, administrator's token for all
      U U U  anonymous, disabled, with an old password, with an expired token, with a revoked token
      N + N  stranger
      N N N  demoted, a-reader, a-publisher, a-maintainer, a-owner, heir, clerk, hider, administrator's token to read,
             administrator's token for one, administrator's token for some packages,
             administrator's token for what is public
      + N N  owner, token for all
      F N N  token without scopes, token to read, token to write, token to delete, token to manage,
             token to manage one, token for all of one, token for all of some packages, token for all that is public
    `,
  );

  test("a token creates no token that expires after itself", async () => {
    const act = async (lifetime: number): Promise<Actor> => {
      const identity = await tokenIdentity({ user: "owner", name: `short ${lifetime}`, scopes: ["all"], lifetime });
      return { kind: "request", identity, requestId: "r", address: "a", surface: "management" };
    };
    const actor = await act(600_000);
    const make = (name: string, lifetime: number | undefined) =>
      services.tokens.create(actor, { ...request, user: "owner", name, lifetime });
    await make("shorter", 60_000);
    for (const lifetime of [undefined, 6_000_000]) {
      const before = tables.dump();
      expect(await messageOf(make("longer", lifetime))).toContain("expires before the new token");
      expect(tables.dump()).toBe(before);
    }
  });
});

async function messageOf(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => "",
    (error: unknown) => (error instanceof AppError ? error.message : String(error)),
  );
}

describe("a management call", () => {
  test("for a token writes the owner's name to the audit trail, and its secret to no table", async () => {
    const token = await newToken(server.manage, { user: "owner", name: "secret one" });
    expect(tables.dump()).not.toContain(token);
    const row = tables.audit().at(-1);
    expect(row).toMatchObject({ action: "token.create", target: "owner", actor: "command line" });
    expect(JSON.parse(row?.detail ?? "")).toMatchObject({ name: "secret one", expires: null });
  });

  test("that deletes a user leaves no role, no token and no principal behind", async () => {
    await server.addUser("leaver");
    await server.manage.grants.set({ owner: "owner", channel: "public" }, "leaver", "owner");
    await newToken(server.manage, { user: "leaver", name: "t" });
    const counts = () =>
      tables.all(
        `SELECT (SELECT count(*) FROM "grant") AS g, (SELECT count(*) FROM access_token) AS t, (SELECT count(*) FROM principal) AS p, (SELECT count(*) FROM "user") AS u`,
      )[0];
    const before = counts();
    await server.manage.users.remove("leaver");
    const [g, t, p, u] = ["g", "t", "p", "u"].map((key) => Number(before?.[key]) - 1);
    expect(counts()).toEqual({ g: g ?? 0, t: t ?? 0, p: p ?? 0, u: u ?? 0 });
    expect(tables.all('SELECT count(*) AS n FROM "user" JOIN principal ON principal.id = principal_id')).toEqual([
      { n: u ?? 0 },
    ]);
  });

  test("that grants a role replaces the existing one on that target alone", async () => {
    const on = { owner: "owner", channel: "public" };
    await server.manage.grants.set(on, "victim", "reader");
    await server.manage.grants.set({ owner: "owner", channel: undefined }, "victim", "maintainer");
    await server.manage.grants.set(on, "victim", "publisher");
    const grants = await server.manage.grants.list(on);
    expect(grants.filter((grant) => "user" in grant && grant.user === "victim")).toEqual([
      { user: "victim", role: "publisher", packages: ["*"], on: "owner/public" },
      { user: "victim", role: "maintainer", packages: ["*"], on: "owner" },
    ]);
    expect(await server.manage.grants.revoke(on, "victim")).toEqual({
      remaining: { role: "maintainer", packages: ["*"] },
    });
    expect(await messageOf(server.manage.grants.revoke(on, "victim"))).toContain(
      "victim has no role on this channel alone, but is maintainer of all that owner has",
    );
    expect(await server.manage.grants.revoke({ owner: "owner", channel: undefined }, "victim")).toEqual({
      remaining: undefined,
    });
    expect(await messageOf(server.manage.grants.revoke(on, "victim"))).toContain(
      "victim has no role on this channel or owner",
    );
  });

  test("never makes a channel more visible than one whose path is a prefix of its own", async () => {
    const made = async (channel: string, visibility?: "public" | "internal" | "private") => {
      await server.manage.channels.create({ owner: "owner", channel }, { visibility });
      return (await server.manage.channels.show({ owner: "owner", channel })).visibility;
    };
    expect(await made("tree", "private")).toBe("private");
    expect(await made("tree/inner", "public")).toBe("public");
    expect(await made("tree/inner/leaf")).toBe("private");
    expect(await made("hall", "internal")).toBe("internal");
    expect(await made("hall/a", "private")).toBe("private");
    expect(await made("hall/a/b")).toBe("private");
    expect(await made("hall/c")).toBe("internal");
    expect(await made("hall/c/d", "public")).toBe("public");
    expect(await made("hall/c/d/e")).toBe("internal");
    expect(await made("free/of/all")).toBe("public");
  });

  test("can set the unnamed channel before it has a row, and its deletion removes only its own settings", async () => {
    const name = { owner: "owner", channel: "" };
    expect(await messageOf(server.manage.channels.remove(name))).toContain("owner/- is empty");
    await server.manage.channels.change(name, { description: "unnamed" });
    expect((await server.manage.channels.show(name)).description).toBe("unnamed");
    await server.manage.channels.remove(name);
    expect((await server.manage.channels.show(name)).description).toBe("");
  });

  test("lists the user's own tokens, with the rights of each", async () => {
    const limits = {
      scopes: ["write:package", "public-only"],
      channels: ["victim/*"],
      packages: ["a-*", "b-*"],
      lifetime: 60_000,
    };
    await server.manage.tokens.create({ user: "victim", name: "one", ...limits });
    const before = Date.now();
    const { lifetime, ...shown } = limits;
    const [one, ...others] = await server.manage.tokens.list("victim");
    expect([one, others]).toMatchObject([{ name: "one", ...shown, lastUsed: null, revoked: null }, []]);
    expect(Math.abs((one?.expires ?? 0) - before - lifetime)).toBeLessThan(30_000);
    expect(await messageOf(server.manage.tokens.create({ user: "victim", name: "one", ...limits }))).toContain(
      "already has a token",
    );
    await server.manage.tokens.revoke("victim", "one");
    await server.manage.tokens.create({ user: "victim", name: "one", ...limits });
    const listed = await server.manage.tokens.list("victim");
    expect(listed.map(({ revoked }) => revoked !== null)).toEqual([true, false]);
  });

  test("never removes the last administrator who can sign in", async () => {
    const other = await startTestApp();
    try {
      const { users } = other.manage;
      for (const name of ["root", "spare"]) await other.addUser(name, { admin: true });
      await other.addUser("plain");
      await users.setDisabled("spare", true);
      for (const end of [users.remove("root"), users.setDisabled("root", true)]) {
        expect(await messageOf(end)).toContain("only administrator");
      }
      await users.remove("plain");
      await users.setDisabled("spare", false);
      await users.remove("root");
      expect(await users.list()).toMatchObject([{ name: "spare", admin: true, disabled: false, hidden: false }]);
      expect(await messageOf(users.remove("spare"))).toContain("only administrator");
    } finally {
      await other.close();
    }
  });

  test("never deletes a user with channels or a channel with files", async () => {
    expect(await messageOf(server.manage.users.remove("owner"))).toContain("still has");
    const built = buildPackage({ name: "kept", version: "1" });
    expect((await server.as("owner").put(`/api/packages/owner/conda/full/${built.fileName}`, built.bytes)).status).toBe(
      201,
    );
    expect(await messageOf(server.manage.channels.remove({ owner: "owner", channel: "full" }))).toContain(
      "still contains 1 file",
    );
    expect((await server.as("owner").delete(`/owner/full/noarch/${built.fileName}`)).status).toBe(204);
    const id = Number(
      tables.all(
        "SELECT id FROM channel WHERE name = 'full' AND owner_id = (SELECT id FROM owner WHERE name = 'owner')",
      )[0]?.id,
    );
    const partsOf = () => tables.all("SELECT name FROM index_part WHERE channel_id = ?", id);
    expect(partsOf()).toEqual([{ name: "kept" }]);
    await server.manage.channels.remove({ owner: "owner", channel: "full" });
    expect([partsOf(), tables.all("SELECT revision FROM channel_revision WHERE channel_id = ?", id)]).toEqual([[], []]);
    expect(tables.audit().at(-1)).toMatchObject({ action: "channel.delete", channel_id: id, target: "owner/full" });
  });

  test("without a change writes nothing", async () => {
    const before = tables.dump();
    await server.manage.channels.change({ owner: "owner", channel: "public" }, {});
    expect(tables.dump()).toBe(before);
  });

  test.each([
    [{ maxAge: -1 }, "max-age must be at least 0 seconds."],
    [{ maxAge: Number.NaN }, "max-age must be a whole number of seconds from 0 to 86400."],
    [{ maxAge: 86_401 }, "max-age must be at most 86400 seconds, which is a day."],
    [{ validation: "lax" }, "validation must be standard or strict."],
    [{ shards: "maybe" }, "shards must be fresh, on or off."],
    [{ colour: "red" }, "Unknown policy colour. Valid policies: validation, shards, maxAge."],
  ])("refuses an invalid policy in one sentence: %j", async (policy, message) => {
    const before = tables.dump();
    const change = server.manage.channels.change({ owner: "owner", channel: "public" }, { policy });
    expect(await change.catch((error: unknown) => error)).toMatchObject({ code: "invalid-argument", message });
    expect(tables.dump()).toBe(before);
  });

  test("sets only the visibility of an owner", async () => {
    const change = (more: object) => server.manage.channels.change({ owner: "owner", channel: undefined }, more);
    for (const more of [
      {},
      { description: "x" },
      { visibility: "public", description: "x" },
      { policy: { maxAge: 1 }, visibility: "public" },
    ]) {
      expect(await change(more).catch((error: unknown) => error)).toMatchObject({ code: "invalid-argument" });
    }
  });
});
