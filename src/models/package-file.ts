// Files: a blob under a name in a section of a channel, with its record.

import { and, asc, desc, eq, gt, like, sql, type SQL } from "drizzle-orm";
import { STORED_BYTES } from "../modules/stored-budget.ts";
import type { Reader, Transaction } from "./database.ts";
import type { PackageBlobRow } from "./package-blob.ts";
import { given, placeholders, prepared } from "./prepared.ts";
import { eachInTurn, requireRow } from "./rows.ts";
import { packageBlob, packageFile } from "./schema/sqlite.ts";

export type PackageFileRow = typeof packageFile.$inferSelect;
export type PackageFileWithBlob = PackageFileRow & { readonly blob: PackageBlobRow };
export type FileState = PackageFileRow["state"];

/** The columns a document is made of. */
export type IndexedFile = Pick<
  PackageFileRow,
  "id" | "section" | "fileName" | "packageName" | "state" | "record" | "metadata" | "publishedAt"
> &
  Pick<PackageBlobRow, "md5" | "sha256" | "size"> & {
    /** Bytes of record and metadata, which are left empty where these are more than `MOST_STORED`. */
    readonly stored: number;
  };

/** Above what any publish stores: the metadata says a little more than what has a budget. */
export const MOST_STORED: number = STORED_BYTES + 16 * 1024;

/** SQLite knows it from the head of the row: a long text is not read. */
const stored = sql<number>`(octet_length(${packageFile.record}) + octet_length(${packageFile.metadata}))`;
const bounded = (column: typeof packageFile.record | typeof packageFile.metadata): SQL<string> =>
  sql<string>`CASE WHEN ${stored} <= ${sql.raw(String(MOST_STORED))} THEN ${column} ELSE '' END`;

const INDEXED = {
  id: packageFile.id,
  section: packageFile.section,
  fileName: packageFile.fileName,
  packageName: packageFile.packageName,
  state: packageFile.state,
  record: bounded(packageFile.record),
  metadata: bounded(packageFile.metadata),
  stored,
  publishedAt: packageFile.publishedAt,
  md5: packageBlob.md5,
  sha256: packageBlob.sha256,
  size: packageBlob.size,
};

const IS_NAMED = and(
  eq(packageFile.channelId, given("channelId")),
  eq(packageFile.section, given("section")),
  eq(packageFile.fileNameFolded, given("fileNameFolded")),
);

const fileByName = prepared((reader) =>
  reader
    .select({ file: packageFile, blob: packageBlob })
    .from(packageFile)
    .innerJoin(packageBlob, eq(packageFile.blobId, packageBlob.id))
    .where(IS_NAMED)
    .limit(1)
    .prepare(),
);
const insertFileRow = prepared((reader) =>
  reader
    .insert(packageFile)
    .values(
      placeholders(
        ...(["versionId", "channelId", "blobId", "section", "fileName", "fileNameFolded", "packageName"] as const),
        ...(["record", "metadata", "publisherId", "publishedBy", "publishedAt"] as const),
      ),
    )
    .returning({ id: packageFile.id })
    .prepare(),
);

type FileRef = { readonly channelId: number; readonly section: string; readonly fileName: string };

/** File names are unique case-folded; the look-up is exact, since a URL names one file. */
export async function findFile(reader: Reader, place: FileRef): Promise<PackageFileWithBlob | undefined> {
  const found = await findFileFolded(reader, place);
  return found?.fileName === place.fileName ? found : undefined;
}

export async function findFileFolded(reader: Reader, place: FileRef): Promise<PackageFileWithBlob | undefined> {
  const { channelId, section, fileName } = place;
  const [row] = await fileByName(reader).execute({ channelId, section, fileNameFolded: fileName.toLowerCase() });
  return row && { ...row.file, blob: row.blob };
}

export async function insertFile(
  tx: Transaction,
  values: Omit<PackageFileRow, "id" | "state" | "fileNameFolded">,
): Promise<{ id: number }> {
  return requireRow(await insertFileRow(tx).execute({ ...values, fileNameFolded: values.fileName.toLowerCase() }));
}

export async function setFileState(tx: Transaction, id: number, state: FileState): Promise<void> {
  await tx.update(packageFile).set({ state }).where(eq(packageFile.id, id));
}

export async function deleteFile(tx: Transaction, id: number): Promise<void> {
  await tx.delete(packageFile).where(eq(packageFile.id, id));
}

/** Where a file stands in the order of documents: package name, then file name, both by bytes. */
export type FileKey = Pick<PackageFileRow, "packageName" | "fileName">;

export type SectionRange = {
  readonly channelId: number;
  readonly section: string;
  /** Files after this one; from the beginning when undefined. */
  readonly after?: FileKey | undefined;
  /** Only files whose names end so. */
  readonly ending?: string | undefined;
  /** Of a page, which has fewer files where these are long. */
  readonly limit: number;
};

