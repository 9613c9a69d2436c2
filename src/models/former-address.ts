// Addresses that channels had at their former owners, where they are still found for a while.

import { and, eq } from "drizzle-orm";
import type { Transaction } from "./database.ts";
import { formerAddress } from "./schema/index.ts";

type FormerAddressRow = typeof formerAddress.$inferSelect;

/** Replaces an earlier channel of the address. */
export async function insertFormerAddress(tx: Transaction, values: FormerAddressRow): Promise<void> {
  await deleteFormerAddress(tx, values);
  await tx.insert(formerAddress).values(values);
}

/** The address belongs to its owner alone again. */
export async function deleteFormerAddress(
  tx: Transaction,
  { ownerId, type, name }: Pick<FormerAddressRow, "ownerId" | "type" | "name">,
): Promise<void> {
  await tx
    .delete(formerAddress)
    .where(and(eq(formerAddress.ownerId, ownerId), eq(formerAddress.type, type), eq(formerAddress.name, name)));
}
