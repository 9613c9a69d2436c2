// What is stored of two-factor authentication, who must have it, and what servers of other releases mean for it.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../../src/cli/index.ts";
import type { Output } from "../../src/cli/output.ts";
import { findTokenByHash } from "../../src/models/access-token.ts";
import { openDatabase } from "../../src/models/open-database.ts";
import { findUser } from "../../src/models/user.ts";
import { systemClock } from "../../src/modules/clock.ts";
import { sha256Hex } from "../../src/modules/hash.ts";
import { createAccess } from "../../src/services/access.ts";
import { tokenLimits } from "../../src/services/token-limits.ts";
import { apiOf, bearer } from "../support/api.ts";
import { basic, PASSWORD, peerAt, startTestApp, type TestApp } from "../support/app.ts";
import { newToken } from "../support/manage.ts";
import { buildPackage } from "../support/package-builder.ts";
import { openTables, type Tables } from "../support/rows.ts";
import { authenticator, turnOn, wrongCode } from "../support/two-factor.ts";

let now = Date.UTC(2030, 0, 1);
const clock = { now: () => now, elapsed: () => performance.now() };
const time = { now: clock.now, pass: (ms: number): void => void (now += ms) };

let server: TestApp;
let tables: Tables;
beforeAll(async () => {
  server = await startTestApp({ clock });
  tables = openTables(server.folder);
});
afterAll(async () => {
  tables.close();
  await server.close();
});

type Ran = { readonly code: number; readonly err: string[]; readonly rows: Record<string, unknown>[] };

/** Runs a command beside the running app, on its folder. */
async function condarium(...args: string[]): Promise<Ran> {
  const ran: Ran = { code: 0, err: [], rows: [] };
  const output: Output = {
    line: () => undefined,
    note: (text) => void ran.err.push(text),
    rows: (rows) => void ran.rows.push(...rows),
  };
  return { ...ran, code: await run(args, output) };
}

const minReader = (): unknown => tables.all("SELECT max(min_reader) AS needed FROM schema_migration")[0]?.needed;

// First, because it looks at a database without any use of it.
test("an older release can use the database until the first account turns two-factor authentication on, then never", async () => {
  await server.addUser("first");
  const api = apiOf(server, "first");
  const { uri } = (await api("POST", "/user/two-factor")).json as { uri: string };
  const app = authenticator(uri, clock.now);
  expect((await api("POST", "/user/two-factor/confirm", { code: wrongCode(app) })).status).toBe(422);
  expect(minReader()).toBe(1);
  const confirmed = await api("POST", "/user/two-factor/confirm", { code: app.code() });
  expect([confirmed.status, minReader()]).toEqual([200, 8]);
  expect((await condarium("user", "reset-two-factor", "first", "--data", server.folder)).code).toBe(0);
  expect(minReader()).toBe(8);
});

test("a restored backup with such an account can be used by no older release", async () => {
  const room = await mkdtemp(join(tmpdir(), "condarium-two-factor-"));
  const restored = async (name: string): Promise<unknown> => {
    for (const args of [
      ["backup", join(room, name), "--data", server.folder],
      ["restore", join(room, name), "--data", join(room, `${name}-restored`)],
    ])
      expect((await condarium(...args)).code).toBe(0);
    const copy = openTables(join(room, `${name}-restored`));
    const row = copy.all(
      "SELECT max(min_reader) AS needed, (SELECT count(*) FROM recovery_code) AS codes FROM schema_migration",
    );
    copy.close();
    return row[0];
  };
  try {
    expect(await restored("without")).toEqual({ needed: 1, codes: 0 });
    await server.addUser("kept");
    await turnOn(server, "kept", time);
    expect(await restored("with")).toEqual({ needed: 8, codes: 10 });
  } finally {
    await rm(room, { recursive: true, force: true });
  }
});

test("two-factor authentication cannot be turned on while a server of an older release shares the database", async () => {
  await server.addUser("early");
  const api = apiOf(server, "early");
  const lease = "INSERT INTO lease (name, holder, until) VALUES ('node', ?, ?)";
  tables.run(lease, "8 same", now + 60_000);
  tables.run(lease, "9 newer", now + 60_000);
  tables.run(lease, "7 gone", now - 1);
  const begun = await api("POST", "/user/two-factor");
  expect(begun.status).toBe(201);
  const app = authenticator((begun.json as { uri: string }).uri, clock.now);
  tables.run(lease, "7 old", now + 60_000);
  const answers = [
    await api("POST", "/user/two-factor/confirm", { code: app.code() }),
    await api("POST", "/user/two-factor"),
  ];
  for (const { status, text } of answers)
    expect([status, text]).toEqual([
      409,
      expect.stringContaining("1 of 3 servers of this database still run an older release"),
    ]);
  expect(
    tables.all("SELECT confirmed FROM second_factor JOIN user ON user.id = user_id ORDER BY created DESC")[0],
  ).toEqual({
    confirmed: null,
  });
  tables.run("DELETE FROM lease WHERE holder = '7 old'");
  expect((await api("POST", "/user/two-factor/confirm", { code: app.code() })).status).toBe(200);
  tables.run("DELETE FROM lease");
});

