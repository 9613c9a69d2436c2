// Roles for some packages: what they allow on the channel, how they add up, and what older releases mean for them.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Role } from "../../../src/models/grant.ts";
import { apiOf, type ApiAnswer } from "../../support/api.ts";
import { startTestApp, type TestApp } from "../../support/app.ts";
import { newToken } from "../../support/manage.ts";
import { buildPackage } from "../../support/package-builder.ts";
import { openTables, type Tables } from "../../support/rows.ts";
import { runHere } from "../../support/run-here.ts";

setDefaultTimeout(60_000);

const LIB = ["lib-*"];
const MAIN = { owner: "alice", channel: "main" };
const EVERYTHING = { owner: "alice", channel: undefined };

let server: TestApp;
let tables: Tables;
beforeAll(async () => {
  server = await startTestApp();
  tables = openTables(server.folder);
  for (const name of ["alice", "guest"]) await server.addUser(name);
  await server.manage.channels.create(MAIN, { visibility: "private" });
});
afterAll(async () => {
  tables.close();
  await server.close();
});

const unique = (): string => Bun.randomUUIDv7().slice(-12);
const alice = (method: string, path: string, body?: object): Promise<ApiAnswer> =>
  apiOf(server, "alice")(method, `/channels/alice/main${path}`, body);
const needed = (): unknown => tables.all("SELECT max(min_reader) AS needed FROM schema_migration")[0]?.["needed"];

async function holderOf(role: Role, packages?: string[], on: typeof MAIN | typeof EVERYTHING = MAIN): Promise<string> {
  const name = `u-${unique()}`;
  await server.addUser(name);
  await server.manage.grants.set(on, name, role, packages);
  return name;
}

function built(name: string) {
  return buildPackage({ name, version: "1", build: `b${unique()}` });
}

/** `fileName`: of the address. */
async function publish(as: string, name: string, { fileName = "", channel = "alice/conda/main" } = {}) {
  const one = built(name);
  const url = `/api/packages/${channel}/${fileName === "" ? one.fileName : fileName}`;
  return (await server.as(as).put(url, one.bytes)).status;
}

/** A file that alice has published. */
async function published(name: string): Promise<string> {
  const { fileName, bytes } = built(name);
  expect((await server.as("alice").put(`/api/packages/alice/conda/main/${fileName}`, bytes)).status).toBe(201);
  return fileName;
}

const remove = async (as: string, fileName: string): Promise<number> =>
  (await server.as(as).delete(`/alice/main/noarch/${fileName}`)).status;
const reads = async (as: string, path = "noarch/repodata.json"): Promise<number> =>
  (await server.as(as).get(`/alice/main/${path}`)).status;

// First, because it looks at a database without any such role.
describe("an older release, which would ignore the limit,", () => {
  const limited = { role: "publisher", packages: LIB };

  async function restored(room: string, name: string): Promise<unknown> {
    const output = { line: () => undefined, note: () => undefined, rows: () => undefined };
    const target = join(room, `${name}-restored`);
    for (const args of [
      ["backup", join(room, name), "--data", server.folder],
      ["restore", join(room, name), "--data", target],
    ])
      expect(await runHere(args, output)).toBe(0);
    using copy = openTables(target);
    return copy.all("SELECT max(min_reader) AS needed FROM schema_migration")[0]?.["needed"];
  }

  test("keeps such a role from being given while its server shares the database", async () => {
    const lease = "INSERT INTO lease (name, holder, until) VALUES ('node', ?, ?)";
    const until = Date.now() + 600_000;
    tables.run(lease, "11 same", until);
    tables.run(lease, "7 gone", Date.now() - 600_000);
    tables.run(lease, "10 old", until);
    const before = (await alice("GET", "/members")).json;
    const { status, text } = await alice("PUT", "/members/guest", limited);
    expect([status, text]).toEqual([409, expect.stringContaining("Finish the upgrade first")]);
    expect((await alice("GET", "/members")).json).toEqual(before);
    for (const body of [{ role: "reader" }, { role: "reader", packages: ["lib-*", "*"] }])
      expect((await alice("PUT", "/members/guest", body)).status).toBe(204);
    tables.run("DELETE FROM lease WHERE holder IN ('10 old', '11 same')");
    expect(needed()).toBe(1);
  });

  test("can use the database and its backups until the first such role, then never", async () => {
    const room = await mkdtemp(join(tmpdir(), "condarium-grants-"));
    try {
      expect([needed(), await restored(room, "without")]).toEqual([1, 1]);
      expect((await alice("PUT", "/members/guest", limited)).status).toBe(204);
      expect([needed(), await restored(room, "with")]).toEqual([11, 11]);
      expect((await alice("DELETE", "/members/guest")).status).toBe(204);
      expect(needed()).toBe(11);
    } finally {
      await rm(room, { recursive: true, force: true });
    }
  });

  test("can use it no more when a stored role becomes limited", async () => {
    const name = await holderOf("reader");
    const id = '(SELECT max(id) FROM "grant")';
    tables.run("UPDATE schema_migration SET min_reader = 1 WHERE number = 11");
    tables.run(`UPDATE "grant" SET role = 'publisher' WHERE id = ${id}`);
    expect(needed()).toBe(1);
    tables.run(`UPDATE "grant" SET packages = '["lib-*"]' WHERE id = ${id}`);
    expect([needed(), await publish(name, "tool"), await publish(name, "lib-a")]).toEqual([11, 403, 201]);
  });
});

