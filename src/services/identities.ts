// Resolves the credentials of a request to one identity, or refuses the request.

import { createHmac, randomBytes } from "node:crypto";
import { unauthenticated } from "../errors.ts";
import type { Events } from "../events.ts";
import { findToken, findTokenByHash, noteTokenUse, type AccessTokenRow } from "../models/access-token.ts";
import type { Database, Reader, Transaction } from "../models/database.ts";
import { findUser, findUserById, replaceHash, type UserWithOwner } from "../models/user.ts";
import type { Clock } from "../modules/clock.ts";
import { sha256Hex } from "../modules/hash.ts";
import { looksLikeToken } from "../modules/ids.ts";
import { createLru } from "../modules/lru.ts";
import { hashPassword, needsRehash, verifyNobody, verifyPassword } from "../modules/passwords.ts";
import { ANONYMOUS, type Identity } from "./actor.ts";
import type { Throttle } from "./throttle.ts";
import { tokenLimits } from "./token-limits.ts";

/** A credential of a request: a password arrives only by Basic authentication, a token in five ways. */
export type Credential =
  | { readonly kind: "basic"; readonly user: string; readonly password: string }
  | { readonly kind: "token"; readonly token: string };

export type Identities = {
  /** Errors: `unauthenticated` for an invalid credential, or for two credentials of different identities. */
  identify(credentials: readonly Credential[], address: string): Promise<Identity>;
};

export type IdentitiesParts = {
  readonly database: Database;
  readonly throttle: Throttle;
  readonly events: Events;
  readonly clock: Clock;
};

const CACHE_MS = 5 * 60 * 1000;
const MAX_CACHED = 10_000;
const NOTE_USE_EVERY_MS = 60 * 60 * 1000;

export function createIdentities(parts: IdentitiesParts): Identities {
  const { database, clock } = parts;
  const processKey = randomBytes(32);
  const noting = new Set<number>();
  const verifyOnce = createVerifier();
  const verified = createLru<string, true>({ maxEntries: MAX_CACHED, ttlMs: CACHE_MS, now: () => clock.elapsed() });

  async function byPassword(name: string, password: string, address: string): Promise<Identity> {
    const user = await findUser(database.read, name);
    const cacheKey = cacheKeyOf(processKey, password, user ?? name);
    if (user && !user.owner.disabled && verified.get(cacheKey)) return { kind: "user", user };
    await parts.throttle.check({ account: name, address });
    const matches = await verifyOnce(cacheKey, password, user?.passwordHash);
    // A verification can wait in a queue, and the row can change meanwhile.
    const current = user && matches ? await findUserById(database.read, user.id) : undefined;
    if (!user || !current || current.owner.disabled || current.credentialVersion !== user.credentialVersion) {
      await parts.throttle.fail({ account: name, address });
      parts.events.loginFailed({ account: name, address });
      throw unauthenticated("The user name or the password is wrong.");
    }
    verified.set(cacheKey, true);
    if (needsRehash(current.passwordHash)) void rehash(database, current, password);
    return { kind: "user", user: current };
  }

  /** Records the use of a token. A read does not wait for the writer, fail with it, or queue a second write. */
  async function noteUse(id: number, now: number): Promise<void> {
    if (noting.has(id)) return;
    noting.add(id);
    const work = (tx: Transaction): Promise<void> => noteTokenUse(tx, id, now, now - NOTE_USE_EVERY_MS);
    await database.transact(work, { isUnseen: true }).catch(() => undefined);
    noting.delete(id);
  }

  async function byToken(text: string): Promise<Identity> {
    const refusal = unauthenticated("The access token is not valid: unknown, expired, revoked or mistyped.");
    if (!looksLikeToken(text)) throw refusal;
    const row = await findTokenByHash(database.read, sha256Hex(text));
    const user = row && (await findUserById(database.read, row.userId));
    const now = clock.now();
    if (!row || !user || !isLive(row, user, now)) throw refusal;
    if ((row.lastUsed ?? 0) < now - NOTE_USE_EVERY_MS) {
      void noteUse(row.id, now);
    }
    return { kind: "token", user, token: tokenLimits(row) };
  }

  async function identifyOne(credential: Credential, address: string): Promise<Identity> {
    if (credential.kind === "token") return await byToken(credential.token);
    if (looksLikeToken(credential.password)) return await byToken(credential.password);
    if (looksLikeToken(credential.user)) return await byToken(credential.user);
    return await byPassword(credential.user, credential.password, address);
  }

  return {
    identify: async (credentials, address) => {
      let identity: Identity = ANONYMOUS;
      for (const credential of credentials) {
        const found = await identifyOne(credential, address);
        if (identity.kind !== "anonymous" && keyOf(identity) !== keyOf(found)) {
          throw unauthenticated("The request carries credentials of two different identities.");
        }
        identity = found;
      }
      return identity;
    },
  };
}

/** The key uses the row, not the name: a name can pass to another user, and a hash fits one password only. */
function cacheKeyOf(processKey: Buffer, password: string, user: UserWithOwner | string): string {
  const secret = typeof user === "string" ? [user.toLowerCase()] : [user.id, user.passwordHash];
  return createHmac("sha256", processKey)
    .update(JSON.stringify([...secret, password]))
    .digest("hex");
}

type Verifier = (cacheKey: string, password: string, hash: string | undefined) => Promise<boolean>;

/** Concurrent requests with the same password, such as a client's parallel uploads, share one verification. */
function createVerifier(): Verifier {
  const inProgress = new Map<string, Promise<boolean>>();
  return async (cacheKey, password, hash) => {
    const known = inProgress.get(cacheKey);
    if (known) return await known;
    const verification = hash === undefined ? verifyNobody(password) : verifyPassword(password, hash);
    inProgress.set(cacheKey, verification);
    return await verification.finally(() => inProgress.delete(cacheKey));
  };
}

/** Re-reads the identity for a change that is about to commit. Errors: `unauthenticated` when it is no longer valid. */
export async function currentIdentity(reader: Reader, identity: Identity, now: number): Promise<Identity> {
  if (identity.kind === "anonymous") return identity;
  const user = await findUserById(reader, identity.user.id);
  const current = user && !user.owner.disabled && user.credentialVersion === identity.user.credentialVersion;
  if (!user || !current) throw unauthenticated("The account was disabled or changed during the request.");
  if (identity.kind === "user") return { kind: "user", user };
  const row = await findToken(reader, identity.token.id);
  if (!row || !isLive(row, user, now)) throw unauthenticated("The access token ended during the request.");
  return { kind: "token", user, token: tokenLimits(row) };
}

/** Rehashes a password stored with older parameters; a failure here does not fail the login. */
async function rehash(database: Database, user: UserWithOwner, password: string): Promise<void> {
  try {
    const passwordHash = await hashPassword(password);
    await database.transact((tx) => replaceHash(tx, user, passwordHash));
  } catch {
    // The next login tries again.
  }
}

function isLive(row: AccessTokenRow, user: UserWithOwner, now: number): boolean {
  if (row.revoked !== null || (row.expires !== null && row.expires <= now)) return false;
  return !user.owner.disabled && row.credentialVersion === user.credentialVersion;
}

function keyOf(identity: Identity): string {
  if (identity.kind === "anonymous") return "";
  return identity.kind === "token" ? `token ${identity.token.id}` : `user ${identity.user.id}`;
}
