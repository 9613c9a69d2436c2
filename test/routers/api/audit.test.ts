// The audit trail over HTTP: who reads which events, in which order, and how refusals are counted in it.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AuditEntry, AuditPage } from "../../../src/services/audit-trail.ts";
import { apiOf, bearer } from "../../support/api.ts";
import { basic, PASSWORD, peerAt, startTestApp, type TestApp } from "../../support/app.ts";
import { newToken } from "../../support/manage.ts";
import { buildPackage } from "../../support/package-builder.ts";
import { statementsOf, type Statements } from "../../support/statements.ts";

setDefaultTimeout(60_000);

let server: TestApp;
let statements: Statements;
let token = "";
const built = buildPackage({ name: "canary-package", version: "1" });

beforeAll(async () => {
  server = await startTestApp();
  statements = await statementsOf(server);
  await server.addUser("boss", { admin: true });
  for (const name of ["alice", "bob", "heir", "clerk"]) await server.addUser(name);
  await server.manage.channels.create({ owner: "alice", channel: "secret" }, { visibility: "private" });
  await server.manage.channels.create({ owner: "bob", channel: "main" }, {});
  await server.manage.grants.set({ owner: "alice", channel: undefined }, "heir", "owner");
  await server.manage.grants.set({ owner: "alice", channel: undefined }, "clerk", "maintainer");
  token = await newToken(server.manage, { user: "alice", name: "ci", scopes: ["write:package"] });
  const put = server.withToken(token).put(`/api/packages/alice/conda/secret/${built.fileName}`, built.bytes);
  expect((await put).status).toBe(201);
});
afterAll(() => server.close());

async function trail(query = "", name = "boss"): Promise<AuditPage> {
  const { status, json } = await apiOf(server, name)("GET", `/audit${query}`);
  expect([query, name, status]).toEqual([query, name, 200]);
  return json as AuditPage;
}

async function lines(query = "", headers: Record<string, string> = basic("boss", PASSWORD)): Promise<AuditEntry[]> {
  const request = new Request(`http://localhost/api/v1/audit${query}`, {
    headers: { ...headers, accept: "application/x-ndjson" },
  });
  const response = await server.app.handle(request, peerAt("192.0.2.1"));
  expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/x-ndjson"]);
  const text = await response.text();
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as AuditEntry);
}

describe("the audit trail", () => {
  test("says of a publish who, with which token, what, from where, in which request, and with which revision", async () => {
    const { items } = await trail("?action=publish");
    expect(items).toEqual([
      {
        cursor: expect.any(String),
        at: expect.stringMatching(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/),
        actor: "alice (token ci)",
        token_id: expect.any(Number),
        action: "publish",
        target: `alice/secret/noarch/${built.fileName}`,
        address: "192.0.2.1",
        request_id: expect.any(String),
        outcome: "done",
        detail: { sha256: built.sha256, size: built.bytes.length, revision: 1 },
      },
    ]);
  });

  test("has no address and no request for a command", async () => {
    const [first] = (await trail("?action=user.create")).items;
    expect(first).toMatchObject({ actor: "command line", address: null, request_id: null, token_id: null });
  });

  test("contains no token and no password, also not when one was typed into a wrong place", async () => {
    await server.manage.channels.change({ owner: "bob", channel: "main" }, { description: `mine is ${token}` });
    await server.as("bob").get(`/${token.toLowerCase()}/x/noarch/repodata.json`);
    await server.as("bob").get(`/bob/${token}/noarch/repodata.json`);
    await Bun.sleep(4000);
    const rows = JSON.stringify(await statements.all("SELECT * FROM audit_event"));
    expect(rows).toContain("cdr-[redacted]");
    expect(rows).not.toContain(token);
    expect(rows).not.toContain(PASSWORD);
  });
});