describe("a publisher for some packages", () => {
  test("is shown with them, in answers and in the audit trail", async () => {
    const name = await holderOf("reader");
    expect((await alice("PUT", `/members/${name}`, { role: "publisher", packages: LIB })).status).toBe(204);
    const shown = { user: name, role: "publisher", packages: LIB, on: "alice/main" };
    expect((await alice("GET", `/members/${name}`)).json).toEqual(shown);
    expect((await alice("GET", "/members")).json).toMatchObject({ items: expect.arrayContaining([shown]) });
    expect((await alice("PUT", `/members/${name}`, { role: "publisher" })).status).toBe(204);
    expect((await alice("GET", `/members/${name}`)).json).toEqual({ ...shown, packages: ["*"] });
    expect((await alice("PUT", `/members/${name}`, { role: "reader", packages: LIB })).status).toBe(204);
    expect((await alice("DELETE", `/members/${name}`)).status).toBe(204);
    const details = tables.audit().map(({ action, detail }) => [action, JSON.parse(detail)]);
    expect(details.slice(-4)).toEqual([
      ["grant.set", { user: name, role: "publisher", packages: LIB }],
      ["grant.set", { user: name, role: "publisher" }],
      ["grant.set", { user: name, role: "reader", packages: LIB }],
      ["grant.revoke", { user: name, role: "reader", packages: LIB }],
    ]);
  });

  test("publishes what really is one of them, whatever its file is called", async () => {
    const name = await holderOf("publisher", ["lib-*", "exact"]);
    for (const one of ["lib-a", "exact"]) expect([one, await publish(name, one)]).toEqual([one, 201]);
    for (const one of ["tool", "lib", "exactly"]) expect([one, await publish(name, one)]).toEqual([one, 403]);
    expect(await publish(name, "tool", { fileName: "lib-a-9-0.conda" })).toBe(403);
    expect(await publish(name, "lib-a", { fileName: "tool-9-0.conda" })).toBe(201);
    const { fileName, bytes } = built("tool");
    const refused = await server.as(name).put(`/api/packages/alice/conda/main/${fileName}`, bytes);
    expect(await refused.json()).toMatchObject({
      detail: "Your role publisher is not valid for packages named tool.",
    });
    expect(await reads("alice", `noarch/${fileName}`)).toBe(404);
    const dry = await server.as(name).put(`/api/packages/alice/conda/main/${fileName}?dry_run=true`, bytes);
    expect(dry.status).toBe(403);
    const existing = await published("tool");
    const skipped = `/api/packages/alice/conda/main/${existing}?skip_existing=true`;
    expect((await server.as(name).put(skipped, bytes)).status).toBe(403);
  });

  test("reads all of the channel, and deletes nothing", async () => {
    const [tool, lib] = [await published("tool"), await published("lib-a")];
    const name = await holderOf("publisher", LIB);
    expect([await reads(name), await reads(name, `noarch/${tool}`)]).toEqual([200, 200]);
    expect([await remove(name, tool), await remove(name, lib)]).toEqual([403, 403]);
    expect([await reads("alice", `noarch/${tool}`), await reads("alice", `noarch/${lib}`)]).toEqual([200, 200]);
  });

  test("is refused with a token that has other packages, and never gains by a token", async () => {
    const name = await holderOf("publisher", LIB);
    const put = async (packages: string[], of: string): Promise<number> => {
      const token = await newToken(server.manage, { user: name, name: unique(), scopes: ["all"], packages });
      const { fileName, bytes } = built(of);
      return (await server.withToken(token).put(`/api/packages/alice/conda/main/${fileName}`, bytes)).status;
    };
    expect([await put([], "lib-a"), await put(["lib-a"], "lib-a"), await put(["tool"], "lib-a")]).toEqual([
      201, 201, 403,
    ]);
    expect([await put([], "tool"), await put(["tool"], "tool")]).toEqual([403, 403]);
  });

  test("publishes generic packages of these names alone", async () => {
    const name = await holderOf("publisher", LIB, EVERYTHING);
    const put = async (of: string) =>
      (await server.as(name).put(`/api/packages/alice/generic/${of}/1/${unique()}`, new Uint8Array([1]))).status;
    expect((await server.as("alice").put("/api/packages/alice/generic/tool/1/x", new Uint8Array([1]))).status).toBe(
      201,
    );
    expect([await put("lib-a"), await put("Lib-A"), await put("tool")]).toEqual([201, 201, 403]);
  });
});

