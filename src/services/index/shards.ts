// Reads shards: named by their content, which clients keep for ever without checking, so it is checked here.

import { setTimeout as pause } from "node:timers/promises";
import type { Events } from "../../events.ts";
import type { DerivedLookup } from "../../models/derived-lookup.ts";
import { sha256Hex } from "../../modules/hash.ts";
import { createLru } from "../../modules/lru.ts";
import { createSemaphore, type Semaphore, type Step } from "../../modules/mutex.ts";
import type { BlobKey, BlobStore } from "../../modules/storage/blob-store.ts";
import { shardKey } from "../../modules/storage/keys.ts";
import type { SourceShard } from "../sources/source.ts";
import type { Workers } from "../workers.ts";
import { PAUSE_MS } from "./engine.ts";
import type { Turns } from "./turns.ts";

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
  readonly turns: Turns;
  readonly catalogues: DerivedLookup;
  readonly dataFolder: string;
};

/** Large ones are checked once after a start, as files do not change while the server runs. */
const REMEMBERED = 100_000;
/** Others are kept in memory: a client asks for hundreds, and opening a file costs more than sending it. */
const SMALL_BYTES = 64 * 1024;
const KEPT_BYTES = 32 * 1024 ** 2;
/** Of one channel: whoever asks for shards that never were must not keep others waiting. */
const RESTORES_WAITING = 50;
const RESTORE_LIMIT_MS = 60_000;

export function createShards({ blobs, events, catalogues, ...parts }: ShardsParts): Shards {
  const checked = createLru<string, true>({ maxEntries: REMEMBERED });
  const small = createLru<string, Blob>({ maxEntries: REMEMBERED, maxBytes: KEPT_BYTES, sizeOf: ({ size }) => size });
  const restore = createRestore(parts);

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

  return {
    find: async (channelId, hash) => {
      const key = shardKey(channelId, hash);
      const shard = await load(key, hash);
      if (shard) return shard;
      // Most that are not there never were, and cost nobody a turn.
      const end = Buffer.from(hash, "hex");
      if (catalogues.hasEntryEndingIn({ channelId, family: "shards" }, end) === false) return undefined;
      return (await restore(channelId, key, hash)) ? await load(key, hash) : undefined;
    },
  };
}

function inMemory(blob: Blob): SourceShard {
  const { size } = blob;
  return { size, isInMemory: true, open: (range) => (range ? blob.slice(range.start, range.end + 1) : blob) };
}

type Restore = (channelId: number, key: BlobKey, hash: string) => Promise<boolean>;

/** Each once, however many ask for it, and one of a channel at a time. */
function createRestore({ workers, turns, dataFolder }: Pick<ShardsParts, "workers" | "turns" | "dataFolder">): Restore {
  const flights = new Map<string, Promise<boolean>>();
  const channels = new Map<number, Semaphore>();

  async function restoreInTurns(channelId: number, hash: string): Promise<boolean> {
    const job = { kind: "shard", dataFolder, request: { channelId, hash } } as const;
    for (let step: Step = "first"; ; step = "further") {
      const outcome = await turns.run(channelId, step, () => workers.run(job, RESTORE_LIMIT_MS));
      if (outcome.kind !== "shard") return false;
      const { reply } = outcome;
      if (reply.kind !== "more") return reply.kind === "restored";
      if (reply.isWaiting) await pause(PAUSE_MS);
    }
  }

  return async (channelId, key, hash) => {
    const known = flights.get(key);
    if (known) return await known;
    const places = channels.get(channelId) ?? createSemaphore(1, RESTORES_WAITING);
    channels.set(channelId, places);
    const flight = places.run(() => restoreInTurns(channelId, hash));
    flights.set(key, flight);
    try {
      return await flight;
    } finally {
      flights.delete(key);
      if (places.active === 0) channels.delete(channelId);
    }
  };
}
