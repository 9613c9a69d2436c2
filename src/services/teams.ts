// Teams of an organization: members who share a role on some of its channels and packages.

import { conflict, invalid, invalidArgument, notFound } from "../errors.ts";
import type { Database, Reader, Transaction } from "../models/database.ts";
import type { Role } from "../models/grant.ts";
import type { OwnerRow } from "../models/owner.ts";
import {
  addMember,
  countMembers,
  deleteMember,
  deleteTeam,
  findTeam,
  findTeamById,
  insertTeam,
  leaveWithoutPlace,
  listMembers,
  listTeams,
  teamsOf,
  updateTeam,
  type TeamRow,
} from "../models/team.ts";
import { findAccount, type UserWithOwner } from "../models/user.ts";
import type { Clock } from "../modules/clock.ts";
import { foldCase } from "../modules/fold-case.ts";
import type { Access } from "./access.ts";
import type { OwnerAction } from "./access-rules.ts";
import type { Actor } from "./actor.ts";
import { recordAudit, type AuditAction } from "./audit.ts";
import { labelPatternProblem } from "./label-patterns.ts";
import { actionToEnd, leave, OWNERS, OWNERS_FOLDED, requireOrganization, requireOtherOwner } from "./memberships.ts";
import type { PackageTypes } from "./package-type.ts";
import { patternList, storedPatterns } from "./token-limits.ts";

export type TeamInfo = {
  readonly id: number;
  readonly organization: string;
  readonly name: string;
  readonly role: Role;
  /** Patterns for channels of the organization: `main`, `dev/*`, `-` for the unnamed one, `generic:-`. */
  readonly channels: readonly string[];
  /** Patterns for the packages that the members can change. */
  readonly packages: readonly string[];
  /** ms UTC */
  readonly created: number;
};

/** By id, or by names. */
export type TeamRef = number | { readonly organization: string; readonly team: string };

export type TeamChange = {
  readonly name?: string | undefined;
  readonly role?: Role | undefined;
  readonly channels?: readonly string[] | undefined;
  readonly packages?: readonly string[] | undefined;
};

export type NewTeam = TeamChange & { readonly name: string; readonly role: Role };

/** `name` of a robot: `organization/robot`. */
export type TeamMember = { readonly name: string; readonly kind: "user" | "robot" };

/** Errors of all: those of `Access.require()`, and `not-found` for an unknown team. */
export type Teams = {
  /** Errors: `invalid-argument`, `conflict` when a team or robot has the name, `invalid` for too many teams. */
  create(actor: Actor, organization: string, team: NewTeam): Promise<TeamInfo>;
  list(actor: Actor, organization: string): Promise<TeamInfo[]>;
  show(actor: Actor, team: TeamRef): Promise<TeamInfo>;
  /** Errors: as for `create`; `conflict` for the team `Owners`. */
  change(actor: Actor, team: TeamRef, change: TeamChange): Promise<TeamInfo>;
  /** Who has no other place in the organization has left it. Errors: `conflict` for the team `Owners`. */
  remove(actor: Actor, team: TeamRef): Promise<void>;
  members(actor: Actor, team: TeamRef): Promise<TeamMember[]>;
  /**
   * Adds a user, or a robot of the organization. Does nothing for a member. Errors: `not-found` for an unknown account,
   * `invalid-argument` for a robot that cannot be in this team, `invalid` for too many members.
   */
  addMember(actor: Actor, team: TeamRef, account: string): Promise<void>;
  /**
   * A user whose last place this was has left the organization, and loses every role in it. Members can also leave by
   * themselves. Errors: `not-found` for an account that is no member, `conflict` for the last one of `Owners`.
   */
  removeMember(actor: Actor, team: TeamRef, account: string): Promise<void>;
};

export type TeamsParts = {
  readonly database: Database;
  readonly access: Access;
  readonly clock: Clock;
  readonly types: PackageTypes;
};

const MAX_TEAMS = 200;
const MAX_MEMBERS = 5000;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

/** A team and its organization, which the actor has the right to. */
type Found = { readonly team: TeamRow; readonly organization: OwnerRow };

