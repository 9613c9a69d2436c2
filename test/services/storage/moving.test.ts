// A registry moves between SQLite and PostgreSQL by a backup, and keeps every row and every byte.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Database as Connection } from "bun:sqlite";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { basic, PASSWORD } from "../../support/app.ts";
import { copyClosedFolder } from "../../support/copy-folder.ts";
import { spawnCrashing } from "../../support/crashing.ts";
import {
  addOrganization,
  fillRegistry,
  makeOlder,
  postgresRows,
  readRegistry,
  readServer,
  sqliteRows,
  tablesOf,
} from "../../support/moving-registry.ts";
import { buildPackage } from "../../support/package-builder.ts";
import { hasPostgres, sharedPostgres, type SharedPostgres } from "../../support/postgres.ts";
import { freePort } from "../../support/private-server.ts";
import { condarium, serve, type Ended, type ServerProcess } from "../../support/server-process.ts";
import { says, startTcpProxy, type TcpProxy } from "../../support/tcp-proxy.ts";

const isHere = hasPostgres("moving between SQLite and PostgreSQL");

let room: string;
let postgres: SharedPostgres;
/** Documents contain the address of their server. */
let sameUrl: readonly string[];
beforeEach(async () => {
  sameUrl = ["--listen", `127.0.0.1:${await freePort()}`];
  room = await mkdtemp(join(tmpdir(), "condarium-moving-"));
  postgres = await sharedPostgres();
});
afterEach(async () => {
  for (const server of servers.splice(0)) if (server.child.exitCode === null) await server.end("SIGKILL");
  await rm(room, { recursive: true, force: true, maxRetries: 5 });
});

/** Servers, which end with their test. */
const servers: ServerProcess[] = [];
async function start(folder: string, settings: readonly string[]): Promise<ServerProcess> {
  const server = await serve(folder, settings);
  servers.push(server);
  return server;
}

const at = (name: string): string => join(room, name);

/** Runs a command that must succeed. */
async function done(...args: string[]): Promise<Ended> {
  const ended = await condarium(args);
  expect([args[0], ended.code, ended.stderr]).toEqual([args[0], 0, expect.any(String)]);
  return ended;
}

async function manifestOf(backup: string) {
  return await Bun.file(join(backup, "backup.json")).json();
}

async function publish(url: string, name: string, version: string): Promise<number> {
  const { fileName, bytes } = buildPackage({ name, version });
  const answer = await fetch(`${url}/api/packages/alice/conda/main/${fileName}`, {
    method: "PUT",
    headers: basic("alice", PASSWORD),
    body: bytes.slice(),
  });
  await answer.text();
  return answer.status;
}

