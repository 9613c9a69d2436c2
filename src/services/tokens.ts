// Access tokens: shown once at creation, stored as a hash.

import { conflict, forbidden, invalidArgument, notFound } from "../errors.ts";
import { insertToken, listTokens, revokeToken, type AccessTokenRow } from "../models/access-token.ts";
import type { Database, Reader } from "../models/database.ts";
import type { OwnerRow } from "../models/owner.ts";
import type { UserWithOwner } from "../models/user.ts";
import type { Clock } from "../modules/clock.ts";
import { sha256Hex } from "../modules/hash.ts";
import { createToken } from "../modules/ids.ts";
import type { Access } from "./access.ts";
import { SCOPES, tokenOf, type Actor, type TokenLimits } from "./actor.ts";
import { recordAudit } from "./audit.ts";
import type { PackageTypes } from "./package-type.ts";
import { labelPatternProblem } from "./label-patterns.ts";
import { patternList, tokenLimits } from "./token-limits.ts";

export type TokenRequest = {
  /** A user, or a robot as `organization/robot`. */
  readonly user: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly channels: readonly string[];
  readonly packages: readonly string[];
  /** Milliseconds from now; undefined: never expires. */
  readonly lifetime: number | undefined;
};

export type TokenInfo = TokenLimits & Pick<AccessTokenRow, "created" | "lastUsed" | "revoked">;

/** Tokens of users and robots; `Access` says who manages them. Errors of all: those of `Access.require()`. */
export type Tokens = {
  /**
   * Returns the token text, which cannot be read again. Errors: `conflict` when a valid token has the name,
   * `invalid-argument`; `forbidden` when it would outlive the token that the actor used.
   */
  create(actor: Actor, request: TokenRequest): Promise<string>;
  list(actor: Actor, user: string): Promise<TokenInfo[]>;
  /** Errors: `not-found` when the user has no unrevoked token of that name. */
  revoke(actor: Actor, user: string, name: string): Promise<void>;
};

export type TokensParts = {
  readonly database: Database;
  readonly access: Access;
  readonly clock: Clock;
  readonly types: PackageTypes;
};

export function createTokens({ database, access, clock, types }: TokensParts): Tokens {
  return {
    create: (actor, request) =>
      database.transact(async (tx) => {
        const user = await access.require(actor, "tokens", targetOf(request.user), tx);
        const { id, credentialVersion } = user;
        const values = checked(request, types);
        const at = clock.now();
        const namesakes = await unrevokedTokens(tx, id, request.name);
        if (namesakes.some((row) => isInForce(row, user, at)))
          throw conflict(`${request.user} already has a token named ${request.name}.`);
        const expires = request.lifetime === undefined ? null : at + request.lifetime;
        refuseLonger(actor, expires);
        const token = createToken();
        const tokenHash = sha256Hex(token);
        const row = await insertToken(tx, {
          ...values,
          userId: id,
          tokenHash,
          credentialVersion,
          created: at,
          expires,
        });
        const { scopes, channels, packages } = request;
        const detail = { id: row.id, name: request.name, scopes, channels, packages, expires };
        await recordAudit(tx, actor, { at, action: "token.create", owner: concerned(user), detail });
        return token;
      }),
    list: async (actor, name) => {
      const user = await access.require(actor, "tokens", targetOf(name), database.read);
      const rows = await listTokens(database.read, user.id);
      return rows.map((row) => ({ ...tokenLimits(row), ...timesOf(row) }));
    },
    revoke: async (actor, userName, name) => {
      await database.transact(async (tx) => {
        const user = await access.require(actor, "tokens", targetOf(userName), tx);
        const namesakes = await unrevokedTokens(tx, user.id, name);
        const at = clock.now();
        const row = namesakes.find((one) => isInForce(one, user, at)) ?? namesakes.at(-1);
        if (!row) throw notFound(`${userName} has no active token named ${name}.`);
        await revokeToken(tx, row.id, at);
        const event = { at, action: "token.revoke", owner: concerned(user), detail: { id: row.id, name } } as const;
        await recordAudit(tx, actor, event);
      });
    },
  };
}

/** The owner that a change of the tokens concerns: for a robot its organization, under the name of the robot. */
function concerned({ owner, organizationId }: UserWithOwner): Pick<OwnerRow, "id" | "name"> {
  return { id: organizationId ?? owner.id, name: owner.name };
}

function targetOf(user: string) {
  return { kind: "user", user } as const;
}

/** A new token must not outlive the actor's own; for scopes, the access gate already requires `all` here. */
function refuseLonger(actor: Actor, expires: number | null): void {
  const own = tokenOf(actor);
  if (!own || own.expires === null || (expires !== null && expires <= own.expires)) return;
  throw forbidden(`The token "${own.name}" expires before the new token would: give that one a shorter lifetime.`);
}

function checked(
  request: TokenRequest,
  types: PackageTypes,
): Pick<AccessTokenRow, "name" | "scopes" | "channels" | "packages"> {
  if (!/^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,63}$/u.test(request.name)) {
    throw invalidArgument("A token name must have 1 to 64 letters, digits, spaces, dots, dashes and underscores.");
  }
  if (request.lifetime !== undefined && !(request.lifetime > 0))
    throw invalidArgument("The lifetime of a token must be positive.");
  const unknown = request.scopes.find((scope) => !isScope(scope));
  if (unknown !== undefined) throw invalidArgument(`Unknown scope ${unknown}. Valid scopes: ${SCOPES.join(", ")}.`);
  for (const list of [request.channels, request.packages]) {
    if (!patternList.safeParse(list).success)
      throw invalidArgument("A restriction must have at most 64 patterns of 1 to 256 characters.");
  }
  for (const pattern of request.channels) {
    const problem = labelPatternProblem(pattern, types);
    if (problem !== undefined) throw invalidArgument(`No channel can match ${JSON.stringify(pattern)}: ${problem}.`);
  }
  refuseUselessMetrics(request);
  return {
    name: request.name,
    scopes: JSON.stringify(request.scopes),
    channels: JSON.stringify(request.channels),
    packages: JSON.stringify(request.packages),
  };
}

/** The metrics concern the whole server, so a restricted token never reads them. */
function refuseUselessMetrics({ scopes, channels, packages }: TokenRequest): void {
  if (!scopes.includes("read:metrics")) return;
  if (channels.length === 0 && packages.length === 0 && !scopes.includes("public-only")) return;
  throw invalidArgument(
    "A token that is limited to channels, packages or public-only cannot read the metrics: create one for them alone.",
  );
}

function isScope(text: string): boolean {
  return SCOPES.some((scope) => scope === text);
}

async function unrevokedTokens(reader: Reader, userId: number, name: string): Promise<AccessTokenRow[]> {
  const rows = await listTokens(reader, userId);
  return rows.filter((row) => row.name === name && row.revoked === null);
}

/** Whether the token is or can become valid: a disabled user can be enabled again. */
function isInForce(row: AccessTokenRow, { credentialVersion }: UserWithOwner, now: number): boolean {
  return row.credentialVersion === credentialVersion && (row.expires === null || row.expires > now);
}

function timesOf(row: AccessTokenRow): Pick<AccessTokenRow, "created" | "lastUsed" | "revoked"> {
  return { created: row.created, lastUsed: row.lastUsed, revoked: row.revoked };
}
