// Deletes unreferenced blobs. A blob is deleted inside a write transaction that found no reference to it: a publish
// commits either before, and its reference is found, or after, and stores the deleted blob again.

import type { Transaction } from "../../models/database.ts";
import { forgetOldDeletions, noteDeletions } from "../../models/blob-deletion.ts";
import { isLeased } from "../../models/lease.ts";
import { lockBlob } from "../../models/locks.ts";
import {
  blobUses,
  deleteBlobs,
  greatestBlobId,
  idleBlobs,
  knownBlobs,
  setUnreferenced,
  type BlobUse,
} from "../../models/package-blob.ts";
import type { BlobKey } from "../../modules/storage/blob-store.ts";
import { blobKey, fileListKey, isHash } from "../../modules/storage/keys.ts";
import { BLOBS_LEASE, type Collected, type CollectingShared } from "./collect.ts";

/** Rows examined per query; each row costs an index lookup. */
const ROWS = 5000;
/** Blobs deleted per transaction: few, because publishes wait for it. */
const BATCH = 50;
/** ms; a publish takes minutes. */
const NOTES_KEPT = 24 * 60 * 60 * 1000;

/** Errors: `Leased` as soon as a process copies blobs, `LeaseLost`. */
export async function collectBlobs(work: CollectingShared): Promise<void> {
  await collectRows(work);
  await collectStrays(work, "blobs/");
  await collectStrays(work, "files/");
  const old = work.clock.now() - NOTES_KEPT;
  if (!work.dryRun) await work.database.transact((tx) => forgetOldDeletions(tx, old), { evenIfFull: true });
}

/** A process copies blobs, and must find every blob that the database names. */
export class Leased extends Error {
  override readonly name = "Leased";
}

/** Blobs with a row. Sets `unreferencedAt` where an earlier release has not: the blob is deleted in a later run. */
async function collectRows(work: CollectingShared): Promise<void> {
  const { database, clock, onProgress } = work;
  const last = await greatestBlobId(database.read);
  onProgress(0, last, "blobs");
  for (let after = 0; after < last; after += ROWS) {
    const idle = await idleBlobs(database.read, { after, through: after + ROWS });
    const due = idle.filter((use) => use.isReferenced || use.unreferencedAt === null || isDue(work, use, clock.now()));
    for (const batch of batchesOf(due)) {
      const ids = batch.map(({ id }) => id);
      const hashes = batch.map(({ sha256 }) => sha256);
      await inBatch(work, hashes, async (tx) => await deleteRows(work, tx, ids));
    }
    onProgress(Math.min(after + ROWS, last), last, "blobs");
  }
}

/** A dry run has no transaction, and deletes nothing. */
async function deleteRows(
  work: CollectingShared,
  tx: Transaction | undefined,
  ids: readonly number[],
): Promise<Collected[]> {
  const now = work.clock.now();
  const due: BlobUse[] = [];
  if (tx)
    await lockAll(
      tx,
      (await blobUses(tx, ids)).map(({ sha256 }) => sha256),
    );
  for (const use of await blobUses(tx ?? work.database.read, ids)) {
    if (use.isReferenced) {
      if (tx && use.unreferencedAt !== null) await setUnreferenced(tx, use.id, null);
    } else if (isDue(work, use, now)) {
      due.push(use);
    } else if (tx && use.unreferencedAt === null) {
      await setUnreferenced(tx, use.id, now);
    }
  }
  const deleted = await deleteHashes(
    work,
    tx,
    due.map(({ sha256 }) => sha256),
  );
  if (!tx) return deleted;
  work.failpoint("p12.gc_unlinked");
  await deleteBlobs(
    tx,
    due.map(({ id }) => id),
  );
  return deleted;
}