describe("an owner for some packages", () => {
  test.each([
    // Only who has a role on the owner learns why.
    ["on the channel", MAIN, 404],
    ["on the owner", EVERYTHING, 403],
  ])("%s changes those, and neither creates nor manages channels", async (_, on, creating) => {
    const name = await holderOf("owner", LIB, on);
    const api = apiOf(server, name);
    expect(await publish(name, "lib-a")).toBe(201);
    expect(await publish(name, "lib-a", { channel: `alice/conda/new-${unique()}` })).toBe(403);
    const made = await api("POST", "/channels", { owner: "alice", name: `new-${unique()}` });
    expect(made.status).toBe(creating);
    const changed = await api("PATCH", "/channels/alice/main", { description: "mine" });
    expect([changed.status, changed.text]).toEqual([403, expect.stringContaining("limited to some packages")]);
    for (const [method, path, body] of [
      ["PUT", "/members/guest", { role: "owner" }],
      ["PUT", `/members/${name}`, { role: "owner" }],
      ["GET", "/members", undefined],
      ["DELETE", "?confirm=alice/main", undefined],
      ["POST", "/transfer", { new_owner: name }],
    ] as const)
      expect([path, (await api(method, `/channels/alice/main${path}`, body)).status]).toEqual([path, 403]);
    expect((await alice("GET", "")).json).toMatchObject({ description: "" });
    expect((await api("GET", "/channels?owner=alice")).text).not.toContain("new-");
  });
});

describe("a maintainer for some packages", () => {
  test("deletes and quarantines those alone", async () => {
    const name = await holderOf("maintainer", LIB);
    const files = { tool: await published("tool"), lib: await published("lib-a"), bad: await published("lib-bad") };
    const quarantine = async (fileName: string): Promise<number> => {
      const path = `/channels/alice/main/files/noarch/${fileName}/quarantine`;
      return (await apiOf(server, name)("POST", path, { reason: "bad" })).status;
    };
    expect([await quarantine(files.tool), await quarantine(files.bad)]).toEqual([403, 200]);
    expect([await remove(name, files.tool), await remove(name, files.lib)]).toEqual([403, 204]);
    const [tool, lib] = [`tool-${unique()}`, `lib-${unique()}`];
    await published(tool);
    await published(lib);
    const version = async (of: string): Promise<number> =>
      (await apiOf(server, name)("DELETE", `/packages/alice/conda/main%2F${of}/1`)).status;
    expect([await version(tool), await version(lib)]).toEqual([403, 204]);
    expect(await reads("alice", `noarch/${files.tool}`)).toBe(200);
  });
});

