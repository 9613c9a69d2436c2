// Channel references of requests: look-up, and the visibility that a channel has or would get.

import { findChannel, findFormerAt, findOwnerWithChannel, type ChannelRow } from "../models/channel.ts";
import type { Reader } from "../models/database.ts";
import { type OwnerRow, type Visibility } from "../models/owner.ts";
import { allOf } from "../modules/all-of.ts";
import { urlBelow } from "../modules/http/url.ts";

/** The package type whose channel labels omit the type. */
export const DEFAULT_TYPE = "conda";

/** The owner exists; the channel row may be missing. */
export type ChannelRef = {
  readonly type: string;
  readonly owner: OwnerRow;
  readonly channel: ChannelRow | undefined;
  readonly name: string;
};

/** A channel that has a row, and its owner. */
export type StoredChannel = { readonly owner: OwnerRow; readonly channel: ChannelRow };

/** An owner alone (everything it has), or one of its channels. */
export type ChannelName = {
  /** The package type; default: `DEFAULT_TYPE`. */
  readonly type?: string | undefined;
  readonly owner: string;
  readonly channel: string | undefined;
};

/** The name of one channel, never of an owner alone. */
export type OneChannel = ChannelName & { readonly channel: string };

/** No row has this id. A look-up with it costs the same for a missing owner as for an existing one. */
const NO_ID = 0;

/** The channel reference, whether or not the channel exists; undefined when the owner does not exist. */
export async function findChannelRef(
  reader: Reader,
  ownerName: string,
  name: string,
  type: string = DEFAULT_TYPE,
): Promise<ChannelRef | undefined> {
  const found = await findOwnerWithChannel(reader, { owner: ownerName, type, name });
  return found && { type, name, ...found };
}

/** What a request's address leads to. */
export type Found = {
  /** Undefined when the owner does not exist. */
  readonly ref: ChannelRef | undefined;
  /** The channel that had the address until it was transferred, while there is no other one. */
  readonly moved: ChannelRef | undefined;
};

/** The same for a request, which a former address still leads to the channel for a while: since a transfer after `since`. */
export async function findAddressed(
  reader: Reader,
  { owner: ownerName, channel: name, type = DEFAULT_TYPE }: OneChannel,
  since: number,
): Promise<Found> {
  const address = { owner: ownerName, type, name };
  // Both always, so that the time of a refusal tells nothing.
  const [found, former] = await allOf(
    findOwnerWithChannel(reader, address),
    findFormerAt(reader, { ...address, since }),
  );
  const isMoved = former !== undefined && found?.channel === undefined;
  return {
    ref: found && { type, name, ...found },
    moved: isMoved ? { type, name, owner: former.owner, channel: former } : undefined,
  };
}

/** Whether the channel exists: the unnamed one exists for every owner, even without a row. */
export function channelExists(ref: ChannelRef): boolean {
  return ref.channel !== undefined || ref.name === "";
}

/** The narrower of the owner's and the channel's visibility; all channels of a hidden owner are private. */
export function effectiveVisibility(owner: OwnerRow, channel: ChannelRow | undefined): Visibility {
  if (owner.hidden) return "private";
  return narrower(owner.visibility, channel?.visibility ?? owner.visibility);
}

/** The visibility of a new channel: never wider than that of a channel whose path is a prefix of `name`. */
export async function inheritedVisibility(
  reader: Reader,
  owner: OwnerRow | undefined,
  { type = DEFAULT_TYPE, name }: { readonly type?: string | undefined; readonly name: string },
): Promise<Visibility> {
  const parts = name.split("/");
  let narrowest: Visibility = "public";
  for (let length = 1; length < parts.length; length++) {
    const prefix = parts.slice(0, length).join("/");
    const parent = await findChannel(reader, owner?.id ?? NO_ID, type, prefix);
    if (owner && parent) narrowest = narrower(narrowest, effectiveVisibility(owner, parent));
  }
  return narrowest;
}

export function narrower(one: Visibility, other: Visibility): Visibility {
  const width: Readonly<Record<Visibility, number>> = { private: 0, internal: 1, public: 2 };
  return width[one] < width[other] ? one : other;
}

/** The short URL of a conda channel, which people are shown. */
export function channelUrl(publicUrl: string, ownerName: string, channelName: string): string {
  return urlBelow(publicUrl, ownerName, ...(channelName === "" ? [] : channelName.split("/")));
}

/** The part of a channel's label that its owner chooses: `channel`, `-`, or `type:channel`. */
export function labelWithin(channelName: string, type: string = DEFAULT_TYPE): string {
  const marked = type === DEFAULT_TYPE ? "" : `${type}:`;
  return `${marked}${channelName === "" ? "-" : channelName}`;
}

/** `owner/channel`, or `type:owner/channel` for other types than the default: the form in texts and token limits. */
export function channelLabel(ownerName: string, channelName: string, type: string = DEFAULT_TYPE): string {
  const marked = type === DEFAULT_TYPE ? "" : `${type}:`;
  return `${marked}${ownerName}/${channelName === "" ? "-" : channelName}`;
}