export type SectionPage = {
  readonly files: readonly IndexedFile[];
  /** All up to this one have been looked at; undefined at the end. */
  readonly through: FileKey | undefined;
};

/** So many names are looked at for a page, however few of them end as they should. */
const LOOKED_AT = 2000;

/** A section in the order of documents, page by page. */
export async function* pagesOfSection(
  reader: Reader,
  range: SectionRange,
): AsyncGenerator<SectionPage, void, undefined> {
  for (let { after } = range; ;) {
    const until = range.ending === undefined ? undefined : await keyBeyond(reader, { ...range, after });
    const { files, isAll } = await filesBetween(reader, { ...range, after, until });
    after = isAll ? until : files.at(-1);
    yield { files, through: after };
    if (after === undefined) return;
  }
}

const ORDER = [asc(packageFile.packageName), asc(packageFile.fileName)];
const KEY = sql`(${packageFile.packageName}, ${packageFile.fileName})`;

async function keyBeyond(reader: Reader, range: SectionRange): Promise<FileKey | undefined> {
  const [row] = await reader
    .select({ packageName: packageFile.packageName, fileName: packageFile.fileName })
    .from(packageFile)
    .where(isInSectionAfter(range))
    .orderBy(...ORDER)
    .limit(1)
    .offset(LOOKED_AT);
  return row;
}

type FilesBetween = { readonly files: readonly IndexedFile[]; readonly isAll: boolean };

async function filesBetween(
  reader: Reader,
  range: SectionRange & { readonly until: FileKey | undefined },
): Promise<FilesBetween> {
  const { until, ending } = range;
  const isBefore = until && sql`${KEY} <= (${until.packageName}, ${until.fileName})`;
  const ends = ending === undefined ? undefined : like(packageFile.fileName, `%${ending}`);
  return await boundedPage(reader, and(isInSectionAfter(range), isBefore, ends), range.limit);
}

/** Bytes of records and metadata that are held at a time, but for one file that has more. */
const PAGE_BYTES = 1024 ** 2;

/** The first files of a condition, in the order of documents: as many as `limit`, and as can be held. */
async function boundedPage(reader: Reader, condition: SQL | undefined, limit: number): Promise<FilesBetween> {
  const sizes = reader
    .select({ stored: stored.as("stored") })
    .from(packageFile)
    .where(condition)
    .orderBy(...ORDER)
    .limit(limit);
  const first = sizes.as("first");
  const [all] = await reader
    .select({ bytes: sql<number>`coalesce(sum(${first.stored}), 0)`, files: sql<number>`count(*)` })
    .from(first);
  const { bytes, files: most } = all ?? { bytes: 0, files: 0 };
  const isShort = bytes <= PAGE_BYTES;
  const count = isShort ? most : fitting((await sizes).map((row) => row.stored));
  if (count === 0) return { files: [], isAll: true };
  const files = await reader
    .select(INDEXED)
    .from(packageFile)
    .innerJoin(packageBlob, eq(packageFile.blobId, packageBlob.id))
    .where(condition)
    .orderBy(...ORDER)
    .limit(count);
  return { files, isAll: isShort && count < limit };
}

/** How many of the first can be read together: one at least. Passing over what is not read takes its time as well. */
function fitting(sizes: readonly number[]): number {
  let bytes = 0;
  const end = sizes.findIndex((size) => {
    bytes += size;
    return bytes > PAGE_BYTES;
  });
  return end === -1 ? sizes.length : Math.max(1, end);
}

function isInSectionAfter({ channelId, section, after }: SectionRange): SQL | undefined {
  const beyond = after && sql`${KEY} > (${after.packageName}, ${after.fileName})`;
  return and(eq(packageFile.channelId, channelId), eq(packageFile.section, section), beyond);
}

const IS_OF_NAME = and(
  eq(packageFile.channelId, given("channelId")),
  eq(packageFile.section, given("section")),
  eq(packageFile.packageName, given("packageName")),
);

const filesByName = prepared((reader) =>
  reader
    .select(INDEXED)
    .from(packageFile)
    .innerJoin(packageBlob, eq(packageFile.blobId, packageBlob.id))
    .where(IS_OF_NAME)
    .orderBy(asc(packageFile.fileName))
    .prepare(),
);
const bytesByName = prepared((reader) =>
  reader
    .select({ bytes: sql<number>`coalesce(sum(${stored}), 0)` })
    .from(packageFile)
    .where(IS_OF_NAME)
    .prepare(),
);

type NameKey = { readonly channelId: number; readonly section: string };

/** Bytes of the records and the metadata of all files of a name. */
export async function bytesOfName(reader: Reader, place: NameKey, packageName: string): Promise<number> {
  const { channelId, section } = place;
  const [row] = await bytesByName(reader).execute({ channelId, section, packageName });
  return row?.bytes ?? 0;
}

/** A name of so many bytes is read at once. */
const SHORT_NAME = PAGE_BYTES;
const NAME_PAGE = 1000;

