// Versions of a package. They hold no metadata: what is shown comes from their greatest file.

import { and, eq, notExists } from "drizzle-orm";
import type { Transaction } from "./database.ts";
import { given, placeholders, prepared } from "./prepared.ts";
import { requireRow } from "./rows.ts";
import { packageFile, packageVersion } from "./schema/sqlite.ts";

export type PackageVersionRow = typeof packageVersion.$inferSelect;

const versionOf = prepared((reader) =>
  reader
    .select()
    .from(packageVersion)
    .where(and(eq(packageVersion.packageId, given("packageId")), eq(packageVersion.version, given("version"))))
    .limit(1)
    .prepare(),
);
const insertVersion = prepared((reader) =>
  reader
    .insert(packageVersion)
    .values(placeholders("packageId", "version", "created"))
    .returning()
    .prepare(),
);

export async function ensurePackageVersion(
  tx: Transaction,
  values: Pick<PackageVersionRow, "packageId" | "version" | "created">,
): Promise<PackageVersionRow> {
  const [existing] = await versionOf(tx).execute(values);
  return existing ?? requireRow(await insertVersion(tx).execute(values));
}

/** Removes the version when its last file has gone; answers its package's id then. */
export async function deleteVersionIfEmpty(tx: Transaction, id: number): Promise<number | undefined> {
  const files = tx.select().from(packageFile).where(eq(packageFile.versionId, id));
  const rows = await tx
    .delete(packageVersion)
    .where(and(eq(packageVersion.id, id), notExists(files)))
    .returning({ packageId: packageVersion.packageId });
  return rows[0]?.packageId;
}