test("a network becomes known to the account by a login with a code, and by none without", async () => {
  await server.addUser("known");
  const { app } = await turnOn(server, "known", time);
  const known = (): unknown[] => tables.all("SELECT bucket FROM login_failure WHERE bucket LIKE 'known:%@192.0.2.77'");
  const send = (headers: Record<string, string>): Promise<Response> => {
    const url = "http://localhost/known/noarch/repodata.json";
    const request = new Request(url, { headers: { ...basic("known", PASSWORD), ...headers } });
    return server.app.handle(request, peerAt("192.0.2.77"));
  };
  for (const headers of [{}, { "x-gitea-otp": wrongCode(app) }]) expect((await send(headers)).status).toBe(401);
  await Bun.sleep(100);
  expect(known()).toEqual([]);
  expect((await send({ "x-gitea-otp": app.code() })).status).toBe(200);
  for (let waited = 0; waited < 250 && known().length === 0; waited++) await Bun.sleep(20);
  expect(known()).toHaveLength(1);
});

test("recovery codes are stored as hashes, and nothing is left of a deleted user", async () => {
  await server.addUser("gone");
  const { recoveryCodes } = await turnOn(server, "gone", time);
  const dump = tables.dump();
  for (const code of recoveryCodes) {
    expect(dump).toContain(sha256Hex(code.replaceAll("-", "")));
    expect(dump).not.toContain(code);
    expect(dump).not.toContain(code.replaceAll("-", ""));
  }
  const counts =
    "SELECT (SELECT count(*) FROM second_factor) AS factors, (SELECT count(*) FROM recovery_code) AS codes";
  const before = tables.all(counts)[0];
  await server.manage.users.remove("gone");
  expect(tables.all(counts)[0]).toEqual({ factors: Number(before?.factors) - 1, codes: Number(before?.codes) - 10 });
});

test("the audit trail has each change of two-factor authentication and each recovery code used, without a secret", async () => {
  await server.addUser("seen");
  const from = tables.audit().length;
  const { secret, recoveryCodes, app, with: as } = await turnOn(server, "seen", time);
  const [first = "", second = ""] = recoveryCodes;
  const path = "/seen/noarch/repodata.json";
  expect((await server.as("seen").get(path, { "x-gitea-otp": first })).status).toBe(200);
  expect((await server.as("seen").get(path, { "x-gitea-otp": app.code() })).status).toBe(200);
  expect((await server.as("seen").get(path, { "x-gitea-otp": "000000" })).status).toBe(401);
  expect((await as(second)("DELETE", "/user/two-factor", { code: second })).status).toBe(204);
  await turnOn(server, "seen", time);
  expect((await condarium("user", "reset-two-factor", "seen", "--data", server.folder)).code).toBe(0);
  const rows = tables.audit().slice(from);
  const ofRequest = { actor: "seen", target: "seen", address: "192.0.2.1", request_id: expect.any(String) };
  expect(rows).toMatchObject([
    { action: "two-factor.enable", ...ofRequest, detail: "{}" },
    { action: "two-factor.recovery", ...ofRequest, detail: '{"left":9}' },
    { action: "two-factor.recovery", ...ofRequest, detail: '{"left":8}' },
    { action: "two-factor.disable", ...ofRequest, detail: "{}" },
    { action: "two-factor.enable", ...ofRequest, detail: "{}" },
    { action: "two-factor.reset", actor: "command line", target: "seen", address: null, detail: "{}" },
  ]);
  const text = JSON.stringify(rows);
  for (const hidden of [secret, first, second, app.code()]) expect(text).not.toContain(`"${hidden}"`);
});

test("commands show and reset two-factor authentication", async () => {
  await server.addUser("shown");
  const { with: as } = await turnOn(server, "shown", time);
  const isOn = async (): Promise<unknown> =>
    (await condarium("user", "list", "--data", server.folder)).rows.find(({ name }) => name === "shown")?.["twoFactor"];
  expect(await isOn()).toBe(true);
  const reset = (name: string): Promise<Ran> => condarium("user", "reset-two-factor", name, "--data", server.folder);
  expect((await reset("shown")).err).toEqual(["Two-factor authentication of shown is off. Tokens are still valid."]);
  expect(await isOn()).toBe(false);
  expect((await as()("POST", "/user/two-factor")).status).toBe(201);
  expect(await reset("shown")).toMatchObject({ code: 1, err: ["condarium: Two-factor authentication is off."] });
  expect(await reset("nobody")).toMatchObject({ code: 1, err: ["condarium: There is no user nobody."] });
});

