// What a server tells the others of its database, and when it must end.

import { afterEach, beforeEach, expect, test } from "bun:test";
import type { Database } from "../../src/models/database.ts";
import { openDatabase } from "../../src/models/open-database.ts";
import { SCHEMA_NUMBER } from "../../src/models/sqlite/migrations.ts";
import { systemClock as clock } from "../../src/modules/clock.ts";
import { joinNodes, requireEveryNode } from "../../src/services/nodes.ts";
import { startTestApp, type TestApp } from "../support/app.ts";
import { openTables, type Tables } from "../support/rows.ts";

let server: TestApp;
let tables: Tables;
let database: Database;
let leave: (() => Promise<void>) | undefined;
const ends: unknown[] = [];

beforeEach(async () => {
  server = await startTestApp();
  tables = openTables(server.folder);
  database = await openDatabase({ engine: "sqlite", path: `${server.folder}/condarium.db` }, { clock, create: false });
  ends.length = 0;
});
afterEach(async () => {
  await leave?.();
  leave = undefined;
  tables.close();
  await database.close();
  await server.close();
});

const join = async (isShared = true): Promise<void> => {
  leave = await joinNodes({ database, clock, isShared, everyMs: 30, onTooOld: (error) => ends.push(error) });
};
const nodes = (): unknown[] => tables.all("SELECT holder FROM lease WHERE name = 'node'").map(({ holder }) => holder);
const until = async (isSo: () => boolean): Promise<boolean> => {
  for (let waited = 0; waited < 250 && !isSo(); waited++) await Bun.sleep(20);
  return isSo();
};

test("a server of a shared database is known with its schema number until it ends, also after its lease was lost", async () => {
  await join();
  expect(nodes()).toEqual([expect.stringMatching(new RegExp(`^${SCHEMA_NUMBER} [0-9a-f]{32}$`))]);
  expect(Number(tables.all("SELECT until FROM lease")[0]?.until) - clock.now()).toBeGreaterThan(55_000);
  tables.run("DELETE FROM lease");
  expect(await until(() => nodes().length === 1)).toBe(true);
  tables.run("UPDATE lease SET until = 1");
  expect(await until(() => Number(tables.all("SELECT max(until) AS until FROM lease")[0]?.until) > 1)).toBe(true);
  await leave?.();
  expect(nodes()).toEqual([]);
  await Bun.sleep(100);
  expect([nodes(), ends]).toEqual([[], []]);
});

test("a server that has its database alone writes nothing", async () => {
  await join(false);
  await Bun.sleep(100);
  expect(nodes()).toEqual([]);
});

test("a server ends when another one has begun to use what it does not know, and not before", async () => {
  tables.run("UPDATE schema_migration SET min_reader = number");
  await join();
  await Bun.sleep(150);
  expect(ends).toEqual([]);
  tables.run("INSERT INTO schema_migration VALUES (99, 99, 0)");
  expect(await until(() => ends.length > 0)).toBe(true);
  expect(String(ends[0])).toContain(`it requires schema 99, this binary supports ${SCHEMA_NUMBER}`);
});

test("a new meaning waits for the servers that do not know it, and for no others", async () => {
  await join();
  await requireEveryNode(database.read, SCHEMA_NUMBER, clock);
  const refused = await requireEveryNode(database.read, SCHEMA_NUMBER + 1, clock).catch((error: unknown) => error);
  expect(refused).toMatchObject({ code: "conflict", message: expect.stringContaining("Finish the upgrade first") });
  await leave?.();
  await requireEveryNode(database.read, SCHEMA_NUMBER + 1, clock);
});
