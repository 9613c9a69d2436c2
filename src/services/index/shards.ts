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

/** Large ones are checked once after a start, as files do not change while the server runs. */
const REMEMBERED = 100_000;
/** Others are kept in memory: a client asks for hundreds, and opening a file costs more than sending it. */
const SMALL_BYTES = 64 * 1024;
const KEPT_BYTES = 32 * 1024 ** 2;
/** Whoever asks for shards that never were must not keep the documents of others waiting. */
const RESTORES_WAITING = 100;
const RESTORE_LIMIT_MS = 60_000;

export function createShards({ blobs, events, workers, dataFolder }: ShardsParts): Shards {
  const checked = createLru<string, true>({ maxEntries: REMEMBERED });
  const small = createLru<string, Blob>({ maxEntries: REMEMBERED, maxBytes: KEPT_BYTES, sizeOf: ({ size }) => size });
  const restores = createSemaphore(1, RESTORES_WAITING);

  /** An intact shard; a damaged one is told of and removed. */
  async function load(key: BlobKey, hash: string): Promise<SourceShard | undefined> {
    const kept = small.get(key);
    if (kept) return inMemory(kept);
    const blob = await blobs.open(key);
    if (!blob) return undefined;
    if (checked.get(key)) return fromFile(key, blob.size);
    const bytes = new Uint8Array(await blob.arrayBuffer());
    if (sha256Hex(bytes) !== hash) {
      events.internalError(new Error(`the shard ${key} is damaged`), "shards");
      await blobs.delete(key);
      return undefined;
    }
    if (bytes.byteLength > SMALL_BYTES) {
      checked.set(key, true);
      return fromFile(key, bytes.byteLength);
    }
    const content = new Blob([bytes]);
    small.set(key, content);
    return inMemory(content);
  }

  function fromFile(key: BlobKey, size: number): SourceShard {
    return {
      size,
      isInMemory: false,
      open: async (range) => {
        const blob = await blobs.open(key, range);
        if (!blob) throw new Error(`the shard ${key} has gone`);
        return blob;
      },
    };
  }

  async function restore(channelId: number, hash: string): Promise<boolean> {
    const job = { kind: "shard", dataFolder, request: { channelId, hash } } as const;
    const outcome = await restores.run(() => workers.run(job, RESTORE_LIMIT_MS));
    return outcome.kind === "shard" && outcome.restored;
  }

  return {
    find: async (channelId, hash) => {
      const key = shardKey(channelId, hash);
      const shard = await load(key, hash);
      if (shard) return shard;
      return (await restore(channelId, hash)) ? await load(key, hash) : undefined;
    },
  };
}

function inMemory(blob: Blob): SourceShard {
  const { size } = blob;
  return { size, isInMemory: true, open: (range) => (range ? blob.slice(range.start, range.end + 1) : blob) };
}
