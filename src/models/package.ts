// Packages: the package names of a channel.

import type { Transaction } from "./database.ts";
import { placeholders, prepared } from "./prepared.ts";
import { requireRow } from "./rows.ts";
import { pkg } from "./schema/index.ts";
import { foldCase } from "../modules/fold-case.ts";

export type PackageRow = typeof pkg.$inferSelect;

const insertPackage = prepared("insertPackage", (reader) =>
  reader
    .insert(pkg)
    .values(placeholders("channelId", "name", "nameFolded", "created"))
    .returning(),
);

export async function createPackage(
  tx: Transaction,
  values: Pick<PackageRow, "channelId" | "name" | "created">,
): Promise<PackageRow> {
  return requireRow(await insertPackage(tx).execute({ ...values, nameFolded: foldCase(values.name) }));
}
