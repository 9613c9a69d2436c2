import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Database } from "../../src/models/database.ts";
import { openDatabase } from "../../src/models/open-database.ts";
import { countFailure, deleteOldRows, findFailures, noteSuccess } from "../../src/models/login-failure.ts";
import { systemClock } from "../../src/modules/clock.ts";
import { newSource } from "../support/rows.ts";

const NOW = Date.UTC(2030, 0, 1);

let folder: string;
let database: Database;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "condarium-failures-"));
  database = await openDatabase(await newSource(folder), { clock: systemClock, create: true });
});
afterEach(async () => {
  await database.close();
  rmSync(folder, { recursive: true });
});

const stored = async (buckets: readonly string[]): Promise<string[]> =>
  (await findFailures(database.read, buckets)).map(({ bucket }) => bucket).sort();

test("old counts and old successes are deleted, each by its own age", async () => {
  const rows = { "user:1": 11, "user:2": 9, "known:user:1@192.0.2.1": 29, "known:user:1@192.0.2.2": 31 };
  await database.transact(async (tx) => {
    for (const [bucket, age] of Object.entries(rows)) await countFailure(tx, bucket, { now: NOW - age, ms: 10 });
    await deleteOldRows(tx, { failuresBefore: NOW - 10, successesBefore: NOW - 30, limit: 10 });
  });
  expect(await stored(Object.keys(rows))).toEqual(["known:user:1@192.0.2.1", "user:2"]);
});

test("only the newest counts are stored, and successes do not count against their limit", async () => {
  const buckets = ["user:1", "user:2", "user:3", "user:4"];
  await database.transact(async (tx) => {
    for (const [at, bucket] of buckets.entries()) await countFailure(tx, bucket, { now: NOW + at, ms: 10 });
    await noteSuccess(tx, { account: "user:9", network: "192.0.2.9", now: NOW - 5 }, 5);
    await deleteOldRows(tx, { failuresBefore: 0, successesBefore: 0, limit: 2 });
  });
  expect(await stored([...buckets, "known:user:9@192.0.2.9"])).toEqual(["known:user:9@192.0.2.9", "user:3", "user:4"]);
});

test("of each account only the newest networks are known", async () => {
  const networks = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
  await database.transact(async (tx) => {
    await noteSuccess(tx, { account: "user:12", network: "192.0.2.1", now: NOW - 100 }, 2);
    for (const [at, network] of networks.entries())
      await noteSuccess(tx, { account: "user:1", network, now: NOW + at }, 2);
    await noteSuccess(tx, { account: "user:1", network: "192.0.2.2", now: NOW + 10 }, 2);
    await noteSuccess(tx, { account: "user:1", network: "192.0.2.4", now: NOW + 11 }, 2);
  });
  const known = ["user:12@192.0.2.1", ...[...networks, "192.0.2.4"].map((network) => `user:1@${network}`)];
  expect(await stored(known.map((name) => `known:${name}`))).toEqual([
    "known:user:12@192.0.2.1",
    "known:user:1@192.0.2.2",
    "known:user:1@192.0.2.4",
  ]);
});
