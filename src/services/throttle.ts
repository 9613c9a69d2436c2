// Limits failed logins per account and per address.

import { AppError } from "../errors.ts";
import type { Database, Transaction } from "../models/database.ts";
import { countFailure, deleteFailuresBefore, findFailures, forgetFailures } from "../models/login-failure.ts";
import type { Clock } from "../modules/clock.ts";

export type Throttle = {
  /** Errors: `throttled` when the account or the address has failed too often. */
  check(attempt: LoginAttempt): Promise<void>;
  fail(attempt: LoginAttempt): Promise<void>;
};

export type LoginAttempt = { readonly account: string; readonly address: string };

const WINDOW_MS = 10 * 60 * 1000;
const PER_ACCOUNT = 10;
const PER_ADDRESS = 30;
/** Every this many failures, expired windows are deleted. */
const CLEAN_EVERY = 100;

export function createThrottle(parts: { readonly database: Database; readonly clock: Clock }): Throttle {
  const { database, clock } = parts;
  let failures = 0;
  return {
    check: async (attempt) => {
      const now = clock.now();
      const limits = bucketsOf(attempt);
      const rows = await findFailures(database.read, [...limits.keys()]);
      for (const row of rows) {
        const left = row.windowStart + WINDOW_MS - now;
        // A window far in the future is from before the clock was set back; the next failure starts a new window.
        if (left <= 0 || left > 2 * WINDOW_MS || row.failures < (limits.get(row.bucket) ?? 0)) continue;
        const retryAfter = Math.ceil(left / 1000);
        throw new AppError("throttled", `Too many failed logins. Try again in ${retryAfter} seconds.`, { retryAfter });
      }
    },
    fail: async (attempt) => {
      const now = clock.now();
      failures += 1;
      const count = async (tx: Transaction): Promise<void> => {
        for (const bucket of bucketsOf(attempt).keys()) await countFailure(tx, bucket, { now, ms: WINDOW_MS });
        if (failures % CLEAN_EVERY === 0) await deleteFailuresBefore(tx, now - WINDOW_MS);
      };
      await database.transact(count, { isUnseen: true });
    },
  };
}

/** For a new user: failures counted against the name's former user must not count. */
export async function forgetAccount(tx: Transaction, account: string): Promise<void> {
  await forgetFailures(tx, accountBucket(account));
}

function accountBucket(account: string): string {
  return `account:${account.toLowerCase().slice(0, 64)}`;
}

function bucketsOf(attempt: LoginAttempt): Map<string, number> {
  return new Map([
    [accountBucket(attempt.account), PER_ACCOUNT],
    [`address:${attempt.address}`, PER_ADDRESS],
  ]);
}
