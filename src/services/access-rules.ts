// Access rules: which actor is allowed which action, and who may learn the reason of a refusal. They never throw.

import type { Reader } from "../models/database.ts";
import { rolesOf, type Role } from "../models/grant.ts";
import { findOwner, type OwnerRow, type Visibility } from "../models/owner.ts";
import { findUser, type UserWithOwner } from "../models/user.ts";
import { matchesPattern } from "../modules/pattern.ts";
import { isForMetricsOnly, tokenOf, type Actor, type Identity, type Scope } from "./actor.ts";
import {
  channelLabel,
  effectiveVisibility,
  findChannelRef,
  inheritedVisibility,
  channelExists,
  narrower,
  type ChannelRef,
} from "./channel-ref.ts";
import { foldCase } from "../modules/fold-case.ts";

/** `publish` also creates a missing channel if the actor has the owner role; `create` creates one without a package. */
export type ChannelAction = "read" | "publish" | "delete" | "replace" | "yank" | "quarantine" | "create" | "manage";
export type ServerAction = "administer" | "metrics";
export type Action = ChannelAction | "tokens" | ServerAction;

export type ChannelTarget = {
  readonly kind: "channel";
  /** The package type; default: `DEFAULT_TYPE`. */
  readonly type?: string | undefined;
  readonly owner: string;
  readonly channel: string;
  /** The package to change, once its name is known. */
  readonly packageName?: string | undefined;
};

/** `knows`: the actor has rights on the target and its token covers it, so it may learn what exists and the reason. */
export type Verdict<Found> =
  | { readonly kind: "allowed"; readonly found: Found }
  | { readonly kind: "refused"; readonly why: string; readonly knows: boolean }
  | { readonly kind: "absent"; readonly what: string; readonly knows: boolean };

export type RuleParts = {
  readonly reader: Reader;
  /** Whether a publish can create a channel. */
  readonly createChannels: boolean;
};

type SignedIn = Exclude<Identity, { kind: "anonymous" }>;

const RANK: Readonly<Record<Role, number>> = { reader: 1, publisher: 2, maintainer: 3, owner: 4 };

const NEEDS: Readonly<Record<Action, { readonly role: Role; readonly scopes: readonly Scope[] }>> = {
  read: { role: "reader", scopes: [] },
  publish: { role: "publisher", scopes: ["write:package"] },
  delete: { role: "maintainer", scopes: ["delete:package"] },
  yank: { role: "maintainer", scopes: ["delete:package"] },
  quarantine: { role: "maintainer", scopes: ["delete:package"] },
  replace: { role: "maintainer", scopes: ["write:package", "delete:package"] },
  create: { role: "owner", scopes: ["manage:channel"] },
  manage: { role: "owner", scopes: ["manage:channel"] },
  tokens: { role: "owner", scopes: ["all"] },
  administer: { role: "owner", scopes: ["all"] },
  metrics: { role: "owner", scopes: ["read:metrics"] },
};

