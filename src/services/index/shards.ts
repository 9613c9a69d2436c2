// Reads shards: named by their content, which clients keep for ever without checking, so it is checked here.

import type { Events } from "../../events.ts";
import { sha256Hex } from "../../modules/hash.ts";
import { createLru } from "../../modules/lru.ts";
import { createSemaphore } from "../../modules/mutex.ts";
import type { BlobKey, BlobStore } from "../../modules/storage/blob-store.ts";
import { shardKey } from "../../modules/storage/keys.ts";
import type { SourceShard } from "../sources/source.ts";
import type { Workers } from "../workers.ts";

export type Shards = {
  /**
   * Undefined when the channel has no such shard. One whose file has gone or is damaged is made again as long as the
   * catalogue names it. Errors: `unavailable` when too many are asked for that are not there.
   */
  find(channelId: number, hash: string): Promise<SourceShard | undefined>;
};

export type ShardsParts = {
  readonly blobs: BlobStore;
  readonly events: Events;
  readonly workers: Workers;
  readonly dataFolder: string;
};

/** Checked once after a start, as files do not change while the server runs. */
const REMEMBERED = 100_000;
/** Whoever asks for shards that never were must not keep the documents of others waiting. */
const RESTORES_WAITING = 100;
const RESTORE_LIMIT_MS = 60_000;

export function createShards({ blobs, events, workers, dataFolder }: ShardsParts): Shards {
  const checked = createLru<string, number>({ maxEntries: REMEMBERED });
  const restores = createSemaphore(1, RESTORES_WAITING);

  /** The size of an intact shard; a damaged one is told of and removed. */
  async function check(key: BlobKey, hash: string): Promise<number | undefined> {
    const blob = await blobs.open(key);
    if (!blob) return undefined;
    const known = checked.get(key);
    if (known !== undefined) return known;
    const bytes = new Uint8Array(await blob.arrayBuffer());
    if (sha256Hex(bytes) === hash) {
      checked.set(key, bytes.byteLength);
      return bytes.byteLength;
    }
    events.internalError(new Error(`the shard ${key} is damaged`), "shards");
    await blobs.delete(key);
    return undefined;
  }

  async function restore(channelId: number, hash: string): Promise<boolean> {
    const job = { kind: "shard", dataFolder, request: { channelId, hash } } as const;
    const outcome = await restores.run(() => workers.run(job, RESTORE_LIMIT_MS));
    return outcome.kind === "shard" && outcome.restored;
  }

  return {
    find: async (channelId, hash) => {
      const key = shardKey(channelId, hash);
      let size = await check(key, hash);
      if (size === undefined && (await restore(channelId, hash))) size = await check(key, hash);
      if (size === undefined) return undefined;
      return {
        size,
        open: async (range) => {
          const blob = await blobs.open(key, range);
          if (!blob) throw new Error(`the shard ${key} has gone`);
          return blob;
        },
      };
    },
  };
}