describe("a server that requires two-factor authentication", () => {
  const start = (policy: string): Promise<TestApp> =>
    startTestApp({ clock, settings: { "require-two-factor": policy, "default-visibility": "private" } });
  const read = async (of: TestApp, name: string, headers: Record<string, string>): Promise<number> =>
    (await of.anonymous.get(`/${name}/noarch/repodata.json`, headers)).status;
  const basicOf = (name: string): Record<string, string> => basic(name, PASSWORD);

  test("of all refuses the password for everything but turning it on, and tokens for nothing", async () => {
    const strict = await start("all");
    try {
      await strict.addUser("carol");
      const token = await newToken(strict.manage, { user: "carol", name: "ci", scopes: ["all"] });
      expect(await read(strict, "carol", basic("carol", "wrong-password-1"))).toBe(401);
      const refused = await strict.as("carol").get("/carol/noarch/repodata.json");
      expect(refused.status).toBe(403);
      const { detail } = (await refused.json()) as { detail: string };
      for (const word of ["two-factor", "POST /api/v1/user/two-factor", "confirm"]) expect(detail).toContain(word);
      const { bytes, fileName } = buildPackage({ name: "pkg", version: "1" });
      const path = `/api/packages/carol/conda/${fileName}`;
      expect((await strict.as("carol").put(path, bytes)).status).toBe(403);
      expect(await read(strict, "carol", bearer(token))).toBe(200);
      expect((await strict.withToken(token).put(path, bytes)).status).toBe(201);
      const { app } = await turnOn(strict, "carol", time);
      expect(await read(strict, "carol", basic("carol", "wrong-password-1"))).toBe(401);
      expect(await read(strict, "carol", { ...basicOf("carol"), "x-gitea-otp": app.code() })).toBe(200);
      expect(await read(strict, "carol", basicOf("carol"))).toBe(401);
    } finally {
      await strict.close();
    }
  });

  test("of administrators leaves others alone, and takes the rights of an administrator from tokens until it is on", async () => {
    const strict = await start("admins");
    try {
      await strict.addUser("plain");
      await strict.addUser("boss", { admin: true });
      expect(await read(strict, "plain", basicOf("plain"))).toBe(200);
      expect(await read(strict, "boss", basicOf("boss"))).toBe(403);
      const scopes = ["all"];
      const token = bearer(await newToken(strict.manage, { user: "boss", name: "t", scopes }));
      const metrics = () => strict.anonymous.get("/metrics", token);
      const refused = await metrics();
      expect(refused.status).toBe(403);
      expect(await refused.text()).toContain("must turn on two-factor authentication");
      // As a user who is no administrator.
      expect([await read(strict, "boss", token), await read(strict, "plain", token)]).toEqual([200, 403]);
      await turnOn(strict, "boss", time);
      expect([(await metrics()).status, await read(strict, "plain", token)]).toEqual([200, 200]);
      expect(await read(strict, "boss", basicOf("boss"))).toBe(401);
    } finally {
      await strict.close();
    }
  });

  test("does so too where a right is checked again before a change", async () => {
    await server.addUser("chief", { admin: true });
    const text = await newToken(server.manage, { user: "chief", name: "t", scopes: ["all"] });
    const source = { engine: "sqlite", path: `${server.folder}/condarium.db` } as const;
    const database = await openDatabase(source, { clock: systemClock, create: false });
    const [user, row] = [await findUser(database.read, "chief"), await findTokenByHash(database.read, sha256Hex(text))];
    if (!user || !row) throw new Error("they are not stored");
    // The identity as it was before the requirement.
    const identity = { kind: "token", user, token: tokenLimits(row) } as const;
    const actor = { kind: "request", identity, requestId: "r", address: "192.0.2.1", surface: "management" } as const;
    for (const [twoFactor, outcome] of [
      ["no", "done"],
      ["admins", "forbidden"],
      ["all", "forbidden"],
    ] as const) {
      const access = createAccess({
        reader: database.read,
        clock: systemClock,
        createChannels: true,
        twoFactor,
        formerAddressMs: 0,
      });
      const required = access.require(actor, "administer", { kind: "server" }, database.read).then(
        () => "done",
        (error: unknown) => (error as { code: string }).code,
      );
      expect([twoFactor, await required]).toEqual([twoFactor, outcome]);
    }
    await database.close();
  });
});
