import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, lstatSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { AppError } from "../../../src/errors.ts";
import type { BlobStore, StagedBlob } from "../../../src/modules/storage/blob-store.ts";
import { createDiskStore } from "../../../src/modules/storage/disk.ts";
import { blobKey, fileListKey } from "../../../src/modules/storage/keys.ts";
import { blobStoreConformance } from "../../conformance/blob-store.ts";
import { errorOf } from "../error-of.ts";

const KEY = blobKey("ab".repeat(32));
const OTHER = blobKey("cd".repeat(32));
const STEPS = ["p1.temp_open", "p3.temp_fsynced", "p4.renamed", "p5.dir_fsynced"];

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "condarium-disk-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

blobStoreConformance("disk", async () => {
  const folder = await mkdtemp(join(tmpdir(), "condarium-disk-"));
  return {
    open: () => createDiskStore({ root: folder, reserve: 0 }),
    leftovers: () => readdir(join(folder, "tmp")),
    close: () => rm(folder, { recursive: true }),
  };
});

test("a store with a folder of its own for temporary files sweeps nobody else's", async () => {
  const [own, other] = ["process-1", "process-2"].map((staging) => createDiskStore({ root, reserve: 0, staging }));
  if (!own || !other) throw new Error("two stores are needed");
  const staged = await other.stage();
  await staged.append(new TextEncoder().encode("being received"));
  await writeFile(join(root, "tmp", "process-1", "left"), "by the predecessor");
  await writeFile(join(root, "tmp", "command"), "of a command beside the server");
  expect(await own.sweep()).toBe(1);
  await staged.sync();
  await staged.promote(KEY);
  await staged.discard();
  expect((await readdir(join(root, "tmp"))).sort()).toEqual(["command", "process-1", "process-2"]);
  expect(await readdir(join(root, "tmp", "process-1"))).toEqual([]);
  expect(await (await own.open(KEY))?.text()).toBe("being received");
  // The next server, of one process, sweeps everything.
  await createDiskStore({ root, reserve: 0 }).sweep();
  expect(await readdir(join(root, "tmp"))).toEqual([]);
});

describe("the durability of a disk store", () => {
  test("follows the order: temporary file, its fsync, the name, the fsync of the folder", async () => {
    const seen: { step: string; temporary: number; named: boolean }[] = [];
    const store = createDiskStore({
      root,
      reserve: 0,
      failpoint: (step) => {
        seen.push({ step, temporary: namesIn("tmp").length, named: existsSync(join(root, KEY)) });
      },
    });
    const staged = await stagedOf(store, "content");
    expect(seen.map(({ step }) => step)).toEqual(STEPS.slice(0, 2));
    await staged.promote(KEY);
    expect(seen).toEqual([
      { step: "p1.temp_open", temporary: 1, named: false },
      { step: "p3.temp_fsynced", temporary: 1, named: false },
      { step: "p4.renamed", temporary: 1, named: true },
      { step: "p5.dir_fsynced", temporary: 1, named: true },
    ]);
    await staged.discard();
    expect(namesIn("tmp")).toEqual([]);
  });

  test.each(STEPS)(
    "survives a failure at %s: the blob is complete or absent, and the store usable",
    async (failing) => {
      let armed = true;
      const failpoint = (name: string): void => {
        if (armed && name === failing) throw new Error(`stopped at ${name}`);
      };
      const store = createDiskStore({ root, reserve: 0, failpoint });
      const publish = async (): Promise<void> => {
        const staged = await store.stage();
        try {
          await staged.append(new TextEncoder().encode("content"));
          await staged.sync();
          await staged.promote(KEY);
        } finally {
          await staged.discard();
        }
      };
      expect((await errorOf(publish())).message).toContain(`stopped at ${failing}`);
      expect(namesIn("tmp")).toEqual([]);
      expect(existsSync(join(root, KEY))).toBe(failing >= "p4");
      armed = false;
      await publish();
      expect(await (await store.open(KEY))?.text()).toBe("content");
    },
  );

  test("keeps folders and files private to their owner", async () => {
    const store = createDiskStore({ root: join(root, "new", "data"), reserve: 0 });
    const staged = await stagedOf(store, "content");
    const modeOf = (path: string): number => lstatSync(path).mode & 0o777;
    expect(modeOf(staged.path)).toBe(0o600);
    await staged.promote(KEY);
    await staged.discard();
    await store.put(fileListKey("ab".repeat(32)), new Uint8Array(5));
    expect(await treeOf(join(root, "new"))).toEqual({
      data: 0o700,
      "data/blobs": 0o700,
      "data/blobs/ab": 0o700,
      "data/blobs/ab/ab": 0o700,
      [`data/${KEY}`]: 0o600,
      "data/files": 0o700,
      "data/files/ab": 0o700,
      "data/files/ab/ab": 0o700,
      [`data/${fileListKey("ab".repeat(32))}`]: 0o600,
      "data/tmp": 0o700,
    });
  });

  test("uses temporary names that nobody can guess", async () => {
    const store = createDiskStore({ root, reserve: 0 });
    const staged = await Promise.all([store.stage(), store.stage()]);
    for (const name of namesIn("tmp")) expect(name).toMatch(/^[0-9a-f]{32}$/);
    expect(namesIn("tmp")).toHaveLength(2);
    await Promise.all(staged.map((file) => file.discard()));
  });

  test("continues when its folders are deleted while it runs", async () => {
    const store = createDiskStore({ root, reserve: 0 });
    await store.put(KEY, new Uint8Array(3));
    await rm(join(root, "blobs"), { recursive: true });
    expect(await store.stat(KEY)).toBeUndefined();
    await store.put(KEY, new Uint8Array(4));
    expect((await store.stat(KEY))?.size).toBe(4);
  });
});