export function createTeams(parts: TeamsParts): Teams {
  const { database, access } = parts;
  const organize = <T>(actor: Actor, ref: TeamRef, work: (tx: Transaction, found: Found) => Promise<T>) =>
    database.transact(async (tx) => await work(tx, await requireTeam(access, actor, "organize", ref, tx)));
  return {
    create: (actor, name, team) =>
      database.transact(async (tx) => {
        const organization = await requireOrganization(access, actor, "organize", name, tx);
        return await create(tx, parts, { actor, organization, team });
      }),
    list: async (actor, name) => {
      const organization = await requireOrganization(access, actor, "belong", name, database.read);
      const rows = await listTeams(database.read, organization.id);
      return rows.map((team) => infoOf({ team, organization }));
    },
    show: async (actor, ref) => infoOf(await requireTeam(access, actor, "belong", ref, database.read)),
    change: (actor, ref, change) =>
      organize(actor, ref, async (tx, found) => await changeTeam(tx, parts, { actor, found, change })),
    remove: (actor, ref) =>
      organize(actor, ref, async (tx, { team, organization }) => {
        if (isOwners(team)) throw conflict(`Every organization has the team ${OWNERS}, so it cannot be deleted.`);
        const members = await listMembers(tx, team.id);
        await deleteTeam(tx, team);
        const users = members.filter(({ kind }) => kind === "user");
        await leaveWithoutPlace(tx, organization.id, users);
        await record(tx, parts, actor, "team.delete", { team, organization });
      }),
    members: async (actor, ref) => {
      const { team } = await requireTeam(access, actor, "belong", ref, database.read);
      return (await listMembers(database.read, team.id)).map(({ name, kind }) => ({ name, kind }));
    },
    addMember: (actor, ref, name) =>
      organize(actor, ref, async (tx, found) => {
        const account = await requireAccount(tx, found, name);
        if ((await countMembers(tx, found.team.id)) >= MAX_MEMBERS)
          throw invalid(`A team has at most ${MAX_MEMBERS} members.`);
        const created = parts.clock.now();
        const place = { teamId: found.team.id, principalId: account.principalId ?? 0, created };
        if (!(await addMember(tx, place))) return;
        await record(tx, parts, actor, "team.add", found, { member: account.owner.name });
      }),
    removeMember: (actor, ref, name) =>
      database.transact(async (tx) => {
        const account = await findAccount(tx, name);
        const found = await requireTeam(access, actor, actionToEnd(actor, account), ref, tx);
        await removeMember(tx, parts, { actor, found, account, name });
      }),
  };
}

/** An unknown id is refused like an organization that does not exist. */
async function requireTeam(
  access: Access,
  actor: Actor,
  action: Exclude<OwnerAction, "manage">,
  ref: TeamRef,
  reader: Reader,
): Promise<Found> {
  const known = typeof ref === "number" ? await findTeamById(reader, ref) : undefined;
  const name = typeof ref === "number" ? (known?.organization.name ?? "") : ref.organization;
  const organization = await requireOrganization(access, actor, action, name, reader);
  const team = typeof ref === "number" ? known : await findTeam(reader, organization.id, foldCase(ref.team));
  if (!team) throw notFound(`There is no team ${typeof ref === "number" ? ref : `${organization.name}/${ref.team}`}.`);
  return { team, organization };
}

type Creation = { readonly actor: Actor; readonly organization: OwnerRow; readonly team: NewTeam };

async function create(tx: Transaction, parts: TeamsParts, { actor, organization, team }: Creation): Promise<TeamInfo> {
  const { role, channels = ["*"], packages = ["*"] } = team;
  const values = checked(parts, organization, { name: team.name, role, channels, packages });
  await requireFreeTeamName(tx, organization, team.name);
  if ((await listTeams(tx, organization.id)).length >= MAX_TEAMS)
    throw invalid(`An organization has at most ${MAX_TEAMS} teams.`);
  const row = await insertTeam(tx, { ...values, organizationId: organization.id, created: parts.clock.now() });
  const found = { team: row, organization };
  await record(tx, parts, actor, "team.create", found, { role, channels, packages });
  return infoOf(found);
}

type Changing = { readonly actor: Actor; readonly found: Found; readonly change: TeamChange };

async function changeTeam(tx: Transaction, parts: TeamsParts, { actor, found, change }: Changing): Promise<TeamInfo> {
  const { team, organization } = found;
  if (isOwners(team)) throw conflict(`The team ${OWNERS} keeps its name and its rights in every organization.`);
  const before = infoOf(found);
  const after = { ...before, ...definedOnly(change) };
  const values = checked(parts, organization, after);
  if (values.nameFolded !== team.nameFolded) await requireFreeTeamName(tx, organization, after.name);
  await updateTeam(tx, team.id, values);
  const row = { ...team, ...values };
  await record(
    tx,
    parts,
    actor,
    "team.settings",
    { team: row, organization },
    { ...definedOnly(change), was: team.name },
  );
  return infoOf({ team: row, organization });
}

