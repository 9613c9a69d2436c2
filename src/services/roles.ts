// The role that a user or robot has on an owner or a channel: by being it, by grants, and by teams.

import { rolesOf, type Role } from "../models/grant.ts";
import type { ChannelRow } from "../models/channel.ts";
import type { Reader } from "../models/database.ts";
import type { OwnerRow } from "../models/owner.ts";
import type { UserWithOwner } from "../models/user.ts";
import { matchesPattern } from "../modules/pattern.ts";
import { storedPatterns } from "./token-limits.ts";

/** By rank: 0 is no role. */
export const RANK: Readonly<Record<Role, number>> = { reader: 1, publisher: 2, maintainer: 3, owner: 4 };

export type Held = {
  /** Whether the user is in a team of the owner, whatever that team concerns. */
  readonly isMember: boolean;
  /** The rank for reading, which patterns for packages do not restrict. */
  readonly rank: number;
  /** The rank for changes of packages of a name; of any name where that is not known yet. */
  rankFor(packageName: string | undefined): number;
  /** The rank for changes that concern more than some packages. */
  readonly unlimited: number;
};

export type HeldOn = {
  readonly owner: OwnerRow | undefined;
  readonly channel: ChannelRow | undefined;
  /** `labelWithin()` of the channel, which need not exist; undefined for everything the owner has. */
  readonly label: string | undefined;
};

/** It costs the same queries whatever exists. */
export async function heldBy(reader: Reader, user: UserWithOwner, { owner, channel, label }: HeldOn): Promise<Held> {
  const where = { principalId: user.principalId ?? 0, ownerId: owner?.id ?? 0, channelId: channel?.id ?? 0 };
  const rows = await rolesOf(reader, where);
  const isMember = rows.some(({ via }) => via === "team");
  if (user.isAdmin || user.ownerId === owner?.id) return { isMember, ...EVERYTHING };
  const held = rows
    .map(({ role, channels, packages }) => ({
      rank: RANK[role],
      channels: storedPatterns(channels),
      packages: storedPatterns(packages),
    }))
    .filter(({ channels }) => (label === undefined ? channels.includes("*") : allowsOne(channels, label)));
  const unlimited = highest(held.filter(({ packages }) => packages.includes("*")));
  const rank = highest(held);
  return {
    isMember,
    rank,
    unlimited,
    rankFor: (name) => (name === undefined ? rank : highest(held.filter(({ packages }) => allowsOne(packages, name)))),
  };
}

const EVERYTHING = { rank: RANK.owner, unlimited: RANK.owner, rankFor: () => RANK.owner };

function highest(held: readonly { readonly rank: number }[]): number {
  return Math.max(0, ...held.map(({ rank }) => rank));
}

function allowsOne(patterns: readonly string[], text: string): boolean {
  return patterns.some((pattern) => matchesPattern(pattern, text));
}
