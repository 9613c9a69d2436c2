// Organizations: owners without a login, whose rights are in teams.

import { and, asc, count, eq, gt, inArray, or } from "drizzle-orm";
import type { Reader } from "./database.ts";
import { findOwner, type OwnerRow } from "./owner.ts";
import { channel, owner, roleGrant, team, teamMember } from "./schema/index.ts";

export async function findOrganization(reader: Reader, name: string): Promise<OwnerRow | undefined> {
  const row = await findOwner(reader, name);
  return row?.kind === "organization" ? row : undefined;
}

/** Whose organizations a list has: those that everyone can see, and those in which a principal has a place or a role. */
export type SeenBy = {
  readonly visibilities: readonly OwnerRow["visibility"][];
  readonly principalId: number;
};

/** At most `limit` organizations after the name `after`, by name; without `seenBy` all of them. */
export async function listOrganizations(
  reader: Reader,
  { seenBy, after, limit }: { readonly seenBy: SeenBy | undefined; readonly after: string; readonly limit: number },
): Promise<OwnerRow[]> {
  return await reader
    .select()
    .from(owner)
    .where(and(gt(owner.name, after), isSeen(reader, seenBy)))
    .orderBy(asc(owner.name))
    .limit(limit);
}

/** A page of them by offset. */
export async function pageOfOrganizations(
  reader: Reader,
  seenBy: SeenBy | undefined,
  { offset, limit }: { readonly offset: number; readonly limit: number },
): Promise<OwnerRow[]> {
  const rows = reader.select().from(owner).where(isSeen(reader, seenBy)).orderBy(asc(owner.name));
  return await rows.limit(limit).offset(offset);
}

export async function countOrganizations(reader: Reader, seenBy: SeenBy | undefined): Promise<number> {
  return await reader.$count(owner, isSeen(reader, seenBy));
}

function isSeen(reader: Reader, seenBy: SeenBy | undefined) {
  const isOrganization = eq(owner.kind, "organization");
  if (!seenBy) return isOrganization;
  const isKnown = or(
    inArray(owner.visibility, [...seenBy.visibilities]),
    inArray(owner.id, organizationsWithPlace(reader, seenBy.principalId)),
    inArray(owner.id, ownersWithGrant(reader, seenBy.principalId)),
  );
  return and(isOrganization, eq(owner.hidden, false), isKnown);
}

/** The organizations in whose teams the principal is, by name. */
export async function organizationsOf(reader: Reader, principalId: number): Promise<OwnerRow[]> {
  return await reader
    .select()
    .from(owner)
    .where(inArray(owner.id, organizationsWithPlace(reader, principalId)))
    .orderBy(asc(owner.name));
}

/** The organizations in which the principal is in the team of this folded name. */
export async function organizationsWithTeamOf(
  reader: Reader,
  principalId: number,
  nameFolded: string,
): Promise<{ readonly teamId: number; readonly name: string }[]> {
  return await reader
    .select({ teamId: team.id, name: owner.name })
    .from(teamMember)
    .innerJoin(team, eq(team.id, teamMember.teamId))
    .innerJoin(owner, eq(owner.id, team.organizationId))
    .where(and(eq(teamMember.principalId, principalId), eq(team.nameFolded, nameFolded)))
    .orderBy(asc(owner.name));
}

function organizationsWithPlace(reader: Reader, principalId: number) {
  return reader
    .select({ id: team.organizationId })
    .from(teamMember)
    .innerJoin(team, eq(team.id, teamMember.teamId))
    .where(eq(teamMember.principalId, principalId));
}

function ownersWithGrant(reader: Reader, principalId: number) {
  return reader.select({ id: roleGrant.ownerId }).from(roleGrant).where(eq(roleGrant.principalId, principalId));
}

export async function countChannels(reader: Reader, ownerId: number): Promise<number> {
  const rows = await reader.select({ channels: count() }).from(channel).where(eq(channel.ownerId, ownerId));
  return rows[0]?.channels ?? 0;
}
