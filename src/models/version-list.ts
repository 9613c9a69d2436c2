// The versions of packages in some channels, and the files of one version.

import { and, asc, eq, inArray, sql } from "drizzle-orm";
import { CHANNEL_FILE, type ChannelFile } from "./channel-contents.ts";
import { contains } from "./contains.ts";
import type { Reader } from "./database.ts";
import type { PackageFileRow } from "./package-file.ts";
import { packageBlob, packageFile, packageVersion, pkg } from "./schema/index.ts";
import { foldCase } from "../modules/fold-case.ts";

export type ListedVersion = {
  readonly id: number;
  readonly channelId: number;
  readonly name: string;
  readonly version: string;
  readonly created: number;
};

export type VersionFilter = {
  readonly channelIds: readonly number[];
  /** A part of the package name, in whatever letters. */
  readonly text: string | undefined;
};

const COLUMNS = {
  id: packageVersion.id,
  channelId: pkg.channelId,
  name: pkg.name,
  version: packageVersion.version,
  created: packageVersion.created,
};

/** A page of the versions, by channel, name and version; this order needs no sorting. */
export async function pageOfVersions(
  reader: Reader,
  filter: VersionFilter,
  { offset, limit }: { readonly offset: number; readonly limit: number },
): Promise<ListedVersion[]> {
  return await reader
    .select(COLUMNS)
    .from(packageVersion)
    .innerJoin(pkg, eq(packageVersion.packageId, pkg.id))
    .where(matches(filter))
    .orderBy(asc(pkg.channelId), asc(pkg.nameFolded), asc(packageVersion.version))
    .limit(limit)
    .offset(offset);
}

/** Their number, counted up to `most`. */
export async function countVersions(reader: Reader, filter: VersionFilter, most: number): Promise<number> {
  const some = reader
    .select({ id: packageVersion.id })
    .from(packageVersion)
    .innerJoin(pkg, eq(packageVersion.packageId, pkg.id))
    .where(matches(filter))
    .limit(most)
    .as("some");
  const rows = await reader.select({ count: sql<number>`count(*)`.mapWith(Number) }).from(some);
  return rows[0]?.count ?? 0;
}

export async function findVersion(
  reader: Reader,
  { channelId, name, version }: Pick<ListedVersion, "channelId" | "name" | "version">,
): Promise<ListedVersion | undefined> {
  const isPackage = and(eq(pkg.channelId, channelId), eq(pkg.nameFolded, foldCase(name)));
  const rows = await reader
    .select(COLUMNS)
    .from(packageVersion)
    .innerJoin(pkg, eq(packageVersion.packageId, pkg.id))
    .where(and(isPackage, eq(packageVersion.version, version)))
    .limit(1);
  return rows[0];
}

export type VersionFile = ChannelFile &
  Pick<PackageFileRow, "fileName" | "state" | "quarantine"> & { readonly md5: string; readonly sha256: string };

/** At most `limit` files of a version, by section and name. */
export async function filesOfVersion(reader: Reader, versionId: number, limit: number): Promise<VersionFile[]> {
  return await reader
    .select({
      ...CHANNEL_FILE,
      fileName: packageFile.fileName,
      state: packageFile.state,
      quarantine: packageFile.quarantine,
      md5: packageBlob.md5,
      sha256: packageBlob.sha256,
    })
    .from(packageFile)
    .innerJoin(packageBlob, eq(packageFile.blobId, packageBlob.id))
    .where(eq(packageFile.versionId, versionId))
    .orderBy(asc(packageFile.section), asc(packageFile.fileName))
    .limit(limit);
}

function matches({ channelIds, text }: VersionFilter) {
  return and(inArray(pkg.channelId, [...channelIds]), contains(text, pkg.nameFolded));
}
