// Access tokens: shown once at creation, stored as a hash.

import { conflict, forbidden, invalidArgument, notFound } from "../errors.ts";
import {
  countTokens,
  deleteEndedTokens,
  findToken,
  insertToken,
  listTokens,
  revokeToken,
  revokeTokens,
  tokensNamed,
  type AccessTokenRow,
} from "../models/access-token.ts";
import type { Database, Transaction } from "../models/database.ts";
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
import { timeText } from "./token-state.ts";

export type TokenRequest = {
  /** A user, or a robot as `organization/robot`. */
  readonly user: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly channels: readonly string[];
  readonly packages: readonly string[];
  /** Milliseconds from now; undefined: never expires, or at `expires`. */
  readonly lifetime: number | undefined;
  /** ms UTC */
  readonly expires?: number | undefined;
};

export type TokenInfo = TokenLimits &
  Pick<AccessTokenRow, "created" | "lastUsed" | "lastEight" | "revoked"> & {
    /** True for a token that can never be valid again: revoked, or older than the password. An expired one is not. */
    readonly isEnded: boolean;
  };

/** With the text of the token, which cannot be read again. */
export type NewToken = TokenInfo & { readonly token: string };

/** Tokens of a user that are not ended; and rows of a user, of which the oldest ended ones are deleted. */
const MOST_TOKENS = 1000;
const MOST_ROWS = 2000;

/** Tokens of users and robots; `Access` says who manages them. Errors of all: those of `Access.require()`. */
export type Tokens = {
  /**
   * Errors: `conflict` when a valid token has the name, `invalid-argument`, also when the user has too many tokens;
   * `forbidden` when it would outlive the token that the actor used.
   */
  issue(actor: Actor, request: TokenRequest): Promise<NewToken>;
  /** The same; returns the text of the token alone. */
  create(actor: Actor, request: TokenRequest): Promise<string>;
  list(actor: Actor, user: string): Promise<TokenInfo[]>;
  /** With `orId`, an id takes precedence over a name. Errors: `not-found` when the user has no such unrevoked token. */
  revoke(actor: Actor, user: string, name: string, options?: { readonly orId?: boolean }): Promise<void>;
  revokeAll(actor: Actor, user: string): Promise<void>;
};

export type TokensParts = {
  readonly database: Database;
  readonly access: Access;
  readonly clock: Clock;
  readonly types: PackageTypes;
};

export function createTokens(parts: TokensParts): Tokens {
  const { database, access, clock } = parts;
  return {
    issue: (actor, request) => database.transact((tx) => issue(tx, parts, actor, request)),
    create: async (actor, request) => (await database.transact((tx) => issue(tx, parts, actor, request))).token,
    list: async (actor, name) => {
      const user = await access.require(actor, "tokens", targetOf(name), database.read);
      const rows = await listTokens(database.read, user.id);
      return rows.map((row) => infoOf(row, user));
    },
    revoke: (actor, userName, name, { orId = false } = {}) =>
      database.transact(async (tx) => {
        const user = await access.require(actor, "tokens", targetOf(userName), tx);
        const namesakes = (await tokensNamed(tx, user.id, name)).filter(({ revoked }) => revoked === null);
        const at = clock.now();
        const row =
          (orId ? await unrevokedToken(tx, user, name) : undefined) ??
          namesakes.find((one) => isInForce(one, user, at)) ??
          namesakes.at(-1);
        if (!row) throw notFound(`${userName} has no active token ${orId ? "" : "named "}${name}.`);
        await revokeToken(tx, row.id, at);
        const detail = { id: row.id, name: row.name };
        await recordAudit(tx, actor, { at, action: "token.revoke", owner: concerned(user), detail });
      }),
    revokeAll: (actor, userName) =>
      database.transact(async (tx) => {
        const user = await access.require(actor, "tokens", targetOf(userName), tx);
        const at = clock.now();
        const ids = await revokeTokens(tx, user.id, at);
        const event = { at, action: "token.revoke", owner: concerned(user), detail: { ids } } as const;
        if (ids.length > 0) await recordAudit(tx, actor, event);
      }),
  };
}

async function issue(
  tx: Transaction,
  { access, clock, types }: TokensParts,
  actor: Actor,
  request: TokenRequest,
): Promise<NewToken> {
  const user = await access.require(actor, "tokens", targetOf(request.user), tx);
  const at = clock.now();
  const values = checked(request, types, at);
  refuseLonger(actor, values.expires);
  await makeRoom(tx, user, { name: request.name, at });
  const token = createToken();
  const { id: userId, credentialVersion } = user;
  const secret = { tokenHash: sha256Hex(token), lastEight: token.slice(-8) };
  const row = await insertToken(tx, { ...values, ...secret, userId, credentialVersion, created: at });
  const { scopes, channels, packages } = request;
  const expires = row.expires === null ? null : timeText(row.expires);
  const detail = { id: row.id, name: row.name, scopes, channels, packages, expires };
  await recordAudit(tx, actor, { at, action: "token.create", owner: concerned(user), detail });
  return { ...infoOf(row, user), token };
}

/** The token with this id, undefined for another text. */
async function unrevokedToken(
  tx: Transaction,
  { id: userId }: UserWithOwner,
  text: string,
): Promise<AccessTokenRow | undefined> {
  const row = /^\d{1,15}$/.test(text) ? await findToken(tx, Number(text)) : undefined;
  return row?.userId === userId && row.revoked === null ? row : undefined;
}

/** Errors: `conflict` for the name of a valid token, `invalid-argument` for too many tokens. */
async function makeRoom(
  tx: Transaction,
  user: UserWithOwner,
  { name, at }: { readonly name: string; readonly at: number },
): Promise<void> {
  const namesakes = await tokensNamed(tx, user.id, name);
  if (namesakes.some((row) => row.revoked === null && isInForce(row, user, at)))
    throw conflict(`${user.owner.name} already has a token named ${name}.`);
  const { all, ended } = await countTokens(tx, user);
  if (all - ended >= MOST_TOKENS)
    throw invalidArgument(`${user.owner.name} has ${MOST_TOKENS} tokens, which is the limit. Revoke some first.`);
  if (all >= MOST_ROWS) await deleteEndedTokens(tx, user, all + 1 - MOST_ROWS);
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
  at: number,
): Pick<AccessTokenRow, "name" | "scopes" | "channels" | "packages" | "expires"> {
  if (!/^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,63}$/u.test(request.name)) {
    throw invalidArgument("A token name must have 1 to 64 letters, digits, spaces, dots, dashes and underscores.");
  }
  if (request.lifetime !== undefined && !(request.lifetime > 0))
    throw invalidArgument("The lifetime of a token must be positive.");
  if (request.expires !== undefined && !(request.expires > at))
    throw invalidArgument("The time at which a token expires must be in the future.");
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
    expires: request.lifetime === undefined ? (request.expires ?? null) : at + request.lifetime,
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

/** Whether the token is or can become valid: a disabled user can be enabled again. */
function isInForce(row: AccessTokenRow, { credentialVersion }: UserWithOwner, now: number): boolean {
  return row.credentialVersion === credentialVersion && (row.expires === null || row.expires > now);
}

function isEnded(row: AccessTokenRow, { credentialVersion }: UserWithOwner): boolean {
  return row.revoked !== null || row.credentialVersion !== credentialVersion;
}

function infoOf(row: AccessTokenRow, user: UserWithOwner): TokenInfo {
  const { created, lastUsed, lastEight, revoked } = row;
  return { ...tokenLimits(row), created, lastUsed, lastEight, revoked, isEnded: isEnded(row, user) };
}
