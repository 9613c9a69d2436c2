// Reads shards: named by their content, which clients keep for ever without checking, so it is checked here.

import type { Events } from "../../events.ts";
import { sha256Hex } from "../../modules/hash.ts";
import { createLru } from "../../modules/lru.ts";
import type { BlobStore } from "../../modules/storage/blob-store.ts";
import { shardKey } from "../../modules/storage/keys.ts";
import type { SourceShard } from "../sources/source.ts";

export type Shards = {
  /** Undefined when the channel has no such shard, or a damaged one, which is removed. */
  find(channelId: number, hash: string): Promise<SourceShard | undefined>;
};

/** Checked once after a start, as files do not change while the server runs. */
const REMEMBERED = 100_000;

export function createShards(parts: { readonly blobs: BlobStore; readonly events: Events }): Shards {
  const { blobs, events } = parts;
  const checked = createLru<string, number>({ maxEntries: REMEMBERED });
  return {
    find: async (channelId, hash) => {
      const key = shardKey(channelId, hash);
      const open = async (): Promise<Blob> => {
        const blob = await blobs.open(key);
        if (!blob) throw new Error(`the shard ${key} has gone`);
        return blob;
      };
      const known = checked.get(key);
      if (known !== undefined) return { size: known, open };
      const blob = await blobs.open(key);
      if (!blob) return undefined;
      const bytes = new Uint8Array(await blob.arrayBuffer());
      if (sha256Hex(bytes) !== hash) {
        events.internalError(new Error(`the shard ${key} is damaged`), "shards");
        await blobs.delete(key);
        return undefined;
      }
      checked.set(key, bytes.byteLength);
      return { size: bytes.byteLength, open };
    },
  };
}
