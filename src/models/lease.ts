// Leases: what a process asks of others until a moment, so that one that dies asks nothing for ever.

import { and, eq, gt, lte } from "drizzle-orm";
import type { Reader, Transaction } from "./database.ts";
import { lease } from "./schema/sqlite.ts";

/** Whether anyone holds one of this name. */
export async function isLeased(reader: Reader, name: string, now: number): Promise<boolean> {
  const rows = await reader
    .select()
    .from(lease)
    .where(and(eq(lease.name, name), gt(lease.until, now)))
    .limit(1);
  return rows.length > 0;
}

export async function dropEndedLeases(tx: Transaction, now: number): Promise<void> {
  await tx.delete(lease).where(lte(lease.until, now));
}