/** All files of a name in a section, whatever their state, page by page. */
export async function* pagesOfName(
  reader: Reader,
  place: NameKey,
  packageName: string,
  /** From the file after this one on. */
  begin = "",
): AsyncGenerator<readonly IndexedFile[], void, undefined> {
  const { channelId, section } = place;
  if (begin === "" && (await bytesOfName(reader, place, packageName)) <= SHORT_NAME) {
    yield await filesByName(reader).execute({ channelId, section, packageName });
    return;
  }
  for (let after = begin; ;) {
    const condition = and(
      eq(packageFile.channelId, channelId),
      eq(packageFile.section, section),
      eq(packageFile.packageName, packageName),
      gt(packageFile.fileName, after),
    );
    const { files, isAll } = await boundedPage(reader, condition, NAME_PAGE);
    yield files;
    if (isAll) return;
    after = files.at(-1)?.fileName ?? after;
  }
}

/** For hashes and names, of a file whose metadata does not say what it takes. */
export const UNTOLD_BYTES = 512;

/** Bytes in the document of its name; a bound for files that do not say it. */
const WEIGHT = sql`coalesce(
  case when json_valid(${packageFile.metadata}) then ${packageFile.metadata} ->> '$.weight' end,
  octet_length(${packageFile.record}) + octet_length(${packageFile.metadata}) + ${sql.raw(String(UNTOLD_BYTES))})`;

const weightByName = prepared((reader) =>
  reader
    .select({ bytes: sql<number>`cast(coalesce(sum(${WEIGHT}), 0) as integer)` })
    .from(packageFile)
    .where(
      and(
        eq(packageFile.channelId, given("channelId")),
        eq(packageFile.section, given("section")),
        eq(packageFile.packageName, given("name")),
      ),
    )
    .prepare(),
);
const weightById = prepared((reader) =>
  reader
    .select({ bytes: sql<number>`cast(${WEIGHT} as integer)` })
    .from(packageFile)
    .where(eq(packageFile.id, given("id")))
    .prepare(),
);

/** Bytes that all files of a name in a section take in its document, whatever their state. */
export async function weightOfName(
  reader: Reader,
  place: { readonly channelId: number; readonly section: string; readonly name: string },
): Promise<number> {
  return requireRow(await weightByName(reader).execute(place)).bytes;
}

/** Bytes that one of them takes. */
export async function weightOfFile(reader: Reader, id: number): Promise<number> {
  return requireRow(await weightById(reader).execute({ id })).bytes;
}

const indexedByName = prepared((reader) =>
  reader
    .select(INDEXED)
    .from(packageFile)
    .innerJoin(packageBlob, eq(packageFile.blobId, packageBlob.id))
    .where(IS_NAMED)
    .limit(1)
    .prepare(),
);

/** One of them. */
export async function indexedFile(
  reader: Reader,
  { channelId, section, fileName }: FileRef,
): Promise<IndexedFile | undefined> {
  const fileNameFolded = fileName.toLowerCase();
  const [row] = await indexedByName(reader).execute({ channelId, section, fileNameFolded });
  return row;
}

/** The yanked files of a section, by name. */
export async function yankedFiles(reader: Reader, channelId: number, section: string): Promise<string[]> {
  const rows = await reader
    .select({ fileName: packageFile.fileName })
    .from(packageFile)
    .where(and(eq(packageFile.channelId, channelId), eq(packageFile.section, section), eq(packageFile.state, "yanked")))
    .orderBy(asc(packageFile.fileName));
  return rows.map((row) => row.fileName);
}

/** The newest active files of a channel, newest first. */
export async function newestFiles(reader: Reader, channelId: number, limit: number): Promise<IndexedFile[]> {
  return await reader
    .select(INDEXED)
    .from(packageFile)
    .innerJoin(packageBlob, eq(packageFile.blobId, packageBlob.id))
    .where(and(eq(packageFile.channelId, channelId), eq(packageFile.state, "active")))
    .orderBy(desc(packageFile.publishedAt), desc(packageFile.id))
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

const nextSection = prepared((reader) =>
  reader
    .select({ section: packageFile.section })
    .from(packageFile)
    .where(and(eq(packageFile.channelId, given("channelId")), gt(packageFile.section, given("after"))))
    .orderBy(asc(packageFile.section))
    .limit(1)
    .prepare(),
);

/** The sections that hold a file, in order. */
export async function listSections(reader: Reader, channelId: number): Promise<string[]> {
  return await eachInTurn(async (after) => (await nextSection(reader).execute({ channelId, after }))[0]?.section);
}

export async function countFiles(reader: Reader, channelId: number): Promise<number> {
  const rows = await reader
    .select({ files: sql<number>`cast(count(*) as integer)` })
    .from(packageFile)
    .where(eq(packageFile.channelId, channelId));
  return rows[0]?.files ?? 0;
}
