// The rules behind the gate: who may do what, and who may know why not. They answer, they never throw.

import type { Reader } from "../models/database.ts";
import { rolesOf, type Role } from "../models/grant.ts";
import { findOwner, type OwnerRow, type Visibility } from "../models/owner.ts";
import { findUser, type UserWithOwner } from "../models/user.ts";
import { matchesPattern } from "../modules/pattern.ts";
import type { Actor, Identity, Scope } from "./actor.ts";
import {
  channelLabel,
  effectiveVisibility,
  findChannelRef,
  inheritedVisibility,
  channelExists,
  narrower,
  type ChannelRef,
} from "./channel-ref.ts";

/** `publish` also makes a missing channel, for an owner of the place; `create` makes one without a package. */
export type ChannelAction = "read" | "publish" | "delete" | "replace" | "yank" | "create" | "manage";
export type Action = ChannelAction | "tokens" | "administer";

export type ChannelTarget = {
  readonly kind: "channel";
  /** The package type; `DEFAULT_TYPE` without it. */
  readonly type?: string | undefined;
  readonly owner: string;
  readonly channel: string;
  /** The package that is changed, once it is known. */
  readonly packageName?: string | undefined;
};

/** `knows`: the actor belongs there within what its token is bound to, and may be told what there is and why not. */
export type Verdict<Found> =
  | { readonly kind: "allowed"; readonly found: Found }
  | { readonly kind: "refused"; readonly why: string; readonly knows: boolean }
  | { readonly kind: "absent"; readonly what: string; readonly knows: boolean };

export type RuleParts = {
  readonly reader: Reader;
  /** Whether a publish may make a channel. */
  readonly createChannels: boolean;
};

type SignedIn = Exclude<Identity, { kind: "anonymous" }>;

const RANK: Readonly<Record<Role, number>> = { reader: 1, publisher: 2, maintainer: 3, owner: 4 };

const NEEDS: Readonly<Record<Action, { readonly role: Role; readonly scopes: readonly Scope[] }>> = {
  read: { role: "reader", scopes: [] },
  publish: { role: "publisher", scopes: ["write:package"] },
  delete: { role: "maintainer", scopes: ["delete:package"] },
  yank: { role: "maintainer", scopes: ["delete:package"] },
  replace: { role: "maintainer", scopes: ["write:package", "delete:package"] },
  create: { role: "owner", scopes: ["manage:channel"] },
  manage: { role: "owner", scopes: ["manage:channel"] },
  tokens: { role: "owner", scopes: ["all"] },
  administer: { role: "owner", scopes: ["all"] },
};

/** Who is refused costs the same look-ups whether the owner, the channel or only the right is missing. */
export async function judgeChannel(
  parts: RuleParts,
  actor: Actor,
  action: Action,
  target: ChannelTarget,
): Promise<Verdict<ChannelRef>> {
  const ref = await findChannelRef(parts.reader, target.owner, target.channel, target.type);
  const exists = ref !== undefined && channelExists(ref);
  // What makes a channel finds one in a place that has none yet.
  const found = exists || action === "publish" || action === "create" ? ref : undefined;
  const what = `channel ${channelLabel(target.owner.toLowerCase(), target.channel, target.type)}`;
  if (actor.kind === "command-line") return found ? allowed(found) : absent(ref ? what : ownerOf(target));
  const { identity } = actor;
  const visibility = ref ? effectiveVisibility(ref.owner, ref.channel) : "private";
  if (action === "read" && exists && visibility === "public") return allowed(ref);
  if (identity.kind === "anonymous") return refused("Sign in first.", false);
  const { role, bounds } = await standingAt(parts.reader, identity, target, ref);
  const belongs = bounds === undefined && role > 0;
  if (!found) return absent(what, belongs);
  if (found.owner.hidden && !identity.user.isAdmin) return refused(hiddenText(found.owner), belongs);
  const reads =
    exists && (visibility === "public" || (bounds === undefined && (visibility === "internal" || role >= RANK.reader)));
  if (action === "read") return reads ? allowed(found) : refused("This channel is private.", false);
  const why =
    scopeRefusal(identity, action) ??
    bounds ??
    packageRefusal(identity, action, target.packageName) ??
    (exists || action === "create" ? roleRefusal(role, action) : creationRefusal(parts, role, what));
  return why === undefined ? allowed(found) : refused(why, reads || belongs);
}

/** Of all that an owner has. */
export async function judgeOwner(reader: Reader, actor: Actor, name: string): Promise<Verdict<OwnerRow>> {
  const owner = await findOwner(reader, name);
  if (actor.kind === "command-line") return owner ? allowed(owner) : absent(ownerOf({ owner: name }));
  const { identity } = actor;
  if (identity.kind === "anonymous") return refused("Sign in first.", false);
  const role = await roleOf(reader, identity.user, { owner, channel: undefined });
  const bounds = wholeRefusal(identity);
  const belongs = bounds === undefined && role > 0;
  if (!owner) return absent(ownerOf({ owner: name }), belongs);
  if (owner.hidden && !identity.user.isAdmin) return refused(hiddenText(owner), belongs);
  const why = scopeRefusal(identity, "manage") ?? bounds ?? roleRefusal(role, "manage");
  return why === undefined ? allowed(owner) : refused(why, belongs);
}

