// Pages of the rows about people, each with what its references lead to, for `verify`. Each page is one statement, so
// what it compares is of one moment.

import { asc, eq, gt, sql, type SQL } from "drizzle-orm";
import { pageOfEvents, type AuditEventRow } from "./audit-event.ts";
import type { Reader } from "./database.ts";
import { accessToken, auditEvent, channel, owner } from "./schema/index.ts";
import { recoveryCode, roleGrant, secondFactor, team, teamMember, user } from "./schema/index.ts";

export type RowPages<Row> = {
  count(reader: Reader): Promise<number>;
  /** At most `limit` rows that follow the row `after`, in the order of their keys. */
  page(reader: Reader, after: Row | undefined, limit: number): Promise<Row[]>;
};

type WithId = { readonly id: number };

// Raw SQL: drizzle drops the table of a selected column where only one table is selected from.
const ownerOf = (what: "name" | "kind", id: SQL) => sql<string | null>`(SELECT o.${sql.raw(what)} FROM owner AS o
  WHERE o.id = ${id})`;
const NAME_OF_ACCOUNT = ownerOf("name", sql`"user".owner_id`);

export type CheckedOwner = Awaited<ReturnType<typeof pageOfOwners>>[number];

/** `hasTeam`: whether it has the team of this folded name; `people`: how many users, without robots, are in that. */
export function ownerPages(teamName: string): RowPages<CheckedOwner> {
  return {
    count: (reader) => reader.$count(owner),
    page: (reader, after, limit) => pageOfOwners(reader, teamName, after, limit),
  };
}

async function pageOfOwners(reader: Reader, teamName: string, after: WithId | undefined, limit: number) {
  const isTeam = sql`team.organization_id = owner.id AND team.name_folded = ${teamName}`;
  return await reader
    .select({
      id: owner.id,
      kind: owner.kind,
      name: owner.name,
      displayName: owner.displayName,
      description: owner.description,
      hasAccount: sql`EXISTS (SELECT 1 FROM "user" WHERE "user".owner_id = owner.id)`.mapWith(Boolean),
      hasTeam: sql`EXISTS (SELECT 1 FROM team WHERE ${isTeam})`.mapWith(Boolean),
      people: sql`(SELECT count(*) FROM team JOIN team_member ON team_member.team_id = team.id
        JOIN "user" ON "user".principal_id = team_member.principal_id
        WHERE ${isTeam} AND "user".organization_id IS NULL)`.mapWith(Number),
    })
    .from(owner)
    .where(gt(owner.id, after?.id ?? 0))
    .orderBy(asc(owner.id))
    .limit(limit);
}

export type CheckedChannel = Awaited<ReturnType<typeof pageOfChannels>>[number];
export const channelPages: RowPages<CheckedChannel> = {
  count: (reader) => reader.$count(channel),
  page: pageOfChannels,
};

async function pageOfChannels(reader: Reader, after: WithId | undefined, limit: number) {
  const { id, type, name, description } = channel;
  return await reader
    .select({ id, type, name, description, owner: owner.name, ownerKind: owner.kind })
    .from(channel)
    .innerJoin(owner, eq(owner.id, channel.ownerId))
    .where(gt(channel.id, after?.id ?? 0))
    .orderBy(asc(channel.id))
    .limit(limit);
}

export type CheckedAccount = Awaited<ReturnType<typeof pageOfAccounts>>[number];
export const accountPages: RowPages<CheckedAccount> = { count: (reader) => reader.$count(user), page: pageOfAccounts };

async function pageOfAccounts(reader: Reader, after: WithId | undefined, limit: number) {
  const { id, organizationId, passwordHash } = user;
  const organizationKind = ownerOf("kind", sql`"user".organization_id`);
  return await reader
    .select({ id, organizationId, organizationKind, passwordHash, name: owner.name, kind: owner.kind })
    .from(user)
    .innerJoin(owner, eq(owner.id, user.ownerId))
    .where(gt(user.id, after?.id ?? 0))
    .orderBy(asc(user.id))
    .limit(limit);
}

export type CheckedTeam = Awaited<ReturnType<typeof pageOfTeams>>[number];
export const teamPages: RowPages<CheckedTeam> = { count: (reader) => reader.$count(team), page: pageOfTeams };

async function pageOfTeams(reader: Reader, after: WithId | undefined, limit: number) {
  return await reader
    .select({ team, organization: owner.name, organizationKind: owner.kind })
    .from(team)
    .innerJoin(owner, eq(owner.id, team.organizationId))
    .where(gt(team.id, after?.id ?? 0))
    .orderBy(asc(team.id))
    .limit(limit)
    .then((rows) => rows.map((row) => ({ ...row, ...row.team })));
}

