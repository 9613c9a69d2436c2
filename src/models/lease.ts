// Leases: a process reserves a name until a time, so that the reservation of a dead process expires.

import { and, eq, gt, lte } from "drizzle-orm";
import type { Reader, Transaction } from "./database.ts";
import { lease } from "./schema/index.ts";

type LeaseRow = typeof lease.$inferSelect;

/** Several holders can have leases of the same name. */
export async function takeLease(tx: Transaction, values: LeaseRow): Promise<void> {
  await tx.insert(lease).values(values);
}

/** False when the lease has expired or was deleted: others may have ignored it meanwhile. */
export async function renewLease(tx: Transaction, values: LeaseRow, now: number): Promise<boolean> {
  const { name, holder, until } = values;
  const isOwn = and(eq(lease.name, name), eq(lease.holder, holder), gt(lease.until, now));
  const rows = await tx.update(lease).set({ until }).where(isOwn).returning();
  return rows.length > 0;
}

export async function dropLease(tx: Transaction, { name, holder }: Omit<LeaseRow, "until">): Promise<void> {
  await tx.delete(lease).where(and(eq(lease.name, name), eq(lease.holder, holder)));
}

/** Whether an unexpired lease of this name exists. */
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
