// Access tokens: only the hash of a token is stored.

import { and, asc, eq, isNull, lt, or } from "drizzle-orm";
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

/** Stores the time of use unless a use since `before` is already stored, so that reads seldom write. */
export async function noteTokenUse(tx: Transaction, id: number, at: number, before: number): Promise<void> {
  const stale = or(isNull(accessToken.lastUsed), lt(accessToken.lastUsed, before));
  await tx
    .update(accessToken)
    .set({ lastUsed: at })
    .where(and(eq(accessToken.id, id), stale));
}
