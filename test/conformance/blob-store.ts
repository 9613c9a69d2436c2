// The contract of every storage driver. Each driver's own test calls this with a way to start it.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import type { BlobKey, BlobStore, StagedBlob } from "../../src/modules/storage/blob-store.ts";
import { blobKey, fileListKey, shardKey } from "../../src/modules/storage/keys.ts";
import { errorOf } from "../modules/error-of.ts";
import { named } from "../support/case-name.ts";

export type BlobStoreRig = {
  /** A store in the folder of this rig; the second call is a process that starts later. */
  open(): BlobStore;
  /** The files beside the blobs: none are allowed to stay. */
  leftovers(): Promise<string[]>;
  /** Whether a promotion takes content of the same size for the same; false where the store compares checksums. */
  readonly keepsDamageOfSameSize?: boolean;
  close(): Promise<void>;
};

const A = blobKey("a".repeat(64));
const B = blobKey("b".repeat(64));

export function blobStoreConformance(name: string, start: () => Promise<BlobStoreRig>): void {
  describe(`${name} store`, () => {
    let rig: BlobStoreRig;
    let store: BlobStore;

    beforeEach(async () => {
      rig = await start();
      store = rig.open();
    });
    afterEach(async () => {
      expect(await rig.leftovers()).toEqual([]);
      await rig.close();
    });

    staging(
      () => store,
      () => rig,
    );
    reading(() => store);
    refusals(() => store);
  });
}

function staging(store: () => BlobStore, rig: () => BlobStoreRig): void {
  test("shows a blob under its key once it is promoted, and not before", async () => {
    const staged = await stagedOf(store(), "one, ", "two");
    expect(staged.size).toBe(8);
    expect(await readFile(staged.path, "utf8")).toBe("one, two");
    expect(await store().stat(A)).toBeUndefined();
    expect(await keysOf(store(), "blobs/")).toEqual([]);
    await staged.promote(A);
    await staged.discard();
    expect(await textOf(store(), A)).toBe("one, two");
    expect(await store().stat(A)).toMatchObject({ size: 8, modified: expect.any(Number) });
    expect(await keysOf(store(), "blobs/")).toEqual([A]);
  });

  test("stores an empty blob and one of many chunks", async () => {
    const chunk = new Uint8Array(100_000).fill(7);
    const [empty, large] = [await store().stage(), await store().stage()];
    await empty.sync();
    await empty.promote(A);
    for (let count = 0; count < 30; count++) await large.append(chunk);
    await large.sync();
    await large.promote(B);
    await Promise.all([empty.discard(), large.discard()]);
    expect((await store().stat(A))?.size).toBe(0);
    expect((await store().open(B))?.size).toBe(3_000_000);
    expect(Bun.hash(await bytesOf(store(), B))).toBe(Bun.hash(new Uint8Array(3_000_000).fill(7)));
  });

  test("promotes twice, and under two keys", async () => {
    const staged = await stagedOf(store(), "content");
    for (const key of [A, A, B]) await staged.promote(key);
    await staged.discard();
    expect([await textOf(store(), A), await textOf(store(), B)]).toEqual(["content", "content"]);
    expect(await keysOf(store(), "blobs/")).toEqual([A, B]);
  });

  test("puts a blob back that was lost between two promotions", async () => {
    const staged = await stagedOf(store(), "content");
    await staged.promote(A);
    await store().delete(A);
    await staged.promote(A);
    await staged.discard();
    expect(await textOf(store(), A)).toBe("content");
  });

  test("replaces a damaged blob of another size, and one of the same size where the store sees the damage", async () => {
    await store().put(A, bytes("cut"));
    await store().put(B, bytes("CONTENT"));
    const staged = await stagedOf(store(), "content");
    await staged.promote(A);
    await staged.promote(B);
    await staged.discard();
    const other = (rig().keepsDamageOfSameSize ?? true) ? "CONTENT" : "content";
    expect([await textOf(store(), A), await textOf(store(), B)]).toEqual(["content", other]);
  });

  test("promotes many copies of one blob at once", async () => {
    const copies = await Promise.all(Array.from({ length: 20 }, () => stagedOf(store(), "content")));
    expect(new Set(copies.map((copy) => copy.path)).size).toBe(20);
    await Promise.all(copies.map((copy) => copy.promote(A)));
    await Promise.all(copies.map((copy) => copy.discard()));
    expect(await textOf(store(), A)).toBe("content");
  });

  test("refuses to promote an unsynced or discarded stage, and shows nothing of it", async () => {
    const staged = await store().stage();
    await staged.append(bytes("content"));
    expect((await errorOf(staged.promote(A))).message).toContain("synced");
    await staged.sync();
    expect(await errorOf(staged.append(bytes("more")))).toBeInstanceOf(Error);
    await staged.discard();
    await staged.discard();
    expect((await errorOf(staged.promote(A))).message).toContain("synced");
    expect(await store().stat(A)).toBeUndefined();
  });

  test("sweeps the leftovers of an earlier process, and not the current stages", async () => {
    const [left, live] = [await stagedOf(store(), "left"), await store().stage()];
    await left.promote(A);
    expect(await store().sweep()).toBe(0);
    await live.append(bytes("still here"));
    await live.discard();
    const unfinished = await store().stage();
    await unfinished.append(bytes("half"));
    expect(await rig().open().sweep()).toBe(2);
    expect(await rig().leftovers()).toEqual([]);
    expect(await rig().open().sweep()).toBe(0);
    // The process that left it has ended by then; here its file handle has to be released.
    await unfinished.discard();
  });
}