describe("a reader of the trail", () => {
  test.each([
    ["an administrator", "boss", "", 200],
    ["an administrator, of an owner", "boss", "?owner=alice", 200],
    ["an administrator, of nobody", "boss", "?owner=nobody", 200],
    ["an owner, of all", "alice", "", 403],
    ["an owner", "alice", "?owner=alice", 200],
    ["a user with the role owner", "heir", "?owner=ALICE", 200],
    ["a maintainer", "clerk", "?owner=alice", 403],
    ["a stranger", "bob", "?owner=alice", 404],
    ["a stranger, of nobody", "bob", "?owner=nobody", 404],
  ])("that is %s gets the status for it (%s, %s): %d", async (_, name, query, status) => {
    expect((await apiOf(server, name)("GET", `/audit${query}`)).status).toBe(status);
    const accept = { accept: "application/x-ndjson" };
    expect((await apiOf(server, name)("GET", `/audit${query}`, undefined, accept)).status).toBe(status);
  });

  test("without a login gets 401, and learns nothing", async () => {
    for (const query of ["", "?owner=alice", "?owner=nobody"]) {
      const { status, text } = await apiOf(server)("GET", `/audit${query}`);
      expect([query, status]).toEqual([query, 401]);
      expect(text).not.toContain("alice");
    }
  });

  test("with a token needs its scope", async () => {
    const readers = {
      "administrator to read": ["boss", ["read:package"]],
      owner: ["alice", ["manage:channel"]],
    } as const;
    for (const [name, [user, scopes]] of Object.entries(readers)) {
      const secret = await newToken(server.manage, { user, name, scopes: [...scopes] });
      const get = apiOf(server, undefined, bearer(secret));
      expect([name, (await get("GET", "/audit")).status]).toEqual([name, 403]);
      expect([name, (await get("GET", "/audit?owner=alice")).status]).toEqual([name, name === "owner" ? 200 : 403]);
    }
    const all = await newToken(server.manage, { user: "boss", name: "all", scopes: ["all"] });
    expect((await apiOf(server, undefined, bearer(all))("GET", "/audit")).status).toBe(200);
  });

  test("that is an owner sees what concerns this owner alone", async () => {
    const own = await lines("?owner=alice", basic("alice", PASSWORD));
    expect(own.length).toBeGreaterThan(3);
    expect(own.filter(({ target }) => !/^alice(\/|$)/.test(target))).toEqual([]);
    expect(own.map(({ action }) => action)).toContain("grant.set");
    expect(await lines("?owner=alice")).toEqual(own);
  });

  test("that is an administrator still finds the events of a deleted owner", async () => {
    await server.addUser("leaver");
    await server.manage.users.remove("leaver");
    const actions = (await trail("?owner=leaver")).items.map(({ action }) => action);
    expect(actions).toEqual(["user.create", "user.delete"]);
    await server.manage.names.release("leaver");
    await server.addUser("leaver");
    const { json } = await apiOf(server, "leaver")("GET", "/audit?owner=leaver");
    expect((json as AuditPage).items.map(({ action }) => action)).toEqual(["user.create"]);
  });
});

describe("a list of events", () => {
  test("is complete and in order, page by page, whatever the size of a page", async () => {
    const all = await lines();
    expect(all.length).toBeGreaterThan(10);
    for (const limit of [1, 3, 1000]) {
      const found: AuditEntry[] = [];
      let query = `?limit=${limit}`;
      for (;;) {
        const { items, next } = await trail(query);
        expect(items.length).toBeLessThanOrEqual(limit);
        found.push(...items);
        if (next === null) break;
        query = `?limit=${limit}&since=${next}`;
      }
      expect(found).toEqual(all);
    }
  });

  test("goes on behind the cursor of any event, and has what comes later", async () => {
    const all = await lines();
    const last = all.at(-1)?.cursor ?? "";
    expect((await trail(`?since=${last}`)).items).toEqual([]);
    await server.manage.users.setHidden("leaver", true);
    const [later, ...more] = await lines(`?since=${last}`);
    expect([later?.action, more]).toEqual(["user.hide", []]);
    expect(await lines(`?since=${all[2]?.cursor}`)).toEqual([...all.slice(3), ...(later ? [later] : [])]);
  });

  test("begins at a time", async () => {
    await Bun.sleep(5);
    const time = new Date().toISOString();
    await server.manage.users.setHidden("leaver", false);
    expect((await lines(`?since=${time}`)).map(({ action }) => action)).toEqual(["user.unhide"]);
    const first = await trail(`?since=${time}&limit=1`);
    expect([first.items.map(({ action }) => action), first.next]).toEqual([["user.unhide"], null]);
    const withoutCursors = (entries: readonly AuditEntry[]) => entries.map((entry) => ({ ...entry, cursor: "" }));
    expect(withoutCursors(await lines("?since=2020-01-31"))).toEqual(withoutCursors(await lines()));
    expect(await lines("?since=2999-01-31T00:00:00%2B01:00")).toEqual([]);
  });

  test("has only the events of an actor, with its tokens, and of an action, or all of its kind", async () => {
    expect(new Set((await lines("?actor=alice")).map(({ actor }) => actor))).toEqual(new Set(["alice (token ci)"]));
    expect(await lines("?actor=ali")).toEqual([]);
    const kinds = (await lines("?action=user")).map(({ action }) => action);
    expect(new Set(kinds)).toEqual(new Set(["user.create", "user.delete", "user.hide", "user.unhide"]));
    expect((await lines("?action=user.delete")).length).toBe(1);
    expect(await lines("?action=use")).toEqual([]);
  });

  test.each(["0", "x", "audit%201%200", "2026-13-01", "2026-01-31T12:00:00", "YXVkaXQgMSAw=", "YXVkaXQgOTk5OTk5OSAw"])(
    "refuses since=%s",
    async (since) => {
      const { status, json } = await apiOf(server, "boss")("GET", `/audit?since=${since}`);
      expect([status, (json as { detail: string }).detail]).toEqual([400, expect.stringMatching(/since|cursor/)]);
    },
  );

  test("that begins at a time has none before it on any page, though the order is not exactly that of the times", async () => {
    const at = Date.parse("2030-01-01T00:00:00Z");
    const times = Array.from({ length: 1200 }, (_, index) => at + (index % 7 === 0 ? 60_000 : -60_000));
    const rows = times.map((time) => `(${time}, 'command line', 'publish', 'late/main', 'late')`).join(", ");
    await statements.all(`INSERT INTO audit_event (at, actor, action, target, subject) VALUES ${rows}`);
    const expected = times.filter((time) => time > at).length;
    expect((await lines("?since=2030-01-01")).length).toBe(expected);
    await statements.all("DELETE FROM audit_event WHERE target = 'late/main'");
  });

  test("ends when its reader loses the right, between two pages", async () => {
    await server.addUser("demoted", { admin: true });
    const user = (await server.app.users.list({ kind: "command-line" })).find(({ name }) => name === "demoted");
    expect(user?.admin).toBe(true);
    for (let at = 0; at < 3; at += 1) await insertEvents(400);
    const request = new Request("http://localhost/api/v1/audit", {
      headers: { ...basic("demoted", PASSWORD), accept: "application/x-ndjson" },
    });
    const response = await server.app.handle(request, peerAt("192.0.2.1"));
    const reader = response.body?.getReader();
    expect((await reader?.read())?.done).toBe(false);
    await server.manage.users.setDisabled("demoted", true);
    const rest = await reader?.read().then(
      () => "more",
      () => "an error",
    );
    expect(rest).toBe("an error");
  });
});

