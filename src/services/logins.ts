// Password logins: verified once, then remembered for a while; failed ones are limited and logged.

import { createHmac, randomBytes } from "node:crypto";
import { unauthenticated } from "../errors.ts";
import type { Events } from "../events.ts";
import type { Database } from "../models/database.ts";
import { findUser, findUserById, replaceHash, type UserWithOwner } from "../models/user.ts";
import type { Clock } from "../modules/clock.ts";
import { foldCase } from "../modules/fold-case.ts";
import { networkOf } from "../modules/http/client-address.ts";
import { createLru } from "../modules/lru.ts";
import { hashPassword, needsRehash, verifyNobody, verifyPassword, type HashingTurn } from "../modules/passwords.ts";
import type { LoginCodes } from "./login-codes.ts";
import { accountOf, accountOfNobody, type LoginAttempt } from "./login-limits.ts";
import type { Sender } from "./actor.ts";
import type { Throttle } from "./throttle.ts";

export type Login = Sender & {
  readonly name: string;
  readonly password: string;
  /** The two-factor code, if the request has one. */
  readonly code?: string | undefined;
};

export type Logins = {
  /** Errors: `unauthenticated` for a wrong name, password or two-factor code; `throttled`. */
  login(login: Login): Promise<UserWithOwner>;
};

export type LoginsParts = {
  readonly database: Database;
  readonly throttle: Throttle;
  readonly codes: LoginCodes;
  readonly events: Events;
  readonly clock: Clock;
};

type Check = { readonly attempt: LoginAttempt; readonly password: string; readonly user: UserWithOwner | undefined };

const CACHE_MS = 5 * 60 * 1000;
const MAX_CACHED = 10_000;

export function createLogins(parts: LoginsParts): Logins {
  const { database, clock, throttle } = parts;
  const processKey = randomBytes(32);
  const verified = createLru<string, true>({ maxEntries: MAX_CACHED, ttlMs: CACHE_MS, now: () => clock.elapsed() });
  /** Concurrent requests with the same password, such as a client's parallel uploads, share one check. */
  const inProgress = new Map<string, Promise<UserWithOwner>>();

  async function check({ attempt, password, user }: Check): Promise<UserWithOwner> {
    // The right password is never remembered as wrong, because the guess depends on the state of the account.
    if (throttle.isRepeated(attempt)) throw refusalOf(user, "with the same wrong password as before");
    let reason = "";
    const current = await throttle.attempt(attempt, async (begin) => {
      const matches = await verify(password, user, { who: attempt.network, begin });
      // The check can wait for its turn, and the row can change meanwhile.
      const found = user && matches ? await findUserById(database.read, user.id) : undefined;
      reason = matches ? reasonOf(user, found) : "with a wrong password";
      return reason === "" ? found : undefined;
    });
    if (!current) throw refusalOf(user, reason);
    if (needsRehash(current.passwordHash)) void rehash(database, current, { password, who: attempt.network });
    return current;
  }

  async function checkOnce(one: Check): Promise<UserWithOwner> {
    const key = `${one.attempt.guess}@${one.attempt.network}`;
    const known = inProgress.get(key);
    if (known) return await known;
    const checking = check(one);
    inProgress.set(key, checking);
    return await checking.finally(() => inProgress.delete(key));
  }

  return {
    login: async ({ name, password, code, address, requestId }) => {
      const user = await findUser(database.read, name);
      const network = networkOf(address);
      const guess = guessOf(processKey, password, user ?? name);
      const attempt = { account: user ? accountOf(user) : accountOfNobody(name), network, guess };
      try {
        const isVerified = user !== undefined && verified.get(guess) === true;
        const current = isVerified ? user : await checkOnce({ attempt, password, user });
        verified.set(guess, true);
        // After the password, so that without it nobody learns whether there are codes, or whether one is right.
        if (current.hasTwoFactor) await parts.codes.use(current, code, { address, requestId });
        throttle.succeed(attempt);
        return current;
      } catch (error) {
        // A name without an account can be a mistyped password.
        parts.events.loginFailed({ account: user?.owner.name, address, requestId });
        throw error;
      }
    },
  };
}

/** Depends on the row, not on the name: a name can pass to another user, and a hash fits one password only. */
function guessOf(processKey: Buffer, password: string, user: UserWithOwner | string): string {
  const state =
    typeof user === "string"
      ? [foldCase(user)]
      : [user.id, user.passwordHash, user.credentialVersion, user.owner.disabled];
  return createHmac("sha256", processKey)
    .update(JSON.stringify([...state, password]))
    .digest("hex");
}

async function verify(password: string, user: UserWithOwner | undefined, turn: HashingTurn): Promise<boolean> {
  return user ? await verifyPassword(password, user.passwordHash, turn) : await verifyNobody(password, turn);
}

/** Why a right password does not count; empty when it does. */
function reasonOf(before: UserWithOwner | undefined, current: UserWithOwner | undefined): string {
  if (!current) return "which was deleted during the login";
  if (current.owner.disabled) return "which is disabled";
  return current.credentialVersion === before?.credentialVersion ? "" : "whose password was changed during the login";
}

/** The client gets the same refusal whatever the reason. */
function refusalOf(user: UserWithOwner | undefined, reason: string) {
  const log = user ? `login to ${user.owner.name} ${reason}` : "login with a name that no account has";
  return unauthenticated("The user name or the password is wrong.", { log });
}

/** Rehashes a password stored with older parameters; a failure here does not fail the login. */
async function rehash(
  database: Database,
  user: UserWithOwner,
  { password, who }: { readonly password: string; readonly who: string },
): Promise<void> {
  try {
    const passwordHash = await hashPassword(password, { who });
    await database.transact((tx) => replaceHash(tx, user, passwordHash));
  } catch {
    // The next login tries again.
  }
}
