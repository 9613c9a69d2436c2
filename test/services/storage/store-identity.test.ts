// A database and the storage of its packages belong together: another pair is refused before anything is lost.

import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Database } from "../../../src/models/database.ts";
import { openDatabase } from "../../../src/models/open-database.ts";
import { systemClock } from "../../../src/modules/clock.ts";
import type { BlobStore } from "../../../src/modules/storage/blob-store.ts";
import { createDiskStore } from "../../../src/modules/storage/disk.ts";
import { STORE_ID_KEY } from "../../../src/modules/storage/keys.ts";
import { claimStorage } from "../../../src/services/storage/store-identity.ts";
import { errorOf } from "../../modules/error-of.ts";

let folder: string;
let databases: Database[];
let first: Database;
let second: Database;
let blobs: BlobStore;
let others: BlobStore;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "condarium-identity-"));
  const open = (name: string) =>
    openDatabase({ engine: "sqlite", path: join(folder, name) }, { clock: systemClock, create: true });
  databases = [await open("first.db"), await open("second.db")];
  [first, second] = databases as [Database, Database];
  [blobs, others] = [storeAt("blobs"), storeAt("others")];
});
afterEach(async () => {
  for (const database of databases) await database.close();
  await rm(folder, { recursive: true, force: true });
});

function storeAt(name: string): BlobStore {
  const root = join(folder, name);
  mkdirSync(root);
  return createDiskStore({ root, reserve: 0 });
}

async function idOf(store: BlobStore): Promise<string | undefined> {
  const stored = await store.open(STORE_ID_KEY);
  return stored && (await new Response(stored.stream()).text());
}

test("a new database and a new storage get one identity, and keep it", async () => {
  await claimStorage({ database: first, blobs });
  const id = await idOf(blobs);
  expect(id).toMatch(/^[0-9a-f]{32}\n$/);
  await claimStorage({ database: first, blobs });
  expect(await idOf(blobs)).toBe(id ?? "");
});

test("the storage of another database is refused, and neither is changed", async () => {
  await claimStorage({ database: first, blobs });
  await claimStorage({ database: second, blobs: others });
  const ids = [await idOf(blobs), await idOf(others)];
  expect(ids[0]).not.toBe(ids[1]);
  for (const pair of [
    { database: first, blobs: others },
    { database: second, blobs },
  ])
    expect(await errorOf(claimStorage(pair))).toMatchObject({ code: "usage" });
  expect([await idOf(blobs), await idOf(others)]).toEqual(ids);
  await claimStorage({ database: second, blobs: others });
});

test("a new database is refused at a storage that has packages of another", async () => {
  await claimStorage({ database: first, blobs });
  expect(await errorOf(claimStorage({ database: second, blobs }))).toMatchObject({
    code: "usage",
    message: expect.stringContaining("the packages of another database"),
  });
  await claimStorage({ database: second, blobs: others });
});

test("a database takes its identity to an empty storage", async () => {
  await claimStorage({ database: first, blobs });
  await claimStorage({ database: first, blobs: others });
  expect(await idOf(others)).toBe((await idOf(blobs)) ?? "");
});

test("a damaged identity is reported and not replaced", async () => {
  await claimStorage({ database: first, blobs });
  await blobs.put(STORE_ID_KEY, new TextEncoder().encode("x"));
  expect(await errorOf(claimStorage({ database: first, blobs }))).toMatchObject({ code: "usage" });
  expect(await idOf(blobs)).toBe("x");
});
