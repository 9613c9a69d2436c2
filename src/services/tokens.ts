// Access tokens: made once, shown once, kept as a hash.

import { z } from "zod";
import { conflict, notFound, usage } from "../errors.ts";
import { insertToken, listTokens, revokeToken, type AccessTokenRow } from "../models/access-token.ts";
import type { Database, Reader } from "../models/database.ts";
import { findUser } from "../models/user.ts";
import type { Clock } from "../modules/clock.ts";
import { sha256Hex } from "../modules/hash.ts";
import { createToken } from "../modules/ids.ts";
import { SCOPES, type TokenLimits } from "./access.ts";

export type TokenRequest = {
  readonly user: string;
  readonly name: string;
  readonly scopes: readonly string[];
  readonly channels: readonly string[];
  readonly packages: readonly string[];
  /** Milliseconds from now; undefined never expires. */
  readonly lifetime: number | undefined;
};

export type TokenInfo = TokenLimits & Pick<AccessTokenRow, "created" | "expires" | "lastUsed" | "revoked">;

export type Tokens = {
  /** Answers the token itself, which nobody can read again. Errors: `not-found`, `conflict`, `usage`. */
  create(request: TokenRequest): Promise<string>;
  list(user: string): Promise<TokenInfo[]>;
  /** Errors: `not-found` when the user has no live token of that name. */
  revoke(user: string, name: string): Promise<void>;
};

const textList = z.array(z.string().min(1).max(256)).max(64);
const scopeList = z.array(z.enum(SCOPES)).max(SCOPES.length);

export function createTokens(parts: { readonly database: Database; readonly clock: Clock }): Tokens {
  const { database, clock } = parts;
  return {
    create: async (request) => {
      const token = createToken();
      const values = checked(request);
      await database.transact(async (tx) => {
        const user = await theUser(tx, request.user);
        if (await liveToken(tx, user.id, request.name)) {
          throw conflict(`${request.user} already has a token named ${request.name}.`);
        }
        const now = clock.now();
        await insertToken(tx, {
          ...values,
          userId: user.id,
          tokenHash: sha256Hex(token),
          credentialVersion: user.credentialVersion,
          created: now,
          expires: request.lifetime === undefined ? null : now + request.lifetime,
        });
      });
      return token;
    },
    list: async (name) => {
      const user = await theUser(database.read, name);
      const rows = await listTokens(database.read, user.id);
      return rows.map((row) => ({ ...tokenLimits(row), ...timesOf(row) }));
    },
    revoke: async (userName, name) => {
      await database.transact(async (tx) => {
        const user = await theUser(tx, userName);
        const row = await liveToken(tx, user.id, name);
        if (!row) throw notFound(`${userName} has no live token named ${name}.`);
        await revokeToken(tx, row.id, clock.now());
      });
    },
  };
}

/** A row's limits; what cannot be read is denied, not guessed. */
export function tokenLimits(row: AccessTokenRow): TokenLimits {
  const scopes = scopeList.safeParse(parsed(row.scopes));
  const channels = textList.safeParse(parsed(row.channels));
  const packages = textList.safeParse(parsed(row.packages));
  return {
    id: row.id,
    name: row.name,
    scopes: scopes.success ? scopes.data : ["public-only"],
    channels: channels.success ? channels.data : ["(unreadable)"],
    packages: packages.success ? packages.data : ["(unreadable)"],
  };
}

function checked(request: TokenRequest): Pick<AccessTokenRow, "name" | "scopes" | "channels" | "packages"> {
  if (!/^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,63}$/u.test(request.name)) {
    throw usage("A token's name has 1 to 64 letters, digits, spaces, dots, dashes and underscores.");
  }
  if (request.lifetime !== undefined && !(request.lifetime > 0)) throw usage("A token's lifetime must be positive.");
  const unknown = request.scopes.find((scope) => !isScope(scope));
  if (unknown !== undefined) throw usage(`Unknown scope ${unknown}. There are: ${SCOPES.join(", ")}.`);
  for (const list of [request.channels, request.packages]) {
    if (!textList.safeParse(list).success) throw usage("A restriction has at most 64 patterns of 1 to 256 characters.");
  }
  return {
    name: request.name,
    scopes: JSON.stringify(request.scopes),
    channels: JSON.stringify(request.channels),
    packages: JSON.stringify(request.packages),
  };
}

function isScope(text: string): boolean {
  return SCOPES.some((scope) => scope === text);
}

async function liveToken(reader: Reader, userId: number, name: string): Promise<AccessTokenRow | undefined> {
  const rows = await listTokens(reader, userId);
  return rows.find((row) => row.name === name && row.revoked === null);
}

async function theUser(reader: Reader, name: string) {
  const user = await findUser(reader, name);
  if (!user) throw notFound(`There is no user ${name}.`);
  return user;
}

function timesOf(row: AccessTokenRow): Pick<AccessTokenRow, "created" | "expires" | "lastUsed" | "revoked"> {
  return { created: row.created, expires: row.expires, lastUsed: row.lastUsed, revoked: row.revoked };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
