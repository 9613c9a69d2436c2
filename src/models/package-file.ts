// Package files: a blob under a file name in a section of a channel, with its record.

import { and, asc, eq, gt, sql } from "drizzle-orm";
import type { Reader, Transaction } from "./database.ts";
import type { PackageBlobRow } from "./package-blob.ts";
import { param, placeholders, prepared } from "./prepared.ts";
import { eachInTurn, requireRow } from "./rows.ts";
import { byEngine } from "./schema/engine.ts";
import { packageBlob, packageFile } from "./schema/index.ts";
import { foldCase } from "../modules/fold-case.ts";

export type PackageFileRow = typeof packageFile.$inferSelect;
export type PackageFileWithBlob = PackageFileRow & { readonly blob: PackageBlobRow };
export type FileState = PackageFileRow["state"];

/** Matches one file by the parameters `channelId`, `section` and `fileNameFolded`. */
export const HAS_FILE_NAME = and(
  eq(packageFile.channelId, param("channelId")),
  eq(packageFile.section, param("section")),
  eq(packageFile.fileNameFolded, param("fileNameFolded")),
);

const fileByName = prepared("fileByName", (reader) =>
  reader
    .select({ file: packageFile, blob: packageBlob })
    .from(packageFile)
    .innerJoin(packageBlob, eq(packageFile.blobId, packageBlob.id))
    .where(HAS_FILE_NAME)
    .limit(1),
);
const insertFileRow = prepared("insertFileRow", (reader) =>
  reader
    .insert(packageFile)
    .values(
      placeholders(
        ...(["versionId", "channelId", "blobId", "section", "fileName", "fileNameFolded", "packageName"] as const),
        ...(["record", "metadata", "publisherId", "publishedBy", "publishedAt"] as const),
      ),
    )
    .returning({ id: packageFile.id }),
);

export type FileRef = { readonly channelId: number; readonly section: string; readonly fileName: string };

/** File names are unique ignoring case; this lookup is case-sensitive, because a URL names exactly one file. */
export async function findFile(reader: Reader, ref: FileRef): Promise<PackageFileWithBlob | undefined> {
  const file = await findFileFolded(reader, ref);
  return file?.fileName === ref.fileName ? file : undefined;
}

/** The same lookup, ignoring case. */
export async function findFileFolded(reader: Reader, ref: FileRef): Promise<PackageFileWithBlob | undefined> {
  const { channelId, section, fileName } = ref;
  const [row] = await fileByName(reader).execute({ channelId, section, fileNameFolded: foldCase(fileName) });
  return row && { ...row.file, blob: row.blob };
}

export async function insertFile(
  tx: Transaction,
  values: Omit<PackageFileRow, "id" | "state" | "fileNameFolded" | "quarantine">,
): Promise<{ id: number }> {
  return requireRow(await insertFileRow(tx).execute({ ...values, fileNameFolded: foldCase(values.fileName) }));
}

export async function setFileState(tx: Transaction, id: number, state: FileState): Promise<void> {
  await tx.update(packageFile).set({ state }).where(eq(packageFile.id, id));
}

/** Bytes added for hashes and names, for a file whose metadata has no `weight`. */
export const UNWEIGHED_BYTES = 512;

/** Bytes of a file in the document of its package name; an upper bound for files without a stored weight. */
const WEIGHT = sql`coalesce(
  ${byEngine({
    sqlite: sql`case when json_valid(${packageFile.metadata}) then ${packageFile.metadata} ->> '$.weight' end`,
    // The weight and the version are the last members, so no text inside the others can match.
    postgres: sql`cast(substring(${packageFile.metadata} from ',"weight":([0-9]{1,15}),"version":[0-9]+}$') as bigint)`,
  })},
  octet_length(${packageFile.record}) + octet_length(${packageFile.metadata}) + ${sql.raw(String(UNWEIGHED_BYTES))})`;

const weightByName = prepared("weightByName", (reader) =>
  reader
    .select({ bytes: sql<number>`coalesce(sum(${WEIGHT}), 0)`.mapWith(Number) })
    .from(packageFile)
    .where(
      and(
        eq(packageFile.channelId, param("channelId")),
        eq(packageFile.section, param("section")),
        eq(packageFile.packageName, param("name")),
      ),
    ),
);
const weightById = prepared("weightById", (reader) =>
  reader
    .select({ bytes: sql<number>`${WEIGHT}`.mapWith(Number) })
    .from(packageFile)
    .where(eq(packageFile.id, param("id"))),
);

/** Bytes that all files of a package name in a section take in its document, in any state. */
export async function weightOfName(
  reader: Reader,
  ref: { readonly channelId: number; readonly section: string; readonly name: string },
): Promise<number> {
  return requireRow(await weightByName(reader).execute(ref)).bytes;
}

/** Bytes that one file takes in the document of its package name. */
export async function weightOfFile(reader: Reader, id: number): Promise<number> {
  return requireRow(await weightById(reader).execute({ id })).bytes;
}

/** A page of all files with their blobs, ordered by id, for `verify`. */
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

const nextSection = prepared("nextSection", (reader) =>
  reader
    .select({ section: packageFile.section })
    .from(packageFile)
    .where(and(eq(packageFile.channelId, param("channelId")), gt(packageFile.section, param("after"))))
    .orderBy(asc(packageFile.section))
    .limit(1),
);

/** The sections that contain at least one file, in order. */
export async function listSections(reader: Reader, channelId: number): Promise<string[]> {
  return await eachInTurn(async (after) => (await nextSection(reader).execute({ channelId, after }))[0]?.section);
}

export async function hasFiles(reader: Reader, channelId: number): Promise<boolean> {
  const rows = await nextSection(reader).execute({ channelId, after: "" });
  return rows.length > 0;
}

export async function countFiles(reader: Reader, channelId: number): Promise<number> {
  const rows = await reader
    .select({ files: sql<number>`count(*)`.mapWith(Number) })
    .from(packageFile)
    .where(eq(packageFile.channelId, channelId));
  return rows[0]?.files ?? 0;
}
