// Access rules: which actor is allowed which action, and who may learn the reason of a refusal. They never throw.

import type { Reader } from "../models/database.ts";
import type { Role } from "../models/grant.ts";
import { findOwner, type OwnerRow, type Visibility } from "../models/owner.ts";
import { findAccount, type UserWithOwner } from "../models/user.ts";
import { matchesPattern } from "../modules/pattern.ts";
import { isForMetricsOnly, isRobotName, tokenOf, type Actor, type Identity, type Scope } from "./actor.ts";
import {
  channelLabel,
  effectiveVisibility,
  findAddressed,
  inheritedVisibility,
  channelExists,
  labelWithin,
  narrower,
  type ChannelRef,
} from "./channel-ref.ts";
import type { Clock } from "../modules/clock.ts";
import { foldCase } from "../modules/fold-case.ts";
import { heldBy, RANK, type Held } from "./roles.ts";

/** `publish` also creates a missing channel if the actor has the owner role; `create` creates one without a package. */
export type ChannelAction = "read" | "publish" | "delete" | "replace" | "yank" | "quarantine" | "create" | "manage";
/**
 * `manage`: all channels of an owner. Of an organization, `view`: its description; `belong`: its teams and members;
 * `organize`: change those, and the organization.
 */
export type OwnerAction = "manage" | "view" | "belong" | "organize";
/** `found`: create an organization. */
export type ServerAction = "administer" | "metrics" | "found";
export type Action = ChannelAction | OwnerAction | "tokens" | ServerAction;

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
  readonly clock: Clock;
  /** How long the former address of a transferred channel leads to it. */
  readonly formerAddressMs: number;
};

type SignedIn = Exclude<Identity, { kind: "anonymous" }>;

const NEEDS: Readonly<Record<Action, { readonly role: Role; readonly scopes: readonly Scope[] }>> = {
  read: { role: "reader", scopes: [] },
  publish: { role: "publisher", scopes: ["write:package"] },
  delete: { role: "maintainer", scopes: ["delete:package"] },
  yank: { role: "maintainer", scopes: ["delete:package"] },
  quarantine: { role: "maintainer", scopes: ["delete:package"] },
  replace: { role: "maintainer", scopes: ["write:package", "delete:package"] },
  create: { role: "owner", scopes: ["manage:channel"] },
  manage: { role: "owner", scopes: ["manage:channel"] },
  view: { role: "reader", scopes: [] },
  belong: { role: "owner", scopes: ["all"] },
  organize: { role: "owner", scopes: ["all"] },
  found: { role: "owner", scopes: ["all"] },
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
  const since = parts.clock.now() - parts.formerAddressMs;
  const addressed = await findAddressed(parts.reader, target, since);
  const ref = (action === "read" ? addressed.moved : undefined) ?? addressed.ref;
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
  const { held, bounds } = await heldAndBounds(parts.reader, identity, target, ref);
  // The same refusal for every channel, so it reveals nothing.
  if (isForMetrics) return refused(metricsOnlyText(identity), true);
  const belongs = bounds === undefined && held.rank > 0;
  if (!found) return absent(ref ? what : ownerOf(target), belongs);
  if (found.owner.hidden && !identity.user.isAdmin) return refused(hiddenText(found.owner), belongs);
  const reads =
    exists &&
    (visibility === "public" || (bounds === undefined && (visibility === "internal" || held.rank >= RANK.reader)));
  if (action === "read") return reads ? allowed(found) : refused("This channel is private.", false);
  const why =
    scopeRefusal(identity, action) ??
    bounds ??
    packageRefusal(identity, action, target.packageName) ??
    (exists || action === "create"
      ? roleRefusal(held, action, target.packageName)
      : creationRefusal(parts, held, addressed.moved === undefined ? what : undefined));
  return why === undefined ? allowed(found) : refused(why, reads || belongs);
}

/** The rights on an owner and all of its channels, and on the teams and members of an organization. */
export async function judgeOwner(
  reader: Reader,
  actor: Actor,
  action: Action,
  name: string,
): Promise<Verdict<OwnerRow>> {
  const owner = await findOwner(reader, name);
  if (actor.kind === "command-line") return owner ? allowed(owner) : absent(ownerOf({ owner: name }));
  const { identity } = actor;
  const isOpen = owner !== undefined && !owner.hidden && !isForMetricsOnly(identity);
  if (action === "view" && isOpen && owner.visibility === "public") return allowed(owner);
  if (identity.kind === "anonymous") return refused("Sign in first.", false);
  // The same refusal for every owner, so it reveals nothing.
  if (isForMetricsOnly(identity)) return refused(metricsOnlyText(identity), true);
  const held = await heldBy(reader, identity.user, { owner, channel: undefined, label: undefined });
  const bounds = restrictionRefusal(identity);
  const belongs = bounds === undefined && (held.rank > 0 || held.isMember);
  if (!owner) return absent(ownerOf({ owner: name }), belongs);
  if (owner.hidden && !identity.user.isAdmin) return refused(hiddenText(owner), belongs);
  const why = scopeRefusal(identity, action) ?? bounds ?? ownerRefusal(owner, held, action);
  return why === undefined ? allowed(owner) : refused(why, belongs);
}

function ownerRefusal(owner: OwnerRow, held: Held, action: Action): string | undefined {
  if (action === "view") {
    const sees = owner.visibility === "internal" || held.rank > 0 || held.isMember;
    return sees ? undefined : `${owner.name} is private.`;
  }
  return action === "belong" && held.isMember ? undefined : roleRefusal(held, action);
}

