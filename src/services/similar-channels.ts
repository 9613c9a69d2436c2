// Channels whose name is nearly that of a new channel: a publish to a misspelled channel creates another one.

import { channelNames } from "../models/channel.ts";
import type { Reader } from "../models/database.ts";
import { isNearName } from "../modules/near-names.ts";
import type { Access } from "./access.ts";
import type { Actor } from "./actor.ts";
import { channelLabel, type ChannelRef } from "./channel-ref.ts";

/** Limits: channels of the owner that are compared, similar ones whose rights are checked, and names in the answer. */
const COMPARED = 1000;
const CHECKED = 20;
const NAMED = 3;

/** The labels of similar channels of the same owner, of those that the actor is allowed to read. */
export async function similarChannels(
  { reader, access }: { readonly reader: Reader; readonly access: Access },
  actor: Actor,
  { owner, type, name }: Pick<ChannelRef, "owner" | "type" | "name">,
): Promise<string[]> {
  const names = await channelNames(reader, { ownerId: owner.id, type }, COMPARED);
  const labels: string[] = [];
  for (const channel of names.filter((other) => isNearName(name, other)).slice(0, CHECKED)) {
    if (labels.length === NAMED) break;
    const target = { kind: "channel", type, owner: owner.name, channel } as const;
    if (await access.mayRead(actor, target)) labels.push(channelLabel(owner.name, channel, type));
  }
  return labels;
}
