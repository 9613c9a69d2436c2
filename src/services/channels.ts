// Channels: finding them for a request, making, changing and deleting them, and the roles on them.

import { z } from "zod";
import { conflict, forbidden, notFound, unauthenticated, usage } from "../errors.ts";
import {
  deleteChannel,
  findChannel,
  insertChannel,
  listChannels,
  updateChannel,
  type ChannelRow,
} from "../models/channel.ts";
import type { Database, Reader, Transaction } from "../models/database.ts";
import { deleteGrant, listGrants, setGrant, type GrantTarget, type Role } from "../models/grant.ts";
import { deleteIndexParts } from "../models/index-part.ts";
import { findOwner, updateOwner, type OwnerRow, type Visibility } from "../models/owner.ts";
import { countFiles } from "../models/package-file.ts";
import { findUser } from "../models/user.ts";
import type { Clock } from "../modules/clock.ts";
import { channelNameProblem } from "../modules/conda/channel-name.ts";
import { channelLabel, effectiveVisibility, type Access, type Identity } from "./access.ts";

export const CHANNEL_TYPE = "conda";

/** What a channel's owner may choose; every key has a default, unknown keys are refused. */
const channelPolicy = z
  .strictObject({
    /** `strict` refuses packages with warnings. */
    validation: z.enum(["standard", "strict"]).default("standard"),
    /** Who is offered shards: all but the mamba versions that would miss new packages for a day, all, or nobody. */
    shards: z.enum(["fresh", "on", "off"]).default("fresh"),
    /** Seconds that clients may use a document without asking again. */
    maxAge: z.int().min(0).max(86_400).default(0),
  })
  .readonly();
export type ChannelPolicy = z.infer<typeof channelPolicy>;

/** A channel as a request names it: its owner exists, the row may not (yet). */
export type ChannelPlace = {
  readonly owner: OwnerRow;
  readonly channel: ChannelRow | undefined;
  readonly name: string;
};

export type ChannelInfo = {
  readonly channel: string;
  readonly visibility: Visibility;
  readonly description: string;
  readonly revision: number;
  readonly policy: ChannelPolicy;
  readonly files: number;
  readonly grants: readonly { readonly user: string; readonly role: Role }[];
};

export type ChannelChange = {
  readonly visibility?: Visibility | undefined;
  readonly description?: string | undefined;
  readonly policy?: Readonly<Record<string, unknown>> | undefined;
};

/** `owner` alone (a grant on everything it has) or a channel of it. */
export type ChannelName = { readonly owner: string; readonly channel: string | undefined };

export type Channels = {
  /** The place, if the identity may read it. Errors: `unauthenticated`, `forbidden`: neither tells what exists. */
  readable(identity: Identity, ownerName: string, name: string): Promise<ChannelPlace>;
  /** The place, existing or not; undefined when there is no such owner. */
  find(reader: Reader, ownerName: string, name: string): Promise<ChannelPlace | undefined>;
  /** The row of a place that was found in this transaction, made if it is missing; never more visible than a channel whose path is a prefix of its own. */
  ensure(tx: Transaction, place: ChannelPlace): Promise<ChannelRow>;
  create(name: ChannelName, change: ChannelChange): Promise<void>;
  change(name: ChannelName, change: ChannelChange): Promise<void>;
  show(name: ChannelName): Promise<ChannelInfo>;
  list(owner?: string): Promise<ChannelInfo[]>;
  /** Errors: `conflict` while it holds files. */
  remove(name: ChannelName): Promise<void>;
  grant(name: ChannelName, user: string, role: Role): Promise<void>;
  revoke(name: ChannelName, user: string): Promise<void>;
};

export type ChannelsParts = { readonly database: Database; readonly access: Access; readonly clock: Clock };

