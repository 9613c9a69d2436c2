// Versions of a package. They have no metadata of their own: the metadata shown is that of the version's greatest file.

import { and, eq } from "drizzle-orm";
import type { Transaction } from "./database.ts";
import { param, placeholders, prepared } from "./prepared.ts";
import { requireRow } from "./rows.ts";
import { packageVersion } from "./schema/index.ts";

export type PackageVersionRow = typeof packageVersion.$inferSelect;

const versionOf = prepared("versionOf", (reader) =>
  reader
    .select()
    .from(packageVersion)
    .where(and(eq(packageVersion.packageId, param("packageId")), eq(packageVersion.version, param("version"))))
    .limit(1),
);
const insertVersion = prepared("insertVersion", (reader) =>
  reader
    .insert(packageVersion)
    .values(placeholders("packageId", "version", "created"))
    .returning(),
);

export async function ensurePackageVersion(
  tx: Transaction,
  values: Pick<PackageVersionRow, "packageId" | "version" | "created">,
): Promise<PackageVersionRow> {
  const [existing] = await versionOf(tx).execute(values);
  return existing ?? requireRow(await insertVersion(tx).execute(values));
}
