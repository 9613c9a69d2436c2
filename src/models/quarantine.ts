// Quarantined files: which files to quarantine or release, by who published them or by their bytes, and their states.

import { and, asc, eq, gt, gte, inArray, lte, max, sql, type SQL } from "drizzle-orm";
import type { Reader, Transaction } from "./database.ts";
import { listSections, type PackageFileRow } from "./package-file.ts";
import { param, prepared } from "./prepared.ts";
import { packageBlob, packageFile } from "./schema/index.ts";

const quarantinedByHash = prepared("quarantinedByHash", (reader) =>
  reader
    .select({ channelId: packageFile.channelId, state: packageFile.state, quarantine: packageFile.quarantine })
    .from(packageBlob)
    .innerJoin(packageFile, eq(packageFile.blobId, packageBlob.id))
    .where(and(eq(packageBlob.sha256, param("sha256")), eq(packageFile.state, "quarantined"))),
);

/** The quarantined files with these bytes, in all channels. */
export async function quarantinedWith(
  reader: Reader,
  sha256: string,
): Promise<Pick<PackageFileRow, "channelId" | "state" | "quarantine">[]> {
  return await quarantinedByHash(reader).execute({ sha256 });
}

const quarantinedOf = prepared("quarantinedOf", (reader) =>
  reader
    .select({ fileName: packageFile.fileName })
    .from(packageFile)
    .where(
      and(
        eq(packageFile.channelId, param("channelId")),
        eq(packageFile.section, param("section")),
        eq(packageFile.state, "quarantined"),
      ),
    )
    .limit(1),
);

/** A quarantined file of the channel, as `section/file`; undefined when it has none. */
export async function anyQuarantined(reader: Reader, channelId: number): Promise<string | undefined> {
  for (const section of await listSections(reader, channelId)) {
    const [row] = await quarantinedOf(reader).execute({ channelId, section });
    if (row) return `${section}/${row.fileName}`;
  }
  return undefined;
}

export type QuarantinedFile = Pick<
  PackageFileRow,
  "id" | "section" | "fileName" | "packageName" | "state" | "quarantine"
> & { readonly sha256: string };

/** The quarantined files of a channel with greater ids than `after`, by id. */
export async function quarantinedIn(
  reader: Reader,
  channelId: number,
  { after, limit }: { readonly after: number; readonly limit: number },
): Promise<QuarantinedFile[]> {
  const sections = await listSections(reader, channelId);
  if (sections.length === 0) return [];
  return await reader
    .select(FILE)
    .from(packageFile)
    .innerJoin(packageBlob, eq(packageFile.blobId, packageBlob.id))
    .where(
      and(
        eq(packageFile.channelId, channelId),
        inArray(packageFile.section, sections),
        eq(packageFile.state, "quarantined"),
        gt(packageFile.id, after),
      ),
    )
    .orderBy(asc(packageFile.id))
    .limit(limit);
}

const FILE = {
  id: packageFile.id,
  section: packageFile.section,
  fileName: packageFile.fileName,
  packageName: packageFile.packageName,
  state: packageFile.state,
  quarantine: packageFile.quarantine,
  sha256: packageBlob.sha256,
};

/** How files were published, for `blobsPublished()`. */
export type Published =
  | { readonly kind: "token"; readonly tokenId: number }
  | { readonly kind: "user"; readonly userId: number }
  | { readonly kind: "sha256"; readonly sha256: string };

export async function greatestFileId(reader: Reader): Promise<number> {
  const rows = await reader.select({ id: max(packageFile.id) }).from(packageFile);
  return rows[0]?.id ?? 0;
}

/** The ids of the blobs of files with ids in `(after, through]` that were published so, at or after `since` (ms UTC). */
export async function blobsPublished(
  reader: Reader,
  by: Published,
  range: { readonly after: number; readonly through: number; readonly since: number },
): Promise<number[]> {
  const rows = await reader
    .selectDistinct({ blobId: packageFile.blobId })
    .from(packageFile)
    .where(
      and(
        gt(packageFile.id, range.after),
        lte(packageFile.id, range.through),
        gte(packageFile.publishedAt, range.since),
        wasPublished(by),
      ),
    );
  return rows.map(({ blobId }) => blobId);
}

function wasPublished(by: Published): SQL {
  switch (by.kind) {
    case "token":
      return eq(packageFile.publishedBy, `token:${by.tokenId}`);
    case "user":
      return eq(packageFile.publisherId, by.userId);
    case "sha256":
      // Raw SQL: the hash selects one blob, whose files an index finds.
      return sql`${packageFile.blobId} = (SELECT id FROM package_blob WHERE sha256 = ${by.sha256})`;
  }
}

export type FileState = Pick<PackageFileRow, "id" | "channelId" | "state" | "quarantine">;

/** The files of these blobs, in all channels; pass at most a few hundred ids. */
export async function filesOfBlobs(reader: Reader, blobIds: readonly number[]): Promise<FileState[]> {
  return await reader
    .select({
      id: packageFile.id,
      channelId: packageFile.channelId,
      state: packageFile.state,
      quarantine: packageFile.quarantine,
    })
    .from(packageFile)
    .where(inArray(packageFile.blobId, [...blobIds]));
}

/** These files of a channel as they are now; pass at most a few hundred ids. */
export async function filesNow(reader: Reader, channelId: number, ids: readonly number[]): Promise<QuarantinedFile[]> {
  return await reader
    .select(FILE)
    .from(packageFile)
    .innerJoin(packageBlob, eq(packageFile.blobId, packageBlob.id))
    .where(and(eq(packageFile.channelId, channelId), inArray(packageFile.id, [...ids])))
    .orderBy(asc(packageFile.id));
}

/** Pass at most a few hundred ids. */
export async function setStates(
  tx: Transaction,
  ids: readonly number[],
  values: Pick<PackageFileRow, "state" | "quarantine">,
): Promise<void> {
  await tx
    .update(packageFile)
    .set(values)
    .where(inArray(packageFile.id, [...ids]));
}