/** Of a user's own things, which are the user's and the administrators'. */
export async function judgeUser(reader: Reader, actor: Actor, name: string): Promise<Verdict<UserWithOwner>> {
  const user = await findUser(reader, name);
  if (actor.kind === "command-line") return user ? allowed(user) : absent(`user ${name}`);
  const { identity } = actor;
  if (identity.kind === "anonymous") return refused("Sign in first.", false);
  const why = scopeRefusal(identity, "tokens") ?? wholeRefusal(identity);
  if (user?.id === identity.user.id) return why === undefined ? allowed(user) : refused(why, true);
  const administers = identity.user.isAdmin && why === undefined;
  if (user && administers) return allowed(user);
  return user ? refused("These are another user's.", administers) : absent(`user ${name}`, administers);
}

export function judgeServer(actor: Actor): Verdict<undefined> {
  if (actor.kind === "command-line") return allowed(undefined);
  const { identity } = actor;
  if (identity.kind === "anonymous") return refused("Sign in as an administrator.", false);
  const why = identity.user.isAdmin
    ? (scopeRefusal(identity, "administer") ?? wholeRefusal(identity))
    : "This is for administrators.";
  return why === undefined ? allowed(undefined) : refused(why, true);
}

/** The role at a place, whatever the token, and why the token is not for that place. */
async function standingAt(
  reader: Reader,
  identity: SignedIn,
  target: ChannelTarget,
  ref: ChannelRef | undefined,
): Promise<{ readonly role: number; readonly bounds: string | undefined }> {
  const role = await roleOf(reader, identity.user, { owner: ref?.owner, channel: ref?.channel });
  if (identity.kind !== "token") return { role, bounds: undefined };
  const { token } = identity;
  if (token.scopes.includes("public-only")) {
    const inherited = await inheritedVisibility(reader, ref?.owner, { type: target.type, name: target.channel });
    if (visibilityOf(ref, inherited) !== "public") {
      return { role, bounds: `The token "${token.name}" is for public channels only.` };
    }
  }
  const label = channelLabel(target.owner.toLowerCase(), target.channel, target.type);
  return {
    role,
    bounds: allows(token.channels, label) ? undefined : `The token "${token.name}" is not for this channel.`,
  };
}

/** Of a channel that is not there: what it will have. */
function visibilityOf(ref: ChannelRef | undefined, inherited: Visibility): Visibility {
  if (!ref) return "private";
  const visibility = effectiveVisibility(ref.owner, ref.channel);
  return ref.channel ? visibility : narrower(visibility, inherited);
}

async function roleOf(
  reader: Reader,
  user: UserWithOwner,
  { owner, channel }: { readonly owner: OwnerRow | undefined; readonly channel: ChannelRef["channel"] },
): Promise<number> {
  if (user.isAdmin || user.ownerId === owner?.id) return RANK.owner;
  const where = { principalId: user.principalId ?? 0, ownerId: owner?.id ?? 0, channelId: channel?.id ?? 0 };
  return Math.max(0, ...(await rolesOf(reader, where)).map((role) => RANK[role]));
}

function roleRefusal(role: number, action: Action): string | undefined {
  const needed = NEEDS[action].role;
  return role >= RANK[needed] ? undefined : `This needs the role ${needed} there.`;
}

/** Of a publish to a channel that is not there. */
function creationRefusal({ createChannels }: RuleParts, role: number, what: string): string | undefined {
  return createChannels ? roleRefusal(role, "create") : `There is no ${what}, and publishing does not make one here.`;
}

function scopeRefusal(identity: SignedIn, action: Action): string | undefined {
  if (identity.kind !== "token") return undefined;
  const { name, scopes } = identity.token;
  const missing = NEEDS[action].scopes.find((scope) => !scopes.includes(scope) && !scopes.includes("all"));
  return missing && `The token "${name}" lacks the scope ${missing}.`;
}

/** Before the package is known, its name refuses nothing; what concerns a whole channel is not for some packages. */
function packageRefusal(identity: SignedIn, action: Action, packageName?: string): string | undefined {
  if (identity.kind !== "token" || identity.token.packages.length === 0) return undefined;
  const { name, packages } = identity.token;
  if (action === "create" || action === "manage") return `The token "${name}" is for some packages only.`;
  if (packageName === undefined || allows(packages, packageName)) return undefined;
  return `The token "${name}" is not for packages named ${packageName}.`;
}

/** A token that is bound to anything is not for an owner, a user or the server as a whole. */
function wholeRefusal(identity: SignedIn): string | undefined {
  if (identity.kind !== "token") return undefined;
  const { name, channels, packages, scopes } = identity.token;
  const isBound = channels.length > 0 || packages.length > 0 || scopes.includes("public-only");
  return isBound ? `The token "${name}" is bound to some channels or packages, and this concerns more.` : undefined;
}

function allows(patterns: readonly string[], text: string): boolean {
  return patterns.length === 0 || patterns.some((pattern) => matchesPattern(pattern, text));
}

function allowed<Found>(found: Found): Verdict<Found> {
  return { kind: "allowed", found };
}

function refused(why: string, knows: boolean): Verdict<never> {
  return { kind: "refused", why, knows };
}

function absent(what: string, knows = true): Verdict<never> {
  return { kind: "absent", what, knows };
}

function ownerOf(target: { readonly owner: string }): string {
  return `owner ${target.owner}`;
}

function hiddenText(owner: OwnerRow): string {
  return `What ${owner.name} has is hidden by an administrator.`;
}
