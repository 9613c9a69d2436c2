// Failed logins, counted per time window. They are in the database so that the counts survive a restart.

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

/** Counts one failure. A window that has passed, or that starts more than its length in the future, is restarted. */
export async function countFailure(
  tx: Transaction,
  bucket: string,
  window: { readonly now: number; readonly ms: number },
): Promise<void> {
  const { now, ms } = window;
  const isOutdated = sql`(${loginFailure.windowStart} <= ${now - ms} or ${loginFailure.windowStart} > ${now + ms})`;
  await tx
    .insert(loginFailure)
    .values({ bucket, windowStart: now, failures: 1 })
    .onConflictDoUpdate({
      target: loginFailure.bucket,
      set: {
        failures: sql`case when ${isOutdated} then 1 else ${loginFailure.failures} + 1 end`,
        windowStart: sql`case when ${isOutdated} then ${now} else ${loginFailure.windowStart} end`,
      },
    });
}

export async function forgetFailures(tx: Transaction, bucket: string): Promise<void> {
  await tx.delete(loginFailure).where(eq(loginFailure.bucket, bucket));
}

export async function deleteFailuresBefore(tx: Transaction, windowStart: number): Promise<void> {
  await tx.delete(loginFailure).where(lt(loginFailure.windowStart, windowStart));
}
