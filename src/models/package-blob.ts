// Blobs: file contents, each stored once under its sha256 and shared by package files.

import { and, asc, eq, gt, inArray, isNotNull, lte, or, sql } from "drizzle-orm";
import type { Reader, Transaction } from "./database.ts";
import { lockBlob } from "./locks.ts";
import { param, placeholders, prepared } from "./prepared.ts";
import { requireRow } from "./rows.ts";
import { packageBlob } from "./schema/index.ts";

export type PackageBlobRow = typeof packageBlob.$inferSelect;

const blobByHash = prepared("blobByHash", (reader) =>
  reader
    .select()
    .from(packageBlob)
    .where(eq(packageBlob.sha256, param("sha256")))
    .limit(1),
);
const insertBlob = prepared("insertBlob", (reader) =>
  reader
    .insert(packageBlob)
    .values(placeholders("sha256", "md5", "size", "created"))
    .returning(),
);

/** Returns a blob's row, inserted if missing. Clears `unreferencedAt`: the caller is about to refer to the blob. */
export async function ensureBlob(
  tx: Transaction,
  values: Pick<PackageBlobRow, "sha256" | "md5" | "size" | "created">,
): Promise<PackageBlobRow> {
  await lockBlob(tx, values.sha256);
  const [existing] = await blobByHash(tx).execute({ sha256: values.sha256 });
  if (!existing) return requireRow(await insertBlob(tx).execute(values));
  if (existing.unreferencedAt !== null) await setUnreferenced(tx, existing.id, null);
  return existing;
}

// Raw SQL: drizzle drops the table of a selected column, so `id` would mean the id of the file.
const HAS_FILE = sql<boolean>`EXISTS (SELECT 1 FROM package_file WHERE package_file.blob_id = package_blob.id)`;

/** Stores `at` as the time since which no file refers to these blobs, if none does. Pass at most a few thousand ids. */
export async function noteAllUnreferenced(tx: Transaction, ids: readonly number[], at: number): Promise<void> {
  await tx
    .update(packageBlob)
    .set({ unreferencedAt: at })
    .where(and(inArray(packageBlob.id, [...ids]), sql`NOT ${HAS_FILE}`));
}

export async function setUnreferenced(tx: Transaction, id: number, at: number | null): Promise<void> {
  await tx.update(packageBlob).set({ unreferencedAt: at }).where(eq(packageBlob.id, id));
}

export type BlobUse = Pick<PackageBlobRow, "id" | "sha256" | "size" | "unreferencedAt"> & {
  readonly isReferenced: boolean;
};

const USE = {
  id: packageBlob.id,
  sha256: packageBlob.sha256,
  size: packageBlob.size,
  unreferencedAt: packageBlob.unreferencedAt,
  isReferenced: HAS_FILE.mapWith(Boolean),
};

/** The blobs with ids in `(after, through]` that no file refers to, or that are marked as unreferenced. */
export async function idleBlobs(
  reader: Reader,
  { after, through }: { readonly after: number; readonly through: number },
): Promise<BlobUse[]> {
  return await reader
    .select(USE)
    .from(packageBlob)
    .where(
      and(
        gt(packageBlob.id, after),
        lte(packageBlob.id, through),
        or(isNotNull(packageBlob.unreferencedAt), sql`NOT ${HAS_FILE}`),
      ),
    )
    .orderBy(asc(packageBlob.id));
}

/** A page of all blobs, ordered by sha256. */
export async function pageOfBlobUses(
  reader: Reader,
  afterSha256: string,
  limit: number,
): Promise<(BlobUse & Pick<PackageBlobRow, "md5">)[]> {
  return await reader
    .select({ ...USE, md5: packageBlob.md5 })
    .from(packageBlob)
    .where(gt(packageBlob.sha256, afterSha256))
    .orderBy(asc(packageBlob.sha256))
    .limit(limit);
}

/** The current use of these blobs; pass at most a few hundred ids. */
export async function blobUses(reader: Reader, ids: readonly number[]): Promise<BlobUse[]> {
  return await reader
    .select(USE)
    .from(packageBlob)
    .where(inArray(packageBlob.id, [...ids]));
}

export async function deleteBlobs(tx: Transaction, ids: readonly number[]): Promise<void> {
  await tx.delete(packageBlob).where(inArray(packageBlob.id, [...ids]));
}

/** The greatest id of a blob; 0 when there are no blobs. */
export async function greatestBlobId(reader: Reader): Promise<number> {
  const rows = await reader
    .select({ id: sql<number | null>`max(${packageBlob.id})`.mapWith(Number) })
    .from(packageBlob);
  return rows[0]?.id ?? 0;
}

/** A page of all blobs, ordered by id. */
export async function pageOfBlobs(reader: Reader, afterId: number, limit: number): Promise<PackageBlobRow[]> {
  return await reader
    .select()
    .from(packageBlob)
    .where(gt(packageBlob.id, afterId))
    .orderBy(asc(packageBlob.id))
    .limit(limit);
}

export async function countBlobs(reader: Reader): Promise<number> {
  const rows = await reader.select({ blobs: sql<number>`count(*)`.mapWith(Number) }).from(packageBlob);
  return rows[0]?.blobs ?? 0;
}

/** Those of these hashes that have a row; pass at most a few hundred hashes. */
export async function knownBlobs(reader: Reader, hashes: readonly string[]): Promise<Set<string>> {
  const rows = await reader
    .select({ sha256: packageBlob.sha256 })
    .from(packageBlob)
    .where(inArray(packageBlob.sha256, [...hashes]));
  return new Set(rows.map((row) => row.sha256));
}
