// Files: a blob under a name in a section of a channel, with its record.

import { and, asc, eq, gt, or, sql } from "drizzle-orm";
import type { Reader, Transaction } from "./database.ts";
import type { PackageBlobRow } from "./package-blob.ts";
import { theRow } from "./rows.ts";
import { packageBlob, packageFile } from "./schema/sqlite.ts";

export type PackageFileRow = typeof packageFile.$inferSelect;
export type PackageFileWithBlob = PackageFileRow & { readonly blob: PackageBlobRow };
export type FileState = PackageFileRow["state"];

/** The columns a document is made of. */
export type IndexedFile = Pick<
  PackageFileRow,
  "id" | "section" | "fileName" | "packageName" | "state" | "record" | "metadata" | "publishedAt"
> &
  Pick<PackageBlobRow, "md5" | "sha256" | "size">;

/** File names are unique case-folded; the look-up is exact, since a URL names one file. */
export async function findFile(
  reader: Reader,
  place: { readonly channelId: number; readonly section: string; readonly fileName: string },
): Promise<PackageFileWithBlob | undefined> {
  const found = await findFileFolded(reader, place);
  return found?.fileName === place.fileName ? found : undefined;
}

export async function findFileFolded(
  reader: Reader,
  place: { readonly channelId: number; readonly section: string; readonly fileName: string },
): Promise<PackageFileWithBlob | undefined> {
  const rows = await reader
    .select({ file: packageFile, blob: packageBlob })
    .from(packageFile)
    .innerJoin(packageBlob, eq(packageFile.blobId, packageBlob.id))
    .where(
      and(
        eq(packageFile.channelId, place.channelId),
        eq(packageFile.section, place.section),
        eq(packageFile.fileNameFolded, place.fileName.toLowerCase()),
      ),
    )
    .limit(1);
  const row = rows[0];
  return row && { ...row.file, blob: row.blob };
}

export async function insertFile(
  tx: Transaction,
  values: Omit<PackageFileRow, "id" | "state" | "fileNameFolded">,
): Promise<PackageFileRow> {
  return theRow(
    await tx
      .insert(packageFile)
      .values({ ...values, fileNameFolded: values.fileName.toLowerCase() })
      .returning(),
  );
}

export async function setFileState(tx: Transaction, id: number, state: FileState): Promise<void> {
  await tx.update(packageFile).set({ state }).where(eq(packageFile.id, id));
}

export async function deleteFile(tx: Transaction, id: number): Promise<void> {
  await tx.delete(packageFile).where(eq(packageFile.id, id));
}

/** A page of a section in document order: package name, then file name, both by bytes. */
export async function pageOfSection(
  reader: Reader,
  place: { readonly channelId: number; readonly section: string },
  after: Pick<PackageFileRow, "packageName" | "fileName"> | undefined,
  limit: number,
): Promise<IndexedFile[]> {
  const beyond =
    after &&
    or(
      gt(packageFile.packageName, after.packageName),
      and(eq(packageFile.packageName, after.packageName), gt(packageFile.fileName, after.fileName)),
    );
  return await reader
    .select(INDEXED)
    .from(packageFile)
    .innerJoin(packageBlob, eq(packageFile.blobId, packageBlob.id))
    .where(and(eq(packageFile.channelId, place.channelId), eq(packageFile.section, place.section), beyond))
    .orderBy(asc(packageFile.packageName), asc(packageFile.fileName))
    .limit(limit);
}

/** A page of all files by id, with what `verify` compares. */
export async function pageOfFiles(reader: Reader, afterId: number, limit: number): Promise<PackageFileWithBlob[]> {
  const rows = await reader
    .select({ file: packageFile, blob: packageBlob })
    .from(packageFile)
    .innerJoin(packageBlob, eq(packageFile.blobId, packageBlob.id))
    .where(gt(packageFile.id, afterId))
    .orderBy(asc(packageFile.id))
    .limit(limit);
  return rows.map((row) => ({ ...row.file, blob: row.blob }));
}

export async function listSections(reader: Reader, channelId: number): Promise<string[]> {
  const rows = await reader
    .selectDistinct({ section: packageFile.section })
    .from(packageFile)
    .where(eq(packageFile.channelId, channelId))
    .orderBy(asc(packageFile.section));
  return rows.map((row) => row.section);
}

export async function countFiles(reader: Reader, channelId: number): Promise<number> {
  const rows = await reader
    .select({ files: sql<number>`cast(count(*) as integer)` })
    .from(packageFile)
    .where(eq(packageFile.channelId, channelId));
  return rows[0]?.files ?? 0;
}

const INDEXED = {
  id: packageFile.id,
  section: packageFile.section,
  fileName: packageFile.fileName,
  packageName: packageFile.packageName,
  state: packageFile.state,
  record: packageFile.record,
  metadata: packageFile.metadata,
  publishedAt: packageFile.publishedAt,
  md5: packageBlob.md5,
  sha256: packageBlob.sha256,
  size: packageBlob.size,
};
