// Deletes shards that no shard index (CEP 16) names. A shard index is committed to index.db before it is sent, together
// with the hashes of the shards that it replaces, so index.db records which shards a client can know. Of several nodes
// on one storage, each knows only what it has named itself: it collects only channels that its index.db has read to their
// newest revision, and lets every other shard that no index can name any more become as old as one that it has replaced.

import type { Reader, Transaction } from "../../models/database.ts";
import { listChannels } from "../../models/channel.ts";
import { DerivedBusy, PLAIN_VIEW, WHOLE_CHANNEL, type IndexScope } from "../../models/index/scope.ts";
import { kindOfDerived } from "../../models/index/copy.ts";
import { SHARDS_LAYOUT } from "../../models/index/shards.ts";
import { openDerived, type Derived } from "../../models/index/db.ts";
import { sectionRevision } from "../../models/index-part.ts";
import { listSections } from "../../models/package-file.ts";
import { machineStart } from "../../modules/clock.ts";
import type { BlobKey } from "../../modules/storage/blob-store.ts";
import { isHash, shardKey } from "../../modules/storage/keys.ts";
import type { CollectingShared } from "./collect.ts";

/** Clients use a shard index for a day without revalidation, and some request its shards up to a week later. CEP 16. */
export const SHARD_MS = 7 * 24 * 60 * 60 * 1000;
/** Shards deleted per transaction: builders and publishes of the channel wait for it. */
const BATCH = 50;
const BUSY_TRIES = 100;
const BUSY_MS = 50;

/** Errors: `DerivedBusy` when builders keep index.db locked for long. */
export async function collectShards(work: CollectingShared): Promise<void> {
  // The folders first: a channel that is created afterwards has shards, too.
  const channelIds = await channelsWithShards(work);
  const channels = new Set((await listChannels(work.database.read)).map(({ id }) => id));
  const path = work.folder.index;
  // Without an index.db of this release the named shards are unknown; the server creates one at the next request.
  const derived =
    kindOfDerived(path, work.codec) === "ours" ? openDerived(path, work.codec, { clock: work.clock }) : undefined;
  try {
    if (derived && !work.dryRun) await tidy(work, derived, channels);
    for (const channelId of channelIds) {
      if (!channels.has(channelId)) await collectChannel(work, channelId);
      else if (derived) await collectChannel(work, channelId, derived);
    }
    if (derived && !work.dryRun) {
      await locked(derived, async () => derived.forgetRetired(work.clock.now() - (work.isShared ? 2 : 1) * SHARD_MS));
      derived.shrink();
    }
  } finally {
    derived?.close();
  }
}

async function channelsWithShards({ blobs }: CollectingShared): Promise<number[]> {
  const names = await blobs.folders("shards");
  return names.flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []));
}

/** Discards the state of deleted channels and of emptied sections, and sets the date of newly replaced shards. */
async function tidy(work: CollectingShared, derived: Derived, channels: ReadonlySet<number>): Promise<void> {
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
async function isEmptied({ database }: CollectingShared, derived: Derived, scope: IndexScope): Promise<boolean> {
  const { channelId, section } = scope;
  if (section === WHOLE_CHANNEL || (await listSections(database.read, channelId)).includes(section)) return false;
  const revision = derived.state(scope)?.revision ?? 0;
  return revision < (await sectionRevision(database.read, channelId, section));
}

/** Without `derived`, the channel was deleted, and its shards with it. */
async function collectChannel(work: CollectingShared, channelId: number, derived?: Derived): Promise<void> {
  let hashes: string[] = [];
  const flush = async (): Promise<void> => {
    const batch = hashes;
    hashes = [];
    const collect = (): Promise<void> =>
      inBatch(work, channelId, async (reader) => await deleteDue(work, { reader, channelId, derived }, batch));
    // The lock prevents builders of this node from writing or naming a shard meanwhile.
    await (derived ? locked(derived, collect) : collect());
  };
  for await (const key of work.blobs.list(`shards/${channelId}/`)) {
    const hash = key.slice(key.lastIndexOf("/") + 1);
    if (!isHash(hash) || (derived && isNamed(derived, channelId, hash))) continue;
    hashes.push(hash);
    if (hashes.length >= BATCH) await flush();
  }
  if (hashes.length > 0) await flush();
}

/** Runs `work` while no other collector runs and the channel does not change. A dry run has no transaction. */
async function inBatch(
  { dryRun, database, lease }: CollectingShared,
  channelId: number,
  work: (reader: Reader) => Promise<void>,
): Promise<void> {
  if (dryRun) return await work(database.read);
  const batch = async (tx: Transaction): Promise<void> => {
    await lease.renew(tx);
    await work(tx);
  };
  await database.transact(batch, { channels: [channelId], isUnseen: true, evenIfFull: true });
}

type Channel = { readonly reader: Reader; readonly channelId: number; readonly derived: Derived | undefined };

async function deleteDue(work: CollectingShared, channel: Channel, hashes: readonly string[]): Promise<void> {
  const { reader, channelId, derived } = channel;
  if (derived && work.isShared && !(await isCurrent(reader, derived, channelId))) return;
  const isDeleted = async (hash: string): Promise<boolean> => !derived || (await isDue(work, derived, channelId, hash));
  const outcomes = await Promise.allSettled(
    hashes.map(async (hash) => {
      if (await isDeleted(hash)) await deleteShard(work, shardKey(channelId, hash));
    }),
  );
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
}

/** Whether this node's index.db names every shard that an index of any node names from now on. */
async function isCurrent(reader: Reader, derived: Derived, channelId: number): Promise<boolean> {
  for (const section of await listSections(reader, channelId)) {
    const state = derived.state({ channelId, view: PLAIN_VIEW, section, layout: SHARDS_LAYOUT });
    if (!state || state.cursor !== null) return false;
    if (state.revision < (await sectionRevision(reader, channelId, section))) return false;
  }
  return true;
}

async function isDue(work: CollectingShared, derived: Derived, channelId: number, hash: string): Promise<boolean> {
  if (isNamed(derived, channelId, hash)) return false;
  const limit = work.clock.now() - SHARD_MS;
  const since = derived.retiredSince(channelId, hash);
  if (since !== undefined) return since !== null && since <= limit;
  if (work.isShared) {
    // An index of another node has possibly named it until now.
    if (!work.dryRun) derived.retire(channelId, hash);
    return false;
  }
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

async function deleteShard(work: CollectingShared, key: BlobKey): Promise<void> {
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
