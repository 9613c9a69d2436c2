// All files of a channel: counted for a report, and deleted a page at a time with everything that belongs to them.

import { and, asc, eq, inArray, lt, notExists, sql } from "drizzle-orm";
import type { Reader, Transaction } from "./database.ts";
import { noteAllUnreferenced } from "./package-blob.ts";
import { requireRow } from "./rows.ts";
import {
  channelRevision,
  fileNameHistory,
  packageBlob,
  packageFile,
  packageProperty,
  packageVersion,
  pkg,
} from "./schema/index.ts";

export type ContentTotals = { readonly packages: number; readonly files: number; readonly bytes: number };

export type ChannelFile = {
  readonly id: number;
  readonly versionId: number;
  readonly blobId: number;
  readonly section: string;
  readonly packageName: string;
  readonly size: number;
  /** Bytes of its row. */
  readonly rowBytes: number;
};

export async function countContents(reader: Reader, channelId: number): Promise<ContentTotals> {
  const files = await reader
    .select({
      files: sql<number>`count(*)`.mapWith(Number),
      bytes: sql<number>`coalesce(sum(${packageBlob.size}), 0)`.mapWith(Number),
    })
    .from(packageFile)
    .innerJoin(packageBlob, eq(packageFile.blobId, packageBlob.id))
    .where(eq(packageFile.channelId, channelId));
  const packages = await reader
    .select({ packages: sql<number>`count(*)`.mapWith(Number) })
    .from(pkg)
    .where(eq(pkg.channelId, channelId));
  return { ...requireRow(files), ...requireRow(packages) };
}

/** A file of a channel, in the order of `sizesAfter()`. */
export type FileSize = { readonly section: string; readonly fileNameFolded: string; readonly size: number };

/** The sizes of at most `limit` files that follow `after`. */
export async function sizesAfter(
  reader: Reader,
  channelId: number,
  after: FileSize | undefined,
  limit: number,
): Promise<FileSize[]> {
  const { section, fileNameFolded } = packageFile;
  const follows = after && sql`(${section}, ${fileNameFolded}) > (${after.section}, ${after.fileNameFolded})`;
  return await reader
    .select({ section, fileNameFolded, size: packageBlob.size })
    .from(packageFile)
    .innerJoin(packageBlob, eq(packageFile.blobId, packageBlob.id))
    .where(and(eq(packageFile.channelId, channelId), follows))
    .orderBy(asc(section), asc(fileNameFolded))
    .limit(limit);
}

/** The columns of a `ChannelFile`; SQLite measures records without reading them. */
export const CHANNEL_FILE = {
  id: packageFile.id,
  versionId: packageFile.versionId,
  blobId: packageFile.blobId,
  section: packageFile.section,
  packageName: packageFile.packageName,
  size: packageBlob.size,
  rowBytes: sql<number>`octet_length(${packageFile.record}) + octet_length(${packageFile.metadata})`,
};

/** The first files by section, package name and file name. */
export async function firstFiles(reader: Reader, channelId: number, limit: number): Promise<ChannelFile[]> {
  return await reader
    .select(CHANNEL_FILE)
    .from(packageFile)
    .innerJoin(packageBlob, eq(packageFile.blobId, packageBlob.id))
    .where(eq(packageFile.channelId, channelId))
    .orderBy(asc(packageFile.section), asc(packageFile.packageName), asc(packageFile.fileName))
    .limit(limit);
}

type DeletedFile = Pick<ChannelFile, "id" | "versionId" | "blobId">;

/** Files deleted by one statement for each table: one by one, a database on another machine takes a minute for them. */
const PAGE = 1000;

/**
 * Deletes these files with their properties, and the versions and packages that become empty; blobs stay for garbage
 * collection, and names in the history. Returns the number of deleted packages.
 */
export async function deleteFiles(tx: Transaction, files: readonly DeletedFile[], at: number): Promise<number> {
  let packages = 0;
  for (let from = 0; from < files.length; from += PAGE)
    packages += await deletePage(tx, files.slice(from, from + PAGE), at);
  return packages;
}

async function deletePage(tx: Transaction, files: readonly DeletedFile[], at: number): Promise<number> {
  const ids = files.map(({ id }) => id);
  await recordDeletions(tx, ids, at);
  await tx.delete(packageProperty).where(and(eq(packageProperty.refType, "file"), inArray(packageProperty.refId, ids)));
  await tx.delete(packageFile).where(inArray(packageFile.id, ids));
  await noteAllUnreferenced(tx, [...new Set(files.map(({ blobId }) => blobId))], at);
  const filesOfVersion = tx.select().from(packageFile).where(eq(packageFile.versionId, packageVersion.id));
  const versions = await tx
    .delete(packageVersion)
    .where(
      and(inArray(packageVersion.id, [...new Set(files.map(({ versionId }) => versionId))]), notExists(filesOfVersion)),
    )
    .returning({ packageId: packageVersion.packageId });
  const versionsOfPackage = tx.select().from(packageVersion).where(eq(packageVersion.packageId, pkg.id));
  const packages = await tx
    .delete(pkg)
    .where(and(inArray(pkg.id, [...new Set(versions.map(({ packageId }) => packageId))]), notExists(versionsOfPackage)))
    .returning({ id: pkg.id });
  return packages.length;
}

/** Marks the names of these files as deleted in the history of names. */
async function recordDeletions(tx: Transaction, ids: readonly number[], at: number): Promise<void> {
  const { channelId, section, fileNameFolded, sha256 } = fileNameHistory;
  const names = tx
    .select({
      channelId: packageFile.channelId,
      section: packageFile.section,
      fileNameFolded: packageFile.fileNameFolded,
      sha256: packageBlob.sha256,
    })
    .from(packageFile)
    .innerJoin(packageBlob, eq(packageFile.blobId, packageBlob.id))
    .where(inArray(packageFile.id, [...ids]));
  await tx
    .update(fileNameHistory)
    .set({ deletedAt: at })
    .where(sql`(${channelId}, ${section}, ${fileNameFolded}, ${sha256}) IN ${names}`);
}

/** Deletes the oldest revisions before `before`, at most `limit`; returns how many. */
export async function deleteRevisions(
  tx: Transaction,
  channelId: number,
  { before, limit }: { readonly before: number; readonly limit: number },
): Promise<number> {
  const isOlder = and(eq(channelRevision.channelId, channelId), lt(channelRevision.revision, before));
  const oldest = tx
    .select({ revision: channelRevision.revision })
    .from(channelRevision)
    .where(isOlder)
    .orderBy(asc(channelRevision.revision))
    .limit(limit);
  const rows = await tx
    .delete(channelRevision)
    .where(and(eq(channelRevision.channelId, channelId), inArray(channelRevision.revision, oldest)))
    .returning({ revision: channelRevision.revision });
  return rows.length;
}