/** Events of a day long ago, behind all others. */
async function insertEvents(count: number): Promise<void> {
  const row = "(1000, 'command line', 'publish', 'seed/main', 'seed')";
  const rows = Array.from({ length: count }, () => row).join(", ");
  await statements.all(`INSERT INTO audit_event (at, actor, action, target, subject) VALUES ${rows}`);
}

describe("refusals", () => {
  const refused = async () => (await lines("?owner=alice")).filter(({ outcome }) => outcome === "refused");

  test("of signed-in callers are counted, by caller, action and target, and appear within seconds", async () => {
    for (let at = 0; at < 3; at += 1)
      expect((await server.as("bob").get("/alice/secret/noarch/repodata.json")).status).toBe(403);
    const put = server.as("bob").put("/api/packages/alice/conda/secret/x-1-0.conda", built.bytes);
    expect((await put).status).toBe(403);
    await Bun.sleep(4000);
    expect((await server.as("bob").get("/alice/secret/noarch/repodata.json")).status).toBe(403);
    await Bun.sleep(4000);
    const rows = (await refused()).filter(({ target }) => target === "alice/secret");
    const told = rows.map(({ actor, action, target, detail }) => [actor, action, target, detail]);
    expect(told).toEqual([
      ["bob", "read", "alice/secret", { count: 4 }],
      ["bob", "publish", "alice/secret", { count: 1 }],
    ]);
    expect(rows[0]).toMatchObject({ address: "192.0.2.1", request_id: expect.any(String), token_id: null });
  });

  test("that are not stored yet are stored when the server stops", async () => {
    const folder = await mkdtemp(join(tmpdir(), "condarium-refusals-"));
    const [first, restarted] = [await startTestApp({ folder }), () => startTestApp({ folder })];
    await first.addUser("boss", { admin: true });
    await first.addUser("bob");
    await first.manage.channels.create({ owner: "boss", channel: "secret" }, { visibility: "private" });
    expect((await first.as("bob").get("/boss/secret/noarch/repodata.json")).status).toBe(403);
    await first.close();
    const second = await restarted();
    const { json } = await apiOf(second, "boss")("GET", "/audit?actor=bob");
    expect((json as AuditPage).items).toMatchObject([{ action: "read", outcome: "refused", detail: { count: 1 } }]);
    await second.close();
    await rm(folder, { recursive: true, force: true });
  });

  test("of anonymous callers, of wrong passwords and of what is just missing are not counted", async () => {
    const before = await statements.count("SELECT count(*) FROM audit_event");
    const wrong = { authorization: `Basic ${Buffer.from("alice:wrong-password").toString("base64")}` };
    expect((await server.anonymous.get("/alice/secret/noarch/repodata.json")).status).toBe(401);
    expect((await server.anonymous.get("/alice/secret/noarch/repodata.json", wrong)).status).toBe(401);
    expect((await server.as("bob").get("/bob/main/noarch/no-1-0.conda")).status).toBe(404);
    await Bun.sleep(4000);
    expect(await statements.count("SELECT count(*) FROM audit_event")).toBe(before);
  });
});