export function createChannels(parts: ChannelsParts): Channels {
  const { database } = parts;
  return {
    readable: (identity, ownerName, name) => readable(parts, identity, ownerName, name),
    find: findPlace,
    ensure: (tx, place) => ensure(tx, place, parts.clock.now()),
    create: (name, change) =>
      database.transact(async (tx) => {
        const place = await thePlace(tx, name);
        const problem = channelNameProblem(place.name);
        if (problem) throw usage(problem);
        if (place.channel) throw conflict(`${labelOf(place)} exists already.`);
        const channel = await ensure(tx, place, parts.clock.now());
        await applyChange(tx, channel, change);
      }),
    change: (name, change) =>
      database.transact(async (tx) => {
        if (name.channel === undefined) await changeOwner(tx, name.owner, change);
        else await applyChange(tx, await theChannel(tx, name), change);
      }),
    show: async (name) => await infoOf(database.read, await thePlace(database.read, name)),
    list: async (ownerName) => await list(database.read, ownerName),
    remove: (name) =>
      database.transact(async (tx) => {
        const channel = await theChannel(tx, name);
        const files = await countFiles(tx, channel.id);
        if (files > 0) throw conflict(`The channel still holds ${files} file(s). Delete them first.`);
        await deleteIndexParts(tx, channel.id);
        await deleteChannel(tx, channel.id);
      }),
    grant: (name, user, role) =>
      database.transact(async (tx) => {
        const target = await grantTarget(tx, name, parts.clock.now());
        await setGrant(tx, { userId: await userId(tx, user), target, role, created: parts.clock.now() });
      }),
    revoke: (name, user) =>
      database.transact(async (tx) => {
        const target = await grantTarget(tx, name, parts.clock.now());
        const had = await deleteGrant(tx, await userId(tx, user), target);
        if (!had) throw notFound(`${user} has no role there.`);
      }),
  };
}

/** Whether a place is a channel already: the unnamed one exists for every owner, even before it has a row. */
export function isThere(place: ChannelPlace): boolean {
  return place.channel !== undefined || place.name === "";
}

export function policyOf(channel: ChannelRow | undefined): ChannelPolicy {
  return channelPolicy.parse(channel ? JSON.parse(channel.policy) : {});
}

async function findPlace(reader: Reader, ownerName: string, name: string): Promise<ChannelPlace | undefined> {
  const owner = await findOwner(reader, ownerName);
  return owner && { owner, channel: await findChannel(reader, owner.id, CHANNEL_TYPE, name), name };
}

async function readable(
  parts: ChannelsParts,
  identity: Identity,
  ownerName: string,
  name: string,
): Promise<ChannelPlace> {
  const place = await findPlace(parts.database.read, ownerName, name);
  const exists = place !== undefined && isThere(place);
  if (exists) {
    const decision = await parts.access.may(identity, "read", { kind: "channel", ...place });
    if (decision.allowed) return place;
  }
  // Anonymous callers learn nothing; members of the place learn which of the two it is.
  if (identity.kind === "anonymous") throw unauthenticated("Sign in to read this channel, if it exists.");
  if (place && !exists && (await parts.access.mayKnow(identity, place.owner, undefined))) {
    throw forbidden(`There is no channel ${labelOf(place)}. ${ADDRESS_HELP}`);
  }
  throw forbidden(`There is no such channel, or you may not read it. ${ADDRESS_HELP}`);
}

const ADDRESS_HELP =
  "A channel's address is /{owner}/{channel}, or /{owner} for the owner's unnamed channel; the subdir comes after it.";

async function ensure(tx: Transaction, place: ChannelPlace, now: number): Promise<ChannelRow> {
  if (place.channel) return place.channel;
  return await insertChannel(tx, {
    ownerId: place.owner.id,
    type: CHANNEL_TYPE,
    name: place.name,
    visibility: await narrowestPrefix(tx, place),
    created: now,
  });
}

async function narrowestPrefix(tx: Transaction, place: ChannelPlace): Promise<Visibility | null> {
  const parts = place.name.split("/");
  let narrowest: Visibility = "public";
  for (let length = 1; length < parts.length; length++) {
    const parent = await findChannel(tx, place.owner.id, CHANNEL_TYPE, parts.slice(0, length).join("/"));
    const visibility = parent ? effectiveVisibility(place.owner, parent) : "public";
    if (visibility === "private" || narrowest === "public") narrowest = visibility;
  }
  return narrowest === "public" ? null : narrowest;
}