type Ending = {
  readonly actor: Actor;
  readonly found: Found;
  readonly account: UserWithOwner | undefined;
  readonly name: string;
};

async function removeMember(tx: Transaction, parts: TeamsParts, ending: Ending): Promise<void> {
  const { actor, found, account, name } = ending;
  const { team, organization } = found;
  if (account && isOwners(team)) await requireOtherOwner(tx, organization, account);
  if (!account || !(await deleteMember(tx, team.id, account.principalId ?? 0)))
    throw notFound(`${name} is not in the team ${organization.name}/${team.name}.`);
  const isLast = account.organizationId === null && (await hasNoPlace(tx, organization, account));
  const left = isLast ? { left: true, roles: (await leave(tx, organization, account)).roles } : {};
  await record(tx, parts, actor, "team.remove", found, { member: account.owner.name, ...left });
}

async function hasNoPlace(tx: Transaction, { id }: OwnerRow, { principalId }: UserWithOwner): Promise<boolean> {
  return (await teamsOf(tx, id, principalId ?? 0)).length === 0;
}

async function requireAccount(tx: Transaction, { team, organization }: Found, name: string): Promise<UserWithOwner> {
  const account = await findAccount(tx, name);
  const isStranger = account && account.organizationId !== null && account.organizationId !== organization.id;
  if (!account || isStranger) throw notFound(`There is no user or robot ${name} for a team of ${organization.name}.`);
  if (account.organizationId !== null && isOwners(team))
    throw invalidArgument(`A robot cannot be in the team ${OWNERS}: it could not manage the organization for anyone.`);
  return account;
}

/** A team and a robot of one organization have different names, because both are written `organization/name`. */
async function requireFreeTeamName(tx: Transaction, organization: OwnerRow, name: string): Promise<void> {
  const full = `${organization.name}/${name}`;
  const isTaken = (await findTeam(tx, organization.id, foldCase(name))) ?? (await findAccount(tx, full));
  if (isTaken) throw conflict(`The name ${full} is taken.`);
}

type Stored = Pick<TeamRow, "name" | "nameFolded" | "role" | "channels" | "packages">;

/** Errors: `invalid-argument`. */
function checked(parts: TeamsParts, { name: owner }: OwnerRow, team: Required<NewTeam>): Stored {
  const { name, role, channels = [], packages = [] } = team;
  if (!NAME.test(name))
    throw invalidArgument("A team name must have 1 to 63 letters, digits, dots, dashes and underscores.");
  for (const list of [channels, packages]) {
    if (list.length === 0 || !patternList.safeParse(list).success)
      throw invalidArgument(
        "A team needs 1 to 64 patterns of 1 to 256 characters for channels and for packages; * is all.",
      );
  }
  for (const pattern of channels) {
    const colon = pattern.indexOf(":");
    const label = `${pattern.slice(0, colon + 1)}${owner}/${pattern.slice(colon + 1)}`;
    const problem = labelPatternProblem(label, parts.types);
    if (problem !== undefined)
      throw invalidArgument(`No channel of ${owner} can match ${JSON.stringify(pattern)}: ${problem}.`);
  }
  const lists = { channels: JSON.stringify(channels), packages: JSON.stringify(packages) };
  return { name, nameFolded: foldCase(name), role, ...lists };
}

function definedOnly(change: TeamChange): Partial<Required<NewTeam>> {
  return Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));
}

function isOwners({ nameFolded }: TeamRow): boolean {
  return nameFolded === OWNERS_FOLDED;
}

async function record(
  tx: Transaction,
  { clock }: TeamsParts,
  actor: Actor,
  action: Extract<AuditAction, `team.${string}`>,
  { team, organization: owner }: Found,
  detail: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  const about = { id: team.id, ...detail };
  await recordAudit(tx, actor, { at: clock.now(), action, owner, subject: team.name, detail: about });
}

function infoOf({ team, organization }: Found): TeamInfo {
  const { id, name, role, created } = team;
  const lists = { channels: storedPatterns(team.channels), packages: storedPatterns(team.packages) };
  return { id, organization: organization.name, name, role, ...lists, created };
}
