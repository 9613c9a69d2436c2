// Grants: a user's role on an owner or a channel.

import { and, eq } from "drizzle-orm";
import type { Reader, Transaction } from "./database.ts";
import { owner, roleGrant, user } from "./schema/sqlite.ts";

export type GrantRow = typeof roleGrant.$inferSelect;
export type Role = GrantRow["role"];
export type GrantTarget =
  | { readonly kind: "owner"; readonly ownerId: number }
  | { readonly kind: "channel"; readonly channelId: number };

/** The roles of a user on one target; none is an empty list. */
export async function rolesOn(reader: Reader, userId: number, target: GrantTarget): Promise<Role[]> {
  const rows = await reader
    .select({ role: roleGrant.role })
    .from(roleGrant)
    .where(and(eq(roleGrant.userId, userId), onTarget(target)));
  return rows.map((row) => row.role);
}

export async function listGrants(reader: Reader, target: GrantTarget): Promise<{ user: string; role: Role }[]> {
  return await reader
    .select({ user: owner.name, role: roleGrant.role })
    .from(roleGrant)
    .innerJoin(user, eq(roleGrant.userId, user.id))
    .innerJoin(owner, eq(user.ownerId, owner.id))
    .where(onTarget(target))
    .orderBy(owner.name);
}

export async function setGrant(
  tx: Transaction,
  values: { readonly userId: number; readonly target: GrantTarget; readonly role: Role; readonly created: number },
): Promise<void> {
  await deleteGrant(tx, values.userId, values.target);
  const { target, ...rest } = values;
  const place = target.kind === "owner" ? { ownerId: target.ownerId } : { channelId: target.channelId };
  await tx.insert(roleGrant).values({ ...rest, ...place });
}

export async function deleteGrant(tx: Transaction, userId: number, target: GrantTarget): Promise<boolean> {
  const rows = await tx
    .delete(roleGrant)
    .where(and(eq(roleGrant.userId, userId), onTarget(target)))
    .returning({ id: roleGrant.id });
  return rows.length > 0;
}

function onTarget(target: GrantTarget) {
  return target.kind === "owner" ? eq(roleGrant.ownerId, target.ownerId) : eq(roleGrant.channelId, target.channelId);
}
