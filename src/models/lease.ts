// Leases: a process reserves a name for a time, so that the reservation of a dead process expires.

import { and, eq, gt, lte, sql, type SQL } from "drizzle-orm";
import type { Clock } from "../modules/clock.ts";
import type { Reader, Transaction } from "./database.ts";
import { byEngine } from "./schema/engine.ts";
import { lease } from "./schema/index.ts";

export type Lease = { readonly name: string; readonly holder: string };
/** `ms` counts from now. */
export type LeaseTerm = Lease & { readonly ms: number };

/** Several holders can have leases of the same name. */
export async function takeLease(tx: Transaction, { name, holder, ms }: LeaseTerm, clock: Clock): Promise<void> {
  await tx.insert(lease).values({ name, holder, until: sql`${now(clock)} + ${ms}` });
}

/**
 * Takes a lease that one holder has at a time; false when another has it. Call it in a transaction that waits for others
 * of its kind, as those do that name no channel.
 */
export async function tryLease(tx: Transaction, term: LeaseTerm, clock: Clock): Promise<boolean> {
  if (await isLeased(tx, term.name, clock)) return false;
  await takeLease(tx, term, clock);
  return true;
}

/** False when the lease has expired or was deleted: others may have ignored it meanwhile. */
export async function renewLease(tx: Transaction, term: LeaseTerm, clock: Clock): Promise<boolean> {
  const until = sql`${now(clock)} + ${term.ms}`;
  const rows = await tx
    .update(lease)
    .set({ until })
    .where(and(isOf(term), gt(lease.until, now(clock))))
    .returning();
  return rows.length > 0;
}

export async function dropLease(tx: Transaction, own: Lease): Promise<void> {
  await tx.delete(lease).where(isOf(own));
}

/** Whether an unexpired lease of this name exists. */
export async function isLeased(reader: Reader, name: string, clock: Clock): Promise<boolean> {
  const rows = await reader
    .select()
    .from(lease)
    .where(and(eq(lease.name, name), gt(lease.until, now(clock))))
    .limit(1);
  return rows.length > 0;
}

/** The holders of the unexpired leases of this name. */
export async function leaseHolders(reader: Reader, name: string, clock: Clock): Promise<string[]> {
  const rows = await reader
    .select()
    .from(lease)
    .where(and(eq(lease.name, name), gt(lease.until, now(clock))));
  return rows.map(({ holder }) => holder);
}

export async function dropEndedLeases(tx: Transaction, clock: Clock): Promise<void> {
  await tx.delete(lease).where(lte(lease.until, now(clock)));
}

function isOf({ name, holder }: Lease): SQL | undefined {
  return and(eq(lease.name, name), eq(lease.holder, holder));
}

/** ms UTC. The clocks of nodes differ, so those that share a database server go by its clock. */
function now(clock: Clock): SQL {
  return byEngine({
    sqlite: sql`${clock.now()}`,
    postgres: sql`(extract(epoch from clock_timestamp()) * 1000)::bigint`,
  });
}
