// Resolves the credentials of a request to one identity, or refuses the request.

import { forbidden, unauthenticated } from "../errors.ts";
import { findToken, findTokenByHash } from "../models/access-token.ts";
import type { Database, Reader } from "../models/database.ts";
import { findUserById, type UserWithOwner } from "../models/user.ts";
import { allOf } from "../modules/all-of.ts";
import type { Clock } from "../modules/clock.ts";
import { sha256Hex } from "../modules/hash.ts";
import { looksLikeToken } from "../modules/ids.ts";
import { ANONYMOUS, type Identity, type Sender, type TokenLimits } from "./actor.ts";
import type { Logins } from "./logins.ts";
import { tokenLimits } from "./token-limits.ts";
import { tokenLabel, tokenProblem } from "./token-state.ts";
import type { TokenUses } from "./token-uses.ts";
import { lacksTwoFactor, type TwoFactorPolicy } from "./two-factor-policy.ts";

/** A credential: a password, with its two-factor code, arrives only by Basic authentication, a token in five ways. */
export type Credential =
  | { readonly kind: "basic"; readonly user: string; readonly password: string; readonly code?: string | undefined }
  | { readonly kind: "token"; readonly token: string };

export type Identities = {
  /**
   * `mayLackTwoFactor`: for the routes that turn two-factor authentication on.
   * Errors: `unauthenticated` for an invalid credential, or for two credentials of different identities; `throttled`
   * after too many failed logins; `forbidden` for the password of a user who must turn on two-factor authentication.
   */
  identify(credentials: readonly Credential[], sender: Sender, options?: IdentifyOptions): Promise<Identity>;
};

export type IdentifyOptions = { readonly mayLackTwoFactor?: boolean };

export type IdentitiesParts = {
  readonly database: Database;
  readonly logins: Logins;
  readonly tokenUses: TokenUses;
  readonly clock: Clock;
  readonly twoFactor: TwoFactorPolicy;
};

const TURN_ON =
  "Your account must have two-factor authentication on this server. Turn it on with your password: POST " +
  "/api/v1/user/two-factor returns a secret for your authenticator app, and POST /api/v1/user/two-factor/confirm " +
  'takes a code of the app as {"code": "123456"}.';
const UNKNOWN_TOKEN = "The access token is not known: it is mistyped or was deleted.";

export function createIdentities(parts: IdentitiesParts): Identities {
  const { database, logins, tokenUses, clock, twoFactor } = parts;
  async function byToken(text: string): Promise<Identity> {
    if (!looksLikeToken(text)) throw unauthenticated(UNKNOWN_TOKEN, { log: "a token with a wrong form or checksum" });
    const row = await findTokenByHash(database.read, sha256Hex(text));
    const user = row && (await findUserById(database.read, row.userId));
    if (!row || !user) throw unauthenticated(UNKNOWN_TOKEN, { log: "a well-formed token that is not stored" });
    const now = clock.now();
    const problem = tokenProblem(row, user, now);
    if (problem !== undefined) throw unauthenticated(problem, { log: `${tokenLabel(row, user)}: ${problem}` });
    tokenUses.note(row);
    return tokenIdentity(user, tokenLimits(row), twoFactor);
  }

  async function identifyOne(credential: Credential, sender: Sender): Promise<Identity> {
    if (credential.kind === "token") return await byToken(credential.token);
    if (looksLikeToken(credential.password)) return await byToken(credential.password);
    if (looksLikeToken(credential.user)) return await byToken(credential.user);
    const { user: name, password, code } = credential;
    const user = await logins.login({ name, password, code, ...sender });
    return { kind: "user", user, code: user.hasTwoFactor ? code : undefined };
  }

  return {
    identify: async (credentials, { address, requestId }, { mayLackTwoFactor = false } = {}) => {
      let identity: Identity = ANONYMOUS;
      for (const credential of credentials) {
        const found = await identifyOne(credential, { address, requestId });
        if (identity.kind !== "anonymous" && keyOf(identity) !== keyOf(found)) {
          const log = `credentials of both ${keyOf(identity)} and ${keyOf(found)}`;
          throw unauthenticated("The request carries credentials of two different identities.", { log });
        }
        identity = found;
      }
      if (identity.kind === "user" && !mayLackTwoFactor && lacksTwoFactor(twoFactor, identity.user))
        throw forbidden(TURN_ON);
      return identity;
    },
  };
}

/** Re-reads the identity for a change that is about to commit. Errors: `unauthenticated` when it is no longer valid. */
export async function currentIdentity(
  reader: Reader,
  identity: Identity,
  { now, twoFactor }: { readonly now: number; readonly twoFactor: TwoFactorPolicy },
): Promise<Identity> {
  if (identity.kind === "anonymous") return identity;
  const [user, row] = await allOf(
    findUserById(reader, identity.user.id),
    identity.kind === "token" ? findToken(reader, identity.token.id) : Promise.resolve(undefined),
  );
  const current = user && !user.owner.disabled && user.credentialVersion === identity.user.credentialVersion;
  if (!user || !current) throw unauthenticated("The account was disabled or changed during the request.");
  if (identity.kind === "user") {
    if (user.hasTwoFactor && identity.code === undefined)
      throw unauthenticated("Two-factor authentication was turned on during the request.");
    return { ...identity, user };
  }
  if (!row || tokenProblem(row, user, now) !== undefined)
    throw unauthenticated("The access token ended during the request.");
  return tokenIdentity(user, tokenLimits(row), twoFactor);
}

/** Tokens work without a code. Those of an administrator who must turn it on are the tokens of an ordinary user. */
function tokenIdentity(user: UserWithOwner, token: TokenLimits, policy: TwoFactorPolicy): Identity {
  if (!user.isAdmin || !lacksTwoFactor(policy, user)) return { kind: "token", user, token };
  return { kind: "token", user: { ...user, isAdmin: false }, token, isDemoted: true };
}

function keyOf(identity: Identity): string {
  if (identity.kind === "anonymous") return "";
  return identity.kind === "token" ? `token ${identity.token.id}` : `user ${identity.user.id}`;
}
