// Access tokens: only the hash of a token is stored.

import { and, asc, eq, inArray, isNull, lt, or } from "drizzle-orm";
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

export async function deleteTokens(tx: Transaction, ids: readonly number[]): Promise<void> {
  await tx.delete(accessToken).where(inArray(accessToken.id, [...ids]));
}

/** Stores the time of the last use; of two nodes, the later time stays. */
export async function noteTokenUses(tx: Transaction, ids: readonly number[], at: number): Promise<void> {
  const earlier = or(isNull(accessToken.lastUsed), lt(accessToken.lastUsed, at));
  await tx
    .update(accessToken)
    .set({ lastUsed: at })
    .where(and(inArray(accessToken.id, [...ids]), earlier));
}
