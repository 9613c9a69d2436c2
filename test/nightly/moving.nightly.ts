// A large registry moves from SQLite to PostgreSQL and back, with its times; and rows of the greatest size do.

import { afterAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seedChannel } from "../bench/channel-seed.ts";
import { documentPaths } from "../support/documents.ts";
import { postgresRows, sqliteRows } from "../support/moving-registry.ts";
import { hasPostgres, sharedPostgres } from "../support/postgres.ts";
import { freePort } from "../support/private-server.ts";
import { condarium, serve } from "../support/server-process.ts";
import { seedWorstChannel } from "../support/worst-channels.ts";

const MIB = 1024 ** 2;
const isHere = hasPostgres("moving a large registry");
const folders: string[] = [];
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

type Registry = { readonly channel: string; readonly seed: (folder: string) => Promise<unknown> };
const REGISTRIES: Readonly<Record<string, Registry>> = {
  "10,000 records": { channel: "admin/main", seed: (folder) => seedChannel(folder, 10_000) },
  "five rows of 16 MiB": {
    channel: "busy/main",
    seed: (folder) =>
      seedWorstChannel(folder, { names: 5, files: 1, record: 0, runExports: 16 * MIB, text: "repeated" }),
  },
};

test.skipIf(!isHere).each(Object.keys(REGISTRIES))(
  "a registry of %s keeps its rows and documents both ways",
  async (name) => {
    const room = await mkdtemp(join(tmpdir(), "condarium-moving-"));
    folders.push(room);
    const at = (part: string): string => join(room, part);
    const registry = REGISTRIES[name];
    if (!registry) throw new Error("there is no such registry");
    await registry.seed(at("one"));
    const postgres = await sharedPostgres();
    const url = await postgres.createDatabase();
    const times: Record<string, number> = {};
    const run = async (what: string, ...args: string[]): Promise<void> => {
      const started = performance.now();
      const { code, stderr } = await condarium(args);
      times[what] = Math.round(performance.now() - started);
      // The records have no packages: that is a problem of the backup, and not of its rows.
      expect([what, code, stderr]).toEqual([what, 1, expect.stringMatching(/ problems\.\n$/)]);
    };
    await run("SQLite → backup", "backup", at("b1"), "--data", at("one"));
    await run("backup → PostgreSQL", "restore", at("b1"), "--data", at("two"), "--database", url, "--incomplete");
    await run("PostgreSQL → backup", "backup", at("b2"), "--data", at("two"), "--database", url);
    await run("backup → SQLite", "restore", at("b2"), "--data", at("three"), "--incomplete");
    console.log(name, JSON.stringify(times), "ms");
    const rows = sqliteRows(at("one"));
    expect(sqliteRows(at("three"))).toEqual(rows);
    expect(await postgresRows(postgres, url)).toEqual(rows);

    const listen = ["--listen", `127.0.0.1:${await freePort()}`];
    const documents = await readDocuments(registry.channel, at("one"), listen);
    expect(Object.values(documents).filter((line) => line.startsWith("200")).length).toBeGreaterThan(10);
    expect(await readDocuments(registry.channel, at("two"), ["--database", url, ...listen])).toEqual(documents);
    expect(await readDocuments(registry.channel, at("three"), listen)).toEqual(documents);
  },
);

async function readDocuments(
  channel: string,
  folder: string,
  settings: readonly string[],
): Promise<Record<string, string>> {
  const server = await serve(folder, settings);
  const found: Record<string, string> = {};
  for (const path of [...documentPaths("linux-64"), ...documentPaths("noarch").slice(0, 10)]) {
    const answer = await fetch(`${server.url}/${channel}/${path}`, { headers: { "accept-encoding": "identity" } });
    found[path] = `${answer.status} ${answer.headers.get("etag")} ${Bun.hash(await answer.bytes())}`;
  }
  await server.end("SIGTERM");
  return found;
}
