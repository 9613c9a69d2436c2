// Access tokens: only the hash of a token is stored.

import { and, asc, eq, inArray, isNotNull, isNull, lt, ne, or } from "drizzle-orm";
import type { Reader, Transaction } from "./database.ts";
import { param, prepared } from "./prepared.ts";
import { requireRow } from "./rows.ts";
import { accessToken } from "./schema/index.ts";

export type AccessTokenRow = typeof accessToken.$inferSelect;

const tokenByHash = prepared("tokenByHash", (reader) =>
  reader
    .select()
    .from(accessToken)
    .where(eq(accessToken.tokenHash, param("tokenHash")))
    .limit(1),
);
const tokenById = prepared("tokenById", (reader) =>
  reader
    .select()
    .from(accessToken)
    .where(eq(accessToken.id, param("id")))
    .limit(1),
);

export async function findTokenByHash(reader: Reader, tokenHash: string): Promise<AccessTokenRow | undefined> {
  const rows = await tokenByHash(reader).execute({ tokenHash });
  return rows[0];
}

export async function findToken(reader: Reader, id: number): Promise<AccessTokenRow | undefined> {
  const rows = await tokenById(reader).execute({ id });
  return rows[0];
}

export async function listTokens(reader: Reader, userId?: number): Promise<AccessTokenRow[]> {
  return await reader
    .select()
    .from(accessToken)
    .where(userId === undefined ? undefined : eq(accessToken.userId, userId))
    .orderBy(asc(accessToken.id));
}

/** The tokens of a user that have this name, the oldest first. */
export async function tokensNamed(reader: Reader, userId: number, name: string): Promise<AccessTokenRow[]> {
  return await reader
    .select()
    .from(accessToken)
    .where(and(eq(accessToken.userId, userId), eq(accessToken.name, name)))
    .orderBy(asc(accessToken.id));
}

/** A user whose tokens count: those of an older credential version are ended. */
type Holder = { readonly id: number; readonly credentialVersion: number };

function isEnded({ credentialVersion }: Holder) {
  return or(isNotNull(accessToken.revoked), ne(accessToken.credentialVersion, credentialVersion));
}

/** The number of tokens of a user, and of those that are ended. */
export async function countTokens(reader: Reader, holder: Holder): Promise<{ all: number; ended: number }> {
  const isOwn = eq(accessToken.userId, holder.id);
  return {
    all: await reader.$count(accessToken, isOwn),
    ended: await reader.$count(accessToken, and(isOwn, isEnded(holder))),
  };
}

/** Deletes the oldest ended tokens of a user, at most `limit`. */
export async function deleteEndedTokens(tx: Transaction, holder: Holder, limit: number): Promise<void> {
  const oldest = tx
    .select({ id: accessToken.id })
    .from(accessToken)
    .where(and(eq(accessToken.userId, holder.id), isEnded(holder)))
    .orderBy(asc(accessToken.id))
    .limit(limit);
  await tx.delete(accessToken).where(inArray(accessToken.id, oldest));
}

export async function insertToken(
  tx: Transaction,
  values: Omit<AccessTokenRow, "id" | "lastUsed" | "revoked">,
): Promise<AccessTokenRow> {
  return requireRow(await tx.insert(accessToken).values(values).returning());
}

export async function revokeToken(tx: Transaction, id: number, at: number): Promise<boolean> {
  const unrevoked = and(eq(accessToken.id, id), isNull(accessToken.revoked));
  const rows = await tx.update(accessToken).set({ revoked: at }).where(unrevoked).returning({ id: accessToken.id });
  return rows.length > 0;
}

/** Revokes all tokens of a user; returns the ids of those that were not revoked before. */
export async function revokeTokens(tx: Transaction, userId: number, at: number): Promise<number[]> {
  const unrevoked = and(eq(accessToken.userId, userId), isNull(accessToken.revoked));
  const rows = await tx.update(accessToken).set({ revoked: at }).where(unrevoked).returning({ id: accessToken.id });
  return rows.map(({ id }) => id);
}

/** Stores the time of the last use; of two nodes, the later time stays. */
export async function noteTokenUses(tx: Transaction, ids: readonly number[], at: number): Promise<void> {
  const earlier = or(isNull(accessToken.lastUsed), lt(accessToken.lastUsed, at));
  await tx
    .update(accessToken)
    .set({ lastUsed: at })
    .where(and(inArray(accessToken.id, [...ids]), earlier));
}
