// Reads shards. A shard is named by its hash and clients cache it forever unchecked, so the server checks its content.

import { setTimeout as pause } from "node:timers/promises";
import type { Events } from "../../../events.ts";
import type { DerivedLookup } from "../../../models/index/lookup.ts";
import type { StoresSource } from "../../../models/stores-source.ts";
import { createSha256 } from "../../../modules/hash.ts";
import { createLru } from "../../../modules/lru.ts";
import { createSemaphore, type Semaphore, type Step } from "../../../modules/mutex.ts";
import type { BlobKey, BlobStore, StoredBlob } from "../../../modules/storage/blob-store.ts";
import { shardKey } from "../../../modules/storage/keys.ts";
import type { Bodies, ByteRange, Sendable } from "../../bodies.ts";
import { errorOf } from "../../worker-failures.ts";
import type { Workers } from "../../workers.ts";
import { PAUSE_MS } from "../../index/engine.ts";
import type { ShardJobs } from "../../index/worker.ts";
import type { Turns } from "../../index/steps/turns.ts";

export type Shards = {
  /**
   * Undefined when the channel has no such shard. Rebuilds a missing or damaged shard as long as the shard index lists
   * it. Errors: `unavailable` when too many missing shards are requested.
   */
  find(channelId: number, hash: string): Promise<Sendable | undefined>;
};

export type ShardsParts = {
  readonly blobs: BlobStore;
  readonly bodies: Bodies;
  readonly events: Events;
  readonly workers: Pick<Workers<ShardJobs>, "run">;
  readonly turns: Turns;
  readonly shardIndexes: DerivedLookup;
  readonly source: StoresSource;
};

/** Shards known as intact: each is checked once after a start, and again when its size differs. */
const MOST_CHECKED = 100_000;
/** A check reads the complete shard. */
const CHECKS_AT_ONCE = 4;
const CHECKS_WAITING = 10_000;
/** Limit per channel: requests for shards that never existed must not block other channels. */
const RESTORES_WAITING = 50;
const RESTORE_LIMIT_MS = 60_000;

export function createShards({ blobs, bodies, events, shardIndexes, ...parts }: ShardsParts): Shards {
  const checked = createLru<string, number>({ maxEntries: MOST_CHECKED });
  const checks = createSemaphore(CHECKS_AT_ONCE, CHECKS_WAITING);
  const checking = new Map<string, Promise<boolean>>();
  const restore = createRestore(parts);

  /** Returns an intact shard; logs and deletes a damaged one. */
  async function load(key: BlobKey, hash: string): Promise<Sendable | undefined> {
    const info = await blobs.stat(key);
    if (!info) return undefined;
    const { size } = info;
    if (checked.get(key) !== size && !(await check(key, hash, size))) return undefined;
    const stored = { key, size, open: (range?: ByteRange) => opened(key, range) };
    return {
      size,
      heldBytes: 0,
      open: (request) => bodies.open(stored, request),
      replayable: (request) => bodies.kept(stored, request),
    };
  }

  /** Concurrent requests share one check. */
  async function check(key: BlobKey, hash: string, size: number): Promise<boolean> {
    const known = checking.get(key);
    if (known) return await known;
    const flight = checks.run(() => isIntact(key, hash, size)).finally(() => checking.delete(key));
    checking.set(key, flight);
    return await flight;
  }

  async function isIntact(key: BlobKey, hash: string, size: number): Promise<boolean> {
    const blob = await blobs.open(key);
    if (!blob) return false;
    const found = createSha256();
    let length = 0;
    for await (const chunk of blob.stream()) {
      found.update(chunk);
      length += chunk.byteLength;
    }
    // The bytes can be those of an intact copy on this node, and the size that of a damaged object.
    if (found.digest("hex") === hash && length === size) {
      checked.set(key, size);
      return true;
    }
    events.internalError(new Error(`the shard ${key} is damaged`), "shards");
    await blobs.delete(key);
    return false;
  }

  async function opened(key: BlobKey, range: ByteRange | undefined): Promise<StoredBlob> {
    const blob = await blobs.open(key, range);
    if (!blob) throw new Error(`the shard ${key} is missing`);
    return blob;
  }

  return {
    find: async (channelId, hash) => {
      const key = shardKey(channelId, hash);
      const shard = await load(key, hash);
      if (shard) return shard;
      // Most missing shards never existed: refuse these without using a turn.
      const end = Buffer.from(hash, "hex");
      if (shardIndexes.hasEntryEndingIn({ channelId, layout: "shards" }, end) === false) return undefined;
      return (await restore(channelId, key, hash)) ? await load(key, hash) : undefined;
    },
  };
}

type Restore = (channelId: number, key: BlobKey, hash: string) => Promise<boolean>;

/** Concurrent requests share one restore; each channel restores one shard at a time. */
function createRestore({ workers, turns, source }: Pick<ShardsParts, "workers" | "turns" | "source">): Restore {
  const flights = new Map<string, Promise<boolean>>();
  const channels = new Map<number, Semaphore>();

  async function restoreInSteps(channelId: number, hash: string): Promise<boolean> {
    const job = { kind: "shard", source, request: { channelId, hash } } as const;
    for (let step: Step = "first"; ; step = "further") {
      const outcome = await turns.run(channelId, step, () => workers.run(job, RESTORE_LIMIT_MS));
      const known = outcome.kind === "failed" ? errorOf(outcome) : undefined;
      // To clients, a shard that is missing is one that never existed.
      if (known) throw known;
      if (outcome.kind !== "done") return false;
      const reply = outcome.answer;
      if (reply.kind !== "more") return reply.kind === "restored";
      if (reply.isWaiting) await pause(PAUSE_MS);
    }
  }

  return async (channelId, key, hash) => {
    const known = flights.get(key);
    if (known) return await known;
    const slots = channels.get(channelId) ?? createSemaphore(1, RESTORES_WAITING);
    channels.set(channelId, slots);
    const flight = slots.run(() => restoreInSteps(channelId, hash));
    flights.set(key, flight);
    try {
      return await flight;
    } finally {
      flights.delete(key);
      if (slots.active === 0) channels.delete(channelId);
    }
  };
}
