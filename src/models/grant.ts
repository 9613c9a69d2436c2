// Grants: a principal's role on an owner or a channel.

import { and, eq, or } from "drizzle-orm";
import type { Reader, Transaction } from "./database.ts";
import { param, prepared } from "./prepared.ts";
import { owner, roleGrant, user } from "./schema/index.ts";
import type { UserRow } from "./user.ts";

export type GrantRow = typeof roleGrant.$inferSelect;
export type Role = GrantRow["role"];
export type GrantTarget =
  | { readonly kind: "owner"; readonly ownerId: number }
  | { readonly kind: "channel"; readonly channelId: number };

const rolesOnTargets = prepared("rolesOnTargets", (reader) =>
  reader
    .select({ role: roleGrant.role })
    .from(roleGrant)
    .where(
      and(
        eq(roleGrant.principalId, param("principalId")),
        or(eq(roleGrant.ownerId, param("ownerId")), eq(roleGrant.channelId, param("channelId"))),
      ),
    ),
);

/** The roles of a principal on an owner and on one of its channels together. An unused id such as 0 matches no row. */
export async function rolesOf(
  reader: Reader,
  where: { readonly principalId: number; readonly ownerId: number; readonly channelId: number },
): Promise<Role[]> {
  const rows = await rolesOnTargets(reader).execute(where);
  return rows.map(({ role }) => role);
}

export async function listGrants(reader: Reader, target: GrantTarget): Promise<{ user: string; role: Role }[]> {
  return await reader
    .select({ user: owner.name, role: roleGrant.role })
    .from(roleGrant)
    .innerJoin(user, eq(roleGrant.principalId, user.principalId))
    .innerJoin(owner, eq(user.ownerId, owner.id))
    .where(onTarget(target))
    .orderBy(owner.name);
}

export async function findGrant(
  reader: Reader,
  principalId: number | null,
  target: GrantTarget,
): Promise<Role | undefined> {
  const rows = await reader
    .select({ role: roleGrant.role })
    .from(roleGrant)
    .where(and(eq(roleGrant.principalId, principalId ?? 0), onTarget(target)));
  return rows[0]?.role;
}

/** Replaces the role that the user has on the target itself. */
export async function setGrant(
  tx: Transaction,
  { id: userId, principalId }: Pick<UserRow, "id" | "principalId">,
  values: { readonly target: GrantTarget; readonly role: Role; readonly created: number },
): Promise<void> {
  const { target, ...rest } = values;
  await deleteGrant(tx, principalId, target);
  const on = target.kind === "owner" ? { ownerId: target.ownerId } : { channelId: target.channelId };
  await tx.insert(roleGrant).values({ ...rest, ...on, principalId, userId });
}

export async function deleteGrant(tx: Transaction, principalId: number | null, target: GrantTarget): Promise<boolean> {
  const rows = await tx
    .delete(roleGrant)
    .where(and(eq(roleGrant.principalId, principalId ?? 0), onTarget(target)))
    .returning({ id: roleGrant.id });
  return rows.length > 0;
}

function onTarget(target: GrantTarget) {
  return target.kind === "owner" ? eq(roleGrant.ownerId, target.ownerId) : eq(roleGrant.channelId, target.channelId);
}
