// Blobs in memory, for tests that need no durability. What is being staged is a file all the same, for its readers.

import { readdir, readFile, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import type { BlobInfo, BlobKey, BlobStore } from "./blob-store.ts";
import { checkKey, checkPrefix } from "./keys.ts";
import { createTempFile, tempName } from "./temp-file.ts";

export type MemoryStoreOptions = {
  /** An existing folder of its own. */
  readonly folder: string;
  readonly now: () => number;
};

type Entry = BlobInfo & { readonly blob: Blob };

export function createMemoryStore(options: MemoryStoreOptions): BlobStore {
  const { folder, now } = options;
  const entries = new Map<BlobKey, Entry>();
  const live = new Set<string>();

  function keep(key: BlobKey, content: Uint8Array): void {
    entries.set(checkKey(key), { blob: new Blob([content.slice()]), size: content.byteLength, modified: now() });
  }

  return {
    stage: async () => {
      const file = await createTempFile(join(folder, tempName()));
      live.add(basename(file.path));
      return {
        path: file.path,
        get size() {
          return file.size;
        },
        append: (chunk) => file.append(chunk),
        sync: () => file.sync(),
        promote: async (key) => {
          if (!file.isDurable) throw new Error("only a synced blob can be promoted");
          if (entries.get(checkKey(key))?.size !== file.size) keep(key, await readFile(file.path));
        },
        discard: async () => {
          await file.remove();
          live.delete(basename(file.path));
        },
      };
    },
    put: async (key, content) => keep(key, content),
    putDerived: async (key, content) => keep(key, content),
    stat: async (key) => {
      const entry = entries.get(checkKey(key));
      return entry && { size: entry.size, modified: entry.modified };
    },
    open: async (key, range) => {
      const blob = entries.get(checkKey(key))?.blob;
      return range ? blob?.slice(range.start, range.end + 1) : blob;
    },
    delete: async (key) => void entries.delete(checkKey(key)),
    async *list(prefix) {
      const start = checkPrefix(prefix);
      for (const key of entries.keys()) if (key.startsWith(start)) yield key;
    },
    sweep: async () => {
      const stale = (await readdir(folder)).filter((name) => !live.has(name));
      for (const name of stale) await rm(join(folder, name), { recursive: true });
      return stale.length;
    },
    free: async () => undefined,
  };
}