export type CheckedMember = Awaited<ReturnType<typeof pageOfMembers>>[number];
export const memberPages: RowPages<CheckedMember> = {
  count: (reader) => reader.$count(teamMember),
  page: pageOfMembers,
};

type MemberKey = { readonly teamId: number; readonly principalId: number };

async function pageOfMembers(reader: Reader, after: MemberKey | undefined, limit: number) {
  return await reader
    .select({
      teamId: teamMember.teamId,
      principalId: teamMember.principalId,
      team: team.name,
      nameFolded: team.nameFolded,
      organizationId: team.organizationId,
      organization: ownerOf("name", sql`team.organization_id`),
      accountId: user.id,
      account: NAME_OF_ACCOUNT,
      robotOf: user.organizationId,
    })
    .from(teamMember)
    .innerJoin(team, eq(team.id, teamMember.teamId))
    .leftJoin(user, eq(user.principalId, teamMember.principalId))
    .where(sql`(${teamMember.teamId}, ${teamMember.principalId}) > (${after?.teamId ?? 0}, ${after?.principalId ?? 0})`)
    .orderBy(asc(teamMember.teamId), asc(teamMember.principalId))
    .limit(limit);
}

export type CheckedGrant = Awaited<ReturnType<typeof pageOfGrants>>[number];
export const grantPages: RowPages<CheckedGrant> = { count: (reader) => reader.$count(roleGrant), page: pageOfGrants };

async function pageOfGrants(reader: Reader, after: WithId | undefined, limit: number) {
  const { id, role, userId, ownerId, channelId } = roleGrant;
  const ownerKind = ownerOf("kind", sql`"grant".owner_id`);
  return await reader
    .select({ id, role, userId, ownerId, channelId, ownerKind, accountId: user.id, teamId: team.id })
    .from(roleGrant)
    .leftJoin(user, eq(user.principalId, roleGrant.principalId))
    .leftJoin(team, eq(team.principalId, roleGrant.principalId))
    .where(gt(roleGrant.id, after?.id ?? 0))
    .orderBy(asc(roleGrant.id))
    .limit(limit);
}

export type CheckedToken = Awaited<ReturnType<typeof pageOfTokens>>[number];
export const tokenPages: RowPages<CheckedToken> = { count: (reader) => reader.$count(accessToken), page: pageOfTokens };

async function pageOfTokens(reader: Reader, after: WithId | undefined, limit: number) {
  return await reader
    .select({ token: accessToken, account: NAME_OF_ACCOUNT, accountId: user.id })
    .from(accessToken)
    .leftJoin(user, eq(user.id, accessToken.userId))
    .where(gt(accessToken.id, after?.id ?? 0))
    .orderBy(asc(accessToken.id))
    .limit(limit)
    .then((rows) => rows.map(({ token, ...row }) => ({ ...token, ...row })));
}

export type CheckedFactor = Awaited<ReturnType<typeof pageOfFactors>>[number];
export const factorPages: RowPages<CheckedFactor> = {
  count: (reader) => reader.$count(secondFactor),
  page: pageOfFactors,
};

async function pageOfFactors(reader: Reader, after: { readonly userId: number } | undefined, limit: number) {
  return await reader
    .select({ userId: secondFactor.userId, accountId: user.id })
    .from(secondFactor)
    .leftJoin(user, eq(user.id, secondFactor.userId))
    .where(gt(secondFactor.userId, after?.userId ?? 0))
    .orderBy(asc(secondFactor.userId))
    .limit(limit);
}

export type CheckedCode = Awaited<ReturnType<typeof pageOfCodes>>[number];
export const codePages: RowPages<CheckedCode> = { count: (reader) => reader.$count(recoveryCode), page: pageOfCodes };

type CodeKey = { readonly userId: number; readonly codeHash: string };

async function pageOfCodes(reader: Reader, after: CodeKey | undefined, limit: number) {
  return await reader
    .select({
      userId: recoveryCode.userId,
      codeHash: recoveryCode.codeHash,
      account: NAME_OF_ACCOUNT,
      accountId: user.id,
    })
    .from(recoveryCode)
    .leftJoin(user, eq(user.id, recoveryCode.userId))
    .where(sql`(${recoveryCode.userId}, ${recoveryCode.codeHash}) > (${after?.userId ?? 0}, ${after?.codeHash ?? ""})`)
    .orderBy(asc(recoveryCode.userId), asc(recoveryCode.codeHash))
    .limit(limit);
}

export const eventPages: RowPages<AuditEventRow> = {
  count: (reader) => reader.$count(auditEvent),
  page: (reader, after, limit) =>
    pageOfEvents(reader, { after: after?.id ?? 0, through: Number.MAX_SAFE_INTEGER }, limit),
};
