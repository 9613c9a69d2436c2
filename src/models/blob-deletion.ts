// Contents whose files may have been deleted from the storage. Noted, in a commit of its own, before the deletion: a
// publish that stored the same content before finds the note, and looks whether its file is still there.

import { eq, lt } from "drizzle-orm";
import type { Reader, Transaction } from "./database.ts";
import { param, prepared } from "./prepared.ts";
import { blobDeletion } from "./schema/index.ts";

const deletionOf = prepared("deletionOf", (reader) =>
  reader
    .select({ at: blobDeletion.at })
    .from(blobDeletion)
    .where(eq(blobDeletion.sha256, param("sha256")))
    .limit(1),
);

/** `at` in ms UTC; pass at most a few hundred hashes. Hold no lock of these contents: a publish may wait for it. */
export async function noteDeletions(tx: Transaction, hashes: readonly string[], at: number): Promise<void> {
  if (hashes.length === 0) return;
  await tx
    .insert(blobDeletion)
    .values(hashes.map((sha256) => ({ sha256, at })))
    .onConflictDoUpdate({ target: blobDeletion.sha256, set: { at } });
}

/** Whether the files of a content may have been deleted since they were stored. Hold the lock of the content. */
export async function mayBeDeleted(reader: Reader, sha256: string): Promise<boolean> {
  return (await deletionOf(reader).execute({ sha256 })).length > 0;
}

/** Call it in the transaction that refers to the content, when its files are there again before the commit. */
export async function forgetDeletion(tx: Transaction, sha256: string): Promise<void> {
  await tx.delete(blobDeletion).where(eq(blobDeletion.sha256, sha256));
}

/** Deletes notes older than `before` (ms UTC): no publish that began before them is still in progress. */
export async function forgetOldDeletions(tx: Transaction, before: number): Promise<void> {
  await tx.delete(blobDeletion).where(lt(blobDeletion.at, before));
}