/** Blobs and file lists without a row: left by a failed publish, or by a power cut during a collection. */
async function collectStrays(work: CollectingShared, prefix: "blobs/" | "files/"): Promise<void> {
  let hashes: string[] = [];
  let seen = 0;
  const flush = async (): Promise<void> => {
    const known = await knownBlobs(work.database.read, hashes);
    const strays: string[] = [];
    for (const hash of hashes) if (!known.has(hash) && (await isStray(work, hash))) strays.push(hash);
    for (const batch of batchesOf(strays))
      await inBatch(work, batch, async (tx) => await deleteStrays(work, tx, batch));
    hashes = [];
  };
  for await (const key of work.blobs.list(prefix)) {
    const hash = key.slice(key.lastIndexOf("/") + 1);
    if (isHash(hash)) hashes.push(hash);
    seen += 1;
    if (hashes.length < 500) continue;
    await flush();
    work.onProgress(seen, seen, `files in ${prefix}`);
  }
  await flush();
}

async function deleteStrays(
  work: CollectingShared,
  tx: Transaction | undefined,
  hashes: readonly string[],
): Promise<Collected[]> {
  if (tx) await lockAll(tx, hashes);
  const known = await knownBlobs(tx ?? work.database.read, hashes);
  const strays = await Promise.all(hashes.map(async (hash) => !known.has(hash) && (await isStray(work, hash))));
  const deleted = await deleteHashes(
    work,
    tx,
    hashes.filter((_, at) => strays[at]),
  );
  if (tx) work.failpoint("p12.gc_unlinked");
  return deleted;
}

/** In the order of the hashes, so that two collectors never wait for each other. */
async function lockAll(tx: Transaction, hashes: readonly string[]): Promise<void> {
  for (const hash of hashes.toSorted()) await lockBlob(tx, hash);
}

/** The younger of a blob and its file list counts, because a publish writes both. */
async function isStray({ blobs, clock, graceMs }: CollectingShared, hash: string): Promise<boolean> {
  const [blob, list] = [await blobs.stat(blobKey(hash)), await blobs.stat(fileListKey(hash))];
  return Math.max(blob?.modified ?? 0, list?.modified ?? 0) <= clock.now() - graceMs;
}

function isDue({ graceMs }: CollectingShared, { unreferencedAt }: BlobUse, now: number): boolean {
  return (unreferencedAt ?? now) <= now - graceMs;
}

/** At the same time, because publishes wait and a bucket is far; no deletion outlives the transaction of the others. */
async function deleteHashes(
  work: CollectingShared,
  tx: Transaction | undefined,
  hashes: readonly string[],
): Promise<Collected[]> {
  const outcomes = await Promise.allSettled(hashes.map((hash) => deleteHash(work, tx, hash)));
  return outcomes.flatMap((outcome) => {
    if (outcome.status === "rejected") throw outcome.reason;
    return outcome.value;
  });
}

async function deleteHash(work: CollectingShared, tx: Transaction | undefined, hash: string): Promise<Collected[]> {
  const deleted: Collected[] = [];
  const keys: readonly (readonly [Collected["kind"], BlobKey])[] = [
    ["blob", blobKey(hash)],
    ["file-list", fileListKey(hash)],
  ];
  for (const [kind, key] of keys) {
    const info = await work.blobs.stat(key);
    if (!info) continue;
    if (tx) await work.blobs.delete(key);
    deleted.push({ kind, name: key, bytes: info.size });
  }
  return deleted;
}

/**
 * Runs `work`, which deletes some of these contents, in a transaction, except in a dry run. Reports the deleted files
 * once the transaction has committed.
 */
async function inBatch(
  collecting: CollectingShared,
  hashes: readonly string[],
  work: (tx: Transaction | undefined) => Promise<readonly Collected[]>,
): Promise<void> {
  const { database, clock, dryRun } = collecting;
  const transaction = async (tx: Transaction): Promise<readonly Collected[]> => {
    await collecting.lease.renew(tx);
    if (await isLeased(tx, BLOBS_LEASE, clock)) throw new Leased("blobs are being copied");
    collecting.failpoint("p11.gc_marked");
    return await work(tx);
  };
  if (!dryRun) await database.transact((tx) => noteDeletions(tx, hashes, clock.now()), { evenIfFull: true });
  const deleted = dryRun ? await work(undefined) : await database.transact(transaction, { evenIfFull: true });
  for (const collected of deleted) collecting.onCollected(collected);
}

function* batchesOf<T>(all: readonly T[]): Generator<readonly T[], void, undefined> {
  for (let at = 0; at < all.length; at += BATCH) yield all.slice(at, at + BATCH);
}
