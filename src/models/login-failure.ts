// Failed logins, counted per time window. They are in the database so that the counts survive a restart.
// A row whose bucket starts with `known:` is no count: its window starts at the last successful login from a network.

import { and, eq, gte, inArray, like, lt, not, or, sql } from "drizzle-orm";
import type { Reader, Transaction } from "./database.ts";
import { loginFailure } from "./schema/index.ts";

export type LoginFailureRow = typeof loginFailure.$inferSelect;

/** SQLite needs a limit before an offset. */
const NO_LIMIT = Number.MAX_SAFE_INTEGER;
const KNOWN = like(loginFailure.bucket, "known:%");

/** The failures of an account from everywhere. */
export function accountBucket(account: string): string {
  return account;
}

/** The failures of an account from one network. */
export function pairBucket(account: string, network: string): string {
  return `${account}@${network}`;
}

/** The failures of a network for all accounts. */
export function networkBucket(network: string): string {
  return `address:${network}`;
}

/** The last successful login to an account from a network. */
export function knownBucket(account: string, network: string): string {
  return `known:${pairBucket(account, network)}`;
}

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

/** Notes a successful login; of each account only the newest `limit` networks are stored. */
export async function noteSuccess(
  tx: Transaction,
  login: { readonly account: string; readonly network: string; readonly now: number },
  limit: number,
): Promise<void> {
  const { account, network, now } = login;
  await tx
    .insert(loginFailure)
    .values({ bucket: knownBucket(account, network), windowStart: now, failures: 0 })
    .onConflictDoUpdate({ target: loginFailure.bucket, set: { windowStart: now } });
  await deleteAllButNewest(tx, startsWith(knownBucket(account, "")), limit);
}

export async function forgetFailures(tx: Transaction, account: string): Promise<void> {
  const ofAccount = or(eq(loginFailure.bucket, accountBucket(account)), startsWith(pairBucket(account, "")));
  await tx.delete(loginFailure).where(ofAccount);
}

export async function forgetSuccesses(tx: Transaction, account: string): Promise<void> {
  await tx.delete(loginFailure).where(startsWith(knownBucket(account, "")));
}

/** Deletes expired rows, and all but the newest `limit` counts. */
export async function deleteOldRows(
  tx: Transaction,
  rows: { readonly failuresBefore: number; readonly successesBefore: number; readonly limit: number },
): Promise<void> {
  const { failuresBefore, successesBefore, limit } = rows;
  const isOld = or(
    and(not(KNOWN), lt(loginFailure.windowStart, failuresBefore)),
    and(KNOWN, lt(loginFailure.windowStart, successesBefore)),
  );
  await tx.delete(loginFailure).where(isOld);
  await deleteAllButNewest(tx, not(KNOWN), limit);
}

async function deleteAllButNewest(tx: Transaction, kind: ReturnType<typeof and>, limit: number): Promise<void> {
  const { bucket, windowStart } = loginFailure;
  const surplus = sql`(select ${bucket} from ${loginFailure} where ${kind} order by ${windowStart} desc limit ${NO_LIMIT} offset ${limit})`;
  await tx.delete(loginFailure).where(sql`${bucket} in ${surplus}`);
}

/** Buckets with this prefix, which ends with `@`. */
function startsWith(prefix: string) {
  return and(gte(loginFailure.bucket, prefix), lt(loginFailure.bucket, `${prefix.slice(0, -1)}A`));
}