describe.skipIf(!isHere)("a registry", () => {
  test("keeps every row, document and id on its way to PostgreSQL and back", async () => {
    const token = await fillRegistry(at("one"));
    await addOrganization(at("one"));
    const rows = sqliteRows(at("one"));
    const url = await postgres.createDatabase();
    await done("backup", at("b1"), "--data", at("one"));
    await done("restore", at("b1"), "--data", at("two"), "--database", url);
    expect(await postgresRows(postgres, url)).toEqual(rows);
    const totals = await totalsOf(url);
    expect(totals).toEqual({ files: 9, blobs: 8, bytes: expect.any(Number) });
    expect<Totals | null>(totals).toEqual(sqliteTotals(at("one")));
    await done("backup", at("b2"), "--data", at("two"), "--database", url);
    await done("restore", at("b2"), "--data", at("three"));
    expect(sqliteRows(at("three"))).toEqual(rows);
    // The files of rows are equal byte by byte, and so are the assigned ids.
    const [one, two] = [await manifestOf(at("b1")), await manifestOf(at("b2"))];
    expect(two).toEqual({ ...one, created: two.created, rows: two.rows });

    // Needs no database, whatever the settings say.
    const checked = await condarium(["verify", "--backup", at("b2")], { CONDARIUM_DATABASE: url });
    expect([checked.code, checked.stderr]).toEqual([0, expect.stringContaining(" 0 problems")]);

    const answers = await readRegistry(at("one"), sameUrl);
    expect(Object.values(answers).filter((line) => line.startsWith("200")).length).toBeGreaterThan(50);
    expect(await readRegistry(at("three"), sameUrl)).toEqual(answers);
    const server = await start(at("two"), ["--database", url, ...sameUrl]);
    expect(await readServer(server.url)).toEqual(answers);
    const withToken = await fetch(`${server.url}/alice/secret/noarch/repodata.json`, {
      headers: { authorization: `Bearer ${token}` },
    });
    expect([withToken.status, await withToken.json()]).toEqual([200, expect.anything()]);
    expect(await publish(server.url, "newer", "1")).toBe(201);
    const changed = await readServer(server.url);
    expect(changed["/alice/main/noarch/repodata.json"]).not.toBe(answers["/alice/main/noarch/repodata.json"] ?? "");
    const later = await postgresRows(postgres, url);
    // The triggers count again.
    expect(await totalsOf(url)).toMatchObject({ files: totals.files + 1, blobs: totals.blobs + 1 });
    expect(newIds(later, rows, "package_file")).toEqual([1 + lastId(one, "package_file")]);
    expect(newIds(later, rows, "package_version")).toEqual([1 + lastId(one, "package_version")]);
    expect((await done("verify", "--deep", "--data", at("two"), "--database", url)).stderr).toContain(" 0 problems");
    await done("reindex", "--data", at("two"), "--database", url);
    await done("gc", "--data", at("two"), "--database", url);

    await done("backup", at("b2"), "--data", at("two"), "--database", url);
    await server.end("SIGTERM");
    await done("restore", at("b2"), "--data", at("four"));
    expect(await readRegistry(at("four"), sameUrl)).toEqual(changed);
    await done("verify", "--deep", "--data", at("four"));
  }, 240_000);

  test("of an older schema is migrated on its way to PostgreSQL", async () => {
    await fillRegistry(at("one"));
    await done("backup", at("b1"), "--data", at("one"));
    await makeOlder(at("b1"));
    const url = await postgres.createDatabase();
    await done("restore", at("b1"), "--data", at("two"), "--database", url);
    await done("restore", at("b1"), "--data", at("three"));
    const rows = await postgresRows(postgres, url);
    expect(rows).toEqual(sqliteRows(at("three")));
    expect(rows["principal"]).toHaveLength(4);
    await done("verify", "--deep", "--data", at("two"), "--database", url);
  }, 120_000);

  test("that PostgreSQL cannot hold is refused by the name of the table, and leaves nothing", async () => {
    await fillRegistry(at("one"));
    const database = new Connection(join(at("one"), "condarium.db"));
    database.run("UPDATE channel SET description = 'a' || char(0) || 'b' WHERE name = 'main'");
    database.close();
    await done("backup", at("b1"), "--data", at("one"));
    const url = await postgres.createDatabase();
    const refused = await condarium(["restore", at("b1"), "--data", at("two"), "--database", url]);
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(/^condarium: [^\n]*row of channel[^\n]*$/m),
    ]);
    expect(await tablesOf(postgres, url)).toEqual([]);
    expect(await readdir(room)).not.toContain("two");
  }, 60_000);

  test("on PostgreSQL is backed up consistently while clients publish and delete", async () => {
    await fillRegistry(at("one"));
    await done("backup", at("b1"), "--data", at("one"));
    const [url, other] = [await postgres.createDatabase(), await postgres.createDatabase()];
    await done("restore", at("b1"), "--data", at("two"), "--database", url);
    const server = await start(at("two"), ["--database", url, ...sameUrl]);
    const ending = new AbortController();
    const acknowledged: string[] = [];
    const load = (async () => {
      for (let version = 0; !ending.signal.aborted && version < 1000; version += 1) {
        expect(await publish(server.url, `busy${version % 5}`, `${version}`)).toBe(201);
        acknowledged.push(`busy${version % 5}-${version}-0.conda`);
      }
    })();
    while (acknowledged.length < 5) await Bun.sleep(10);
    const before = acknowledged.length;
    await done("backup", at("b2"), "--data", at("two"), "--database", url);
    const after = acknowledged.length;
    ending.abort();
    await load;
    await server.end("SIGTERM");
    expect(after).toBeGreaterThan(before);
    await done("restore", at("b2"), "--data", at("three"));
    await done("restore", at("b2"), "--data", at("four"), "--database", other);
    await done("verify", "--deep", "--data", at("three"));
    await done("verify", "--deep", "--data", at("four"), "--database", other);
    const files = sqliteRows(at("three"))["package_file"]?.join("\n") ?? "";
    for (const name of acknowledged.slice(0, before)) expect(files).toContain(`"${name}"`);
    expect(await postgresRows(postgres, other)).toEqual(sqliteRows(at("three")));
  }, 240_000);
});

