// Organizations: owners without a login, which users manage together. Whoever has no place in a team any more has left.

import { invalid, invalidArgument, notFound, type AppError } from "../errors.ts";
import type { Database, Transaction } from "../models/database.ts";
import {
  countChannels,
  countOrganizations,
  listOrganizations,
  organizationsOf,
  organizationsWithTeamOf,
  pageOfOrganizations,
  type SeenBy,
} from "../models/organization.ts";
import { deleteOwner, insertOwner, updateOwner, type OwnerRow, type Visibility } from "../models/owner.ts";
import { addMember, deleteTeam, insertTeam, listPlaces, listTeams } from "../models/team.ts";
import { deleteUser, findUser, listRobots, type UserWithOwner } from "../models/user.ts";
import { foldCase } from "../modules/fold-case.ts";
import type { Access } from "./access.ts";
import { isForMetricsOnly, tokenOf, userOf, type Actor } from "./actor.ts";
import { recordAudit, type AuditAction } from "./audit.ts";
import { actionToEnd, leave, OWNERS, OWNERS_FOLDED, requireOrganization, requireOtherOwner } from "./memberships.ts";
import { freeName, renameOwner, requireOwnerName, takeName, type NameRules } from "./owner-names.ts";

export type OrganizationInfo = {
  readonly id: number;
  readonly name: string;
  readonly displayName: string;
  readonly description: string;
  readonly visibility: Visibility;
  /** ms UTC */
  readonly created: number;
};

export type OrganizationChange = {
  readonly displayName?: string | undefined;
  readonly description?: string | undefined;
  readonly visibility?: Visibility | undefined;
};

export type NewOrganization = OrganizationChange & {
  readonly name: string;
  /** The first member of the team `Owners`; default: the actor. Only administrators name somebody else. */
  readonly owner?: string | undefined;
};

export type OrganizationMember = { readonly name: string; readonly teams: readonly string[] };

export type Page = { readonly after?: string | undefined; readonly limit?: number | undefined };

/** Errors of all: those of `Access.require()`. */
export type Organizations = {
  /** Errors: `invalid-argument`, `conflict` when the name is taken, `invalid` for more than a user may have. */
  create(actor: Actor, organization: NewOrganization): Promise<OrganizationInfo>;
  /** Those that the actor can see, by name; at most 100 of them. */
  list(actor: Actor, page?: Page): Promise<OrganizationInfo[]>;
  /** The same by offset, with their number. */
  page(
    actor: Actor,
    page: { readonly offset: number; readonly limit: number },
  ): Promise<{ readonly items: OrganizationInfo[]; readonly total: number }>;
  /** Those in whose teams the user or robot is; only the account itself and administrators can ask. */
  listOf(actor: Actor, account: string): Promise<OrganizationInfo[]>;
  show(actor: Actor, name: string): Promise<OrganizationInfo>;
  /** Errors: `invalid-argument`. */
  change(actor: Actor, name: string, change: OrganizationChange): Promise<OrganizationInfo>;
  /** Returns the new name in its stored form. Errors: `invalid-argument`, `conflict` when the name is taken. */
  rename(actor: Actor, name: string, to: string): Promise<string>;
  /** Also ends its teams, robots and their tokens. Errors: `invalid` while it has channels. */
  remove(actor: Actor, name: string): Promise<void>;
  /** Its users, by name, without robots. */
  members(actor: Actor, name: string): Promise<OrganizationMember[]>;
  /**
   * Ends every place and every role that the user has in the organization and on its channels; users can also leave by
   * themselves. Errors: `not-found` for a user without any, `conflict` for the last member of `Owners`.
   */
  removeMember(actor: Actor, name: string, user: string): Promise<void>;
};

export type OrganizationsParts = NameRules & {
  readonly database: Database;
  readonly access: Access;
  readonly defaultVisibility: Visibility;
};

const MAX_OWNED = 100;
const MAX_PAGE = 100;
const LONGEST = { displayName: 100, description: 1000 } as const;
const SERVER = { kind: "server" } as const;