test("a disk store writes nothing once its folder is another one", async () => {
  let exists = true;
  const requireFiles = (): void => {
    if (!exists) throw new Error("another folder");
  };
  const store = createDiskStore({ root, reserve: 0, requireFiles });
  const staged = await stagedOf(store, "content");
  exists = false;
  const tries = [
    staged.promote(KEY),
    store.stage(),
    store.put(KEY, new Uint8Array(3)),
    store.putDerived(KEY, new Uint8Array(3)),
  ];
  for (const error of await Promise.all(tries.map(errorOf))) expect(error.message).toBe("another folder");
  await staged.discard();
  expect(await readdir(root, { recursive: true })).toEqual(["tmp"]);
});

describe("a link planted in the data folder", () => {
  test("in place of a blob is neither read nor written through", async () => {
    const secret = join(root, "secret");
    await writeFile(secret, "secret");
    const store = createDiskStore({ root: join(root, "data"), reserve: 0 });
    const path = join(root, "data", KEY);
    await mkdir(dirname(path), { recursive: true });
    await symlink(secret, path);
    expect(await store.stat(KEY)).toBeUndefined();
    expect(await store.open(KEY)).toBeUndefined();
    expect(await Array.fromAsync(store.list("blobs/"))).toEqual([]);
    const staged = await stagedOf(store, "public");
    await staged.promote(KEY);
    await staged.discard();
    expect(await readFile(secret, "utf8")).toBe("secret");
    expect(await (await store.open(KEY))?.text()).toBe("public");
  });

  test("in place of a folder is neither read nor written through", async () => {
    const outside = join(root, "outside");
    await mkdir(join(outside, "ab"), { recursive: true });
    await writeFile(join(outside, "ab", "ab".repeat(32)), "secret");
    await mkdir(join(root, "data", "blobs"), { recursive: true });
    await symlink(outside, join(root, "data", "blobs", "ab"));
    const store = createDiskStore({ root: join(root, "data"), reserve: 0 });
    expect(await store.stat(KEY)).toBeUndefined();
    expect(await store.open(KEY)).toBeUndefined();
    expect(await Array.fromAsync(store.list("blobs/"))).toEqual([]);
    expect((await errorOf(store.put(KEY, new Uint8Array(3)))).message).toContain("is not a folder");
    expect(await readFile(join(outside, "ab", "ab".repeat(32)), "utf8")).toBe("secret");
    expect(namesIn("data/tmp")).toEqual([]);
  });

  test.each(["tmp", "blobs"])("in place of %s stops the start", async (name) => {
    await mkdir(join(root, "outside"));
    await mkdir(join(root, "data"));
    await symlink(join(root, "outside"), join(root, "data", name));
    expect(() => createDiskStore({ root: join(root, "data"), reserve: 0 })).toThrow("must be a folder");
  });

  test("is accepted as the data folder itself", async () => {
    await mkdir(join(root, "disk"));
    await symlink(join(root, "disk"), join(root, "data"));
    const store = createDiskStore({ root: join(root, "data"), reserve: 0 });
    await store.put(KEY, new Uint8Array(3));
    expect((await stat(join(root, "disk", KEY))).size).toBe(3);
  });

  test("in tmp is deleted by the sweep, and its target is kept", async () => {
    await mkdir(join(root, "outside"));
    await writeFile(join(root, "outside", "kept"), "kept");
    const store = createDiskStore({ root: join(root, "data"), reserve: 0 });
    await symlink(join(root, "outside"), join(root, "data", "tmp", "link"));
    await mkdir(join(root, "data", "tmp", "folder"));
    expect(await store.sweep()).toBe(2);
    expect(namesIn("data/tmp")).toEqual([]);
    expect(namesIn("outside")).toEqual(["kept"]);
  });
});