describe.skipIf(!isHere)("a restore into PostgreSQL", () => {
  let url: string;
  let proxy: TcpProxy;
  beforeEach(async () => {
    url = await postgres.createDatabase();
    proxy = await startTcpProxy(postgres);
    await fillRegistry(at("one"));
    await done("backup", at("b1"), "--data", at("one"));
  }, 60_000);
  afterEach(() => proxy.close());

  const restore = (database = url): Promise<Ended> =>
    condarium(["restore", at("b1"), "--data", at("two"), "--database", database]);

  test.each(["r1.checked", "r2.contents_copied"])(
    "that is killed at %s leaves an empty database that nothing starts on, and the next one completes it",
    async (point) => {
      const killed = spawnCrashing(["restore", at("b1"), "--data", at("two"), "--database", url], `${point}=kill`);
      expect(await killed.exited).toBe(137);
      await disconnected(url);
      expect(await tablesOf(postgres, url)).toEqual([]);
      for (const settings of [["--database", url], []]) {
        expect(start(at("two"), settings)).rejects.toThrow("the server did not start");
        expect((await condarium(["verify", "--data", at("two"), ...settings])).code).not.toBe(0);
      }
      expect(await tablesOf(postgres, url)).toEqual([]);
      expect(await restore()).toMatchObject({ code: 0, stderr: expect.stringContaining(" 0 problems") });
      expect(await postgresRows(postgres, url)).toEqual(sqliteRows(at("one")));
      await done("verify", "--full", "--data", at("two"), "--database", url);
    },
    60_000,
  );

  test("that was interrupted can be continued into SQLite", async () => {
    const args = ["restore", at("b1"), "--data", at("two"), "--database", url];
    expect(await spawnCrashing(args, "r2.contents_copied=kill").exited).toBe(137);
    await done("restore", at("b1"), "--data", at("two"));
    expect(sqliteRows(at("two"))).toEqual(sqliteRows(at("one")));
    await done("verify", "--full", "--data", at("two"));
  }, 60_000);

  test("that is killed after its commit is complete, and a server starts on it", async () => {
    const args = ["restore", at("b1"), "--data", at("two"), "--database", url];
    expect(await spawnCrashing(args, "r3.in_place=kill").exited).toBe(137);
    expect(await postgresRows(postgres, url)).toEqual(sqliteRows(at("one")));
    const again = await restore();
    expect([again.code, again.stderr]).toEqual([2, expect.stringContaining("is not empty")]);
    expect(await readRegistry(at("two"), ["--database", url, ...sameUrl])).toEqual(
      await readRegistry(at("one"), sameUrl),
    );
  }, 60_000);

  test("whose connection is cut before the commit leaves an empty database, and the next one completes it", async () => {
    await proxy.setFault({ kind: "lose request", matches: says("COMMIT"), end: "cut" });
    const failed = await restore(proxy.through(url));
    expect([failed.code, proxy.hits()]).toEqual([1, 1]);
    expect(failed.stderr).toMatch(/^condarium: The database [^\n]*\n$/);
    await disconnected(url);
    expect(await tablesOf(postgres, url)).toEqual([]);
    expect(await restore()).toMatchObject({ code: 0, stderr: expect.stringContaining(" 0 problems") });
    expect(await postgresRows(postgres, url)).toEqual(sqliteRows(at("one")));
  }, 60_000);

  test("whose connection is cut while rows are sent leaves nothing", async () => {
    await proxy.setFault({ kind: "lose request", matches: says("json_populate_recordset"), end: "cut" });
    expect((await restore(proxy.through(url))).code).toBe(1);
    await disconnected(url);
    expect(await tablesOf(postgres, url)).toEqual([]);
    expect(await readdir(room)).not.toContain("two");
  }, 60_000);

  test("that does not hear of its commit looks, and says that it is complete", async () => {
    await proxy.setFault({ kind: "lose answer", matches: says("COMMIT"), end: "cut" });
    const looked = await restore(proxy.through(url));
    expect([looked.code, looked.stderr, proxy.hits()]).toEqual([0, expect.stringContaining("0 problems"), 1]);
    expect(await postgresRows(postgres, url)).toEqual(sqliteRows(at("one")));
  }, 60_000);

  test("is refused by a database with tables, and by a folder with a database of its own", async () => {
    await postgres.asSuperuser(url, "CREATE TABLE letters (id int)");
    const foreign = await restore();
    expect([foreign.code, foreign.stderr]).toEqual([2, expect.stringMatching(/postgres:\/\/[^@]*is not empty/)]);
    expect(await tablesOf(postgres, url)).toEqual(["letters"]);
    expect(await readdir(room)).not.toContain("two");
    const other = await postgres.createDatabase();
    await copyClosedFolder(at("one"), at("two"));
    expect((await restore(other)).code).toBe(2);
    expect(await tablesOf(postgres, other)).toEqual([]);
    expect(sqliteRows(at("two"))).toEqual(sqliteRows(at("one")));
  }, 60_000);

  test("names the server that it cannot reach, without the password, and leaves no folder", async () => {
    const refused = await restore("postgres://condarium:canary-secret@127.0.0.1:1/none");
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(/^condarium: [^\n]*postgres:\/\/127\.0\.0\.1:1\/none[^\n]*\n$/),
    ]);
    expect(refused.stdout + refused.stderr).not.toContain("canary-secret");
    expect(await readdir(room)).not.toContain("two");
  }, 60_000);

  test("of a damaged backup leaves neither tables nor a folder, and with --incomplete restores the rest", async () => {
    const blobs = await readdir(join(at("b1"), "blobs"), { recursive: true });
    await rm(join(at("b1"), "blobs", blobs.find((name) => name.length > 60) ?? ""));
    const refused = await restore();
    expect([refused.code, refused.stdout]).toEqual([1, expect.stringContaining("it is missing")]);
    expect(await tablesOf(postgres, url)).toEqual([]);
    expect(await readdir(room)).not.toContain("two");
    const args = ["restore", at("b1"), "--data", at("two"), "--database", url, "--incomplete"];
    expect((await condarium(args)).code).toBe(1);
    expect(await postgresRows(postgres, url)).toEqual(sqliteRows(at("one")));
  }, 60_000);
});

