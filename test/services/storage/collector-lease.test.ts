import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Database } from "../../../src/models/database.ts";
import { openDatabase } from "../../../src/models/open-database.ts";
import { lease } from "../../../src/models/schema/index.ts";
import { systemClock } from "../../../src/modules/clock.ts";
import { leaseCollector } from "../../../src/services/storage/collector-lease.ts";

let folder: string;
let database: Database;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "condarium-lease-"));
  const source = { engine: "sqlite", path: join(folder, "condarium.db") } as const;
  database = await openDatabase(source, { clock: systemClock, create: true });
});
afterAll(async () => {
  await database.close();
  await rm(folder, { recursive: true });
});

/** ms that the leases last from now. */
const left = async () => (await database.read.select().from(lease)).map(({ until }) => until - Date.now());

test("the lease of a collector is short, and lasts as long as the collector lives, also between batches", async () => {
  const own = await leaseCollector({ database, clock: systemClock });
  const [first = 0] = await left();
  // Others wait this long for one that was killed.
  expect(first).toBeLessThanOrEqual(60_000);
  expect(first).toBeGreaterThan(50_000);
  await Bun.sleep(11_000);
  const [later = 0] = await left();
  expect(later).toBeGreaterThan(first - 9_000);
  expect(await leaseCollector({ database, clock: systemClock })).toBeUndefined();
  await own?.release();
  expect(await left()).toEqual([]);
  await Bun.sleep(11_000);
  expect(await left()).toEqual([]);
  const next = await leaseCollector({ database, clock: systemClock });
  expect(next).toBeDefined();
  await next?.release();
}, 60_000);
