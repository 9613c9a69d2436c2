// The limits of failed logins, and how far they are used: per account and network, per network, and per account for
// networks that are not known to it.

import { AppError } from "../errors.ts";
import type { Reader } from "../models/database.ts";
import { accountBucket, findFailures, knownBucket, networkBucket, pairBucket } from "../models/login-failure.ts";
import type { UserRow } from "../models/user.ts";
import { foldCase } from "../modules/fold-case.ts";
import { sha256Hex } from "../modules/hash.ts";

export type LoginAttempt = {
  /** See `accountOf` and `accountOfNobody`. */
  readonly account: string;
  readonly network: string;
  /** A keyed hash of the password and the state of the account. */
  readonly guess: string;
};

/** A limit with the failures that count towards it. */
export type Tally = {
  readonly bucket: string;
  readonly max: number;
  readonly failures: number;
  /** Seconds until the failures no longer count. */
  readonly retryAfter: number;
  /** For the log. */
  readonly what: string;
};

/** Failures count until this long after the first one. */
export const WINDOW_MS = 10 * 60 * 1000;
/** A network is known to an account this long after a successful login. */
export const KNOWN_MS = 30 * 24 * 60 * 60 * 1000;
const PER_PAIR = 10;
const PER_NETWORK = 30;
const PER_ACCOUNT = 100;

/** The account's name in the table. An id is never reused, so the next user of a name starts without failures. */
export function accountOf({ id }: Pick<UserRow, "id">): string {
  return `user:${id}`;
}

/** The same for a name without a user, which can be a mistyped password: so short a hash fits too many texts. */
export function accountOfNobody(name: string): string {
  return `name:${sha256Hex(foldCase(name)).slice(0, 5)}`;
}

export function bucketsOf(login: LoginAttempt): string[] {
  return limitsOf(login).map(({ bucket }) => bucket);
}

/** The limits that apply to the login. `unstored` are failures that the database could not store. */
export async function tallyOf(
  login: LoginAttempt,
  parts: { readonly reader: Reader; readonly at: number; readonly unstored: (bucket: string) => number },
): Promise<Tally[]> {
  const { reader, at, unstored } = parts;
  const known = knownBucket(login.account, login.network);
  const rows = await findFailures(reader, [known, ...bucketsOf(login)]);
  const windows = new Map(rows.map((row) => [row.bucket, row]));
  const knownSince = windows.get(known)?.windowStart;
  const isKnown = knownSince !== undefined && isRecent(knownSince, at, KNOWN_MS);
  const limits = limitsOf(login).filter(({ isForStrangers }) => !(isForStrangers && isKnown));
  return limits.map(({ bucket, max, what }) => {
    const row = windows.get(bucket);
    const window = row && isRecent(row.windowStart, at, WINDOW_MS) ? row : { windowStart: at, failures: 0 };
    const retryAfter = Math.ceil((window.windowStart + WINDOW_MS - at) / 1000);
    return { bucket, max, what, failures: window.failures + unstored(bucket), retryAfter };
  });
}

/** Errors: `throttled` when a limit is reached. */
export function refuseFull(tallies: readonly Tally[]): void {
  for (const { failures, max, retryAfter, what } of tallies) {
    if (failures < max) continue;
    const log = `${failures} failed logins ${what}, limit ${max}`;
    throw new AppError("throttled", `Too many failed logins. Try again in ${retryAfter} seconds.`, { retryAfter, log });
  }
}

type Limit = Pick<Tally, "bucket" | "max" | "what"> & { readonly isForStrangers?: boolean };

function limitsOf({ account, network }: LoginAttempt): Limit[] {
  const pair = { bucket: pairBucket(account, network), max: PER_PAIR, what: "to this account from this network" };
  const all = { bucket: networkBucket(network), max: PER_NETWORK, what: "from this network" };
  const what = "to this account, and no recent login from this network";
  return [pair, all, { bucket: accountBucket(account), max: PER_ACCOUNT, what, isForStrangers: true }];
}

/** A time far in the future is from before the clock was set back. */
function isRecent(time: number, at: number, ms: number): boolean {
  return time > at - ms && time <= at + ms;
}