describe.skipIf(!isHere)("a data folder", () => {
  test("of one engine is not used with the other", async () => {
    const url = await postgres.createDatabase();
    await fillRegistry(at("file"));
    await (await start(at("server"), ["--database", url])).end("SIGTERM");
    const wrong = [
      [at("file"), ["--database", url], "has a database of its own"],
      [at("server"), [], "is on a PostgreSQL server"],
    ] as const;
    for (const [folder, settings, message] of wrong) {
      const before = await readdir(folder);
      expect(start(folder, settings)).rejects.toThrow(message);
      const ended = await condarium(["gc", "--grace", "0", "--data", folder, ...settings]);
      expect([ended.code, ended.stderr]).toEqual([2, expect.stringContaining(message)]);
      expect((await readdir(folder)).filter((name) => !before.includes(name))).toEqual([]);
    }
    await rm(join(at("file"), "condarium.db"));
    expect(start(at("file"), ["--database", url])).rejects.toThrow("which is missing");
    expect((await condarium(["verify", "--data", at("file"), "--database", url])).code).toBe(2);
    await done("verify", "--data", at("server"), "--database", url);
  }, 60_000);
});

type Totals = { readonly files: number; readonly blobs: number; readonly bytes: number };
const TOTALS = "SELECT sum(files) AS files, sum(blobs) AS blobs, sum(bytes) AS bytes FROM stored_total";

async function totalsOf(url: string): Promise<Totals> {
  const [{ files, blobs, bytes } = {}] = await postgres.asSuperuser(url, TOTALS);
  return { files: Number(files), blobs: Number(blobs), bytes: Number(bytes) };
}

function sqliteTotals(folder: string): Totals | null {
  const database = new Connection(join(folder, "condarium.db"), { readonly: true });
  const totals = database.query<Totals, []>(TOTALS).get();
  database.close();
  return totals;
}

async function disconnected(url: string): Promise<void> {
  while ((await postgres.connectionCount(url)) > 0) await Bun.sleep(20);
}

type Manifest = { readonly tables: readonly { readonly name: string; readonly last_id: number | null }[] };

function lastId({ tables }: Manifest, name: string): number {
  return tables.find((table) => table.name === name)?.last_id ?? 0;
}

/** The ids of the rows that are only in `later`. */
function newIds(later: Record<string, string[]>, before: Record<string, string[]>, name: string): number[] {
  const old = new Set(before[name]);
  return (later[name] ?? []).filter((row) => !old.has(row)).map((row) => Number(new Map(JSON.parse(row)).get("id")));
}
