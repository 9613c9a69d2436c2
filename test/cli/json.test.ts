// The JSON of every command: null for what is absent, and times in ISO 8601 UTC.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { COMMAND_LINE } from "../../src/services/actor.ts";
import { startTestApp, type TestApp } from "../support/app.ts";
import { newToken } from "../support/manage.ts";
import { buildPackage } from "../support/package-builder.ts";
import { openTables } from "../support/rows.ts";
import { runHere } from "../support/run-here.ts";

/** A text with a token that works. */
const LEAK = join(tmpdir(), `condarium-leak-${process.pid}.txt`);

let server: TestApp;
const built = buildPackage({ name: "listed", version: "1" });
beforeAll(async () => {
  server = await startTestApp();
  const alice = await server.addUser("alice", { admin: true });
  for (const channel of ["main", "torn"])
    expect((await alice.put(`/api/packages/alice/conda/${channel}/${built.fileName}`, built.bytes)).status).toBe(201);
  await server.manage.channels.create({ owner: "alice", channel: "described" }, { description: "text" });
  await server.manage.organizations.create({ name: "before", owner: "alice" });
  await server.manage.organizations.rename("before", "acme");
  await server.manage.robots.create("acme", "ci");
  await newToken(server.manage, { user: "alice", name: "never used" });
  const held = { channel: { owner: "alice", channel: "described" }, section: "noarch", fileName: built.fileName };
  const put = alice.put(`/api/packages/alice/conda/described/${built.fileName}`, built.bytes);
  expect((await put).status).toBe(201);
  await server.app.quarantines.quarantine(COMMAND_LINE, held, "a reason");
  const token = await newToken(server.manage, { user: "alice", name: "used", lifetime: 3_600_000 });
  expect((await server.withToken(token).get("/alice/main/noarch/repodata.json")).status).toBe(200);
  await server.addUser("leaky");
  await Bun.write(LEAK, `${await newToken(server.manage, { user: "leaky", name: "leaked" })}\n`);
  for (let waited = 0; waited < 500 && !(await isUsed()); waited++) await Bun.sleep(10);
  await server.manage.tokens.revoke("alice", "used");
});
afterAll(async () => {
  await rm(LEAK, { force: true });
  for (const folder of ["backup", "restored"]) await rm(`${server.folder}-${folder}`, { recursive: true, force: true });
  await server.close();
});

async function isUsed(): Promise<boolean> {
  return (await server.manage.tokens.list("alice")).some(({ lastUsed }) => lastUsed !== null);
}

/** The values that the command prints as JSON. */
async function json(args: readonly string[], data = server.folder): Promise<unknown[]> {
  const values: unknown[] = [];
  const output = {
    line: (text: string) => void values.push(JSON.parse(text)),
    note: () => {},
    rows: (rows: readonly unknown[], isJson: boolean) => void values.push(isJson ? [...rows] : "a table"),
  };
  expect([0, 1]).toContain(await runHere([...args, "--json", "--data", data], output));
  return values;
}

/** Every text, number and null in a value, with the name of its member. */
function leavesOf(value: unknown, name = ""): (readonly [name: string, leaf: unknown])[] {
  if (value === null || typeof value !== "object") return [[name, value]];
  return Object.entries(value).flatMap(([key, inner]) => leavesOf(inner, Array.isArray(value) ? name : key));
}

const TIMES = ["at", "since", "created", "expires", "lastUsed", "revoked", "until"];
const COMMANDS: readonly (readonly string[])[] = [
  ["user", "list"],
  ["token", "find", LEAK],
  ["org", "list"],
  ["org", "show", "acme"],
  ["org", "members", "acme"],
  ["team", "list", "acme"],
  ["team", "show", "acme/owners"],
  ["robot", "list", "acme"],
  ["name", "list"],
  ["token", "list", "alice"],
  ["channel", "list"],
  ["channel", "show", "alice/main"],
  ["audit", "--action", "publish"],
  ["quarantine", "--list"],
  ["config", "show"],
  ["gc", "--dry-run"],
  ["reindex"],
  ["verify", "--full"],
];

describe("the JSON of a command", () => {
  const check = (values: readonly unknown[]): void => {
    const leaves = leavesOf(values);
    expect(leaves.length).toBeGreaterThan(0);
    for (const [name, leaf] of leaves) {
      expect(["", "-", "never", "none", "undefined", "a table"]).not.toContain(leaf as string);
      expect([name, leaf]).not.toEqual([name, undefined]);
      if (TIMES.includes(name) && leaf !== null) expect(leaf).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
      // A time in ms since 1970 would be such a number.
      if (typeof leaf === "number") expect([name, leaf > 1e12]).toEqual([name, false]);
    }
  };

  test.each(COMMANDS.map((args) => [args.join(" "), args] as const))(
    "%s has null and ISO times",
    async (name, args) => {
      if (name.startsWith("verify")) await tear();
      check(await json(args));
    },
  );

  test("backup and restore has null and ISO times", async () => {
    const [target, restored] = [`${server.folder}-backup`, `${server.folder}-restored`];
    const summaries = [
      ...(await json(["backup", target])),
      ...(await json(["restore", target, "--incomplete"], restored)),
    ];
    check(summaries);
    const times = leavesOf(summaries).filter(([name]) => name === "created");
    expect(times.length).toBeGreaterThan(1);
  });

  test("is checked here for every command that has --json", async () => {
    const folder = join(import.meta.dir, "../../src/cli");
    const texts = await Promise.all(
      [...new Bun.Glob("*.ts").scanSync(folder)].map((name) => Bun.file(join(folder, name)).text()),
    );
    const options = texts.join("").match(/\.option\("--json"/g) ?? [];
    expect(options).toHaveLength(COMMANDS.length + ["backup", "restore"].length);
  });

  test("of a token says null for a time that has not come, and the time otherwise", async () => {
    const [rows] = await json(["token", "list", "alice"]);
    const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:]+Z$/);
    expect(rows).toEqual([
      expect.objectContaining({ name: "never used", created: time, expires: null, lastUsed: null, revoked: null }),
      expect.objectContaining({ name: "used", created: time, expires: time, lastUsed: time, revoked: time }),
    ]);
  });

  test("of channels says null without a description", async () => {
    const [rows] = await json(["channel", "list", "alice"]);
    const described = (rows as { channel: string; description: unknown }[]).map((row) => [
      row.channel,
      row.description,
    ]);
    expect(described).toContainEqual(["alice/described", "text"]);
    expect(described).toContainEqual(["alice/main", null]);
    expect(await json(["channel", "show", "alice/main"])).toMatchObject([{ description: null }]);
    expect(await json(["channel", "show", "alice"])).toMatchObject([{ owner: "alice", grants: [] }]);
  });

  /** A problem for `verify` to print. */
  async function tear(): Promise<void> {
    const tables = openTables(server.folder);
    tables.run("UPDATE package_blob SET size = size + 1");
    tables.close();
  }
});
