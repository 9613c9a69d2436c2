// What organizations, teams and robots share: the look-up, and how somebody leaves.

import { conflict, notFound } from "../errors.ts";
import type { Reader, Transaction } from "../models/database.ts";
import { organizationsWithTeamOf } from "../models/organization.ts";
import type { OwnerRow } from "../models/owner.ts";
import { deleteEverythingOf, findTeam, listMembers, teamsOf, type TeamRow } from "../models/team.ts";
import type { UserWithOwner } from "../models/user.ts";
import type { Access } from "./access.ts";
import type { OwnerAction } from "./access-rules.ts";
import { userOf, type Actor } from "./actor.ts";

/** Every organization has this team, which is never empty. */
export const OWNERS = "Owners";
export const OWNERS_FOLDED = "owners";

/** Errors: those of `Access.require()`, and `not-found` for a user's name. */
export async function requireOrganization(
  access: Access,
  actor: Actor,
  action: Exclude<OwnerAction, "manage">,
  name: string,
  reader: Reader,
): Promise<OwnerRow> {
  const owner = await access.require(actor, action, { kind: "owner", owner: name }, reader);
  if (owner.kind !== "organization") throw notFound(`There is no organization ${name}.`);
  return owner;
}

/** What the actor needs to end a place of the account: anyone may give up the own one. */
export function actionToEnd(actor: Actor, account: UserWithOwner | undefined): "belong" | "organize" {
  return account !== undefined && userOf(actor)?.id === account.id ? "belong" : "organize";
}

/** Errors: `conflict` if nobody would be left in the team `Owners`. */
export async function requireOtherOwner(
  reader: Reader,
  { id, name }: Pick<OwnerRow, "id" | "name">,
  leaving: UserWithOwner,
): Promise<void> {
  const owners = await findTeam(reader, id, OWNERS_FOLDED);
  if (owners && (await isOnlyMember(reader, owners.id, leaving))) throw lastOwner(leaving, [name]);
}

/** The same for all organizations of a user. */
export async function requireOtherOwners(reader: Reader, leaving: UserWithOwner): Promise<void> {
  const names: string[] = [];
  for (const { teamId, name } of await organizationsWithTeamOf(reader, leaving.principalId ?? 0, OWNERS_FOLDED)) {
    if (await isOnlyMember(reader, teamId, leaving)) names.push(name);
  }
  if (names.length > 0) throw lastOwner(leaving, names);
}

async function isOnlyMember(reader: Reader, teamId: number, { principalId }: UserWithOwner): Promise<boolean> {
  const members = await listMembers(reader, teamId);
  return members.length === 1 && members[0]?.principalId === principalId;
}

function lastOwner({ owner }: UserWithOwner, organizations: readonly string[]) {
  const of = organizations.join(", ");
  return conflict(`${owner.name} is the only member of the team ${OWNERS} of ${of}: add somebody else there first.`);
}

/** Ends every place and role of the account in the organization. */
export async function leave(
  tx: Transaction,
  organization: Pick<OwnerRow, "id">,
  account: Pick<UserWithOwner, "principalId">,
): Promise<{ readonly teams: readonly TeamRow[]; readonly roles: number }> {
  const principalId = account.principalId ?? 0;
  const teams = await teamsOf(tx, organization.id, principalId);
  const { roles } = await deleteEverythingOf(tx, organization.id, principalId);
  return { teams, roles };
}
