// Package files as index documents list them: read page by page, in the order of the documents.

import { and, asc, desc, eq, gt, like, sql, type SQL } from "drizzle-orm";
import { STORED_BYTES } from "../modules/stored-budget.ts";
import type { Reader } from "./database.ts";
import type { PackageBlobRow } from "./package-blob.ts";
import { HAS_FILE_NAME, type FileRef, type PackageFileRow } from "./package-file.ts";
import { param, prepared } from "./prepared.ts";
import { packageBlob, packageFile } from "./schema/index.ts";
import { foldCase } from "../modules/fold-case.ts";

/** The columns that documents are built from. */
export type IndexedFile = Pick<
  PackageFileRow,
  "id" | "section" | "fileName" | "packageName" | "state" | "record" | "metadata" | "publishedAt"
> &
  Pick<PackageBlobRow, "md5" | "sha256" | "size"> & {
    /** Bytes of record and metadata. Above `MOST_STORED` both texts are returned empty. */
    readonly stored: number;
  };

/** More than any publish stores: the metadata has some content beyond what `STORED_BYTES` limits. */
export const MOST_STORED: number = STORED_BYTES + 16 * 1024;

/** SQLite computes this from the row header, without reading long texts. */
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

/** The sort key of a file in documents: package name, then file name, both compared by bytes. */
export type FileKey = Pick<PackageFileRow, "packageName" | "fileName">;

export type SectionRange = {
  readonly channelId: number;
  readonly section: string;
  /** Starts after this file; at the first file when undefined. */
  readonly after?: FileKey | undefined;
  /** Only files whose names end with this text. */
  readonly ending?: string | undefined;
  /** Most files of a page; a page of large records has fewer. */
  readonly limit: number;
};

export type SectionPage = {
  readonly files: readonly IndexedFile[];
  /** Every file up to this one has been examined; undefined on the last page. */
  readonly through: FileKey | undefined;
};

/** Most files examined for a page, even if few of their names have the wanted ending. */
const MOST_EXAMINED = 2000;

/** The files of a section in the order of documents, page by page. */
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
    .offset(MOST_EXAMINED);
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

/** Most bytes of records and metadata in a page; a larger file is a page of its own. */
const PAGE_BYTES = 1024 ** 2;

/** The first files that match a condition, in the order of documents: at most `limit`, and at most `PAGE_BYTES`. */
async function boundedPage(reader: Reader, condition: SQL | undefined, limit: number): Promise<FilesBetween> {
  const sizes = reader
    .select({ stored: stored.as("stored") })
    .from(packageFile)
    .where(condition)
    .orderBy(...ORDER)
    .limit(limit);
  const first = sizes.as("first");
  const [all] = await reader
    .select({
      bytes: sql<number>`coalesce(sum(${first.stored}), 0)`.mapWith(Number),
      files: sql<number>`count(*)`.mapWith(Number),
    })
    .from(first);
  const { bytes, files: matching } = all ?? { bytes: 0, files: 0 };
  const isShort = bytes <= PAGE_BYTES;
  const count = isShort ? matching : fitting((await sizes).map((row) => row.stored));
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

/** How many of the first files fit in a page: at least one. Texts returned empty count, as SQLite reads past them. */
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

const HAS_PACKAGE_NAME = and(
  eq(packageFile.channelId, param("channelId")),
  eq(packageFile.section, param("section")),
  eq(packageFile.packageName, param("packageName")),
);

const filesByName = prepared("filesByName", (reader) =>
  reader
    .select(INDEXED)
    .from(packageFile)
    .innerJoin(packageBlob, eq(packageFile.blobId, packageBlob.id))
    .where(HAS_PACKAGE_NAME)
    .orderBy(asc(packageFile.fileName)),
);
const bytesByName = prepared("bytesByName", (reader) =>
  reader
    .select({ bytes: sql<number>`coalesce(sum(${stored}), 0)`.mapWith(Number) })
    .from(packageFile)
    .where(HAS_PACKAGE_NAME),
);

type SectionRef = { readonly channelId: number; readonly section: string };

/** Bytes of the records and metadata of all files of a package name. */
export async function bytesOfName(reader: Reader, ref: SectionRef, packageName: string): Promise<number> {
  const { channelId, section } = ref;
  const [row] = await bytesByName(reader).execute({ channelId, section, packageName });
  return row?.bytes ?? 0;
}

/** A package name with at most this many bytes is read in one query. */
const SHORT_NAME = PAGE_BYTES;
const NAME_PAGE = 1000;

/** All files of a package name in a section, in any state, page by page. */
export async function* pagesOfName(
  reader: Reader,
  ref: SectionRef,
  packageName: string,
  /** Starts after this file name. */
  begin = "",
): AsyncGenerator<readonly IndexedFile[], void, undefined> {
  const { channelId, section } = ref;
  if (begin === "" && (await bytesOfName(reader, ref, packageName)) <= SHORT_NAME) {
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

const indexedByName = prepared("indexedByName", (reader) =>
  reader
    .select(INDEXED)
    .from(packageFile)
    .innerJoin(packageBlob, eq(packageFile.blobId, packageBlob.id))
    .where(HAS_FILE_NAME)
    .limit(1),
);

/** One file as documents list it; undefined when there is none. The lookup ignores case. */
export async function indexedFile(
  reader: Reader,
  { channelId, section, fileName }: FileRef,
): Promise<IndexedFile | undefined> {
  const fileNameFolded = foldCase(fileName);
  const [row] = await indexedByName(reader).execute({ channelId, section, fileNameFolded });
  return row;
}

/** The names of the yanked files of a section, in order. */
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
