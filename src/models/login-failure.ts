// Failed logins counted in windows, in the database so that a restart forgets none.

import { eq, inArray, lt, sql } from "drizzle-orm";
import type { Reader, Transaction } from "./database.ts";
import { loginFailure } from "./schema/sqlite.ts";

export type LoginFailureRow = typeof loginFailure.$inferSelect;

export async function findFailures(reader: Reader, buckets: readonly string[]): Promise<LoginFailureRow[]> {
  return await reader
    .select()
    .from(loginFailure)
    .where(inArray(loginFailure.bucket, [...buckets]));
}

/** Counts one failure; a window that has passed, or lies as far ahead, begins anew. */
export async function countFailure(
  tx: Transaction,
  bucket: string,
  window: { readonly now: number; readonly ms: number },
): Promise<void> {
  const { now, ms } = window;
  const old = sql`(${loginFailure.windowStart} <= ${now - ms} or ${loginFailure.windowStart} > ${now + ms})`;
  await tx
    .insert(loginFailure)
    .values({ bucket, windowStart: now, failures: 1 })
    .onConflictDoUpdate({
      target: loginFailure.bucket,
      set: {
        failures: sql`case when ${old} then 1 else ${loginFailure.failures} + 1 end`,
        windowStart: sql`case when ${old} then ${now} else ${loginFailure.windowStart} end`,
      },
    });
}

export async function forgetFailures(tx: Transaction, bucket: string): Promise<void> {
  await tx.delete(loginFailure).where(eq(loginFailure.bucket, bucket));
}

export async function deleteFailuresBefore(tx: Transaction, windowStart: number): Promise<void> {
  await tx.delete(loginFailure).where(lt(loginFailure.windowStart, windowStart));
}
