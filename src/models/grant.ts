// Grants: a principal's role on an owner or a channel.

import { and, eq, inArray, or, sql } from "drizzle-orm";
import type { Reader, Transaction } from "./database.ts";
import { param, prepared } from "./prepared.ts";
import { owner, roleGrant, team, teamMember, user } from "./schema/index.ts";

export type GrantRow = typeof roleGrant.$inferSelect;
export type Role = GrantRow["role"];
/** What a grant allows; `packages` is the JSON list of patterns for the packages that the role may change. */
export type GrantRight = Pick<GrantRow, "role" | "packages">;
export type GrantTarget =
  | { readonly kind: "owner"; readonly ownerId: number }
  | { readonly kind: "channel"; readonly channelId: number };

const ANY = sql<string>`'["*"]'`;
const VIA = { grant: sql<Via>`'grant'`.as("via"), team: sql<Via>`'team'`.as("via") } as const;
/** `team`: through a team of the owner itself. */
type Via = "grant" | "team";

/**
 * Grants to a principal, grants to a team that it is in, and the rights of its teams in their own organization. SQLite
 * runs subqueries with an index for each several times faster than joins of these tables.
 */
const rolesOnTargets = prepared("rolesOnTargets", (reader) => {
  const { role, packages } = roleGrant;
  const granted = { via: VIA.grant, role, channels: ANY.as("channels"), packages };
  const [onOwner, onChannel] = [eq(roleGrant.ownerId, param("ownerId")), eq(roleGrant.channelId, param("channelId"))];
  const places = () =>
    reader
      .select({ teamId: teamMember.teamId })
      .from(teamMember)
      .where(eq(teamMember.principalId, param("principalId")));
  const toTeam = () =>
    inArray(
      roleGrant.principalId,
      reader.select({ principalId: team.principalId }).from(team).where(inArray(team.id, places())),
    );
  return reader
    .select(granted)
    .from(roleGrant)
    .where(and(eq(roleGrant.principalId, param("principalId")), or(onOwner, onChannel)))
    .unionAll(reader.select(granted).from(roleGrant).where(and(toTeam(), onOwner)))
    .unionAll(reader.select(granted).from(roleGrant).where(and(toTeam(), onChannel)))
    .unionAll(
      reader
        .select({ via: VIA.team, role: team.role, channels: team.channels, packages: team.packages })
        .from(team)
        .where(and(inArray(team.id, places()), eq(team.organizationId, param("ownerId")))),
    );
});

/** A role, and the JSON lists of patterns for the channels and packages that it concerns. */
export type HeldRole = GrantRight & { readonly via: Via; readonly channels: string };

/** The roles of a principal on an owner and on one of its channels together. An unused id such as 0 matches no row. */
export async function rolesOf(
  reader: Reader,
  where: { readonly principalId: number; readonly ownerId: number; readonly channelId: number },
): Promise<HeldRole[]> {
  return await rolesOnTargets(reader).execute(where);
}

/** Who has a role: a user, a robot or a team by its name `organization/name`; a team also by its id. */
export type GrantHolder =
  | { readonly kind: "user"; readonly name: string }
  | { readonly kind: "team"; readonly name: string; readonly id: number };

const RIGHT = { role: roleGrant.role, packages: roleGrant.packages };

export async function listGrants(reader: Reader, target: GrantTarget): Promise<(GrantHolder & GrantRight)[]> {
  const users = await reader
    .select({ name: owner.name, ...RIGHT })
    .from(roleGrant)
    .innerJoin(user, eq(roleGrant.principalId, user.principalId))
    .innerJoin(owner, eq(user.ownerId, owner.id))
    .where(onTarget(target))
    .orderBy(owner.name);
  const teams = await reader
    .select({ organization: owner.name, team: team.name, id: team.id, ...RIGHT })
    .from(roleGrant)
    .innerJoin(team, eq(roleGrant.principalId, team.principalId))
    .innerJoin(owner, eq(team.organizationId, owner.id))
    .where(onTarget(target))
    .orderBy(owner.name, team.nameFolded);
  return [
    ...users.map((grant) => ({ kind: "user" as const, ...grant })),
    ...teams.map(({ organization, team: name, ...grant }) => ({
      kind: "team" as const,
      name: `${organization}/${name}`,
      ...grant,
    })),
  ];
}

export async function findGrant(
  reader: Reader,
  principalId: number | null,
  target: GrantTarget,
): Promise<GrantRight | undefined> {
  const rows = await reader
    .select(RIGHT)
    .from(roleGrant)
    .where(and(eq(roleGrant.principalId, principalId ?? 0), onTarget(target)));
  return rows[0];
}

/** Replaces the role that the holder has on the target itself; `userId` is null for a team. */
export async function setGrant(
  tx: Transaction,
  { principalId, userId }: { readonly principalId: number | null; readonly userId: number | null },
  values: GrantRight & { readonly target: GrantTarget; readonly created: number },
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

/** Ends the roles on a channel that the teams and robots of an organization have. */
export async function deleteGrantsOfOrganization(
  tx: Transaction,
  channelId: number,
  organizationId: number,
): Promise<void> {
  const teams = tx.select({ id: team.principalId }).from(team).where(eq(team.organizationId, organizationId));
  const robots = tx.select({ id: user.principalId }).from(user).where(eq(user.organizationId, organizationId));
  const held = or(inArray(roleGrant.principalId, teams), inArray(roleGrant.principalId, robots));
  await tx.delete(roleGrant).where(and(eq(roleGrant.channelId, channelId), held));
}

function onTarget(target: GrantTarget) {
  return target.kind === "owner" ? eq(roleGrant.ownerId, target.ownerId) : eq(roleGrant.channelId, target.channelId);
}
