// Resolves the credentials of a request to one identity, or refuses the request.

import { unauthenticated } from "../errors.ts";
import { findToken, findTokenByHash } from "../models/access-token.ts";
import type { Database, Reader } from "../models/database.ts";
import { findUserById } from "../models/user.ts";
import { allOf } from "../modules/all-of.ts";
import type { Clock } from "../modules/clock.ts";
import { sha256Hex } from "../modules/hash.ts";
import { looksLikeToken } from "../modules/ids.ts";
import { ANONYMOUS, type Identity, type Sender } from "./actor.ts";
import type { Logins } from "./logins.ts";
import { tokenLimits } from "./token-limits.ts";
import { tokenLabel, tokenProblem } from "./token-state.ts";
import type { TokenUses } from "./token-uses.ts";

/** A credential of a request: a password arrives only by Basic authentication, a token in five ways. */
export type Credential =
  | { readonly kind: "basic"; readonly user: string; readonly password: string }
  | { readonly kind: "token"; readonly token: string };

export type Identities = {
  /**
   * Errors: `unauthenticated` for an invalid credential, or for two credentials of different identities; `throttled`
   * after too many failed logins.
   */
  identify(credentials: readonly Credential[], sender: Sender): Promise<Identity>;
};

export type IdentitiesParts = {
  readonly database: Database;
  readonly logins: Logins;
  readonly tokenUses: TokenUses;
  readonly clock: Clock;
};

const UNKNOWN_TOKEN = "The access token is not known: it is mistyped or was deleted.";

export function createIdentities({ database, logins, tokenUses, clock }: IdentitiesParts): Identities {
  async function byToken(text: string): Promise<Identity> {
    if (!looksLikeToken(text)) throw unauthenticated(UNKNOWN_TOKEN, { log: "a token with a wrong form or checksum" });
    const row = await findTokenByHash(database.read, sha256Hex(text));
    const user = row && (await findUserById(database.read, row.userId));
    if (!row || !user) throw unauthenticated(UNKNOWN_TOKEN, { log: "a well-formed token that is not stored" });
    const now = clock.now();
    const problem = tokenProblem(row, user, now);
    if (problem !== undefined) throw unauthenticated(problem, { log: `${tokenLabel(row, user)}: ${problem}` });
    tokenUses.note(row);
    return { kind: "token", user, token: tokenLimits(row) };
  }

  async function identifyOne(credential: Credential, sender: Sender): Promise<Identity> {
    if (credential.kind === "token") return await byToken(credential.token);
    if (looksLikeToken(credential.password)) return await byToken(credential.password);
    if (looksLikeToken(credential.user)) return await byToken(credential.user);
    const user = await logins.login({ name: credential.user, password: credential.password, ...sender });
    return { kind: "user", user };
  }

  return {
    identify: async (credentials, { address, requestId }) => {
      let identity: Identity = ANONYMOUS;
      for (const credential of credentials) {
        const found = await identifyOne(credential, { address, requestId });
        if (identity.kind !== "anonymous" && keyOf(identity) !== keyOf(found)) {
          const log = `credentials of both ${keyOf(identity)} and ${keyOf(found)}`;
          throw unauthenticated("The request carries credentials of two different identities.", { log });
        }
        identity = found;
      }
      return identity;
    },
  };
}

/** Re-reads the identity for a change that is about to commit. Errors: `unauthenticated` when it is no longer valid. */
export async function currentIdentity(reader: Reader, identity: Identity, now: number): Promise<Identity> {
  if (identity.kind === "anonymous") return identity;
  const [user, row] = await allOf(
    findUserById(reader, identity.user.id),
    identity.kind === "token" ? findToken(reader, identity.token.id) : Promise.resolve(undefined),
  );
  const current = user && !user.owner.disabled && user.credentialVersion === identity.user.credentialVersion;
  if (!user || !current) throw unauthenticated("The account was disabled or changed during the request.");
  if (identity.kind === "user") return { kind: "user", user };
  if (!row || tokenProblem(row, user, now) !== undefined)
    throw unauthenticated("The access token ended during the request.");
  return { kind: "token", user, token: tokenLimits(row) };
}

function keyOf(identity: Identity): string {
  if (identity.kind === "anonymous") return "";
  return identity.kind === "token" ? `token ${identity.token.id}` : `user ${identity.user.id}`;
}
