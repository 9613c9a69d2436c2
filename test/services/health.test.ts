// The server's maintenance of its database log and disk without requests.

import { Database as Connection } from "bun:sqlite";
import { afterAll, expect, test } from "bun:test";
import { appendFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEvents } from "../../src/events.ts";
import { openDataFolder } from "../../src/models/data-folder.ts";
import { openDatabase } from "../../src/models/open-database.ts";
import { createFolderGuard } from "../../src/models/folder-guard.ts";
import { findOwner, insertOwner } from "../../src/models/owner.ts";
import { systemClock } from "../../src/modules/clock.ts";
import { createLogger } from "../../src/modules/log.ts";
import { createMetrics } from "../../src/modules/metrics.ts";
import { createDiskProbe } from "../../src/modules/storage/disk-probe.ts";
import { createHealth } from "../../src/services/health.ts";
import { jsonOf } from "../support/answers.ts";
import { startTestApp } from "../support/app.ts";
import { leaveOut } from "../support/left-out.ts";
import { openTables } from "../support/rows.ts";
import { canMountHere, runs } from "../support/system.ts";

const MIB = 1024 ** 2;
const canMount = await canMountHere();
if (!canMount) leaveOut("stopping on a full disk", "this needs the right to mount a tmpfs");

const folders: string[] = [];
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

test("a failed fsync is not cleared by later successes, another failure of the disk is", async () => {
  const root = await mkdtemp(join(tmpdir(), "condarium-health-"));
  folders.push(root);
  let elapsed = 0;
  const clock = { now: () => 0, elapsed: () => elapsed };
  const folder = openDataFolder(root, { create: true });
  const database = await openDatabase({ engine: "sqlite", path: folder.database }, { clock, create: true });
  const metrics = createMetrics();
  const lines: string[] = [];
  const log = createLogger({ level: "debug", write: (line) => void lines.push(line) });
  const health = createHealth({
    database,
    databasePath: folder.database,
    guard: createFolderGuard(folder),
    blobs: { requireReady: async () => undefined },
    disk: createDiskProbe({ root, files: [] }),
    reserve: 0,
    events: createEvents({ log, metrics }),
    clock,
  });
  const failure = (code: string, syscall: string): Error =>
    Object.assign(new Error(`${code}: the disk failed, ${syscall}`), { code, syscall });
  const isReady = async (): Promise<boolean> => (await health.problems()).length === 0;
  expect(await isReady()).toBe(true);
  for (const [error, later, detail] of [
    [failure("EIO", "write"), true, "refuses or fails writes"],
    [failure("EROFS", "open"), true, "is read-only: make it writable."],
    [failure("EIO", "fsync"), false, "repair the disk, then restart the server."],
    [failure("EIO", "write"), false, "repair the disk, then restart the server."],
  ] as const) {
    expect(health.explain(error)).toMatchObject({ code: "unavailable" });
    elapsed += 4000;
    expect([error.message, await isReady()]).toEqual([error.message, false]);
    expect(await health.problems()).toEqual([{ part: "disk", detail: expect.stringContaining(detail) }]);
    elapsed += 60_000;
    expect([error.message, await isReady()]).toEqual([error.message, later]);
  }
  expect(lines.filter((line) => line.includes('"event":"trouble"'))).toHaveLength(3);
  await database.close();
});

test("a database that cannot be read is named, also when nothing else is wrong", async () => {
  const server = await startTestApp();
  expect((await server.anonymous.get("/health/ready")).status).toBe(200);
  const tables = openTables(server.folder);
  tables.run("ALTER TABLE owner RENAME TO unreadable");
  const response = await server.anonymous.get("/health/ready");
  tables.run("ALTER TABLE unreadable RENAME TO owner");
  tables.close();
  expect(response.status).toBe(503);
  const problem = { part: "database", detail: expect.stringContaining("cannot be read now") };
  expect(await jsonOf(response)).toMatchObject({ detail: "The server is not ready: database.", problems: [problem] });
  expect((await server.anonymous.get("/health/ready")).status).toBe(200);
  await server.close();
});

test("a database log that grew during a long read is truncated, although nobody publishes", async () => {
  const server = await startTestApp();
  await server.addUser("alice");
  const path = join(server.folder, "condarium.db");
  const reader = new Connection(path, { readonly: true });
  reader.run("BEGIN");
  reader.query("SELECT count(*) FROM owner").get();
  const writer = new Connection(path);
  for (let times = 0; times < 70; times++) writer.run("UPDATE owner SET display_name = hex(randomblob(500000))");
  const size = (): number => Bun.file(`${path}-wal`).size;
  expect(size()).toBeGreaterThan(64 * MIB);
  expect(await server.app.metrics.render()).toMatch(/condarium_database_log_bytes [67]\d{7}/);
  reader.run("COMMIT");
  for (let waited = 0; waited < 500 && size() > 0; waited++) await Bun.sleep(20);
  expect(size()).toBe(0);
  for (const connection of [reader, writer]) connection.close();
  await server.close();
});

test.skipIf(!canMount)(
  "a full disk does not stop the server from ending, and loses nothing that was committed",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "condarium-full-"));
    folders.push(folder);
    expect(runs("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder)).toBe(true);
    try {
      const source = { engine: "sqlite", path: join(folder, "condarium.db") } as const;
      const options = { clock: systemClock, create: true };
      const database = await openDatabase(source, options);
      const names = Array.from({ length: 100 }, (_, at) => `owner-${at}${"x".repeat(1000)}`);
      for (const name of names)
        await database.transact((tx) => insertOwner(tx, { kind: "user", name, visibility: "public", created: 0 }));
      for (let left = 5; left > 0; left--)
        await appendFile(join(folder, "filler"), new Uint8Array(MIB)).catch(() => {});
      await database.close();
      await rm(join(folder, "filler"));
      const next = await openDatabase(source, options);
      for (const name of names) expect((await findOwner(next.read, name))?.name).toBe(name);
      await next.close();
    } finally {
      runs("umount", "-l", folder);
    }
  },
);
