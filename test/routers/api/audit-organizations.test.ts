// The audit trail of an organization: its owners read all that concerns it, and it names robots by their organization.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { AuditEntry, AuditPage } from "../../../src/services/audit-trail.ts";
import { apiOf, bearer, type ApiAnswer } from "../../support/api.ts";
import { startTestApp, type TestApp } from "../../support/app.ts";
import { runHere } from "../../support/run-here.ts";
import { newToken } from "../../support/manage.ts";
import { buildPackage } from "../../support/package-builder.ts";

setDefaultTimeout(60_000);

let server: TestApp;
const built = buildPackage({ name: "by-robot", version: "1" });
const FILE = `acme/main/noarch/${built.fileName}`;

/** The teams of acme beside `Owners`, each with a member of the same name. */
const TEAMS = {
  reader: { role: "reader" },
  maintainer: { role: "maintainer" },
  "owner-of-one": { role: "owner", channels: ["main"] },
  "owner-of-some": { role: "owner", packages: ["some-*"] },
  "owner-of-all": { role: "owner" },
} as const;

beforeAll(async () => {
  server = await startTestApp();
  await server.addUser("boss", { admin: true });
  for (const name of ["ada", "bob", "leaver", ...Object.keys(TEAMS)]) await server.addUser(name);
  const { organizations, teams, robots, channels } = server.manage;
  for (const name of ["acme", "corp"]) await organizations.create({ name, owner: name === "acme" ? "ada" : "bob" });
  for (const [name, rights] of Object.entries(TEAMS)) {
    await teams.create("acme", { name, ...rights });
    await teams.addMember({ organization: "acme", team: name }, name);
  }
  await teams.addMember({ organization: "acme", team: "Owners" }, "leaver");
  await channels.create({ owner: "acme", channel: "main" }, { visibility: "private" });
  await channels.create({ owner: "corp", channel: "main" }, {});
  await robots.create("acme", "deploy");
  await teams.addMember({ organization: "acme", team: "maintainer" }, "acme/deploy");
  const secret = await newToken(server.manage, { user: "acme/deploy", name: "ci", scopes: ["write:package"] });
  const put = server.withToken(secret).put(`/api/packages/acme/conda/main/${built.fileName}`, built.bytes);
  expect((await put).status).toBe(201);
});
afterAll(() => server.close());

async function trail(name: string, query: string): Promise<readonly AuditEntry[]> {
  const { status, json } = await apiOf(server, name)("GET", `/audit?limit=1000&${query}`);
  expect([name, query, status]).toEqual([name, query, 200]);
  return (json as AuditPage).items;
}

const linesOf = (entries: readonly AuditEntry[]) => entries.map(({ action, target }) => `${action} ${target}`);