describe("two roles together", () => {
  /** Whether the holder can publish and delete `lib-a` and `tool`. */
  async function rights(name: string): Promise<string> {
    const [lib, tool] = [await published("lib-a"), await published("tool")];
    const can = [
      (await publish(name, "lib-a")) === 201,
      (await remove(name, lib)) === 204,
      (await publish(name, "tool")) === 201,
      (await remove(name, tool)) === 204,
    ];
    return can.map((yes) => (yes ? "+" : "-")).join("");
  }

  test.each<[Role, string[] | undefined, Role, string[] | undefined, string]>([
    ["maintainer", LIB, "publisher", undefined, "+++-"],
    ["publisher", undefined, "maintainer", LIB, "+++-"],
    ["publisher", LIB, "maintainer", undefined, "++++"],
    ["maintainer", LIB, "reader", undefined, "++--"],
    ["publisher", LIB, "publisher", ["tool"], "+-+-"],
    ["owner", ["tool"], "publisher", LIB, "+-++"],
  ])("%s of %j on the channel and %s of %j on the owner are the wider one, package by package", async (...row) => {
    const [role, packages, onOwner, ofOwner, expected] = row;
    const name = await holderOf(role, packages);
    await server.manage.grants.set(EVERYTHING, name, onOwner, ofOwner);
    expect(await rights(name)).toBe(expected);
    const { remaining } = await server.manage.grants.revoke(MAIN, name);
    expect(remaining).toEqual({ role: onOwner, packages: ofOwner ?? ["*"] });
  });
});

test("a role for some packages is narrowed, widened and revoked at once", async () => {
  const name = await holderOf("publisher", LIB);
  expect([await publish(name, "lib-a"), await publish(name, "tool")]).toEqual([201, 403]);
  await server.manage.grants.set(MAIN, name, "publisher", ["tool"]);
  expect([await publish(name, "lib-a"), await publish(name, "tool")]).toEqual([403, 201]);
  await server.manage.grants.set(MAIN, name, "publisher");
  expect([await publish(name, "lib-a"), await publish(name, "tool")]).toEqual([201, 201]);
  await server.manage.grants.set(MAIN, name, "publisher", LIB);
  await server.manage.grants.revoke(MAIN, name);
  expect([await publish(name, "lib-a"), await publish(name, "tool"), await reads(name)]).toEqual([403, 403, 403]);
});

test("a role whose packages cannot be read any more changes none", async () => {
  const name = await holderOf("publisher", LIB);
  tables.run('UPDATE "grant" SET packages = ? WHERE id = (SELECT max(id) FROM "grant")', "{");
  expect([await publish(name, "lib-a"), await publish(name, "tool"), await reads(name)]).toEqual([403, 403, 200]);
});

test("teams and robots of an organization hold roles for some packages, whatever the team's own packages are", async () => {
  await server.manage.organizations.create({ name: "acme", owner: "alice" });
  const { id } = await server.manage.teams.create("acme", { name: "devs", role: "reader", packages: ["x-*"] });
  const member = `m-${unique()}`;
  await server.addUser(member);
  await server.manage.teams.addMember(id, member);
  expect((await alice("PUT", `/teams/${id}`, { role: "publisher", packages: LIB })).status).toBe(204);
  expect((await alice("GET", `/teams/${id}`)).json).toEqual({
    team: "acme/devs",
    id,
    role: "publisher",
    packages: LIB,
    on: "alice/main",
  });
  const names = ["lib-a", "tool", "x-a"];
  const statuses = await Promise.all(names.map((of) => publish(member, of)));
  expect(statuses).toEqual([201, 403, 403]);
  await server.manage.robots.create("acme", "ci");
  expect((await alice("PUT", "/members/acme%2Fci", { role: "publisher", packages: LIB })).status).toBe(204);
  const token = await newToken(server.manage, { user: "acme/ci", name: "t", scopes: ["write:package"] });
  const put = async (of: string): Promise<number> => {
    const { fileName, bytes } = built(of);
    return (await server.withToken(token).put(`/api/packages/alice/conda/main/${fileName}`, bytes)).status;
  };
  expect([await put("lib-a"), await put("tool")]).toEqual([201, 403]);
});
