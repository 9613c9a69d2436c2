// Creates, changes, shows and deletes channels.

import { conflict, invalidArgument, notFound } from "../errors.ts";
import { insertChannel, listChannels, updateChannel, type ChannelRow } from "../models/channel.ts";
import type { Database, Transaction } from "../models/database.ts";
import { deleteFormerAddress } from "../models/former-address.ts";
import { findOwner, updateOwner, type Visibility } from "../models/owner.ts";
import { countFiles } from "../models/package-file.ts";
import type { Clock } from "../modules/clock.ts";
import type { ChannelTarget } from "./access-rules.ts";
import type { Access } from "./access.ts";
import type { Actor } from "./actor.ts";
import { recordAudit } from "./audit.ts";
import { createChannelRemoval, type ChannelRemoval } from "./channel-removal.ts";
import {
  channelLabel,
  effectiveVisibility,
  inheritedVisibility,
  type ChannelName,
  type ChannelRef,
  type OneChannel,
} from "./channel-ref.ts";
import { changedPolicy, policyOf, type ChannelPolicy } from "./channel-policy.ts";
import type { PackageTypes } from "./package-type.ts";

const LONGEST_DESCRIPTION = 1000;

export type ChannelInfo = {
  readonly channel: string;
  readonly visibility: Visibility;
  readonly description: string;
  readonly revision: number;
  readonly policy: ChannelPolicy;
  readonly files: number;
};

export type ChannelChange = {
  readonly visibility?: Visibility | undefined;
  readonly description?: string | undefined;
  readonly policy?: Readonly<Record<string, unknown>> | undefined;
};

/** Errors of all but `list`: those of `Access.require()`. */
export type Channels = {
  /**
   * The row of a channel reference that was found in this transaction, created if missing; never more visible than a
   * channel whose path is a prefix of its own.
   */
  ensure(tx: Transaction, ref: ChannelRef, actor: Actor): Promise<ChannelRow>;
  /** Errors: `conflict` when the channel exists, `invalid-argument` for an invalid name or policy. */
  create(actor: Actor, name: OneChannel, change: ChannelChange): Promise<void>;
  /** For an owner, only the visibility can change. Errors: `invalid-argument`. */
  change(actor: Actor, name: ChannelName, change: ChannelChange): Promise<void>;
  show(actor: Actor, name: OneChannel): Promise<ChannelInfo>;
  /** The channels that the actor is allowed to read. Errors: `not-found` for an unknown owner. */
  list(actor: Actor, owner?: string): Promise<ChannelInfo[]>;
} & ChannelRemoval;

export type ChannelsParts = {
  readonly database: Database;
  readonly access: Access;
  readonly clock: Clock;
  readonly types: PackageTypes;
};

export function createChannels(parts: ChannelsParts): Channels {
  const { database, access, clock, types } = parts;
  return {
    ...createChannelRemoval(parts),
    ensure: async (tx, ref, actor) => {
      if (ref.channel) return ref.channel;
      const at = clock.now();
      const channel = await insert(tx, types, ref, at);
      const event = { at, action: "channel.create", owner: ref.owner, channel } as const;
      // The unnamed channel exists even without a row, so its row is not a new channel.
      if (ref.name !== "") await recordAudit(tx, actor, event);
      return channel;
    },
    create: (actor, name, change) =>
      database.transact(async (tx) => {
        const ref = await access.require(actor, "create", { kind: "channel", ...name }, tx);
        if (ref.channel) throw conflict(`${labelOf(ref)} already exists.`);
        const at = clock.now();
        const channel = await insert(tx, types, ref, at);
        const detail = changeOf(types, channel, change);
        if (Object.keys(detail).length > 0) await updateChannel(tx, channel.id, storedChange(detail));
        await recordAudit(tx, actor, { at, action: "channel.create", owner: ref.owner, channel, detail });
      }),
    change: (actor, name, change) =>
      database.transact(async (tx) => {
        const { type, owner, channel } = name;
        if (channel === undefined) await changeOwner(tx, parts, { actor, owner, change });
        else await changeChannel(tx, parts, { actor, target: { kind: "channel", type, owner, channel }, change });
      }),
    show: async (actor, name) =>
      await infoOf(parts, await access.require(actor, "read", { kind: "channel", ...name }, database.read)),
    list: (actor, owner) => list(parts, actor, owner),
  };
}