describe("the trail of an organization", () => {
  test.each([
    ["an administrator", "boss", 200],
    ["a member of Owners", "ada", 200],
    ["a member of a team with the role owner on everything", "owner-of-all", 200],
    ["a reader", "reader", 403],
    ["a maintainer", "maintainer", 403],
    ["an owner of one channel", "owner-of-one", 403],
    ["an owner of some packages", "owner-of-some", 403],
    ["a member of another organization", "bob", 404],
  ])("is answered to %s (%s) with %d", async (_, name, status) => {
    for (const accept of ["application/json", "application/x-ndjson"]) {
      const answer = await apiOf(server, name)("GET", "/audit?owner=ACME", undefined, { accept });
      expect([accept, answer.status, answer.text.includes("organization.create")]).toEqual([
        accept,
        status,
        status === 200,
      ]);
    }
  });

  test("has all that concerns the organization, and nothing else", async () => {
    const entries = await trail("ada", "owner=acme");
    expect(linesOf(entries)).toEqual(
      expect.arrayContaining([
        "organization.create acme",
        "team.create acme/reader",
        "team.add acme/Owners",
        "channel.create acme/main",
        "robot.create acme/deploy",
        "token.create acme/deploy",
        `publish ${FILE}`,
      ]),
    );
    expect(entries.filter(({ target }) => !/^acme(\/|$)/.test(target))).toEqual([]);
    expect(await trail("boss", "owner=acme")).toEqual([...entries]);
  });

  test("is no way to that of the server, or of another owner", async () => {
    const api = apiOf(server, "ada");
    const statuses = await Promise.all(
      ["", "?owner=corp", "?owner=reader"].map((query) => api("GET", `/audit${query}`)),
    );
    expect(statuses.map(({ status }) => status)).toEqual([403, 404, 404]);
  });

  test("wants a token that may manage channels", async () => {
    const ask = async (user: string, scope: string): Promise<ApiAnswer> => {
      const secret = await newToken(server.manage, { user, name: scope.replace(":", " "), scopes: [scope] });
      return await apiOf(server, undefined, bearer(secret))("GET", "/audit?owner=acme");
    };
    expect((await ask("ada", "manage:channel")).status).toBe(200);
    expect((await ask("ada", "delete:package")).status).toBe(403);
    expect((await ask("reader", "manage:channel")).status).toBe(403);
    expect((await ask("acme/deploy", "manage:channel")).status).toBe(403);
  });

  test("ends for who leaves Owners", async () => {
    expect((await trail("leaver", "owner=acme")).length).toBeGreaterThan(0);
    await server.manage.teams.removeMember({ organization: "acme", team: "Owners" }, "leaver");
    expect((await apiOf(server, "leaver")("GET", "/audit?owner=acme")).status).toBe(404);
  });
});

describe("a robot", () => {
  test("is named by its organization and its token in what it did, and is found by that name", async () => {
    const [event, ...more] = await trail("ada", "owner=acme&actor=acme/deploy");
    expect([event, more]).toMatchObject([
      { actor: "acme/deploy (token ci)", action: "publish", target: FILE, token_id: expect.any(Number) },
      [],
    ]);
    expect(await trail("ada", "owner=acme&actor=acme")).toEqual([]);
    expect(await trail("ada", "owner=acme&actor=deploy")).toEqual([]);
  });

  test("is named in the lines of condarium audit too", async () => {
    const lines: string[] = [];
    const output = { line: (text: string) => void lines.push(text), note: () => undefined, rows: () => undefined };
    expect(await runHere(["audit", "--owner", "acme", "--actor", "acme/deploy", "--data", server.folder], output)).toBe(
      0,
    );
    expect(lines).toEqual([
      expect.stringContaining(`Z  acme/deploy (token ci) from 192.0.2.1: publish ${FILE}  {"sha256"`),
    ]);
  });

  test("has the end of its token in the trail as the API writes it", async () => {
    const tokens = "/orgs/acme/robots/deploy/tokens";
    const body = { name: "short", scopes: ["read:package"], expires_at: "2999-01-31T12:00:00Z" };
    const made = await apiOf(server, "ada")("POST", tokens, body);
    expect([made.status, made.json]).toMatchObject([201, { expires_at: "2999-01-31T12:00:00Z" }]);
    const { name, scopes, expires_at: expires } = body;
    expect((await trail("ada", "owner=acme&action=token.create")).at(-1)).toMatchObject({
      actor: "ada",
      target: "acme/deploy",
      detail: { name, scopes, expires },
    });
  });

  test("that a stranger asked for is a refusal that its organization sees", async () => {
    const tokens = "/orgs/acme/robots/deploy/tokens";
    for (const status of [404, 404]) expect((await apiOf(server, "bob")("GET", tokens)).status).toBe(status);
    let refusals: readonly AuditEntry[] = [];
    for (let waited = 0; refusals.length === 0 && waited < 10_000; waited += 200) {
      await Bun.sleep(200);
      refusals = (await trail("ada", "owner=acme&action=tokens")).filter(({ outcome }) => outcome === "refused");
    }
    expect(refusals).toMatchObject([{ actor: "bob", target: "acme/deploy", detail: { count: 2 } }]);
  });
});
