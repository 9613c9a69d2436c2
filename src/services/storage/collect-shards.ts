// Deletes shards that no shard index (CEP 16) names. A shard index is committed to index.db before it is sent, together
// with the hashes of the shards that it replaces, so index.db records which shards a client can know.

import { listChannels } from "../../models/channel.ts";
import { DerivedBusy, WHOLE_CHANNEL, type IndexScope } from "../../models/index/scope.ts";
import { kindOfDerived } from "../../models/index/copy.ts";
import { SHARDS_LAYOUT } from "../../models/index/shards.ts";
import { openDerived, type Derived } from "../../models/index/db.ts";
import { sectionRevision } from "../../models/index-part.ts";
import { listSections } from "../../models/package-file.ts";
import { machineStart } from "../../modules/clock.ts";
import type { BlobKey } from "../../modules/storage/blob-store.ts";
import { isHash, shardKey } from "../../modules/storage/keys.ts";
import type { Collecting } from "./collect.ts";

/** Clients use a shard index for a day without revalidation, and some request its shards up to a week later. CEP 16. */
export const SHARD_MS = 7 * 24 * 60 * 60 * 1000;
/** Shards deleted per exclusive step: builders wait for the end of each step. */
const BATCH = 100;
const BUSY_TRIES = 100;
const BUSY_MS = 50;

/** Errors: `DerivedBusy` when builders keep index.db locked for long. */
export async function collectShards(work: Collecting): Promise<void> {
  const channels = new Set((await listChannels(work.database.read)).map(({ id }) => id));
  const path = work.folder.index;
  // Without an index.db of this release the named shards are unknown; the server creates one at the next request.
  const derived =
    kindOfDerived(path, work.codec) === "ours" ? openDerived(path, work.codec, { clock: work.clock }) : undefined;
  try {
    if (derived && !work.dryRun) await tidy(work, derived, channels);
    for (const channelId of await channelsWithShards(work)) {
      if (!channels.has(channelId)) await collectChannel(work, channelId);
      else if (derived) await collectNamed(work, derived, channelId);
    }
    if (derived && !work.dryRun) {
      await locked(derived, async () => derived.forgetRetired(work.clock.now() - SHARD_MS));
      derived.shrink();
    }
  } finally {
    derived?.close();
  }
}

async function channelsWithShards({ blobs }: Collecting): Promise<number[]> {
  const names = await blobs.folders("shards");
  return names.flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []));
}

/** Discards the state of deleted channels and of emptied sections, and sets the date of newly replaced shards. */
async function tidy(work: Collecting, derived: Derived, channels: ReadonlySet<number>): Promise<void> {
  const { database, clock } = work;
  for (const scope of derived.scopes()) {
    const { channelId, section } = scope;
    if (channels.has(channelId) && !(await isEmptied(work, derived, scope))) continue;
    await locked(derived, async () => {
      if (channels.has(channelId) && (await listSections(database.read, channelId)).includes(section)) return;
      derived.discard(scope);
    });
  }
  await locked(derived, async () => derived.ageRetired(clock.now()));
}

/** Whether a section has no files, and its stored state is of an earlier revision. */
async function isEmptied({ database }: Collecting, derived: Derived, scope: IndexScope): Promise<boolean> {
  const { channelId, section } = scope;
  if (section === WHOLE_CHANNEL || (await listSections(database.read, channelId)).includes(section)) return false;
  const revision = derived.state(scope)?.revision ?? 0;
  return revision < (await sectionRevision(database.read, channelId, section));
}

async function collectChannel(work: Collecting, channelId: number): Promise<void> {
  for await (const key of work.blobs.list(`shards/${channelId}/`)) await deleteShard(work, key);
}

async function collectNamed(work: Collecting, derived: Derived, channelId: number): Promise<void> {
  let unnamed: string[] = [];
  const flush = async (): Promise<void> => {
    const hashes = unnamed;
    unnamed = [];
    // The lock prevents builders from writing or naming a shard meanwhile.
    await locked(derived, async () => {
      for (const hash of hashes)
        if (await isDue(work, derived, channelId, hash)) await deleteShard(work, shardKey(channelId, hash));
    });
  };
  for await (const key of work.blobs.list(`shards/${channelId}/`)) {
    const hash = key.slice(key.lastIndexOf("/") + 1);
    if (!isHash(hash) || isNamed(derived, channelId, hash)) continue;
    unnamed.push(hash);
    if (unnamed.length >= BATCH) await flush();
  }
  if (unnamed.length > 0) await flush();
}

async function isDue(work: Collecting, derived: Derived, channelId: number, hash: string): Promise<boolean> {
  if (isNamed(derived, channelId, hash)) return false;
  const limit = work.clock.now() - SHARD_MS;
  const since = derived.retiredSince(channelId, hash);
  if (since !== undefined) return since !== null && since <= limit;
  const info = await work.blobs.stat(shardKey(channelId, hash));
  if (!info) return false;
  // A power cut can lose the latest commits of index.db. So index.db knows only the shards sent since the machine
  // started, and since index.db was created.
  const knownSince = Math.max(derived.begun, machineStart());
  return info.modified > knownSince || knownSince <= limit;
}

function isNamed(derived: Derived, channelId: number, hash: string): boolean {
  return derived.entryEndingIn({ channelId, layout: SHARDS_LAYOUT }, Buffer.from(hash, "hex")) !== undefined;
}

async function deleteShard(work: Collecting, key: BlobKey): Promise<void> {
  const info = await work.blobs.stat(key);
  if (!info) return;
  if (!work.dryRun) await work.blobs.delete(key);
  work.onCollected({ kind: "shard", name: key, bytes: info.size });
}

/** Runs `work` with index.db locked, and waits for builders, which lock it for a step at a time. */
async function locked(derived: Derived, work: () => Promise<void>): Promise<void> {
  for (let left = BUSY_TRIES; ; left -= 1) {
    try {
      return await derived.exclusively(work);
    } catch (error) {
      if (!(error instanceof DerivedBusy) || left === 1) throw error;
      await Bun.sleep(BUSY_MS);
    }
  }
}