describe("a disk store with foreign files", () => {
  test("does not list them", async () => {
    const store = createDiskStore({ root, reserve: 0 });
    await store.put(KEY, new Uint8Array(3));
    await writeFile(join(root, "blobs", "README.TXT"), "");
    await writeFile(join(root, "blobs", "ab", ".nfs0001"), "");
    await mkdir(join(root, "blobs", "lost+found"));
    expect(await Array.fromAsync(store.list("blobs/"))).toEqual([KEY]);
  });

  test("fails on a folder in place of a blob, which stays", async () => {
    const store = createDiskStore({ root, reserve: 0 });
    await mkdir(join(root, KEY, "inside"), { recursive: true });
    const staged = await stagedOf(store, "content");
    expect(await errorOf(staged.promote(KEY))).toBeInstanceOf(Error);
    await staged.discard();
    expect(await store.stat(KEY)).toBeUndefined();
    expect(namesIn("tmp")).toEqual([]);
    expect(namesIn(KEY)).toEqual(["inside"]);
  });

  test("reads a blob to its end after it was replaced and deleted", async () => {
    const store = createDiskStore({ root, reserve: 0 });
    const size = 5_000_000;
    await store.put(KEY, new Uint8Array(size).fill(7));
    const reader = (await store.open(KEY))?.stream().getReader();
    const first = await reader?.read();
    await store.put(KEY, new Uint8Array(size).fill(8));
    await store.delete(KEY);
    let read = first?.value?.byteLength ?? 0;
    expect(read).toBeLessThan(size);
    for (let next = await reader?.read(); next?.value; next = await reader?.read()) {
      expect(next.value.every((byte) => byte === 7)).toBe(true);
      read += next.value.byteLength;
    }
    expect(read).toBe(size);
  });
});

describe("the free space of a disk store", () => {
  test("at the reserve refuses staging, and still allows reads, puts and deletes", async () => {
    const reserve = Number.MAX_SAFE_INTEGER;
    const store = createDiskStore({ root, reserve });
    expect(await store.free()).toBe(0);
    const refusal = await store.stage().catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(AppError);
    expect(refusal).toMatchObject({ code: "no-space" });
    expect(namesIn("tmp")).toEqual([]);
    await store.put(OTHER, new Uint8Array(3));
    expect((await store.stat(OTHER))?.size).toBe(3);
    await store.delete(OTHER);
  });

  test("is reported above the reserve", async () => {
    const all = (await createDiskStore({ root, reserve: 0 }).free()) ?? 0;
    const some = (await createDiskStore({ root, reserve: 10_000_000 }).free()) ?? 0;
    // Other processes write to the same disk meanwhile.
    expect(Math.abs(all - some - 10_000_000)).toBeLessThan(1_000_000_000);
    expect(some).toBeGreaterThan(0);
  });

  test("includes blobs that another process moved in", async () => {
    const store = createDiskStore({ root, reserve: 0 });
    await mkdir(dirname(join(root, KEY)), { recursive: true });
    await writeFile(join(root, "tmp", "x"), "moved");
    await rename(join(root, "tmp", "x"), join(root, KEY));
    expect(await (await store.open(KEY))?.text()).toBe("moved");
  });
});

async function stagedOf(store: BlobStore, text: string): Promise<StagedBlob> {
  const staged = await store.stage();
  await staged.append(new TextEncoder().encode(text));
  await staged.sync();
  return staged;
}

function namesIn(folder: string): string[] {
  return [...new Bun.Glob("*").scanSync({ cwd: join(root, folder), onlyFiles: false, dot: true })].sort();
}

async function treeOf(folder: string): Promise<Record<string, number>> {
  const names = await readdir(folder, { recursive: true });
  return Object.fromEntries(names.map((name) => [name, lstatSync(join(folder, name)).mode & 0o777]));
}
