// Grants: roles of users, robots and teams on a channel, or on all channels of an owner.

import { invalidArgument, notFound, type AppError } from "../errors.ts";
import type { Database, Reader, Transaction } from "../models/database.ts";
import {
  deleteGrant,
  findGrant,
  listGrants,
  setGrant,
  type GrantHolder,
  type GrantRight,
  type GrantTarget,
  type Role,
} from "../models/grant.ts";
import type { ChannelRow } from "../models/channel.ts";
import { findOrganization } from "../models/organization.ts";
import type { OwnerRow } from "../models/owner.ts";
import { findTeam, findTeamById, type TeamWithOrganization } from "../models/team.ts";
import { findAccount } from "../models/user.ts";
import type { Clock } from "../modules/clock.ts";
import { foldCase } from "../modules/fold-case.ts";
import type { Access } from "./access.ts";
import type { Actor } from "./actor.ts";
import { recordAudit, type AuditAction } from "./audit.ts";
import { channelLabel, type ChannelName } from "./channel-ref.ts";
import type { Channels } from "./channels.ts";
import { requireEveryNode } from "./nodes.ts";
import { limitText, patternList, storedPatterns } from "./token-limits.ts";

/**
 * `user` also names a robot; robots and teams are named `organization/name`. `on` is the scope of the role: the channel,
 * or its owner for all channels of the owner.
 */
export type GrantInfo = ShownHolder & HeldRight & { readonly on: string };

/** `packages`: patterns for the packages that the role may change; `*` is all. It reads everything of its scope. */
export type HeldRight = { readonly role: Role; readonly packages: readonly string[] };

type ShownHolder = { readonly user: string } | { readonly team: string; readonly id: number };

/** A user, robot or team by name, or a team by its id. */
export type Holder = string | { readonly team: number };

/** Errors of all: those of `Access.require()`. */
export type Grants = {
  /** The roles on a channel, including those on its owner; for an owner, the roles on the owner. */
  list(actor: Actor, name: ChannelName): Promise<GrantInfo[]>;
  /**
   * Replaces the holder's role on this scope; default for `packages`: all. A robot or team of another organization gets
   * one only from who belongs there. Errors: `not-found` for an unknown holder, `invalid-argument` for impossible
   * `packages`; for less than all, those of `requireEveryNode()`.
   */
  set(actor: Actor, name: ChannelName, holder: Holder, role: Role, packages?: readonly string[]): Promise<void>;
  /** Returns the role that the holder still has through the owner. Errors: `not-found` if there is no role to revoke. */
  revoke(actor: Actor, name: ChannelName, holder: Holder): Promise<{ readonly remaining: HeldRight | undefined }>;
};

export type GrantsParts = {
  readonly database: Database;
  readonly access: Access;
  readonly channels: Channels;
  readonly clock: Clock;
};

/** The schema number of the first release that knows roles for some packages. */
const SCHEMA = 11;
const ALL = '["*"]';

export function createGrants(parts: GrantsParts): Grants {
  const { database } = parts;
  return {
    list: (actor, name) => list(parts, actor, name),
    set: (actor, name, holder, role, packages = ["*"]) =>
      database.transact(async (tx) => {
        const scope = await scopeOf(tx, parts, actor, name);
        const { organization, ...found } = await requireHolder(tx, holder);
        if (organization && organization.id !== scope.owner.id) {
          const target = { kind: "owner", owner: organization.name } as const;
          if (!(await parts.access.may(actor, "belong", target, tx))) throw unknownHolder(holder);
        }
        const right = { role, packages: checked(packages) };
        if (right.packages !== ALL) await requireEveryNode(tx, SCHEMA, parts.clock);
        await setGrant(tx, found, { target: scope.target, ...right, created: parts.clock.now() });
        await record(tx, parts, actor, { action: "grant.set", scope, holder: found, right });
      }),
    revoke: (actor, name, holder) =>
      database.transact(async (tx) => {
        const scope = await scopeOf(tx, parts, actor, name);
        const found = await requireHolder(tx, holder);
        const right = await findGrant(tx, found.principalId, scope.target);
        const remaining = await rightFromOwner(tx, found, scope);
        if (right === undefined) throw notFound(nothingToRevoke(found, scope, remaining));
        await deleteGrant(tx, found.principalId, scope.target);
        await record(tx, parts, actor, { action: "grant.revoke", scope, holder: found, right });
        return { remaining };
      }),
  };
}

/** The scope of a role. */
type GrantScope = {
  readonly owner: OwnerRow;
  readonly channel: ChannelRow | undefined;
  readonly target: GrantTarget;
};

async function list({ access, database }: GrantsParts, actor: Actor, name: ChannelName): Promise<GrantInfo[]> {
  const { type, owner: ownerName, channel: channelName } = name;
  const reader = database.read;
  if (channelName === undefined) {
    return await grantsOfOwner(
      reader,
      await access.require(actor, "manage", { kind: "owner", owner: ownerName }, reader),
    );
  }
  const target = { kind: "channel", type, owner: ownerName, channel: channelName } as const;
  const { owner, channel } = await access.require(actor, "manage", target, reader);
  const on = channelLabel(owner.name, channelName, type);
  const own = channel ? await listGrants(reader, { kind: "channel", channelId: channel.id }) : [];
  return [...own.map((grant) => infoOf(grant, on)), ...(await grantsOfOwner(reader, owner))];
}

