// Creates, changes, shows and deletes channels.

import { conflict, invalidArgument, notFound } from "../errors.ts";
import {
  channelsAfter,
  insertChannel,
  listChannels,
  updateChannel,
  type ChannelKey,
  type ChannelRow,
  type ChannelWithOwner,
} from "../models/channel.ts";
import type { Database, Transaction } from "../models/database.ts";
import { deleteFormerAddress } from "../models/former-address.ts";
import { findOwner, updateOwner, type Visibility } from "../models/owner.ts";
import type { Clock } from "../modules/clock.ts";
import { foldCase } from "../modules/fold-case.ts";
import type { ChannelTarget } from "./access-rules.ts";
import type { Access } from "./access.ts";
import type { Actor } from "./actor.ts";
import { recordAudit } from "./audit.ts";
import { createChannelSizes, type ChannelSizes } from "./channel-sizes.ts";
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
  readonly type: string;
  readonly owner: string;
  /** `""` for the unnamed channel. */
  readonly name: string;
  readonly visibility: Visibility;
  readonly description: string;
  readonly revision: number;
  readonly policy: ChannelPolicy;
  readonly files: number;
  readonly bytes: number;
};

export type ChannelQuery = {
  readonly owner?: string | undefined;
  /** A part of the owner's name or the channel's, in whatever letters. */
  readonly text?: string | undefined;
  readonly after?: ChannelKey | undefined;
  readonly limit: number;
};

/** `next` is the key to continue after; undefined at the end. A page can be empty before the end. */
export type ChannelPage = { readonly items: ChannelInfo[]; readonly next: ChannelKey | undefined };

export type ChannelChange = {
  readonly visibility?: Visibility | undefined;
  readonly description?: string | undefined;
  readonly policy?: Readonly<Record<string, unknown>> | undefined;
};

/** Errors of all but the lists: those of `Access.require()`. */
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
  /** The same, page by page. An unknown owner has no channels. */
  page(actor: Actor, query: ChannelQuery): Promise<ChannelPage>;
} & ChannelRemoval;

export type ChannelsParts = {
  readonly database: Database;
  readonly access: Access;
  readonly clock: Clock;
  readonly types: PackageTypes;
};

/** Channels whose rights one page checks. */
const MOST_CHECKED = 200;

type Parts = ChannelsParts & { readonly sizes: ChannelSizes };

export function createChannels(given: ChannelsParts): Channels {
  const parts = { ...given, sizes: createChannelSizes({ reader: given.database.read }) };
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
    page: (actor, query) => pageOf(parts, actor, query),
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

async function list(parts: Parts, actor: Actor, ownerName?: string): Promise<ChannelInfo[]> {
  const { read } = parts.database;
  const owner = ownerName === undefined ? undefined : await findOwner(read, ownerName);
  if (ownerName !== undefined && !owner) throw notFound(`There is no owner ${ownerName}.`);
  const infos: ChannelInfo[] = [];
  for await (const row of readableChannels(parts.access, actor, await listChannels(read, owner?.id))) {
    infos.push(await infoOf(parts, refOf(row)));
  }
  return infos;
}

async function pageOf(parts: Parts, actor: Actor, { limit, owner, ...query }: ChannelQuery): Promise<ChannelPage> {
  const ofOwner = owner === undefined ? undefined : foldCase(owner);
  const filter = { text: query.text, after: query.after, owner: ofOwner, limit: MOST_CHECKED };
  const rows = await channelsAfter(parts.database.read, filter);
  const items: ChannelInfo[] = [];
  for await (const row of readableChannels(parts.access, actor, rows)) {
    items.push(await infoOf(parts, refOf(row)));
    if (items.length === limit) return { items, next: row === rows.at(-1) ? nextOf(rows) : keyOf(row) };
  }
  return { items, next: nextOf(rows) };
}

/** Channels whose rights are checked at once: a database on the network answers them together. */
const AT_ONCE = 20;

/** Those of the rows that the actor is allowed to read, in order; ends early with its caller. */
export async function* readableChannels(
  access: Pick<Access, "mayRead">,
  actor: Actor,
  rows: readonly ChannelWithOwner[],
): AsyncGenerator<ChannelWithOwner, void, undefined> {
  const mayRead = ({ type, owner, name }: ChannelWithOwner): Promise<boolean> =>
    access.mayRead(actor, { kind: "channel", type, owner: owner.name, channel: name });
  for (let start = 0; start < rows.length; start += AT_ONCE) {
    const some = rows.slice(start, start + AT_ONCE);
    const allowed = await Promise.all(some.map(mayRead));
    for (const [at, row] of some.entries()) if (allowed[at] === true) yield row;
  }
}

/** The last row of a full page: there can be more. */
function nextOf(rows: readonly ChannelWithOwner[]): ChannelKey | undefined {
  const last = rows.at(-1);
  return last && rows.length === MOST_CHECKED ? keyOf(last) : undefined;
}

function keyOf({ owner, type, name }: ChannelWithOwner): ChannelKey {
  return { owner: owner.name, type, name };
}

function refOf(row: ChannelWithOwner): ChannelRef {
  return { type: row.type, owner: row.owner, channel: row, name: row.name };
}

async function infoOf({ sizes, types }: Parts, ref: ChannelRef): Promise<ChannelInfo> {
  const { channel, owner, type, name } = ref;
  return {
    channel: labelOf(ref),
    type,
    owner: owner.name,
    name,
    visibility: effectiveVisibility(owner, channel),
    description: channel?.description ?? "",
    revision: channel?.revision ?? 0,
    policy: policyOf(types.named(type).policy, channel),
    ...(channel ? await sizes.of(channel) : { files: 0, bytes: 0 }),
  };
}

function labelOf(ref: ChannelRef): string {
  return channelLabel(ref.owner.name, ref.name, ref.type);
}