async function insert(
  tx: Transaction,
  types: PackageTypes,
  { type, owner, name }: ChannelRef,
  created: number,
): Promise<ChannelRow> {
  const problem = types.named(type).channelNameProblem(name);
  if (problem !== undefined) throw invalidArgument(`Invalid channel name: ${problem}.`);
  const inherited = await inheritedVisibility(tx, owner, { type, name });
  const visibility = inherited === "public" ? null : inherited;
  await deleteFormerAddress(tx, { ownerId: owner.id, type, name });
  return await insertChannel(tx, { ownerId: owner.id, type, name, visibility, created });
}

async function changeChannel(
  tx: Transaction,
  { access, clock, types }: ChannelsParts,
  { actor, target, change }: { readonly actor: Actor; readonly target: ChannelTarget; readonly change: ChannelChange },
): Promise<void> {
  const ref = await access.require(actor, "manage", target, tx);
  const at = clock.now();
  const channel = ref.channel ?? (await insert(tx, types, ref, at));
  const detail = changeOf(types, channel, change);
  if (Object.keys(detail).length === 0) return;
  await updateChannel(tx, channel.id, storedChange(detail));
  await recordAudit(tx, actor, { at, action: "channel.settings", owner: ref.owner, channel, detail });
}

async function changeOwner(
  tx: Transaction,
  { access, clock }: ChannelsParts,
  { actor, owner: name, change }: { readonly actor: Actor; readonly owner: string; readonly change: ChannelChange },
): Promise<void> {
  const owner = await access.require(actor, "manage", { kind: "owner", owner: name }, tx);
  const { visibility, description, policy } = change;
  if (visibility === undefined || description !== undefined || policy !== undefined) {
    throw invalidArgument("Only the visibility can be set for an owner. For the rest, name a channel: OWNER/CHANNEL.");
  }
  await updateOwner(tx, owner.id, { visibility });
  await recordAudit(tx, actor, { at: clock.now(), action: "owner.settings", owner, detail: { visibility } });
}

type Changed = {
  readonly visibility?: Visibility;
  readonly description?: string;
  readonly policy?: ChannelPolicy;
};

/** The validated change, without the members that are not set. Errors: `invalid-argument`. */
function changeOf(
  types: PackageTypes,
  channel: ChannelRow,
  { visibility, description, policy }: ChannelChange,
): Changed {
  return {
    ...(visibility !== undefined && { visibility }),
    ...(description !== undefined && { description: description.slice(0, LONGEST_DESCRIPTION) }),
    ...(policy !== undefined && { policy: changedPolicy(types.named(channel.type).policy, channel, policy) }),
  };
}

function storedChange({ policy, ...rest }: Changed): Parameters<typeof updateChannel>[2] {
  return policy === undefined ? rest : { ...rest, policy: JSON.stringify(policy) };
}

async function list(parts: ChannelsParts, actor: Actor, ownerName?: string): Promise<ChannelInfo[]> {
  const { database, access } = parts;
  const owner = ownerName === undefined ? undefined : await findOwner(database.read, ownerName);
  if (ownerName !== undefined && !owner) throw notFound(`There is no owner ${ownerName}.`);
  const infos: ChannelInfo[] = [];
  for (const row of await listChannels(database.read, owner?.id)) {
    const { type, owner: ofRow, name } = row;
    if (await access.mayRead(actor, { kind: "channel", type, owner: ofRow.name, channel: name })) {
      infos.push(await infoOf(parts, { type, owner: ofRow, channel: row, name }));
    }
  }
  return infos;
}

async function infoOf({ database, types }: ChannelsParts, ref: ChannelRef): Promise<ChannelInfo> {
  const { channel } = ref;
  return {
    channel: labelOf(ref),
    visibility: effectiveVisibility(ref.owner, channel),
    description: channel?.description ?? "",
    revision: channel?.revision ?? 0,
    policy: policyOf(types.named(ref.type).policy, channel),
    files: channel ? await countFiles(database.read, channel.id) : 0,
  };
}

function labelOf(ref: ChannelRef): string {
  return channelLabel(ref.owner.name, ref.name, ref.type);
}
