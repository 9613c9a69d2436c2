// Transfers of channels to other owners: one side offers, the other one accepts.

import { conflict, invalidArgument, notFound, type AppError } from "../errors.ts";
import { deleteOffer, findOffer, insertOffer, listOffers } from "../models/channel-offer.ts";
import { updateChannel, type ChannelRow } from "../models/channel.ts";
import type { Database, Reader, Transaction } from "../models/database.ts";
import { deleteFormerAddress, insertFormerAddress } from "../models/former-address.ts";
import { deleteGrantsOfOrganization } from "../models/grant.ts";
import { lockChannel } from "../models/locks.ts";
import { findOwner, type OwnerRow } from "../models/owner.ts";
import { findByPrincipal } from "../models/user.ts";
import type { Clock } from "../modules/clock.ts";
import type { Access } from "./access.ts";
import { userOf, type Actor } from "./actor.ts";
import { recordAudit, type AuditAction } from "./audit.ts";
import {
  channelLabel,
  effectiveVisibility,
  findChannelRef,
  inheritedVisibility,
  labelWithin,
  narrower,
  type ChannelRef,
  type OneChannel,
} from "./channel-ref.ts";
import { heldBy, RANK } from "./roles.ts";

/** `created` in ms UTC. */
export type Offer = { readonly channel: string; readonly to: string; readonly created: number };

/**
 * A transferred channel keeps its packages, revisions, settings and the roles of users on itself. The roles of the former
 * owner's teams and robots end. It is never more visible than before, and for a while it can also be read at its former
 * address. Errors of all: those of `Access.require()`.
 */
export type Transfers = {
  /** Replaces an earlier offer. Errors: `not-found` for an unknown owner, `invalid-argument` for an unnamed channel. */
  offer(actor: Actor, name: OneChannel, to: string): Promise<Offer>;
  /** The offer of a channel, for its owners. Errors: `not-found` when there is none. */
  show(actor: Actor, name: OneChannel): Promise<Offer>;
  /** What was offered to an owner, for who manages that owner. */
  list(actor: Actor, to: string): Promise<Offer[]>;
  /** Ends an offer, by an owner of either side. Errors: `not-found` when there is none. */
  withdraw(actor: Actor, name: OneChannel): Promise<void>;
  /**
   * Takes an offered channel, by who may create channels there. Returns its new label. Errors: `not-found` when it was not
   * offered there, `conflict` when a channel there has its name, or who offered it may no longer do so.
   */
  accept(actor: Actor, name: OneChannel): Promise<string>;
  /** Both at once, by an actor with both rights. Returns the new label. Errors: as for both. */
  transfer(actor: Actor, name: OneChannel, to: string): Promise<string>;
};

export type TransfersParts = { readonly database: Database; readonly access: Access; readonly clock: Clock };

export function createTransfers(parts: TransfersParts): Transfers {
  const { database, access, clock } = parts;
  return {
    offer: (actor, name, text) =>
      database.transact(async (tx) => {
        const place = await requirePlace(tx, parts, actor, name);
        const to = await requireTarget(tx, place, text);
        const created = clock.now();
        const offeredBy = userOf(actor)?.principalId ?? null;
        await insertOffer(tx, { channelId: place.channel.id, ownerId: to.id, offeredBy, created });
        await record(tx, parts, actor, { action: "channel.offer", owner: place.owner, place, to });
        return { channel: labelOf(place.owner, place), to: to.name, created };
      }),
    show: async (actor, name) => {
      await access.require(actor, "manage", { kind: "channel", ...name }, database.read);
      const offered = await findOffered(database.read, name);
      if (!offered) throw notOffered(name);
      return offerOf(offered);
    },
    list: async (actor, text) => {
      const to = await access.require(actor, "manage", { kind: "owner", owner: text }, database.read);
      const rows = await listOffers(database.read, to.id);
      return rows.map(({ channel, created }) => ({ channel: labelOf(channel.owner, channel), to: to.name, created }));
    },
    withdraw: (actor, name) =>
      database.transact(async (tx) => {
        const offered = await findOffered(tx, name);
        const declines = offered && (await access.may(actor, "create", targetAt(offered.place, offered.to.name), tx));
        if (declines !== true) await access.require(actor, "manage", { kind: "channel", ...name }, tx);
        if (!offered) throw notOffered(name);
        await deleteOffer(tx, offered.place.channel.id);
        await record(tx, parts, actor, { action: "channel.withdraw", owner: offered.place.owner, ...offered });
      }),
    accept: (actor, name) =>
      database.transact(async (tx) => {
        const offered = await findOffered(tx, name);
        // Without an offer, the refusal is the same as for an offer to somebody else.
        const to = offered?.to.name ?? name.owner;
        await access.require(actor, "create", { kind: "channel", ...name, owner: to }, tx);
        if (!offered) throw notOffered(name);
        await requireValid(tx, offered);
        return await move(tx, parts, actor, offered);
      }),
    transfer: (actor, name, text) =>
      database.transact(async (tx) => {
        const place = await requirePlace(tx, parts, actor, name);
        const to = await requireTarget(tx, place, text);
        await access.require(actor, "create", targetAt(place, to.name), tx);
        return await move(tx, parts, actor, { place, to });
      }),
  };
}

