// Reads shards: named by their content, which clients keep for ever without checking, so it is checked here.

import { setTimeout as pause } from "node:timers/promises";
import type { Events } from "../../../events.ts";
import type { DerivedLookup } from "../../../models/index/lookup.ts";
import { createSha256 } from "../../../modules/hash.ts";
import { createLru } from "../../../modules/lru.ts";
import { createSemaphore, type Semaphore, type Step } from "../../../modules/mutex.ts";
import type { BlobKey, BlobStore } from "../../../modules/storage/blob-store.ts";
import { shardKey } from "../../../modules/storage/keys.ts";
import type { Bodies, ByteRange, Sendable } from "../../bodies.ts";
import type { Workers } from "../../workers.ts";
import { PAUSE_MS } from "../../index/engine.ts";
import type { ShardJobs } from "../../index/worker.ts";
import type { Turns } from "../../index/steps/turns.ts";

export type Shards = {
  /**
   * Undefined when the channel has no such shard. One whose file has gone or is damaged is made again as long as the
   * catalogue names it. Errors: `unavailable` when too many are asked for that are not there.
   */
  find(channelId: number, hash: string): Promise<Sendable | undefined>;
};

export type ShardsParts = {
  readonly blobs: BlobStore;
  readonly bodies: Bodies;
  readonly events: Events;
  readonly workers: Pick<Workers<ShardJobs>, "run">;
  readonly turns: Turns;
  readonly catalogues: DerivedLookup;
  readonly dataFolder: string;
};

/** Each is checked once after a start, and again when it has another size. */
const REMEMBERED = 100_000;
/** Checking reads a shard to its end. */
const CHECKS_AT_ONCE = 4;
const CHECKS_WAITING = 10_000;
/** Of one channel: whoever asks for shards that never were must not keep others waiting. */
const RESTORES_WAITING = 50;
const RESTORE_LIMIT_MS = 60_000;

export function createShards({ blobs, bodies, events, catalogues, ...parts }: ShardsParts): Shards {
  const checked = createLru<string, number>({ maxEntries: REMEMBERED });
  const checks = createSemaphore(CHECKS_AT_ONCE, CHECKS_WAITING);
  const checking = new Map<string, Promise<boolean>>();
  const restore = createRestore(parts);

  /** An intact shard; a damaged one is told of and removed. */
  async function load(key: BlobKey, hash: string): Promise<Sendable | undefined> {
    const info = await blobs.stat(key);
    if (!info) return undefined;
    const { size } = info;
    if (checked.get(key) !== size && !(await check(key, hash, size))) return undefined;
    const stored = { key, size, open: (range?: ByteRange) => opened(key, range) };
    return {
      size,
      heldBytes: 0,
      open: (asked) => bodies.open(stored, asked),
      again: (asked) => bodies.kept(stored, asked),
    };
  }

  /** Once for all who ask at the same time. */
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
    for await (const chunk of blob.stream()) found.update(chunk);
    if (found.digest("hex") === hash) {
      checked.set(key, size);
      return true;
    }
    events.internalError(new Error(`the shard ${key} is damaged`), "shards");
    await blobs.delete(key);
    return false;
  }

  async function opened(key: BlobKey, range: ByteRange | undefined): Promise<Blob> {
    const blob = await blobs.open(key, range);
    if (!blob) throw new Error(`the shard ${key} has gone`);
    return blob;
  }

  return {
    find: async (channelId, hash) => {
      const key = shardKey(channelId, hash);
      const shard = await load(key, hash);
      if (shard) return shard;
      // Most that are not there never were, and cost nobody a turn.
      const end = Buffer.from(hash, "hex");
      if (catalogues.hasEntryEndingIn({ channelId, layout: "shards" }, end) === false) return undefined;
      return (await restore(channelId, key, hash)) ? await load(key, hash) : undefined;
    },
  };
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
      if (outcome.kind !== "done") return false;
      const reply = outcome.answer;
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
