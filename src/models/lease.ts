// Leases: what a process asks of others until a moment, so that one that dies asks nothing for ever.

import { and, eq, gt, lte } from "drizzle-orm";
import type { Reader, Transaction } from "./database.ts";
import { lease } from "./schema/sqlite.ts";

type LeaseRow = typeof lease.$inferSelect;

/** Several may hold one of the same name. */
export async function takeLease(tx: Transaction, values: LeaseRow): Promise<void> {
  await tx.insert(lease).values(values);
}

/** False when it has run out, or is gone: what it asked for may not have been kept. */
export async function renewLease(tx: Transaction, values: LeaseRow, now: number): Promise<boolean> {
  const { name, holder, until } = values;
  const isMine = and(eq(lease.name, name), eq(lease.holder, holder), gt(lease.until, now));
  const rows = await tx.update(lease).set({ until }).where(isMine).returning();
  return rows.length > 0;
}

export async function dropLease(tx: Transaction, { name, holder }: Omit<LeaseRow, "until">): Promise<void> {
  await tx.delete(lease).where(and(eq(lease.name, name), eq(lease.holder, holder)));
}

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