async function grantsOfOwner(reader: Reader, owner: OwnerRow): Promise<GrantInfo[]> {
  const grants = await listGrants(reader, { kind: "owner", ownerId: owner.id });
  return grants.map((grant) => infoOf(grant, owner.name));
}

function infoOf(grant: GrantHolder & GrantRight, on: string): GrantInfo {
  return { ...shown(grant), ...heldRight(grant), on };
}

function heldRight({ role, packages }: GrantRight): HeldRight {
  return { role, packages: storedPatterns(packages) };
}

/** Errors: `invalid-argument`. */
function checked(packages: readonly string[]): string {
  const patterns = patternList.min(1).safeParse(packages);
  if (!patterns.success)
    throw invalidArgument("A role needs 1 to 64 patterns of 1 to 256 characters for packages; * is all.");
  return patterns.data.includes("*") ? ALL : JSON.stringify(patterns.data);
}

function shown(holder: GrantHolder): ShownHolder {
  return holder.kind === "team" ? { team: holder.name, id: holder.id } : { user: holder.name };
}

async function scopeOf(
  tx: Transaction,
  { access, channels }: GrantsParts,
  actor: Actor,
  { type, owner: ownerName, channel: channelName }: ChannelName,
): Promise<GrantScope> {
  if (channelName === undefined) {
    const owner = await access.require(actor, "manage", { kind: "owner", owner: ownerName }, tx);
    return { owner, channel: undefined, target: { kind: "owner", ownerId: owner.id } };
  }
  const target = { kind: "channel", type, owner: ownerName, channel: channelName } as const;
  const scope = await access.require(actor, "manage", target, tx);
  // The unnamed channel exists for every owner, so a grant may have to create its row.
  const channel = await channels.ensure(tx, scope, actor);
  return { owner: scope.owner, channel, target: { kind: "channel", channelId: channel.id } };
}

async function rightFromOwner(tx: Transaction, holder: FoundHolder, scope: GrantScope): Promise<HeldRight | undefined> {
  if (!scope.channel) return undefined;
  const right = await findGrant(tx, holder.principalId, { kind: "owner", ownerId: scope.owner.id });
  return right && heldRight(right);
}

function nothingToRevoke({ name }: GrantHolder, scope: GrantScope, fromOwner: HeldRight | undefined): string {
  if (fromOwner === undefined) return `${name} has no role on this channel or owner.`;
  const held = `${fromOwner.role} of all that ${scope.owner.name} has${limitText(fromOwner.packages)}`;
  return `${name} has no role on this channel alone, but is ${held}: revoke that role.`;
}

type Step = {
  readonly action: Extract<AuditAction, `grant.${string}`>;
  readonly scope: GrantScope;
  readonly holder: GrantHolder;
  readonly right: GrantRight;
};

async function record(
  tx: Transaction,
  { clock }: GrantsParts,
  actor: Actor,
  { action, scope: { owner, channel }, holder, right }: Step,
): Promise<void> {
  const { role, packages } = heldRight(right);
  // Without patterns, a role is for all packages, as in the rows of earlier releases.
  const detail = { ...shown(holder), role, ...(packages.includes("*") ? {} : { packages }) };
  await recordAudit(tx, actor, { at: clock.now(), action, owner, channel, detail });
}

type FoundHolder = GrantHolder & {
  readonly principalId: number | null;
  /** Null for a team. */
  readonly userId: number | null;
  /** The organization of a robot or team. */
  readonly organization: Pick<OwnerRow, "id" | "name"> | undefined;
};

async function requireHolder(reader: Reader, holder: Holder): Promise<FoundHolder> {
  const account = typeof holder === "string" ? await findAccount(reader, holder) : undefined;
  if (account) {
    const { id: userId, principalId, organizationId } = account;
    const { name } = account.owner;
    const organization = organizationId === null ? undefined : { id: organizationId, name: organizationName(name) };
    return { kind: "user", name, principalId, userId, organization };
  }
  const team = await (typeof holder === "string" ? teamNamed(reader, holder) : findTeamById(reader, holder.team));
  if (!team) throw unknownHolder(holder);
  const { id, principalId, organization } = team;
  return { kind: "team", id, name: `${organization.name}/${team.name}`, principalId, userId: null, organization };
}

/** Of `organization/name`. */
async function teamNamed(reader: Reader, name: string): Promise<TeamWithOrganization | undefined> {
  const organization = await findOrganization(reader, organizationName(name));
  const team =
    organization && (await findTeam(reader, organization.id, foldCase(name.slice(organization.name.length + 1))));
  return team && { ...team, organization };
}

function organizationName(name: string): string {
  const slash = name.indexOf("/");
  return slash < 0 ? "" : name.slice(0, slash);
}

function unknownHolder(holder: Holder): AppError {
  if (typeof holder !== "string") return notFound(`There is no team ${holder.team}.`);
  return notFound(`There is no ${holder.includes("/") ? "team or robot" : "user"} ${holder}.`);
}
