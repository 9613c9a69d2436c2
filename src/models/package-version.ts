// Versions of a package. They have no metadata of their own: the metadata shown is that of the version's greatest file.

import { and, eq } from "drizzle-orm";
import { foldCase } from "../modules/fold-case.ts";
import type { Transaction } from "./database.ts";
import { param, placeholders, prepared } from "./prepared.ts";
import { requireRow } from "./rows.ts";
import { createPackage } from "./package.ts";
import { packageVersion, pkg } from "./schema/index.ts";

const packageWithVersion = prepared("packageWithVersion", (reader) =>
  reader
    .select({ packageId: pkg.id, versionId: packageVersion.id })
    .from(pkg)
    .leftJoin(packageVersion, and(eq(packageVersion.packageId, pkg.id), eq(packageVersion.version, param("version"))))
    .where(and(eq(pkg.channelId, param("channelId")), eq(pkg.nameFolded, param("nameFolded"))))
    .limit(1),
);
const insertVersion = prepared("insertVersion", (reader) =>
  reader
    .insert(packageVersion)
    .values(placeholders("packageId", "version", "created"))
    .returning(),
);

export type VersionKey = {
  readonly channelId: number;
  /** Of the package. */
  readonly name: string;
  readonly version: string;
};

/** Returns the id of the version; inserts the package and the version where they are missing. */
export async function ensureVersion(tx: Transaction, key: VersionKey, created: number): Promise<number> {
  const { channelId, name, version } = key;
  const [found] = await packageWithVersion(tx).execute({ channelId, nameFolded: foldCase(name), version });
  if (found && found.versionId !== null) return found.versionId;
  const packageId = found?.packageId ?? (await createPackage(tx, { channelId, name, created })).id;
  return requireRow(await insertVersion(tx).execute({ packageId, version, created })).id;
}
