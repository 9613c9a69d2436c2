// The channels of a list that an actor is allowed to read.

import type { ChannelWithOwner } from "../models/channel.ts";
import type { Access } from "./access.ts";
import type { Actor } from "./actor.ts";

/** Channels whose rights are checked at once: a database on the network answers them together. */
const AT_ONCE = 20;

/** In the order of `rows`; ends early with its caller. */
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
