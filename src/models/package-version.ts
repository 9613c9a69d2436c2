// Versions of a package. They hold no metadata: what is shown comes from their greatest file.

import { and, eq, notExists } from "drizzle-orm";
import type { Transaction } from "./database.ts";
import { theRow } from "./rows.ts";
import { packageFile, packageVersion } from "./schema/sqlite.ts";

export type PackageVersionRow = typeof packageVersion.$inferSelect;

export async function ensurePackageVersion(
  tx: Transaction,
  values: Pick<PackageVersionRow, "packageId" | "version" | "created">,
): Promise<PackageVersionRow> {
  const wanted = and(eq(packageVersion.packageId, values.packageId), eq(packageVersion.version, values.version));
  const existing = await tx.select().from(packageVersion).where(wanted).limit(1);
  return existing[0] ?? theRow(await tx.insert(packageVersion).values(values).returning());
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
