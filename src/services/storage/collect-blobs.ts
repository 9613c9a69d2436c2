// Blobs that nothing refers to. One goes inside a write transaction that found no reference to it, so that a publish
// commits either before, and is seen, or after, and puts the blob back that it finds gone.

import type { Transaction } from "../../models/database.ts";
import { isLeased } from "../../models/lease.ts";
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
import { BLOBS_LEASE, type Collected, type Collecting } from "./collect.ts";

/** Rows looked at for a query: each is a look into an index. */
const ROWS = 5000;
/** So few are taken in a transaction, as publishes wait for it. */
const BATCH = 50;

/** Errors: `Leased`, as soon as somebody copies blobs. */
export async function collectBlobs(work: Collecting): Promise<void> {
  await collectRows(work);
  await collectStrays(work, "blobs/");
  await collectStrays(work, "files/");
}

/** Somebody copies blobs, and must find all that the database names. */
export class Leased extends Error {
  override readonly name = "Leased";
}

/** Those with a row. One of before this was noted is noted when it is first found. */
async function collectRows(work: Collecting): Promise<void> {
  const { database, clock, onProgress } = work;
  const last = await greatestBlobId(database.read);
  for (let after = 0; after < last; after += ROWS) {
    const idle = await idleBlobs(database.read, { after, through: after + ROWS });
    const due = idle.filter((use) => use.isReferenced || use.unreferencedAt === null || isDue(work, use, clock.now()));
    for (const some of batchesOf(due)) {
      const ids = some.map(({ id }) => id);
      await inBatch(work, async (tx) => await takeRows(work, tx, ids));
    }
    onProgress(Math.min(after + ROWS, last), last, "blobs");
  }
}

async function takeRows(work: Collecting, tx: Transaction | undefined, ids: readonly number[]): Promise<Collected[]> {
  const now = work.clock.now();
  const taken: Collected[] = [];
  const gone: number[] = [];
  for (const use of await blobUses(tx ?? work.database.read, ids)) {
    if (use.isReferenced) {
      if (tx && use.unreferencedAt !== null) await setUnreferenced(tx, use.id, null);
    } else if (isDue(work, use, now)) {
      gone.push(use.id);
      taken.push(...(await takeHash(work, tx, use.sha256)));
    } else if (tx && use.unreferencedAt === null) {
      await setUnreferenced(tx, use.id, now);
    }
  }
  if (!tx) return taken;
  work.failpoint("p12.gc_unlinked");
  await deleteBlobs(tx, gone);
  return taken;
}

/** Blobs and file lists without a row: left by a publish that failed, or by a power cut amid a collection. */
async function collectStrays(work: Collecting, prefix: "blobs/" | "files/"): Promise<void> {
  let hashes: string[] = [];
  let seen = 0;
  const flush = async (): Promise<void> => {
    const known = await knownBlobs(work.database.read, hashes);
    const strays: string[] = [];
    for (const hash of hashes) if (!known.has(hash) && (await isStray(work, hash))) strays.push(hash);
    for (const some of batchesOf(strays)) await inBatch(work, async (tx) => await takeStrays(work, tx, some));
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

async function takeStrays(
  work: Collecting,
  tx: Transaction | undefined,
  hashes: readonly string[],
): Promise<Collected[]> {
  const known = await knownBlobs(tx ?? work.database.read, hashes);
  const taken: Collected[] = [];
  for (const hash of hashes) {
    if (!known.has(hash) && (await isStray(work, hash))) taken.push(...(await takeHash(work, tx, hash)));
  }
  if (tx) work.failpoint("p12.gc_unlinked");
  return taken;
}

/** Of a blob and its list, the younger one counts: a publish writes both. */
async function isStray({ blobs, clock, graceMs }: Collecting, hash: string): Promise<boolean> {
  const [blob, list] = [await blobs.stat(blobKey(hash)), await blobs.stat(fileListKey(hash))];
  return Math.max(blob?.modified ?? 0, list?.modified ?? 0) <= clock.now() - graceMs;
}

function isDue({ graceMs }: Collecting, { unreferencedAt }: BlobUse, now: number): boolean {
  return (unreferencedAt ?? now) <= now - graceMs;
}

async function takeHash(work: Collecting, tx: Transaction | undefined, hash: string): Promise<Collected[]> {
  const taken: Collected[] = [];
  const keys: readonly (readonly [Collected["kind"], BlobKey])[] = [
    ["blob", blobKey(hash)],
    ["file-list", fileListKey(hash)],
  ];
  for (const [kind, key] of keys) {
    const info = await work.blobs.stat(key);
    if (!info) continue;
    if (tx) await work.blobs.delete(key);
    taken.push({ kind, name: key, bytes: info.size });
  }
  return taken;
}

/** Without a transaction when nothing is to be taken for real. What has been taken is told of when that has committed. */
async function inBatch(
  work: Collecting,
  take: (tx: Transaction | undefined) => Promise<readonly Collected[]>,
): Promise<void> {
  const { database, clock, dryRun } = work;
  const transaction = async (tx: Transaction): Promise<readonly Collected[]> => {
    if (await isLeased(tx, BLOBS_LEASE, clock.now())) throw new Leased("blobs are being copied");
    work.failpoint("p11.gc_marked");
    return await take(tx);
  };
  const taken = dryRun ? await take(undefined) : await database.transact(transaction, { evenIfFull: true });
  for (const collected of taken) work.take(collected);
}

function* batchesOf<T>(all: readonly T[]): Generator<readonly T[], void, undefined> {
  for (let at = 0; at < all.length; at += BATCH) yield all.slice(at, at + BATCH);
}
