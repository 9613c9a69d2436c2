// Limits failed logins. Failures are counted in the database; what is in memory only makes the counts stricter or more
// lenient until the next start.

import type { Database, Transaction } from "../models/database.ts";
import {
  accountBucket,
  countFailure,
  deleteOldRows,
  forgetFailures,
  forgetSuccesses,
  knownBucket,
  noteSuccess,
} from "../models/login-failure.ts";
import type { UserRow } from "../models/user.ts";
import type { Clock } from "../modules/clock.ts";
import { createLru } from "../modules/lru.ts";
import { accountOf, bucketsOf, KNOWN_MS, refuseFull, tallyOf, WINDOW_MS, type LoginAttempt } from "./login-limits.ts";

export type Throttle = {
  /**
   * Runs one check of a password, which calls `begin` right before it hashes. `begin` reserves the failure, so that
   * parallel attempts cannot exceed a limit; an undefined result is counted.
   * Errors: `throttled` when a limit is reached; what `work` throws.
   */
  attempt<T>(login: LoginAttempt, work: (begin: () => Promise<void>) => Promise<T | undefined>): Promise<T | undefined>;
  /** Whether the same password was wrong before, for the same account from the same network. */
  isRepeated(login: LoginAttempt): boolean;
  /** Notes a successful login in the background: from then on, failures elsewhere do not affect this network. */
  succeed(login: LoginAttempt): void;
};

/** The failures that checks in progress reserve, in this process or in all processes of the server. */
export type Places = {
  /** Changes with every release. */
  released(): Promise<number>;
  /**
   * Reserves a place in each bucket. Undefined when a check has ended since `seen`, or, after a wait for one to end, when
   * a bucket was full: count the failures again. `room`: places of the bucket without failures.
   */
  take(wanted: readonly Room[], seen: number): Promise<(() => void) | undefined>;
};
export type Room = { readonly bucket: string; readonly room: number };

type ThrottleParts = {
  readonly database: Database;
  readonly clock: Clock;
  /** Default: those of this process. */
  readonly places?: Places | undefined;
};

/** Every this many failures, expired and surplus rows are deleted. */
const CLEAN_EVERY = 100;
const MAX_ROWS = 50_000;
const MAX_KNOWN_NETWORKS = 64;
const NOTE_EVERY_MS = 24 * 60 * 60 * 1000;
const MAX_REMEMBERED = 20_000;
const REMEMBER_MS = 60 * 60 * 1000;

export function createThrottle(parts: ThrottleParts): Throttle {
  const { database, clock, places = createPlaces() } = parts;
  const failures = createFailures(parts);

  const tally = (login: LoginAttempt) =>
    tallyOf(login, { reader: database.read, at: clock.now(), unstored: failures.unstored });

  /** Reserves a place in every limit; waits while only other checks in progress fill one. */
  async function enter(login: LoginAttempt): Promise<() => void> {
    for (;;) {
      const seen = await places.released();
      const tallies = await tally(login);
      refuseFull(tallies);
      const wanted = tallies.map(({ bucket, max, failures: failed }) => ({ bucket, room: max - failed }));
      const release = await places.take(wanted, seen);
      if (release) return release;
    }
  }

  return {
    attempt: async (login, work) => {
      // Before the wait for a turn; `begin` checks again.
      refuseFull(await tally(login));
      let release = nothing;
      try {
        const result = await work(async () => void (release = await enter(login)));
        if (result === undefined) await failures.count(login);
        return result;
      } finally {
        release();
      }
    },
    isRepeated: failures.isRepeated,
    succeed: createSuccesses(parts),
  };
}

/** Forgets the failed logins of an account, from all networks. */
export async function forgetFailedLogins(tx: Transaction, user: Pick<UserRow, "id">): Promise<void> {
  await forgetFailures(tx, accountOf(user));
}

/** For a user that is deleted. */
export async function forgetLogins(tx: Transaction, user: Pick<UserRow, "id">): Promise<void> {
  await forgetFailures(tx, accountOf(user));
  await forgetSuccesses(tx, accountOf(user));
}

function createFailures({ database, clock }: ThrottleParts) {
  const now = (): number => clock.elapsed();
  const wrong = createLru<string, true>({ maxEntries: MAX_REMEMBERED, ttlMs: REMEMBER_MS, now });
  /** Failures that the database could not store, for example because its disk is full. */
  const unstored = createLru<string, number>({ maxEntries: MAX_REMEMBERED, ttlMs: WINDOW_MS, now });
  const unstoredOf = (bucket: string): number => unstored.get(bucket) ?? 0;
  let counted = 0;

  return {
    unstored: unstoredOf,
    isRepeated: (login: LoginAttempt): boolean => wrong.get(repeatKey(login)) === true,
    /** A password that was tried from another network does not count for the account again. */
    count: async (login: LoginAttempt): Promise<void> => {
      const isKnown = wrong.get(login.guess) === true;
      const buckets = bucketsOf(login).filter((bucket) => !isKnown || bucket !== accountBucket(login.account));
      const at = clock.now();
      counted += 1;
      const isCleaning = counted % CLEAN_EVERY === 0;
      const work = async (tx: Transaction): Promise<void> => {
        for (const bucket of buckets) await countFailure(tx, bucket, { now: at, ms: WINDOW_MS });
        if (!isCleaning) return;
        await deleteOldRows(tx, { failuresBefore: at - WINDOW_MS, successesBefore: at - KNOWN_MS, limit: MAX_ROWS });
      };
      for (const key of [login.guess, repeatKey(login)]) wrong.set(key, true);
      try {
        await database.transact(work, { isUnseen: true });
      } catch (error) {
        for (const bucket of buckets) unstored.set(bucket, unstoredOf(bucket) + 1);
        throw error;
      }
    },
  };
}

function createSuccesses({ database, clock }: ThrottleParts): Throttle["succeed"] {
  const now = (): number => clock.elapsed();
  const noted = createLru<string, true>({ maxEntries: MAX_REMEMBERED, ttlMs: NOTE_EVERY_MS, now });
  return ({ account, network }) => {
    const key = knownBucket(account, network);
    if (noted.get(key)) return;
    noted.set(key, true);
    const success = { account, network, now: clock.now() };
    const work = (tx: Transaction): Promise<void> => noteSuccess(tx, success, MAX_KNOWN_NETWORKS);
    database.transact(work, { isUnseen: true }).catch(() => noted.delete(key));
  };
}

function repeatKey({ guess, network }: LoginAttempt): string {
  return `${guess}@${network}`;
}

function nothing(): void {}

export function createPlaces(): Places {
  const taken = new Map<string, number>();
  let released = 0;
  let next = Promise.withResolvers<void>();
  const add = (bucket: string, count: number): void => {
    const sum = (taken.get(bucket) ?? 0) + count;
    if (sum === 0) taken.delete(bucket);
    else taken.set(bucket, sum);
  };
  return {
    released: async () => released,
    take: async (wanted, seen) => {
      // A check that ended since then is in neither count.
      if (seen !== released) return undefined;
      if (wanted.some(({ bucket, room }) => (taken.get(bucket) ?? 0) >= room)) {
        await next.promise;
        return undefined;
      }
      for (const { bucket } of wanted) add(bucket, 1);
      return () => {
        for (const { bucket } of wanted) add(bucket, -1);
        released += 1;
        next.resolve();
        next = Promise.withResolvers();
      };
    },
  };
}
