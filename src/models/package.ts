// Packages: a name in a channel.

import { and, eq, notExists } from "drizzle-orm";
import type { Reader, Transaction } from "./database.ts";
import { theRow } from "./rows.ts";
import { packageVersion, pkg } from "./schema/sqlite.ts";

export type PackageRow = typeof pkg.$inferSelect;

export async function findPackage(reader: Reader, channelId: number, name: string): Promise<PackageRow | undefined> {
  const wanted = and(eq(pkg.channelId, channelId), eq(pkg.nameFolded, name.toLowerCase()));
  const rows = await reader.select().from(pkg).where(wanted).limit(1);
  return rows[0];
}

export async function ensurePackage(
  tx: Transaction,
  values: Pick<PackageRow, "channelId" | "name" | "created">,
): Promise<PackageRow> {
  const existing = await findPackage(tx, values.channelId, values.name);
  if (existing) return existing;
  return theRow(
    await tx
      .insert(pkg)
      .values({ ...values, nameFolded: values.name.toLowerCase() })
      .returning(),
  );
}

export async function deletePackageIfEmpty(tx: Transaction, id: number): Promise<void> {
  const versions = tx.select().from(packageVersion).where(eq(packageVersion.packageId, id));
  await tx.delete(pkg).where(and(eq(pkg.id, id), notExists(versions)));
}