export function createOrganizations(parts: OrganizationsParts): Organizations {
  const { database, access } = parts;
  const organize = <T>(actor: Actor, name: string, work: (tx: Transaction, organization: OwnerRow) => Promise<T>) =>
    database.transact(async (tx) => await work(tx, await requireOrganization(access, actor, "organize", name, tx)));
  return {
    create: (actor, organization) =>
      database.transact(async (tx) => infoOf(await create(tx, parts, actor, organization))),
    list: async (actor, { after = "", limit = MAX_PAGE } = {}) => {
      const page = { after: foldCase(after), limit: Math.min(limit, MAX_PAGE) };
      const rows = await listOrganizations(database.read, { seenBy: seenBy(actor), ...page });
      const seen: OrganizationInfo[] = [];
      for (const row of rows)
        if (await access.may(actor, "view", { kind: "owner", owner: row.name })) seen.push(infoOf(row));
      return seen;
    },
    page: async (actor, page) => {
      const filter = seenBy(actor);
      const rows = await pageOfOrganizations(database.read, filter, page);
      const seen: OrganizationInfo[] = [];
      for (const row of rows)
        if (await access.may(actor, "view", { kind: "owner", owner: row.name })) seen.push(infoOf(row));
      return { items: seen, total: await countOrganizations(database.read, filter) };
    },
    listOf: async (actor, name) => {
      const account = await access.require(actor, "tokens", { kind: "user", user: name }, database.read);
      const rows = await organizationsOf(database.read, account.principalId ?? 0);
      // As in every list, those that an administrator has hidden are left out.
      const shows = (row: OwnerRow): boolean =>
        !row.hidden || actor.kind === "command-line" || userOf(actor)?.isAdmin === true;
      return rows.filter(shows).map(infoOf);
    },
    show: async (actor, name) => infoOf(await requireOrganization(access, actor, "view", name, database.read)),
    change: (actor, name, change) =>
      organize(actor, name, async (tx, organization) => {
        const detail = checked(change);
        if (Object.keys(detail).length === 0) return infoOf(organization);
        await updateOwner(tx, organization.id, detail);
        await record(tx, parts, actor, "organization.settings", organization, detail);
        return infoOf({ ...organization, ...detail });
      }),
    rename: (actor, name, to) =>
      organize(actor, name, async (tx, owner) => await renameOwner(tx, parts, { actor, owner, to })),
    remove: (actor, name) =>
      organize(actor, name, async (tx, organization) => await remove(tx, parts, actor, organization)),
    members: async (actor, name) => {
      const { id } = await requireOrganization(access, actor, "belong", name, database.read);
      return membersOf(await listPlaces(database.read, id));
    },
    removeMember: (actor, name, userName) =>
      database.transact(async (tx) => {
        const user = await findUser(tx, userName);
        const organization = await requireOrganization(access, actor, actionToEnd(actor, user), name, tx);
        if (!user) throw notMember(organization, userName);
        await requireOtherOwner(tx, organization, user);
        const { teams, roles } = await leave(tx, organization, user);
        if (teams.length === 0 && roles === 0) throw notMember(organization, userName);
        const detail = { user: user.owner.name, teams: teams.map((team) => team.name), roles };
        await record(tx, parts, actor, "member.remove", organization, detail);
      }),
  };
}

async function create(
  tx: Transaction,
  parts: OrganizationsParts,
  actor: Actor,
  { owner: ownerName, ...organization }: NewOrganization,
): Promise<OwnerRow> {
  const { access, clock, defaultVisibility } = parts;
  await access.require(actor, "found", SERVER, tx);
  const name = foldCase(organization.name);
  requireOwnerName(parts, "organization", name);
  const first = await firstOwner(tx, parts, actor, ownerName);
  const change = checked(organization);
  await takeName(tx, parts, actor, { name });
  const created = clock.now();
  const values = { visibility: defaultVisibility, ...change };
  const row = await insertOwner(tx, { kind: "organization", name, created, ...values });
  const everything = { role: "owner", channels: '["*"]', packages: '["*"]' } as const;
  const named = { organizationId: row.id, name: OWNERS, nameFolded: OWNERS_FOLDED };
  const team = await insertTeam(tx, { ...named, ...everything, created });
  await addMember(tx, { teamId: team.id, principalId: first.principalId ?? 0, created });
  await record(tx, parts, actor, "organization.create", row, { ...values, owner: first.owner.name });
  return row;
}