/** A refusal costs the same look-ups whether the owner, the channel or only the right is missing. */
export async function judgeChannel(
  parts: RuleParts,
  actor: Actor,
  action: Action,
  target: ChannelTarget,
): Promise<Verdict<ChannelRef>> {
  const ref = await findChannelRef(parts.reader, target.owner, target.channel, target.type);
  const exists = ref !== undefined && channelExists(ref);
  // `publish` and `create` accept a channel that does not exist yet.
  const found = exists || action === "publish" || action === "create" ? ref : undefined;
  const what = `channel ${channelLabel(foldCase(target.owner), target.channel, target.type)}`;
  if (actor.kind === "command-line") return found ? allowed(found) : absent(ref ? what : ownerOf(target));
  const { identity } = actor;
  const visibility = ref ? effectiveVisibility(ref.owner, ref.channel) : "private";
  const isForMetrics = isForMetricsOnly(identity);
  if (action === "read" && exists && visibility === "public" && !isForMetrics) return allowed(ref);
  if (identity.kind === "anonymous") return refused("Sign in first.", false);
  const { role, bounds } = await roleAndBounds(parts.reader, identity, target, ref);
  // The same refusal for every channel, so it reveals nothing.
  if (isForMetrics) return refused(metricsOnlyText(identity), true);
  const belongs = bounds === undefined && role > 0;
  if (!found) return absent(ref ? what : ownerOf(target), belongs);
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

/** The right to manage an owner and all of its channels. */
export async function judgeOwner(reader: Reader, actor: Actor, name: string): Promise<Verdict<OwnerRow>> {
  const owner = await findOwner(reader, name);
  if (actor.kind === "command-line") return owner ? allowed(owner) : absent(ownerOf({ owner: name }));
  const { identity } = actor;
  if (identity.kind === "anonymous") return refused("Sign in first.", false);
  const role = await roleOf(reader, identity.user, { owner, channel: undefined });
  const bounds = restrictionRefusal(identity);
  const belongs = bounds === undefined && role > 0;
  if (!owner) return absent(ownerOf({ owner: name }), belongs);
  if (owner.hidden && !identity.user.isAdmin) return refused(hiddenText(owner), belongs);
  const why = scopeRefusal(identity, "manage") ?? bounds ?? roleRefusal(role, "manage");
  return why === undefined ? allowed(owner) : refused(why, belongs);
}

/** The right to manage a user's tokens, which the user and administrators have. */
export async function judgeUser(reader: Reader, actor: Actor, name: string): Promise<Verdict<UserWithOwner>> {
  const user = await findUser(reader, name);
  if (actor.kind === "command-line") return user ? allowed(user) : absent(`user ${name}`);
  const { identity } = actor;
  if (identity.kind === "anonymous") return refused("Sign in first.", false);
  const why = scopeRefusal(identity, "tokens") ?? restrictionRefusal(identity);
  if (user?.id === identity.user.id) return why === undefined ? allowed(user) : refused(why, true);
  const administers = identity.user.isAdmin && why === undefined;
  if (user && administers) return allowed(user);
  return user ? refused("These tokens belong to another user.", administers) : absent(`user ${name}`, administers);
}

export function judgeServer(actor: Actor, action: Action): Verdict<undefined> {
  if (actor.kind === "command-line") return allowed(undefined);
  const { identity } = actor;
  if (identity.kind === "anonymous") return refused("Sign in as an administrator.", false);
  const why = identity.user.isAdmin
    ? (scopeRefusal(identity, action) ?? restrictionRefusal(identity))
    : "Only administrators are allowed to do this.";
  return why === undefined ? allowed(undefined) : refused(why, true);
}

/** The user's role on the target, and why the token (if any) does not cover the target. */
async function roleAndBounds(
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
      return { role, bounds: `The token "${token.name}" is valid for public channels only.` };
    }
  }
  const label = channelLabel(foldCase(target.owner), target.channel, target.type);
  return {
    role,
    bounds: allows(token.channels, label) ? undefined : `The token "${token.name}" is not valid for this channel.`,
  };
}

/** For a channel that does not exist: the visibility it would get. */
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
  return role >= RANK[needed] ? undefined : `This requires the role ${needed} on this channel or owner.`;
}

/** For a publish to a channel that does not exist. */
function creationRefusal({ createChannels }: RuleParts, role: number, what: string): string | undefined {
  if (createChannels) return roleRefusal(role, "create");
  return `There is no ${what}, and publishing does not create channels on this server. An owner must create it first.`;
}

function scopeRefusal(identity: SignedIn, action: Action): string | undefined {
  if (identity.kind !== "token") return undefined;
  const { name, scopes } = identity.token;
  const missing = NEEDS[action].scopes.find((scope) => !scopes.includes(scope) && !scopes.includes("all"));
  return missing && `The token "${name}" lacks the scope ${missing}.`;
}

/** Whether the package name can change the verdict of `packageRefusal()`. */
export function isBoundToPackages(actor: Actor): boolean {
  return (tokenOf(actor)?.packages.length ?? 0) > 0;
}

/** An unknown package name is not refused yet. A token for some packages cannot create or manage a channel. */
function packageRefusal(identity: SignedIn, action: Action, packageName?: string): string | undefined {
  if (identity.kind !== "token" || identity.token.packages.length === 0) return undefined;
  const { name, packages } = identity.token;
  if (action === "create" || action === "manage") {
    return `The token "${name}" is limited to some packages, so it cannot create or manage channels.`;
  }
  if (packageName === undefined || allows(packages, packageName)) return undefined;
  return `The token "${name}" is not valid for packages named ${packageName}.`;
}

/** A restricted token is refused for actions on an owner, a user or the server. */
function restrictionRefusal(identity: SignedIn): string | undefined {
  if (identity.kind !== "token") return undefined;
  const { name, channels, packages, scopes } = identity.token;
  const isRestricted = channels.length > 0 || packages.length > 0 || scopes.includes("public-only");
  if (!isRestricted) return undefined;
  return `The token "${name}" is limited to some channels or packages, and this action concerns more.`;
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

function metricsOnlyText(identity: SignedIn): string {
  const name = identity.kind === "token" ? identity.token.name : "";
  return `The token "${name}" can only read /metrics.`;
}

function hiddenText(owner: OwnerRow): string {
  return `An administrator has hidden everything ${owner.name} has.`;
}
