// Every command on a registry in PostgreSQL, beside its server and after a restart of it.

import { expect, test } from "bun:test";
import type { UserInfo } from "../../src/services/users.ts";
import { startTestApp } from "../support/app.ts";
import { createBucket } from "../support/engines.ts";
import { freshPackage, startNode, type Node } from "../support/postgres-node.ts";
import { sharedPostgres } from "../support/postgres.ts";

async function onNode(work: (node: Node, url: string) => Promise<void>): Promise<void> {
  const postgres = await sharedPostgres();
  const url = await postgres.createDatabase();
  await using node = await startNode(url);
  await node.addUser();
  await work(node, url);
}

async function succeeds(node: Node, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await node.run(args);
  expect([args, code, stderr]).toEqual([args, 0, stderr]);
  return stdout;
}

async function fails(node: Node, reason: string, ...args: readonly string[]): Promise<void> {
  const { code, stderr } = await node.run(args);
  expect([args, code, stderr]).toEqual([args, 1, expect.stringContaining(reason)]);
}

test("users, tokens, channels and grants are managed as on SQLite", () =>
  onNode(async (node) => {
    await succeeds(node, "user", "create", "bob");
    const users = JSON.parse(await succeeds(node, "user", "list", "--json")) as UserInfo[];
    expect(users.map(({ name, admin, disabled }) => [name, admin, disabled])).toEqual([
      ["admin", true, false],
      ["bob", false, false],
      ["user", false, false],
    ]);
    await fails(node, "taken", "user", "create", "bob");
    for (const verb of ["disable", "enable", "hide", "unhide", "unlock", "set-password"])
      await succeeds(node, "user", verb, "bob");
    await fails(node, "administrator", "user", "disable", "admin");
    await succeeds(node, "channel", "create", "bob/tools");
    await succeeds(node, "channel", "set", "bob/tools", "--visibility", "private");
    await succeeds(node, "channel", "grant", "bob/tools", "user", "reader");
    expect(await succeeds(node, "channel", "show", "bob/tools", "--json")).toContain('"private"');
    expect(await succeeds(node, "channel", "list", "--json")).toContain("bob/tools");
    const token = (await succeeds(node, "token", "create", "user", "--name", "ci")).trim();
    const path = "/bob/tools/noarch/repodata.json";
    expect((await node.get(path)).status).toBe(401);
    expect((await node.get(path, { authorization: `Bearer ${token}` })).status).toBe(200);
    await succeeds(node, "channel", "revoke", "bob/tools", "user");
    expect((await node.get(path, { authorization: `Bearer ${token}` })).status).not.toBe(200);
    expect(await succeeds(node, "token", "list", "user", "--json")).toContain('"ci"');
    await fails(node, "channel", "user", "delete", "bob");
    await succeeds(node, "channel", "delete", "bob/tools");
    await succeeds(node, "user", "delete", "bob");
    expect(await succeeds(node, "user", "list")).not.toContain("bob");
  }));

test("a channel with files is checked, rebuilt, collected and deleted beside its server", () =>
  onNode(async (node) => {
    const packages = [freshPackage(), freshPackage(), freshPackage()];
    for (const built of packages) expect((await node.publish(built)).status).toBe(201);
    const names = packages.map(({ fileName }) => fileName).sort();
    expect(await node.listed()).toEqual(names);
    for (const built of packages) {
      const { status, text } = await node.get(`/user/main/noarch/${built.fileName}`);
      expect([status, Buffer.from(text, "latin1").equals(built.bytes)]).toEqual([200, true]);
    }
    for (const level of [[], ["--full"], ["--deep"]]) await succeeds(node, "verify", ...level);
    await succeeds(node, "reindex");
    await succeeds(node, "gc", "--grace", "0s");
    expect(await node.listed()).toEqual(names);
    expect((await node.remove(packages[0] ?? freshPackage())).status).toBe(204);
    await succeeds(node, "gc", "--grace", "0s");
    expect((await node.get(`/user/main/noarch/${names[0]}`)).status).toBe(404);
    expect((await node.run(["channel", "delete", "user/main"])).stderr).toContain("Nothing was deleted");
    await succeeds(node, "channel", "delete", "user/main", "--yes");
    expect((await node.get("/user/main/noarch/repodata.json")).status).toBe(401);
    await succeeds(node, "gc", "--grace", "0s");
    await succeeds(node, "verify", "--deep");
  }));

test("the last administrator cannot be disabled, even when two servers disable one of two each", async () => {
  const postgres = await sharedPostgres();
  const settings = { database: await postgres.createDatabase(), ...(await createBucket()).settings };
  const servers = [await startTestApp({ settings }), await startTestApp({ settings })] as const;
  const [{ manage }] = servers;
  for (const name of ["one", "two"]) await servers[0].addUser(name, { admin: true });
  for (let round = 0; round < 15; round++) {
    const outcomes = await Promise.allSettled([
      servers[0].manage.users.setDisabled("one", true),
      servers[1].manage.users.setDisabled("two", true),
    ]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    for (const name of ["one", "two"]) await manage.users.setDisabled(name, false);
  }
  for (const server of servers) await server.close();
});
