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
import { newSource } from "../../support/rows.ts";

let folder: string;
let databases: Database[];
let first: Database;
let second: Database;
let blobs: BlobStore;
let others: BlobStore;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "condarium-identity-"));
  const open = async (name: string): Promise<Database> => {
    mkdirSync(join(folder, name));
    return await openDatabase(await newSource(join(folder, name)), { clock: systemClock, create: true });
  };
  databases = [await open("first"), await open("second")];
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

function claim(database: Database, store: BlobStore, isSplit = true): Promise<void> {
  return claimStorage({ database, blobs: store, isSplit });
}

async function idOf(store: BlobStore): Promise<string | undefined> {
  const stored = await store.open(STORE_ID_KEY);
  return stored && (await new Response(stored.stream()).text());
}

test("a new database and a new storage get one identity, and keep it", async () => {
  await claim(first, blobs);
  const id = await idOf(blobs);
  expect(id).toMatch(/^[0-9a-f]{32}\n$/);
  await claim(first, blobs);
  expect(await idOf(blobs)).toBe(id ?? "");
});

test("the storage of another database is refused, and neither is changed", async () => {
  await claim(first, blobs);
  await claim(second, others);
  const ids = [await idOf(blobs), await idOf(others)];
  expect(ids[0]).not.toBe(ids[1]);
  for (const pair of [
    { database: first, blobs: others },
    { database: second, blobs },
  ])
    expect(await errorOf(claim(pair.database, pair.blobs))).toMatchObject({ code: "usage" });
  expect([await idOf(blobs), await idOf(others)]).toEqual(ids);
  await claim(second, others);
});

test("a new database is refused at a storage that has packages of another", async () => {
  await claim(first, blobs);
  expect(await errorOf(claim(second, blobs))).toMatchObject({
    code: "usage",
    message: expect.stringContaining("the packages of another database"),
  });
  await claim(second, others);
});

test("a database with packages is refused at an empty storage, until its identity is copied there", async () => {
  await claim(first, blobs);
  expect(await errorOf(claim(first, others))).toMatchObject({
    code: "usage",
    message: expect.stringContaining("copy store-id too"),
  });
  expect(await idOf(others)).toBeUndefined();
  await others.put(STORE_ID_KEY, new TextEncoder().encode((await idOf(blobs)) ?? ""));
  await claim(first, others);
});

test("a damaged identity is reported and not replaced", async () => {
  await claim(first, blobs);
  await blobs.put(STORE_ID_KEY, new TextEncoder().encode("x"));
  expect(await errorOf(claim(first, blobs))).toMatchObject({ code: "usage" });
  expect(await idOf(blobs)).toBe("x");
});

test("a database whose packages are in a bucket is refused with the data folder alone", async () => {
  await claim(first, blobs);
  expect(await errorOf(claim(first, others, false))).toMatchObject({
    code: "usage",
    message: expect.stringContaining("setting storage"),
  });
  expect(await idOf(others)).toBeUndefined();
});

test("a data folder with both needs no identity, and gets none", async () => {
  await claim(first, blobs, false);
  expect(await idOf(blobs)).toBeUndefined();
  await claim(first, blobs);
  await claim(first, blobs, false);
});