/** The channel that is to be transferred. */
type Place = ChannelRef & { readonly channel: ChannelRow };
type Offered = {
  readonly place: Place;
  readonly to: OwnerRow;
  /** Null for a command. */
  readonly offeredBy: number | null;
  readonly created: number;
};

async function requirePlace(
  tx: Transaction,
  { access }: TransfersParts,
  actor: Actor,
  name: OneChannel,
): Promise<Place> {
  const ref = await access.require(actor, "manage", { kind: "channel", ...name }, tx);
  if (!ref.channel || ref.name === "")
    throw invalidArgument(
      "Every owner has an unnamed channel of its own: only a channel with a name can be transferred.",
    );
  return { ...ref, channel: ref.channel };
}

/** Errors: `not-found` for an unknown owner, `conflict` for the present one. */
async function requireTarget(tx: Transaction, { owner }: Place, name: string): Promise<OwnerRow> {
  const to = await findOwner(tx, name);
  if (!to) throw notFound(`There is no owner ${name}.`);
  if (to.id === owner.id) throw conflict(`The channel belongs to ${to.name} already.`);
  return to;
}

async function findOffered(tx: Reader, name: OneChannel): Promise<Offered | undefined> {
  const ref = await findChannelRef(tx, name.owner, name.channel, name.type);
  const offer = ref?.channel && (await findOffer(tx, ref.channel.id));
  return (
    offer && {
      place: { ...ref, channel: ref.channel },
      to: offer.to,
      offeredBy: offer.offeredBy,
      created: offer.created,
    }
  );
}

/** Whoever made the offer may have lost the right to it. Errors: `conflict`. */
async function requireValid(tx: Transaction, { place, offeredBy }: Offered): Promise<void> {
  if (offeredBy === null) return;
  const user = await findByPrincipal(tx, offeredBy);
  const label = labelWithin(place.name, place.type);
  const held = user && !user.owner.disabled ? await heldBy(tx, user, { ...place, label }) : undefined;
  if ((held?.unlimited ?? 0) < RANK.owner)
    throw conflict("Who offered this channel is no longer one of its owners: ask for a new offer.");
}

/** Returns the new label. Errors: `conflict` when a channel of `to` has the name. */
async function move(
  tx: Transaction,
  parts: TransfersParts,
  actor: Actor,
  { place, to }: Pick<Offered, "place" | "to">,
): Promise<string> {
  const { owner, channel, type, name } = place;
  await lockChannel(tx, channel.id);
  const there = await findChannelRef(tx, to.name, name, type);
  if (there?.channel) throw conflict(`${labelOf(to, place)} exists already.`);
  const inherited = await inheritedVisibility(tx, to, { type, name });
  const visibility = narrower(effectiveVisibility(owner, channel), inherited);
  await updateChannel(tx, channel.id, { ownerId: to.id, visibility: visibility === "public" ? null : visibility });
  await deleteFormerAddress(tx, { ownerId: to.id, type, name });
  await insertFormerAddress(tx, { ownerId: owner.id, type, name, channelId: channel.id, since: parts.clock.now() });
  await deleteGrantsOfOrganization(tx, channel.id, owner.id);
  await deleteOffer(tx, channel.id);
  for (const side of [owner, to])
    await record(tx, parts, actor, { action: "channel.transfer", owner: side, place, to });
  return labelOf(to, place);
}

function targetAt({ type, name }: Place | { readonly type: string | undefined; readonly name: string }, owner: string) {
  return { kind: "channel", type, owner, channel: name } as const;
}

function offerOf({ place, to, created }: Offered): Offer {
  return { channel: labelOf(place.owner, place), to: to.name, created };
}

function notOffered({ type, owner, channel }: OneChannel): AppError {
  return notFound(`${channelLabel(owner, channel, type)} is offered to nobody.`);
}

function labelOf({ name: owner }: OwnerRow, { name, type }: Pick<ChannelRow, "name" | "type">): string {
  return channelLabel(owner, name, type);
}

type Step = {
  readonly action: Extract<AuditAction, `channel.${string}`>;
  /** The side that the row is for. */
  readonly owner: OwnerRow;
  readonly place: Place;
  readonly to: OwnerRow;
};

async function record(
  tx: Transaction,
  { clock }: TransfersParts,
  actor: Actor,
  { action, owner, place, to }: Step,
): Promise<void> {
  const detail = { from: place.owner.name, to: to.name };
  await recordAudit(tx, actor, { at: clock.now(), action, owner, channel: place.channel, detail });
}
