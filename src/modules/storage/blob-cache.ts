// Copies of small blobs on the local disk, for a store that is elsewhere. May be deleted at any time.
// Hand-written: cacache, the one kept library for files, never removes what was used longest ago.

import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { sha256Hex } from "../hash.ts";
import type { BlobKey, BlobStore } from "./blob-store.ts";
import { tempName } from "./temp-file.ts";

type BlobCache = {
  get(key: BlobKey): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** Keeps content up to `CACHED_BYTES` whose hash its key names; an error of the disk is no error. */
  put(key: BlobKey, content: Uint8Array): Promise<void>;
  delete(key: BlobKey): Promise<void>;
};

export type BlobCacheOptions = {
  /** The data folder. */
  readonly root: string;
  /** Bytes of all copies together. */
  readonly maxBytes: number;
};

/** Largest content that is kept. */
const CACHED_BYTES = 1024 ** 2;
/** A limit of the files in one folder, and of the memory that knows them. */
const MOST_FILES = 100_000;
/** Content under its own hash never changes, so a copy is never outdated. */
const CONTENT = /^(?:blobs|shards)\/(?:[^/]+\/)*([0-9a-f]{64})$/;
const NAME = /^[0-9a-f]{64}$/;

/**
 * The same store, with `open()` out of the copies where there is one. For readers that have asked `stat()` before: a copy
 * says nothing about what the store still has. Checks of the store itself must not read copies.
 */
export function withBlobCache(store: BlobStore, options: BlobCacheOptions): BlobStore {
  const cache = createBlobCache(options);
  return {
    ...store,
    open: async (key, range) => {
      const cached = await cache.get(key);
      if (cached) return range ? new Blob([cached]).slice(range.start, range.end + 1) : new Blob([cached]);
      const opened = await store.open(key, range);
      if (range || !opened || opened.size > CACHED_BYTES) return opened;
      const content = await opened.bytes();
      await cache.put(key, content);
      return new Blob([content]);
    },
    delete: async (key) => {
      await cache.delete(key);
      await store.delete(key);
    },
  };
}

function createBlobCache({ root, maxBytes }: BlobCacheOptions): BlobCache {
  const folder = join(root, "cache");
  const known = readKnown(folder);
  let bytes = [...known.values()].reduce((sum, size) => sum + size, 0);

  function forget(hash: string): void {
    bytes -= known.get(hash) ?? 0;
    known.delete(hash);
  }

  async function drop(hash: string): Promise<void> {
    forget(hash);
    await rm(join(folder, hash), { force: true }).catch(() => undefined);
  }

  /** The map keeps the order of insertion, so its first entry was used longest ago. */
  async function makeRoom(): Promise<void> {
    for (const oldest of known.keys()) {
      if (bytes <= maxBytes && known.size <= MOST_FILES) return;
      await drop(oldest);
    }
  }

  void makeRoom();
  return {
    get: async (key) => {
      const hash = hashOf(key);
      const size = hash === undefined ? undefined : known.get(hash);
      if (hash === undefined || size === undefined) return undefined;
      const content = await readFile(join(folder, hash)).catch(() => undefined);
      if (content?.byteLength !== size || sha256Hex(content) !== hash) {
        await drop(hash);
        return undefined;
      }
      known.delete(hash);
      known.set(hash, size);
      return new Uint8Array(content);
    },
    put: async (key, content) => {
      const hash = hashOf(key);
      const size = content.byteLength;
      if (hash === undefined || known.has(hash) || size > Math.min(CACHED_BYTES, maxBytes)) return;
      if (sha256Hex(content) !== hash) return;
      if (!(await write(folder, hash, content))) return;
      if (!known.has(hash)) bytes += size;
      known.set(hash, size);
      await makeRoom();
    },
    delete: async (key) => {
      const hash = hashOf(key);
      if (hash !== undefined) await drop(hash);
    },
  };
}

function hashOf(key: BlobKey): string | undefined {
  return CONTENT.exec(key)?.[1];
}

/** The sizes of the copies that an earlier process left, oldest first. Removes everything else. */
function readKnown(folder: string): Map<string, number> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const files = readdirSync(folder).flatMap((name) => {
    const info = statSync(join(folder, name), { throwIfNoEntry: false });
    if (info && NAME.test(name)) return [{ name, size: info.size, at: info.mtimeMs }];
    rmSync(join(folder, name), { recursive: true, force: true });
    return [];
  });
  return new Map(files.sort((a, b) => a.at - b.at).map(({ name, size }) => [name, size]));
}

async function write(folder: string, hash: string, content: Uint8Array): Promise<boolean> {
  const fresh = join(folder, tempName());
  try {
    await writeFile(fresh, content, { mode: 0o600, flag: "wx" });
    await rename(fresh, join(folder, hash));
    return true;
  } catch {
    await rm(fresh, { force: true }).catch(() => undefined);
    return false;
  }
}
