// Blobs: content by its sha256, shared by files.

import { asc, eq, gt, inArray, sql } from "drizzle-orm";
import type { Reader, Transaction } from "./database.ts";
import { given, givenRow, prepared } from "./prepared.ts";
import { theRow } from "./rows.ts";
import { packageBlob } from "./schema/sqlite.ts";

export type PackageBlobRow = typeof packageBlob.$inferSelect;

const blobByHash = prepared((reader) =>
  reader
    .select()
    .from(packageBlob)
    .where(eq(packageBlob.sha256, given("sha256")))
    .limit(1)
    .prepare(),
);
const insertBlob = prepared((reader) =>
  reader
    .insert(packageBlob)
    .values(givenRow("sha256", "md5", "size", "created"))
    .returning()
    .prepare(),
);

export async function ensureBlob(
  tx: Transaction,
  values: Pick<PackageBlobRow, "sha256" | "md5" | "size" | "created">,
): Promise<PackageBlobRow> {
  const [existing] = await blobByHash(tx).execute({ sha256: values.sha256 });
  return existing ?? theRow(await insertBlob(tx).execute(values));
}

/** Blobs in the order of their ids, a page at a time. */
export async function pageOfBlobs(reader: Reader, afterId: number, limit: number): Promise<PackageBlobRow[]> {
  return await reader
    .select()
    .from(packageBlob)
    .where(gt(packageBlob.id, afterId))
    .orderBy(asc(packageBlob.id))
    .limit(limit);
}

export async function countBlobs(reader: Reader): Promise<number> {
  const rows = await reader.select({ blobs: sql<number>`cast(count(*) as integer)` }).from(packageBlob);
  return rows[0]?.blobs ?? 0;
}

/** Which of these hashes have a row; at most a few hundred at a time. */
export async function knownBlobs(reader: Reader, hashes: readonly string[]): Promise<Set<string>> {
  const rows = await reader
    .select({ sha256: packageBlob.sha256 })
    .from(packageBlob)
    .where(inArray(packageBlob.sha256, [...hashes]));
  return new Set(rows.map((row) => row.sha256));
}
