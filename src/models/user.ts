// Users: an owner of kind `user` with credentials. A robot of an organization is a user without a password.

import { and, asc, eq, isNull } from "drizzle-orm";
import type { Reader, Transaction } from "./database.ts";
import type { OwnerRow } from "./owner.ts";
import { param, prepared } from "./prepared.ts";
import { requireRow } from "./rows.ts";
import { owner, principal, secondFactor, user } from "./schema/index.ts";
import { foldCase } from "../modules/fold-case.ts";

export type UserRow = typeof user.$inferSelect;
/** A user with its owner row, which has the name and the flags `disabled` and `hidden`. */
export type UserWithOwner = UserRow & {
  readonly owner: OwnerRow;
  /** Whether the password is accepted only with a code. */
  readonly hasTwoFactor: boolean;
};

/** No password has this hash. */
export const NO_PASSWORD = "!";

const userById = prepared("userById", (reader) =>
  joined(reader)
    .where(eq(user.id, param("id")))
    .limit(1),
);

/** A person, never a robot. */
export async function findUser(reader: Reader, name: string): Promise<UserWithOwner | undefined> {
  const account = await findAccount(reader, name);
  return account?.organizationId === null ? account : undefined;
}

/** A user, or a robot by its name `organization/robot`. */
export async function findAccount(reader: Reader, name: string): Promise<UserWithOwner | undefined> {
  const rows = await joined(reader)
    .where(eq(owner.name, foldCase(name)))
    .limit(1);
  return rows.map(flatten)[0];
}

export async function findUserById(reader: Reader, id: number): Promise<UserWithOwner | undefined> {
  const rows = await userById(reader).execute({ id });
  return rows.map(flatten)[0];
}

export async function findByPrincipal(reader: Reader, principalId: number): Promise<UserWithOwner | undefined> {
  const rows = await joined(reader).where(eq(user.principalId, principalId)).limit(1);
  return rows.map(flatten)[0];
}

export async function listUsers(reader: Reader): Promise<UserWithOwner[]> {
  const rows = await joined(reader).where(isNull(user.organizationId)).orderBy(asc(owner.name));
  return rows.map(flatten);
}

export async function listRobots(reader: Reader, organizationId: number): Promise<UserWithOwner[]> {
  const rows = await joined(reader).where(eq(user.organizationId, organizationId)).orderBy(asc(owner.name));
  return rows.map(flatten);
}

/** A page of the users by name. */
export async function pageOfUsers(
  reader: Reader,
  { offset, limit }: { readonly offset: number; readonly limit: number },
): Promise<UserWithOwner[]> {
  const rows = await joined(reader)
    .where(isNull(user.organizationId))
    .orderBy(asc(owner.name))
    .limit(limit)
    .offset(offset);
  return rows.map(flatten);
}

export async function countUsers(reader: Reader): Promise<number> {
  return await reader.$count(user, isNull(user.organizationId));
}

export async function insertUser(
  tx: Transaction,
  values: Pick<UserRow, "ownerId" | "passwordHash" | "isAdmin" | "email"> &
    Partial<Pick<UserRow, "mustChangePassword">>,
): Promise<UserRow> {
  return await insertAccount(tx, "user", values);
}

export async function insertRobot(
  tx: Transaction,
  values: Pick<UserRow, "ownerId" | "organizationId">,
): Promise<UserRow> {
  return await insertAccount(tx, "robot", { ...values, passwordHash: NO_PASSWORD });
}

async function insertAccount(
  tx: Transaction,
  kind: "user" | "robot",
  values: Omit<typeof user.$inferInsert, "principalId">,
): Promise<UserRow> {
  const { id: principalId } = requireRow(await tx.insert(principal).values({ kind }).returning());
  return requireRow(
    await tx
      .insert(user)
      .values({ ...values, principalId })
      .returning(),
  );
}

/** A new credential version invalidates cached passwords and earlier tokens; undefined leaves a value as it is. */
export async function updateUser(
  tx: Transaction,
  id: number,
  values: Partial<
    Pick<UserRow, "passwordHash" | "credentialVersion" | "mustChangePassword"> & {
      readonly isAdmin: boolean | undefined;
      readonly email: string | undefined;
    }
  >,
): Promise<void> {
  await tx.update(user).set(values).where(eq(user.id, id));
}

/** Stores another hash of the same password; writes nothing if the user's password has changed meanwhile. */
export async function replaceHash(
  tx: Transaction,
  { id, passwordHash: verified }: Pick<UserRow, "id" | "passwordHash">,
  passwordHash: string,
): Promise<void> {
  await tx
    .update(user)
    .set({ passwordHash })
    .where(and(eq(user.id, id), eq(user.passwordHash, verified)));
}

/** The database also deletes the tokens with the user, and the roles with the principal. */
export async function deleteUser(
  tx: Transaction,
  { id, principalId }: Pick<UserRow, "id" | "principalId">,
): Promise<void> {
  await tx.delete(user).where(eq(user.id, id));
  if (principalId !== null) await tx.delete(principal).where(eq(principal.id, principalId));
}

function joined(reader: Reader) {
  return reader
    .select({ user, owner, confirmed: secondFactor.confirmed })
    .from(user)
    .innerJoin(owner, eq(user.ownerId, owner.id))
    .leftJoin(secondFactor, eq(secondFactor.userId, user.id))
    .$dynamic();
}

function flatten(row: { user: UserRow; owner: OwnerRow; confirmed: number | null }): UserWithOwner {
  return { ...row.user, owner: row.owner, hasTwoFactor: row.confirmed !== null };
}