async function applyChange(tx: Transaction, channel: ChannelRow, change: ChannelChange): Promise<void> {
  const values: Partial<Pick<ChannelRow, "visibility" | "policy" | "description">> = {};
  if (change.visibility !== undefined) values.visibility = change.visibility;
  if (change.description !== undefined) values.description = change.description.slice(0, 1000);
  if (change.policy !== undefined) {
    const policy = channelPolicy.safeParse({ ...policyOf(channel), ...change.policy });
    if (!policy.success) throw usage(`The policy is not valid: ${z.prettifyError(policy.error)}`);
    values.policy = JSON.stringify(policy.data);
  }
  if (Object.keys(values).length > 0) await updateChannel(tx, channel.id, values);
}

async function changeOwner(tx: Transaction, ownerName: string, change: ChannelChange): Promise<void> {
  const owner = await findOwner(tx, ownerName);
  if (!owner) throw notFound(`There is no owner ${ownerName}.`);
  if (change.visibility === undefined) throw usage("Of an owner only the visibility can be set here.");
  await updateOwner(tx, owner.id, { visibility: change.visibility });
}

async function thePlace(reader: Reader, name: ChannelName): Promise<ChannelPlace> {
  const owner = await findOwner(reader, name.owner);
  if (!owner) throw notFound(`There is no owner ${name.owner}.`);
  const channel = name.channel ?? "";
  return { owner, channel: await findChannel(reader, owner.id, CHANNEL_TYPE, channel), name: channel };
}

async function theChannel(reader: Reader, name: ChannelName): Promise<ChannelRow> {
  const place = await thePlace(reader, name);
  if (!place.channel) throw notFound(`There is no channel ${labelOf(place)}.`);
  return place.channel;
}

async function grantTarget(tx: Transaction, name: ChannelName, now: number): Promise<GrantTarget> {
  const place = await thePlace(tx, name);
  if (name.channel === undefined) return { kind: "owner", ownerId: place.owner.id };
  // The unnamed channel exists for every owner, so a grant may be what makes its row.
  const channel = place.channel ?? (place.name === "" ? await ensure(tx, place, now) : undefined);
  if (!channel) throw notFound(`There is no channel ${labelOf(place)}.`);
  return { kind: "channel", channelId: channel.id };
}

async function userId(reader: Reader, name: string): Promise<number> {
  const user = await findUser(reader, name);
  if (!user) throw notFound(`There is no user ${name}.`);
  return user.id;
}

async function list(reader: Reader, ownerName: string | undefined): Promise<ChannelInfo[]> {
  const owner = ownerName === undefined ? undefined : await findOwner(reader, ownerName);
  if (ownerName !== undefined && !owner) throw notFound(`There is no owner ${ownerName}.`);
  const channels = await listChannels(reader, owner?.id);
  const infos: ChannelInfo[] = [];
  for (const channel of channels) {
    infos.push(await infoOf(reader, { owner: channel.owner, channel, name: channel.name }));
  }
  return infos;
}

async function infoOf(reader: Reader, place: ChannelPlace): Promise<ChannelInfo> {
  const { channel } = place;
  if (!channel && place.name !== "") throw notFound(`There is no channel ${labelOf(place)}.`);
  return {
    channel: labelOf(place),
    visibility: effectiveVisibility(place.owner, channel),
    description: channel?.description ?? "",
    revision: channel?.revision ?? 0,
    policy: policyOf(channel),
    files: channel ? await countFiles(reader, channel.id) : 0,
    grants: channel ? await listGrants(reader, { kind: "channel", channelId: channel.id }) : [],
  };
}

function labelOf(place: ChannelPlace): string {
  return channelLabel(place.owner.name, place.name);
}
