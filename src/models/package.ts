// Packages: the package names of a channel.

import { and, eq } from "drizzle-orm";
import type { Transaction } from "./database.ts";
import { param, placeholders, prepared } from "./prepared.ts";
import { requireRow } from "./rows.ts";
import { pkg } from "./schema/index.ts";
import { foldCase } from "../modules/fold-case.ts";

export type PackageRow = typeof pkg.$inferSelect;

const packageByName = prepared("packageByName", (reader) =>
  reader
    .select()
    .from(pkg)
    .where(and(eq(pkg.channelId, param("channelId")), eq(pkg.nameFolded, param("nameFolded"))))
    .limit(1),
);
const insertPackage = prepared("insertPackage", (reader) =>
  reader
    .insert(pkg)
    .values(placeholders("channelId", "name", "nameFolded", "created"))
    .returning(),
);

export async function ensurePackage(
  tx: Transaction,
  values: Pick<PackageRow, "channelId" | "name" | "created">,
): Promise<PackageRow> {
  const row = { ...values, nameFolded: foldCase(values.name) };
  const [existing] = await packageByName(tx).execute(row);
  return existing ?? requireRow(await insertPackage(tx).execute(row));
}
