// Second factors: the authenticator app of a user, and the recovery codes, each of which counts once.

import { and, count, eq, gt, isNotNull, lt, or } from "drizzle-orm";
import type { Reader, Transaction } from "./database.ts";
import { recoveryCode, secondFactor } from "./schema/index.ts";

/** A last step so far ahead is from before the clock was set back; clocks of servers differ less. */
const FAR_STEPS = 20;

export type SecondFactorRow = typeof secondFactor.$inferSelect;

export async function findSecondFactor(reader: Reader, userId: number): Promise<SecondFactorRow | undefined> {
  const rows = await reader.select().from(secondFactor).where(eq(secondFactor.userId, userId));
  return rows[0];
}

/** Stores an unconfirmed secret in place of an earlier one, and no recovery code. */
export async function replaceSecondFactor(
  tx: Transaction,
  row: Pick<SecondFactorRow, "userId" | "secret" | "created">,
): Promise<void> {
  await deleteSecondFactor(tx, row.userId);
  await tx.insert(secondFactor).values({ ...row, lastStep: 0, confirmed: null });
}

/** From now on the codes are wanted; the one of `lastStep` has counted. */
export async function confirmSecondFactor(
  tx: Transaction,
  { userId, confirmed, lastStep }: Pick<SecondFactorRow, "userId" | "confirmed" | "lastStep">,
): Promise<void> {
  await tx.update(secondFactor).set({ confirmed, lastStep }).where(eq(secondFactor.userId, userId));
}

export async function insertRecoveryCodes(tx: Transaction, userId: number, hashes: readonly string[]): Promise<void> {
  await tx.insert(recoveryCode).values(hashes.map((codeHash) => ({ userId, codeHash })));
}

/** Uses up the code of a time step; false when it, or the code of a later step, has been used. */
export async function useStep(
  tx: Transaction,
  { userId, secret }: Pick<SecondFactorRow, "userId" | "secret">,
  step: number,
): Promise<boolean> {
  const isUsable = and(
    eq(secondFactor.userId, userId),
    eq(secondFactor.secret, secret),
    isNotNull(secondFactor.confirmed),
    or(lt(secondFactor.lastStep, step), gt(secondFactor.lastStep, step + FAR_STEPS)),
  );
  return (await tx.update(secondFactor).set({ lastStep: step }).where(isUsable).returning()).length > 0;
}

/** Uses up a recovery code; undefined when the user has none with this hash, else the number of those left. */
export async function useRecoveryCode(tx: Transaction, userId: number, codeHash: string): Promise<number | undefined> {
  const ofUser = eq(recoveryCode.userId, userId);
  const used = await tx
    .delete(recoveryCode)
    .where(and(ofUser, eq(recoveryCode.codeHash, codeHash)))
    .returning();
  if (used.length === 0) return undefined;
  const rows = await tx.select({ left: count() }).from(recoveryCode).where(ofUser);
  return rows[0]?.left ?? 0;
}

/** Also forgets the recovery codes; false when there was no confirmed one. */
export async function deleteSecondFactor(tx: Transaction, userId: number): Promise<boolean> {
  await tx.delete(recoveryCode).where(eq(recoveryCode.userId, userId));
  const rows = await tx.delete(secondFactor).where(eq(secondFactor.userId, userId)).returning();
  return rows.some(({ confirmed }) => confirmed !== null);
}
