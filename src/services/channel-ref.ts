// A channel as a request names it: finding it, and the visibility that it has or would have.

import { findChannel, type ChannelRow } from "../models/channel.ts";
import type { Reader } from "../models/database.ts";
import { findOwner, type OwnerRow, type Visibility } from "../models/owner.ts";

/** The package type whose channels are written without their type. */
export const DEFAULT_TYPE = "conda";

/** The owner exists, the row may not (yet). */
export type ChannelRef = {
  readonly type: string;
  readonly owner: OwnerRow;
  readonly channel: ChannelRow | undefined;
  readonly name: string;
};

/** `owner` alone (everything it has) or a channel of it. */
export type ChannelName = {
  /** The package type; `DEFAULT_TYPE` without it. */
  readonly type?: string | undefined;
  readonly owner: string;
  readonly channel: string | undefined;
};

/** No row has it: a look-up below an owner that does not exist costs what one below an existing owner does. */
const NO_ID = 0;

/** The place, existing or not; undefined when there is no such owner. */
export async function findChannelRef(
  reader: Reader,
  ownerName: string,
  name: string,
  type: string = DEFAULT_TYPE,
): Promise<ChannelRef | undefined> {
  const owner = await findOwner(reader, ownerName);
  const channel = await findChannel(reader, owner?.id ?? NO_ID, type, name);
  return owner && { type, owner, channel, name };
}

/** Whether a place is a channel already: the unnamed one exists for every owner, even before it has a row. */
export function channelExists(ref: ChannelRef): boolean {
  return ref.channel !== undefined || ref.name === "";
}

/** The narrower of the owner's and the channel's; what a hidden owner has is private. */
export function effectiveVisibility(owner: OwnerRow, channel: ChannelRow | undefined): Visibility {
  if (owner.hidden) return "private";
  return narrower(owner.visibility, channel?.visibility ?? owner.visibility);
}

/** What a channel of this name gets when it is made: never wider than a channel whose path is a prefix of its own. */
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

/** `owner/channel` as people and token restrictions write it; `type:owner/channel` of any but the default type. */
export function channelLabel(ownerName: string, channelName: string, type: string = DEFAULT_TYPE): string {
  const marked = type === DEFAULT_TYPE ? "" : `${type}:`;
  return `${marked}${ownerName}/${channelName === "" ? "-" : channelName}`;
}
