// Channels that were offered to another owner, who has not accepted yet.

import { asc, eq } from "drizzle-orm";
import type { ChannelWithOwner } from "./channel.ts";
import type { Reader, Transaction } from "./database.ts";
import type { OwnerRow } from "./owner.ts";
import { channel, channelOffer, owner } from "./schema/index.ts";

export type ChannelOfferRow = typeof channelOffer.$inferSelect;
/** `to`: the owner that the channel was offered to. */
export type ChannelOffer = ChannelOfferRow & { readonly to: OwnerRow };

export async function findOffer(reader: Reader, channelId: number): Promise<ChannelOffer | undefined> {
  const rows = await reader
    .select({ offer: channelOffer, to: owner })
    .from(channelOffer)
    .innerJoin(owner, eq(owner.id, channelOffer.ownerId))
    .where(eq(channelOffer.channelId, channelId));
  return rows.map((row) => ({ ...row.offer, to: row.to }))[0];
}

/** The channels that were offered to an owner, oldest first. */
export async function listOffers(
  reader: Reader,
  ownerId: number,
): Promise<{ readonly channel: ChannelWithOwner; readonly created: number }[]> {
  const rows = await reader
    .select({ channel, owner, created: channelOffer.created })
    .from(channelOffer)
    .innerJoin(channel, eq(channel.id, channelOffer.channelId))
    .innerJoin(owner, eq(owner.id, channel.ownerId))
    .where(eq(channelOffer.ownerId, ownerId))
    .orderBy(asc(channelOffer.created), asc(channelOffer.channelId));
  return rows.map((row) => ({ channel: { ...row.channel, owner: row.owner }, created: row.created }));
}

/** Replaces an earlier offer of the channel. */
export async function insertOffer(tx: Transaction, values: ChannelOfferRow): Promise<void> {
  await deleteOffer(tx, values.channelId);
  await tx.insert(channelOffer).values(values);
}

export async function deleteOffer(tx: Transaction, channelId: number): Promise<boolean> {
  const rows = await tx
    .delete(channelOffer)
    .where(eq(channelOffer.channelId, channelId))
    .returning({ channelId: channelOffer.channelId });
  return rows.length > 0;
}
