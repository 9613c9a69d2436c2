// Keeps small packages in memory for a while: opening a file costs more than sending it.

import { createLru } from "../modules/lru.ts";
import type { BlobStore } from "../modules/storage/blob-store.ts";
import { blobKey } from "../modules/storage/keys.ts";

export type SmallBlobs = {
  /** Whether content of this size is read from memory. */
  keeps(size: number): boolean;
  /** The content, or a part of it with both ends inclusive; undefined when the blob is missing or has another size. */
  open(
    sha256: string,
    size: number,
    range?: { readonly start: number; readonly end: number },
  ): Promise<Blob | undefined>;
};

/** Larger ones are sent from their files, which costs no memory. */
const SMALL_BYTES = 1.25 * 1024 ** 2;
const KEPT_BYTES = 64 * 1024 ** 2;

export function createSmallBlobs(parts: { readonly blobs: BlobStore }): SmallBlobs {
  const { blobs } = parts;
  const kept = createLru<string, Blob>({ maxEntries: 10_000, maxBytes: KEPT_BYTES, sizeOf: (blob) => blob.size });
  return {
    keeps: (size) => size <= SMALL_BYTES,
    open: async (sha256, size, range) => {
      if (size > SMALL_BYTES) return await blobs.open(blobKey(sha256), range);
      let blob = kept.get(sha256);
      if (!blob) {
        const file = await blobs.open(blobKey(sha256));
        if (!file) return undefined;
        blob = new Blob([await file.arrayBuffer()]);
        if (blob.size === size) kept.set(sha256, blob);
      }
      return range ? blob.slice(range.start, range.end + 1) : blob;
    },
  };
}
