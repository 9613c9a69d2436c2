// Teams of an organization and their members.

import { and, asc, count, eq, inArray, isNull, or } from "drizzle-orm";
import type { Reader, Transaction } from "./database.ts";
import { requireRow } from "./rows.ts";
import { channel, owner, principal, roleGrant, team, teamMember, user } from "./schema/index.ts";
import type { OwnerRow } from "./owner.ts";

export type TeamRow = typeof team.$inferSelect;
export type TeamWithOrganization = TeamRow & { readonly organization: OwnerRow };
/** A user or a robot in a team. */
export type MemberRow = { readonly principalId: number; readonly name: string; readonly kind: "user" | "robot" };

export async function findTeamById(reader: Reader, id: number): Promise<TeamWithOrganization | undefined> {
  const rows = await reader
    .select({ team, organization: owner })
    .from(team)
    .innerJoin(owner, eq(owner.id, team.organizationId))
    .where(eq(team.id, id))
    .limit(1);
  return rows.map((row) => ({ ...row.team, organization: row.organization }))[0];
}

export async function findTeam(
  reader: Reader,
  organizationId: number,
  nameFolded: string,
): Promise<TeamRow | undefined> {
  const rows = await reader
    .select()
    .from(team)
    .where(and(eq(team.organizationId, organizationId), eq(team.nameFolded, nameFolded)))
    .limit(1);
  return rows[0];
}

export async function listTeams(reader: Reader, organizationId: number): Promise<TeamRow[]> {
  return await reader.select().from(team).where(eq(team.organizationId, organizationId)).orderBy(asc(team.nameFolded));
}

export async function insertTeam(tx: Transaction, values: Omit<TeamRow, "id" | "principalId">): Promise<TeamRow> {
  const { id: principalId } = requireRow(await tx.insert(principal).values({ kind: "team" }).returning());
  return requireRow(
    await tx
      .insert(team)
      .values({ ...values, principalId })
      .returning(),
  );
}

export async function updateTeam(
  tx: Transaction,
  id: number,
  values: Partial<Pick<TeamRow, "name" | "nameFolded" | "role" | "channels" | "packages">>,
): Promise<void> {
  await tx.update(team).set(values).where(eq(team.id, id));
}

/** The database also deletes its places and, with its principal, its roles. */
export async function deleteTeam(tx: Transaction, { id, principalId }: Pick<TeamRow, "id" | "principalId">) {
  await tx.delete(team).where(eq(team.id, id));
  await tx.delete(principal).where(eq(principal.id, principalId));
}

export async function listMembers(reader: Reader, teamId: number): Promise<MemberRow[]> {
  const rows = await reader
    .select({ principalId: teamMember.principalId, name: owner.name, organizationId: user.organizationId })
    .from(teamMember)
    .innerJoin(user, eq(user.principalId, teamMember.principalId))
    .innerJoin(owner, eq(owner.id, user.ownerId))
    .where(eq(teamMember.teamId, teamId))
    .orderBy(asc(owner.name));
  return rows.map(({ organizationId, ...row }) => ({ ...row, kind: organizationId === null ? "user" : "robot" }));
}

/** The users in any team of the organization, each with the names of its teams. */
export async function listPlaces(reader: Reader, organizationId: number): Promise<{ name: string; team: string }[]> {
  return await reader
    .select({ name: owner.name, team: team.name })
    .from(teamMember)
    .innerJoin(team, eq(team.id, teamMember.teamId))
    .innerJoin(user, eq(user.principalId, teamMember.principalId))
    .innerJoin(owner, eq(owner.id, user.ownerId))
    .where(and(eq(team.organizationId, organizationId), isNull(user.organizationId)))
    .orderBy(asc(owner.name), asc(team.nameFolded));
}

/** The teams of the organization that the principal is in. */
export async function teamsOf(reader: Reader, organizationId: number, principalId: number): Promise<TeamRow[]> {
  const rows = await reader
    .select({ team })
    .from(teamMember)
    .innerJoin(team, eq(team.id, teamMember.teamId))
    .where(and(eq(teamMember.principalId, principalId), eq(team.organizationId, organizationId)))
    .orderBy(asc(team.nameFolded));
  return rows.map((row) => row.team);
}

export async function countMembers(reader: Reader, teamId: number): Promise<number> {
  const rows = await reader.select({ members: count() }).from(teamMember).where(eq(teamMember.teamId, teamId));
  return rows[0]?.members ?? 0;
}

/** False when the principal is in the team already. */
export async function addMember(tx: Transaction, values: typeof teamMember.$inferInsert): Promise<boolean> {
  const rows = await tx
    .insert(teamMember)
    .values(values)
    .onConflictDoNothing()
    .returning({ teamId: teamMember.teamId });
  return rows.length > 0;
}

export async function deleteMember(tx: Transaction, teamId: number, principalId: number): Promise<boolean> {
  const rows = await tx
    .delete(teamMember)
    .where(and(eq(teamMember.teamId, teamId), eq(teamMember.principalId, principalId)))
    .returning({ teamId: teamMember.teamId });
  return rows.length > 0;
}

/** Deletes the roles in the organization and on its channels of those of the principals who are in no team of it. */
export async function leaveWithoutPlace(
  tx: Transaction,
  organizationId: number,
  principals: readonly { readonly principalId: number }[],
): Promise<void> {
  const rows = await tx
    .selectDistinct({ principalId: teamMember.principalId })
    .from(teamMember)
    .innerJoin(team, eq(team.id, teamMember.teamId))
    .where(eq(team.organizationId, organizationId));
  const placed = new Set(rows.map(({ principalId }) => principalId));
  const gone = principals.map(({ principalId }) => principalId).filter((id) => !placed.has(id));
  await tx.delete(roleGrant).where(and(inArray(roleGrant.principalId, gone), isInside(tx, organizationId)));
}

/** Deletes the places and the roles of the principal in the organization and its channels; returns how many. */
export async function deleteEverythingOf(
  tx: Transaction,
  organizationId: number,
  principalId: number,
): Promise<{ readonly places: number; readonly roles: number }> {
  const teams = tx.select({ id: team.id }).from(team).where(eq(team.organizationId, organizationId));
  const places = await tx
    .delete(teamMember)
    .where(and(eq(teamMember.principalId, principalId), inArray(teamMember.teamId, teams)))
    .returning({ id: teamMember.teamId });
  const roles = await tx
    .delete(roleGrant)
    .where(and(eq(roleGrant.principalId, principalId), isInside(tx, organizationId)))
    .returning({ id: roleGrant.id });
  return { places: places.length, roles: roles.length };
}

/** Of a grant. */
function isInside(reader: Reader, organizationId: number) {
  const channels = reader.select({ id: channel.id }).from(channel).where(eq(channel.ownerId, organizationId));
  return or(eq(roleGrant.ownerId, organizationId), inArray(roleGrant.channelId, channels));
}