function reading(store: () => BlobStore): void {
  test.each(["put", "putDerived"] as const)("%s writes the complete content, also over other content", async (way) => {
    for (const content of ["first", "again", "", "longer than before"]) {
      await store()[way](A, bytes(content));
      expect(await textOf(store(), A)).toBe(content);
    }
  });

  test("writes derived content completely, and leaves nothing else behind", async () => {
    await store().putDerived(A, bytes("first"));
    await store().putDerived(A, bytes("again"));
    expect(await textOf(store(), A)).toBe("again");
  });

  test.each(["put", "putDerived"] as const)(
    "%s called concurrently for one key leaves one complete content",
    async (way) => {
      const contents = Array.from({ length: 20 }, (_, at) => String.fromCodePoint(97 + at).repeat(50_000 + at));
      await Promise.all(contents.map((content) => store()[way](A, bytes(content))));
      expect(contents).toContain((await textOf(store(), A)) ?? "");
      expect(await keysOf(store(), "blobs/")).toEqual([A]);
    },
  );

  test("opens inclusive ranges", async () => {
    await store().put(A, bytes("0123456789"));
    const part = async (start: number, end: number) => await (await store().open(A, { start, end }))?.text();
    expect(await part(0, 0)).toBe("0");
    expect(await part(3, 5)).toBe("345");
    expect(await part(9, 9)).toBe("9");
    expect((await store().open(A, { start: 2, end: 4 }))?.size).toBe(3);
  });

  test("finds nothing under a key that was never written or was deleted", async () => {
    await store().put(A, bytes("content"));
    await store().delete(A);
    await store().delete(A);
    await store().delete(B);
    for (const key of [A, B]) {
      expect(await store().stat(key)).toBeUndefined();
      expect(await store().open(key)).toBeUndefined();
      expect(await store().open(key, { start: 0, end: 1 })).toBeUndefined();
    }
    expect(await store().folders("shards")).toEqual([]);
    expect(await keysOf(store(), "blobs/")).toEqual([]);
  });

  test("lists the keys of a folder and no others", async () => {
    const files = fileListKey("a".repeat(64));
    const shards = [shardKey(7, "c".repeat(64)), shardKey(12, "c".repeat(64))];
    for (const key of [A, B, files, ...shards]) await store().put(key, bytes("x"));
    expect(await keysOf(store(), "blobs/")).toEqual([A, B]);
    expect(await keysOf(store(), "blobs/aa/")).toEqual([A]);
    expect(await keysOf(store(), "files/")).toEqual([files]);
    expect(await keysOf(store(), "shards/")).toEqual([...shards].sort());
    expect(await keysOf(store(), "shards/7/")).toEqual(shards.slice(0, 1));
    expect(await keysOf(store(), "shards/1/")).toEqual([]);
    expect((await store().folders("shards")).sort()).toEqual(["12", "7"]);
    expect((await store().folders("blobs")).sort()).toEqual(["aa", "bb"]);
  });
}

function refusals(store: () => BlobStore): void {
  const hash = "a".repeat(64);
  test.each(
    named([
      "",
      "/",
      "blobs",
      "blobs/",
      `/blobs/aa/aa/${hash}`,
      `blobs/../blobs/aa/${hash}`,
      "blobs/../../etc/passwd",
      "blobs/./x",
      "blobs//x",
      `blobs/AA/AA/${hash}`,
      `blobs/aa/aa/${hash.toUpperCase()}`,
      `blobs\\aa\\${hash}`,
      "blobs/aa/a\0a",
      "blobs/aa/a\na",
      "blobs/aa/ä",
      "blobs/aa/a%2e",
      "blobs/aa/.hidden",
      "tmp/x",
      "condarium.db",
      "derived/1/x",
      `blobs/${"a".repeat(300)}`,
      "blobs/1/2/3/4/5",
    ]),
  )("refuses the key %s", async (_, text) => {
    // A cast is the only way to such a key.
    const key = text as BlobKey;
    const staged = await stagedOf(store(), "content");
    const attempts = [
      staged.promote(key),
      store().put(key, bytes("content")),
      store().putDerived(key, bytes("content")),
      store().stat(key),
      store().open(key),
      store().delete(key),
    ];
    for (const error of await Promise.all(attempts.map(errorOf))) expect(error.message).toContain("not a storage key");
    await staged.discard();
  });

  test.each(["", "/", "blobs", "tmp/", "../", "blobs/../", "blobs//", "BLOBS/", "blobs/aa"])(
    "refuses to list %j",
    async (prefix) => {
      expect((await errorOf(keysOf(store(), prefix))).message).toContain("not a folder of keys");
    },
  );
}

async function stagedOf(store: BlobStore, ...chunks: string[]): Promise<StagedBlob> {
  const staged = await store.stage();
  for (const chunk of chunks) await staged.append(bytes(chunk));
  await staged.sync();
  return staged;
}

async function bytesOf(store: BlobStore, key: BlobKey): Promise<Uint8Array> {
  return new Uint8Array((await (await store.open(key))?.arrayBuffer()) ?? []);
}

async function textOf(store: BlobStore, key: BlobKey): Promise<string | undefined> {
  return await (await store.open(key))?.text();
}

async function keysOf(store: BlobStore, prefix: string): Promise<string[]> {
  return (await Array.fromAsync(store.list(prefix))).sort();
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
