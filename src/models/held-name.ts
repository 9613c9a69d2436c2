// Names of deleted and renamed owners, which nobody else can take for a while.

import { asc, eq } from "drizzle-orm";
import type { Reader, Transaction } from "./database.ts";
import { heldName } from "./schema/index.ts";

export type HeldNameRow = typeof heldName.$inferSelect;

export async function findHeldName(reader: Reader, name: string): Promise<HeldNameRow | undefined> {
  const rows = await reader.select().from(heldName).where(eq(heldName.name, name)).limit(1);
  return rows[0];
}

export async function listHeldNames(reader: Reader): Promise<HeldNameRow[]> {
  return await reader.select().from(heldName).orderBy(asc(heldName.name));
}

/** Replaces an earlier hold of the name. */
export async function holdName(tx: Transaction, values: HeldNameRow): Promise<void> {
  await deleteHeldName(tx, values.name);
  await tx.insert(heldName).values(values);
}

export async function deleteHeldName(tx: Transaction, name: string): Promise<boolean> {
  const rows = await tx.delete(heldName).where(eq(heldName.name, name)).returning({ name: heldName.name });
  return rows.length > 0;
}
