// Who may do what: the one function that decides, for every route, command, feed and page.

import type { Reader } from "../models/database.ts";
import type { ChannelRow } from "../models/channel.ts";
import type { OwnerRow, Visibility } from "../models/owner.ts";
import { rolesOn, type Role } from "../models/grant.ts";
import type { UserWithOwner } from "../models/user.ts";
import { matchesPattern } from "../modules/pattern.ts";

export const SCOPES = [
  "read:package",
  "write:package",
  "delete:package",
  "manage:channel",
  "all",
  "public-only",
] as const;
export type Scope = (typeof SCOPES)[number];

/** What a token narrows its user's rights to; an empty list of channels or packages is no restriction. */
export type TokenLimits = {
  readonly id: number;
  readonly name: string;
  readonly scopes: readonly Scope[];
  /** Patterns over `owner/channel`, the unnamed channel written `owner/-`. */
  readonly channels: readonly string[];
  /** Patterns over package names; they bind what changes packages, not what reads them. */
  readonly packages: readonly string[];
};

export type Identity =
  | { readonly kind: "anonymous" }
  | { readonly kind: "user"; readonly user: UserWithOwner }
  | { readonly kind: "token"; readonly user: UserWithOwner; readonly token: TokenLimits };

export const ANONYMOUS: Identity = { kind: "anonymous" };

export type ChannelAction = "read" | "publish" | "delete" | "replace" | "yank" | "create" | "manage";
export type Target =
  | {
      readonly kind: "channel";
      readonly owner: OwnerRow;
      /** Undefined when there is no row: a channel to be created, or an unnamed one that holds nothing yet. */
      readonly channel: ChannelRow | undefined;
      readonly name: string;
      /** The package that is changed, once it is known. */
      readonly packageName?: string;
    }
  | { readonly kind: "server" };
export type Action = ChannelAction | "administer";

export type Decision = { readonly allowed: true } | { readonly allowed: false; readonly why: string };

export type Access = {
  /** `reader` is the transaction when the answer must hold until it commits. */
  may(identity: Identity, action: Action, target: Target, reader?: Reader): Promise<Decision>;
  /** Whether the identity has any role there, and so may be told what exists. */
  mayKnow(identity: Identity, owner: OwnerRow, channel: ChannelRow | undefined): Promise<boolean>;
};

const RANK: Readonly<Record<Role, number>> = { reader: 1, publisher: 2, maintainer: 3, owner: 4 };

const NEEDS: Readonly<Record<ChannelAction, { readonly role: Role; readonly scopes: readonly Scope[] }>> = {
  read: { role: "reader", scopes: [] },
  publish: { role: "publisher", scopes: ["write:package"] },
  delete: { role: "maintainer", scopes: ["delete:package"] },
  yank: { role: "maintainer", scopes: ["delete:package"] },
  replace: { role: "maintainer", scopes: ["write:package", "delete:package"] },
  create: { role: "owner", scopes: ["write:package"] },
  manage: { role: "owner", scopes: ["manage:channel"] },
};

export function createAccess(parts: { readonly reader: Reader }): Access {
  return {
    may: async (identity, action, target, reader = parts.reader) => {
      if (target.kind === "server") return mayAdminister(identity);
      if (action === "administer") return refused("That is a right on the server, not on a channel.");
      if (action === "read") return await mayRead(reader, identity, target);
      if (identity.kind === "anonymous") return refused("Sign in first.");
      const narrowed = tokenRefusal(identity, action, target);
      if (narrowed) return narrowed;
      const role = await roleOf(reader, identity.user, target);
      if (role >= RANK[NEEDS[action].role]) return { allowed: true };
      return refused(`This needs the role ${NEEDS[action].role} there.`);
    },
    mayKnow: async (identity, owner, channel) => {
      if (identity.kind === "anonymous") return false;
      return (await roleOf(parts.reader, identity.user, { owner, channel })) > 0;
    },
  };
}

/** The narrower of the owner's and the channel's. */
export function effectiveVisibility(owner: OwnerRow, channel: ChannelRow | undefined): Visibility {
  const width: Readonly<Record<Visibility, number>> = { private: 0, internal: 1, public: 2 };
  const own = channel?.visibility ?? owner.visibility;
  return width[own] < width[owner.visibility] ? own : owner.visibility;
}

/** `owner/channel` as people and token restrictions write it. */
export function channelLabel(ownerName: string, channelName: string): string {
  return `${ownerName}/${channelName === "" ? "-" : channelName}`;
}

type Place = { readonly owner: OwnerRow; readonly channel: ChannelRow | undefined };
type ChannelTarget = Extract<Target, { kind: "channel" }>;

async function mayRead(reader: Reader, identity: Identity, target: ChannelTarget): Promise<Decision> {
  if (target.owner.disabled && !isAdmin(identity)) return refused("The owner is disabled.");
  const visibility = effectiveVisibility(target.owner, target.channel);
  if (visibility === "public") return { allowed: true };
  if (identity.kind === "anonymous") return refused("Sign in first.");
  const narrowed = tokenRefusal(identity, "read", target);
  if (narrowed) return narrowed;
  if (visibility === "internal") return { allowed: true };
  if ((await roleOf(reader, identity.user, target)) >= RANK.reader) return { allowed: true };
  return refused("This channel is private.");
}

function tokenRefusal(identity: Identity, action: ChannelAction, target: ChannelTarget): Decision | undefined {
  if (identity.kind !== "token") return undefined;
  const { token } = identity;
  const missing = NEEDS[action].scopes.find((scope) => !token.scopes.includes(scope) && !token.scopes.includes("all"));
  if (missing) return refused(`The token "${token.name}" lacks the scope ${missing}.`);
  const visibility = effectiveVisibility(target.owner, target.channel);
  if (token.scopes.includes("public-only") && visibility !== "public") {
    return refused(`The token "${token.name}" is for public channels only.`);
  }
  const label = channelLabel(target.owner.name, target.name);
  if (!allows(token.channels, label)) return refused(`The token "${token.name}" is not for this channel.`);
  if (target.packageName !== undefined && !allows(token.packages, target.packageName)) {
    return refused(`The token "${token.name}" is not for packages named ${target.packageName}.`);
  }
  return undefined;
}

function allows(patterns: readonly string[], text: string): boolean {
  return patterns.length === 0 || patterns.some((pattern) => matchesPattern(pattern, text));
}

async function roleOf(reader: Reader, user: UserWithOwner, place: Place): Promise<number> {
  if (user.isAdmin || user.ownerId === place.owner.id) return RANK.owner;
  const onOwner = await rolesOn(reader, user.id, { kind: "owner", ownerId: place.owner.id });
  const onChannel = place.channel
    ? await rolesOn(reader, user.id, { kind: "channel", channelId: place.channel.id })
    : [];
  return Math.max(0, ...[...onOwner, ...onChannel].map((role) => RANK[role]));
}

function mayAdminister(identity: Identity): Decision {
  if (!isAdmin(identity)) return refused("This is for administrators.");
  if (identity.kind === "token" && !identity.token.scopes.includes("all")) {
    return refused(`The token "${identity.token.name}" lacks the scope all.`);
  }
  return { allowed: true };
}

function isAdmin(identity: Identity): boolean {
  return identity.kind !== "anonymous" && identity.user.isAdmin;
}

function refused(why: string): Decision {
  return { allowed: false, why };
}