async function firstOwner(
  tx: Transaction,
  { access }: OrganizationsParts,
  actor: Actor,
  name: string | undefined,
): Promise<UserWithOwner> {
  const self = userOf(actor);
  const wanted = name ?? self?.owner.name;
  if (wanted === undefined) throw invalidArgument("An organization needs a user as its first owner: name one.");
  if (foldCase(wanted) !== self?.owner.name) await access.require(actor, "administer", SERVER, tx);
  const user = await findUser(tx, wanted);
  if (!user) throw notFound(`There is no user ${wanted}.`);
  const owned = await organizationsWithTeamOf(tx, user.principalId ?? 0, OWNERS_FOLDED);
  if (owned.length >= MAX_OWNED)
    throw invalid(`${user.owner.name} owns ${MAX_OWNED} organizations, which is the limit.`);
  return user;
}

async function remove(tx: Transaction, parts: OrganizationsParts, actor: Actor, organization: OwnerRow): Promise<void> {
  const { id, name } = organization;
  const channels = await countChannels(tx, id);
  if (channels > 0) throw invalid(`${name} still has ${channels} channel(s). Delete or transfer them first.`);
  for (const robot of await listRobots(tx, id)) {
    await deleteUser(tx, robot);
    await deleteOwner(tx, robot.ownerId);
  }
  for (const team of await listTeams(tx, id)) await deleteTeam(tx, team);
  await deleteOwner(tx, id);
  await freeName(tx, parts, organization);
  await record(tx, parts, actor, "organization.delete", organization);
}

/** The validated change, without the members that are not set. Errors: `invalid-argument`. */
function checked(change: OrganizationChange): Partial<Pick<OwnerRow, "displayName" | "description" | "visibility">> {
  const { displayName, description, visibility } = change;
  for (const [what, text] of Object.entries({ displayName, description })) {
    const limit = what === "displayName" ? LONGEST.displayName : LONGEST.description;
    if ((text?.length ?? 0) > limit)
      throw invalidArgument(
        `The ${what === "displayName" ? "display name" : what} must have at most ${limit} characters.`,
      );
  }
  return {
    ...(displayName !== undefined && { displayName }),
    ...(description !== undefined && { description }),
    ...(visibility !== undefined && { visibility }),
  };
}

/** Undefined for those who see everything. */
function seenBy(actor: Actor): SeenBy | undefined {
  if (actor.kind === "command-line") return undefined;
  if (isForMetricsOnly(actor.identity)) return { visibilities: [], principalId: 0 };
  const user = userOf(actor);
  const token = tokenOf(actor);
  const isBound =
    token && (token.channels.length > 0 || token.packages.length > 0 || token.scopes.includes("public-only"));
  if (!user || isBound === true) return { visibilities: ["public"], principalId: 0 };
  return user.isAdmin ? undefined : { visibilities: ["public", "internal"], principalId: user.principalId ?? 0 };
}

function membersOf(places: readonly { readonly name: string; readonly team: string }[]): OrganizationMember[] {
  const byName = Map.groupBy(places, ({ name }) => name);
  return [...byName].map(([name, of]) => ({ name, teams: of.map(({ team }) => team) }));
}

function notMember({ name }: OwnerRow, user: string): AppError {
  return notFound(`${user} has no place and no role in ${name}.`);
}

async function record(
  tx: Transaction,
  { clock }: OrganizationsParts,
  actor: Actor,
  action: Extract<AuditAction, `organization.${string}` | "member.remove">,
  owner: OwnerRow,
  detail: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  await recordAudit(tx, actor, { at: clock.now(), action, owner, detail });
}

function infoOf({ id, name, displayName, description, visibility, created }: OwnerRow): OrganizationInfo {
  return { id, name, displayName, description, visibility, created };
}
