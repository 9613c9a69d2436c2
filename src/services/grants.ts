// Grants: roles of users on a channel, or on all channels of an owner.

import { notFound } from "../errors.ts";
import type { Database, Reader, Transaction } from "../models/database.ts";
import { deleteGrant, findGrant, listGrants, setGrant, type GrantTarget, type Role } from "../models/grant.ts";
import type { ChannelRow } from "../models/channel.ts";
import type { OwnerRow } from "../models/owner.ts";
import { findUser, type UserWithOwner } from "../models/user.ts";
import type { Clock } from "../modules/clock.ts";
import type { Access } from "./access.ts";
import type { Actor } from "./actor.ts";
import { recordAudit, type AuditAction } from "./audit.ts";
import { channelLabel, type ChannelName } from "./channel-ref.ts";
import type { Channels } from "./channels.ts";

/** `on` is the scope of the role: the channel, or its owner for all channels of the owner. */
export type GrantInfo = { readonly user: string; readonly role: Role; readonly on: string };

/** Errors of all: those of `Access.require()`. */
export type Grants = {
  /** The roles on a channel, including those on its owner; for an owner, the roles on the owner. */
  list(actor: Actor, name: ChannelName): Promise<GrantInfo[]>;
  /** Replaces the user's role on this scope. Errors: `not-found` for an unknown user. */
  set(actor: Actor, name: ChannelName, user: string, role: Role): Promise<void>;
  /** Returns the role that the user still has through the owner. Errors: `not-found` if there is no role to revoke. */
  revoke(actor: Actor, name: ChannelName, user: string): Promise<{ readonly remaining: Role | undefined }>;
};

export type GrantsParts = {
  readonly database: Database;
  readonly access: Access;
  readonly channels: Channels;
  readonly clock: Clock;
};

export function createGrants(parts: GrantsParts): Grants {
  const { database } = parts;
  return {
    list: (actor, name) => list(parts, actor, name),
    set: (actor, name, userName, role) =>
      database.transact(async (tx) => {
        const scope = await scopeOf(tx, parts, actor, name);
        const user = await requireUser(tx, userName);
        await setGrant(tx, user, { target: scope.target, role, created: parts.clock.now() });
        await record(tx, parts, actor, "grant.set", scope, { user: user.owner.name, role });
      }),
    revoke: (actor, name, userName) =>
      database.transact(async (tx) => {
        const scope = await scopeOf(tx, parts, actor, name);
        const user = await requireUser(tx, userName);
        const role = await findGrant(tx, user.principalId, scope.target);
        const remaining = await roleFromOwner(tx, user, scope);
        if (role === undefined) throw notFound(nothingToRevoke(user, scope, remaining));
        await deleteGrant(tx, user.principalId, scope.target);
        await record(tx, parts, actor, "grant.revoke", scope, { user: user.owner.name, role });
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
  return [...own.map((grant) => ({ ...grant, on })), ...(await grantsOfOwner(reader, owner))];
}

async function grantsOfOwner(reader: Reader, owner: OwnerRow): Promise<GrantInfo[]> {
  const grants = await listGrants(reader, { kind: "owner", ownerId: owner.id });
  return grants.map((grant) => ({ ...grant, on: owner.name }));
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

async function roleFromOwner(tx: Transaction, user: UserWithOwner, scope: GrantScope): Promise<Role | undefined> {
  if (!scope.channel) return undefined;
  return await findGrant(tx, user.principalId, { kind: "owner", ownerId: scope.owner.id });
}

function nothingToRevoke({ owner: { name } }: UserWithOwner, scope: GrantScope, fromOwner: Role | undefined): string {
  if (fromOwner === undefined) return `${name} has no role on this channel or owner.`;
  const owner = scope.owner.name;
  return `${name} has no role on this channel alone, but is ${fromOwner} of all that ${owner} has: revoke that role.`;
}

async function record(
  tx: Transaction,
  { clock }: GrantsParts,
  actor: Actor,
  action: Extract<AuditAction, `grant.${string}`>,
  { owner, channel }: GrantScope,
  detail: { readonly user: string; readonly role: Role },
): Promise<void> {
  await recordAudit(tx, actor, { at: clock.now(), action, owner, channel, detail });
}

async function requireUser(reader: Reader, name: string): Promise<UserWithOwner> {
  const user = await findUser(reader, name);
  if (!user) throw notFound(`There is no user ${name}.`);
  return user;
}