/**
 * The right to manage the tokens of an account. A user has it, and administrators; that of a robot, who may organize its
 * organization.
 */
export async function judgeUser(reader: Reader, actor: Actor, name: string): Promise<Verdict<UserWithOwner>> {
  const user = await findAccount(reader, name);
  if (actor.kind === "command-line") return user ? allowed(user) : absent(`${kindOf(name)} ${name}`);
  const { identity } = actor;
  if (identity.kind === "anonymous") return refused("Sign in first.", false);
  const why = scopeRefusal(identity, "tokens") ?? restrictionRefusal(identity);
  if (user?.id === identity.user.id) return why === undefined ? allowed(user) : refused(why, true);
  const administers = (identity.user.isAdmin || (await organizes(reader, identity.user, name))) && why === undefined;
  if (user && administers) return allowed(user);
  return user
    ? refused("These tokens belong to another account.", administers)
    : absent(`${kindOf(name)} ${name}`, administers);
}

/** Whether the user may organize the organization of a robot with this name, which need not exist. */
async function organizes(reader: Reader, user: UserWithOwner, name: string): Promise<boolean> {
  if (!isRobotName(name)) return false;
  const owner = await findOwner(reader, name.slice(0, name.indexOf("/")));
  const held = await heldBy(reader, user, { owner, channel: undefined, label: undefined });
  return owner?.kind === "organization" && !owner.hidden && held.unlimited >= RANK.owner;
}

function kindOf(name: string): string {
  return isRobotName(name) ? "robot" : "user";
}

export function judgeServer(actor: Actor, action: Action): Verdict<undefined> {
  if (actor.kind === "command-line") return allowed(undefined);
  const { identity } = actor;
  if (identity.kind === "anonymous") return refused("Sign in as an administrator.", false);
  const why = serverRefusal(identity, action) ?? scopeRefusal(identity, action) ?? restrictionRefusal(identity);
  return why === undefined ? allowed(undefined) : refused(why, true);
}

function serverRefusal(identity: SignedIn, action: Action): string | undefined {
  if (action === "found")
    return identity.user.organizationId === null ? undefined : "Robots cannot create organizations.";
  return identity.user.isAdmin ? undefined : notAdminText(identity);
}

/** The user's role on the target, and why the token (if any) does not cover the target. */
async function heldAndBounds(
  reader: Reader,
  identity: SignedIn,
  target: ChannelTarget,
  ref: ChannelRef | undefined,
): Promise<{ readonly held: Held; readonly bounds: string | undefined }> {
  const on = { owner: ref?.owner, channel: ref?.channel, label: labelWithin(target.channel, target.type) };
  const held = await heldBy(reader, identity.user, on);
  if (identity.kind !== "token") return { held, bounds: undefined };
  const { token } = identity;
  if (token.scopes.includes("public-only")) {
    const inherited = await inheritedVisibility(reader, ref?.owner, { type: target.type, name: target.channel });
    if (visibilityOf(ref, inherited) !== "public") {
      return { held, bounds: `The token "${token.name}" is valid for public channels only.` };
    }
  }
  const label = channelLabel(ref?.owner.name ?? foldCase(target.owner), target.channel, target.type);
  return {
    held,
    bounds: allows(token.channels, label) ? undefined : `The token "${token.name}" is not valid for this channel.`,
  };
}

/** For a channel that does not exist: the visibility it would get. */
function visibilityOf(ref: ChannelRef | undefined, inherited: Visibility): Visibility {
  if (!ref) return "private";
  const visibility = effectiveVisibility(ref.owner, ref.channel);
  return ref.channel ? visibility : narrower(visibility, inherited);
}

function roleRefusal(held: Held, action: Action, packageName?: string): string | undefined {
  const needed = RANK[NEEDS[action].role];
  const rank = WHOLE.has(action) ? held.unlimited : held.rankFor(packageName);
  if (rank >= needed) return undefined;
  if (held.rank >= needed) return limitRefusal(NEEDS[action].role, action, packageName);
  return `This requires the role ${NEEDS[action].role} on this channel or owner.`;
}

function limitRefusal(role: Role, action: Action, packageName: string | undefined): string {
  if (WHOLE.has(action)) return `Your role ${role} is limited to some packages, and this action concerns more.`;
  return `Your role ${role} is not valid for packages named ${packageName}.`;
}

/** Actions that concern more than some packages. */
const WHOLE: ReadonlySet<Action> = new Set(["create", "manage", "belong", "organize"]);

const MOVED =
  "The channel was transferred to another owner, and this address still leads to it for reading. To begin a new channel here, create it first.";

/** For a publish to a channel that does not exist. */
function creationRefusal({ createChannels }: RuleParts, held: Held, what: string | undefined): string | undefined {
  if (what === undefined) return roleRefusal(held, "create") ?? MOVED;
  if (createChannels) return roleRefusal(held, "create");
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

function notAdminText(identity: SignedIn): string {
  const text = "Only administrators are allowed to do this.";
  if (identity.kind !== "token" || identity.isDemoted === undefined) return text;
  return `${text} Your account must turn on two-factor authentication before its tokens have the rights of an administrator.`;
}

function hiddenText(owner: OwnerRow): string {
  return `An administrator has hidden everything ${owner.name} has.`;
}
