// I-12: rights and credentials belong to accounts that exist, and are what the server could have stored.

import type { Role } from "../../models/grant.ts";
import type {
  CheckedCode,
  CheckedFactor,
  CheckedGrant,
  CheckedMember,
  CheckedTeam,
  CheckedToken,
} from "../../models/row-pages.ts";
import type { Report } from "../index/repair/verify.ts";
import { OWNERS, OWNERS_FOLDED } from "../memberships.ts";
import { RANK } from "../roles.ts";
import { storedPatterns, unreadableLimits, unreadablePatterns } from "../token-limits.ts";

export function checkTeam(team: CheckedTeam, report: Report): void {
  const { id, name, role, organization, organizationKind } = team;
  const label = `${organization}/${name}`;
  const complain = (message: string): void => report("I-12", `team ${label}`, message);
  const unreadable = unreadablePatterns(team);
  if (organizationKind !== "organization")
    complain(`it is a team of a ${organizationKind}: delete it with the SQL DELETE FROM team WHERE id = ${id}`);
  else if (team.nameFolded === OWNERS_FOLDED && !hasEverything(team))
    complain(
      `it has fewer rights than ${OWNERS} must have: run the SQL UPDATE team SET role = 'owner', ` +
        `channels = '["*"]', packages = '["*"]' WHERE id = ${id}`,
    );
  else if (!isRole(role))
    complain(`it has the unknown role ${JSON.stringify(role)}: run condarium team edit ${label} --role ROLE`);
  else if (unreadable.length > 0)
    complain(
      `its ${unreadable.join(" and ")} cannot be read, so it gives no rights: run condarium team edit ${label} ` +
        "--channel PATTERN --packages PATTERN",
    );
}

export function checkMember(member: CheckedMember, report: Report): void {
  const { teamId, principalId, accountId, account, robotOf } = member;
  const label = `${member.organization}/${member.team}`;
  const complain = (what: string, message: string): void => report("I-12", `${what} in the team ${label}`, message);
  const remove = `run condarium team remove ${label} ${account}`;
  if (accountId === null)
    complain(
      `principal ${principalId}`,
      "its account does not exist: delete its place with the SQL DELETE FROM team_member " +
        `WHERE team_id = ${teamId} AND principal_id = ${principalId}`,
    );
  else if (robotOf !== null && robotOf !== member.organizationId)
    complain(`robot ${account}`, `it belongs to another organization: ${remove}`);
  else if (robotOf !== null && member.nameFolded === OWNERS_FOLDED)
    complain(`robot ${account}`, `a robot cannot be in the team ${OWNERS}: ${remove}`);
}

export function checkGrant(grant: CheckedGrant, report: Report): void {
  const { id, role, userId, ownerId, channelId, accountId, teamId } = grant;
  const problem = (): string | undefined => {
    if (accountId === null && teamId === null) return "its holder does not exist";
    if (userId !== accountId) return "its columns name two holders";
    if ((ownerId === null) === (channelId === null)) return "it is not on either an owner or a channel";
    if (grant.ownerKind === "robot") return "it is on a robot, which owns nothing";
    return isRole(role) ? undefined : `the role ${JSON.stringify(role)} is unknown`;
  };
  const found = problem();
  if (found !== undefined)
    report("I-12", `role ${id}`, `${found}: delete it with the SQL DELETE FROM "grant" WHERE id = ${id}`);
}

export function checkToken(token: CheckedToken, report: Report): void {
  const { id, account, accountId, revoked } = token;
  const end = `delete it with the SQL DELETE FROM access_token WHERE id = ${id}`;
  if (accountId === null && revoked === null)
    return report("I-12", `token ${id}`, `its user ${token.userId} does not exist: ${end}`);
  const unreadable = unreadableLimits(token);
  if (unreadable.length > 0)
    report(
      "I-12",
      `token ${id} of ${account ?? "nobody"}`,
      `its ${unreadable.join(" and ")} cannot be read, so it is refused: ${end}, and create another one`,
    );
}

export function checkFactor({ userId, accountId }: CheckedFactor, report: Report): void {
  if (accountId === null) reportWithoutUser(report, "second factor", { table: "second_factor", userId });
}

export function checkCode({ userId, accountId }: CheckedCode, report: Report): void {
  if (accountId === null) reportWithoutUser(report, "recovery code", { table: "recovery_code", userId });
}

function reportWithoutUser(
  report: Report,
  what: string,
  { table, userId }: { readonly table: string; readonly userId: number },
): void {
  const message = `the user does not exist: delete it with the SQL DELETE FROM ${table} WHERE user_id = ${userId}`;
  report("I-12", `${what} of user ${userId}`, message);
}

function hasEverything({ role, channels, packages }: CheckedTeam): boolean {
  return role === "owner" && [channels, packages].every((text) => storedPatterns(text).includes("*"));
}

/** A row can have a role that its type does not allow. */
function isRole(role: Role): boolean {
  return Object.hasOwn(RANK, role);
}
