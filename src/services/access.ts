// The access gate: every route, command, feed and page checks its rights here, and refusals are thrown here.

import { AppError, forbidden, notFound, unauthenticated, type Refused } from "../errors.ts";
import type { Reader } from "../models/database.ts";
import type { OwnerRow } from "../models/owner.ts";
import type { UserWithOwner } from "../models/user.ts";
import type { Clock } from "../modules/clock.ts";
import {
  judgeChannel,
  judgeOwner,
  judgeServer,
  judgeUser,
  type Action,
  type ChannelAction,
  type ChannelTarget,
  type OwnerAction,
  type ServerAction,
  type Verdict,
} from "./access-rules.ts";
import type { Actor } from "./actor.ts";
import type { ChannelRef } from "./channel-ref.ts";
import { currentIdentity } from "./identities.ts";
import type { TwoFactorPolicy } from "./two-factor-policy.ts";

/** An owner and all of its channels. */
type OwnerTarget = { readonly kind: "owner"; readonly owner: string };
/** The tokens of a user or robot. */
type UserTarget = { readonly kind: "user"; readonly user: string };
type ServerTarget = { readonly kind: "server" };

export type Access = {
  /**
   * Returns the target if the actor is allowed the action on it. With a `reader` (a transaction, or a second check
   * after a wait) the identity is read again first. Errors: `unauthenticated`, `forbidden`, `not-found`.
   */
  readonly require: {
    (actor: Actor, action: ChannelAction, target: ChannelTarget, reader?: Reader): Promise<ChannelRef>;
    (actor: Actor, action: OwnerAction, target: OwnerTarget, reader?: Reader): Promise<OwnerRow>;
    (actor: Actor, action: "tokens", target: UserTarget, reader?: Reader): Promise<UserWithOwner>;
    (actor: Actor, action: ServerAction, target: ServerTarget, reader?: Reader): Promise<undefined>;
  };
  /** For lists, which omit channels that the actor is not allowed to read. */
  mayRead(actor: Actor, target: ChannelTarget): Promise<boolean>;
  /** Whether `require` would return, without telling why not. */
  readonly may: {
    (actor: Actor, action: ChannelAction, target: ChannelTarget, reader?: Reader): Promise<boolean>;
    (actor: Actor, action: OwnerAction, target: OwnerTarget, reader?: Reader): Promise<boolean>;
  };
  /** Whether the actor is an administrator now, for what administrators may do beyond others. */
  mayAdminister(actor: Actor, reader: Reader): Promise<boolean>;
};

export type AccessParts = {
  readonly reader: Reader;
  readonly clock: Clock;
  /** Whether a publish can create a channel. */
  readonly createChannels: boolean;
  readonly twoFactor: TwoFactorPolicy;
  /** How long the former address of a transferred channel leads to it. */
  readonly formerAddressMs: number;
};

type Found = ChannelRef | OwnerRow | UserWithOwner | undefined;

export function createAccess(parts: AccessParts): Access {
  function judge(
    actor: Actor,
    action: Action,
    target: ChannelTarget | OwnerTarget | UserTarget | ServerTarget,
    reader: Reader,
  ): Promise<Verdict<Found>> | Verdict<Found> {
    switch (target.kind) {
      case "channel":
        return judgeChannel({ ...parts, reader }, actor, action, target);
      case "owner":
        return judgeOwner(reader, actor, action, target.owner);
      case "user":
        return judgeUser(reader, actor, target.user);
      case "server":
        return judgeServer(actor, action);
    }
  }

  function require(actor: Actor, action: ChannelAction, target: ChannelTarget, reader?: Reader): Promise<ChannelRef>;
  function require(actor: Actor, action: OwnerAction, target: OwnerTarget, reader?: Reader): Promise<OwnerRow>;
  function require(actor: Actor, action: "tokens", target: UserTarget, reader?: Reader): Promise<UserWithOwner>;
  function require(actor: Actor, action: ServerAction, target: ServerTarget, reader?: Reader): Promise<undefined>;
  async function require(actor: Actor, action: Action, target: Parameters<typeof judge>[2], reader?: Reader) {
    const current = reader ? await currentActor(reader, actor, parts) : actor;
    const verdict = await judge(current, action, target, reader ?? parts.reader);
    if (verdict.kind === "allowed") return verdict.found;
    const { code, message, facts } = refusalOf(current, action, verdict);
    throw new AppError(code, message, { ...facts, refused: refusedOf(action, target) });
  }

  return {
    require,
    may: async (actor: Actor, action: Action, target: ChannelTarget | OwnerTarget, reader?: Reader) => {
      const current = reader ? await currentActor(reader, actor, parts) : actor;
      return (await judge(current, action, target, reader ?? parts.reader)).kind === "allowed";
    },
    mayRead: async (actor, target) => (await judge(actor, "read", target, parts.reader)).kind === "allowed",
    mayAdminister: async (actor, reader) => {
      const current = await currentActor(reader, actor, parts);
      return judgeServer(current, "administer").kind === "allowed";
    },
  };
}

function refusedOf(action: Action, target: ChannelTarget | OwnerTarget | UserTarget | ServerTarget): Refused {
  switch (target.kind) {
    case "channel":
      return { action, owner: target.owner, channel: target.channel, type: target.type };
    case "owner":
      return { action, owner: target.owner };
    case "user":
      return { action, owner: target.user };
    case "server":
      return { action };
  }
}

async function currentActor(reader: Reader, actor: Actor, { clock, twoFactor }: AccessParts): Promise<Actor> {
  if (actor.kind === "command-line") return actor;
  return { ...actor, identity: await currentIdentity(reader, actor.identity, { now: clock.now(), twoFactor }) };
}

const SIGN_IN: Partial<Readonly<Record<Action, string>>> = {
  read: "There is no public channel at this address: it does not exist, or only users who sign in can read it.",
  publish: "Sign in to publish.",
  delete: "Sign in to delete.",
  administer: "Sign in as an administrator.",
  metrics: "Sign in as an administrator.",
};
const CANNOT_READ = "There is no such channel, or you are not allowed to read it.";
const CANNOT_MANAGE = "There is no such channel or owner, or you are not allowed to manage it.";
const CANNOT_ORGANIZE = "There is no such organization, or you are not allowed to see or change its teams.";
const STRANGER: Partial<Readonly<Record<Action, string>>> = {
  read: CANNOT_READ,
  publish: "There is no such owner, or you are not allowed to publish there.",
  tokens: "There is no such account, or you are not allowed to manage its tokens.",
  view: "There is no such user or organization, or you are not allowed to see it.",
  belong: CANNOT_ORGANIZE,
  organize: CANNOT_ORGANIZE,
};

/**
 * A stranger learns nothing. Without a login, every refusal is the same 401. With a login, "no right" and "does not
 * exist" are the same refusal: 403 on conda routes, because clients that receive a 404 stop using shards permanently;
 * 404 elsewhere. Only an actor with `knows` learns the reason.
 */
function refusalOf(actor: Actor, action: Action, verdict: Exclude<Verdict<Found>, { kind: "allowed" }>): AppError {
  const why = verdict.kind === "absent" ? `There is no ${verdict.what}.` : verdict.why;
  if (actor.kind === "command-line") return notFound(why);
  const { help } = actor;
  if (actor.identity.kind === "anonymous") {
    const message = sentences(SIGN_IN[action] ?? "Sign in first.", help?.signIn, help?.address);
    return unauthenticated(message, { log: `no credentials for ${action}` });
  }
  if (verdict.kind === "refused" && verdict.knows) return forbidden(why);
  if (actor.surface === "management") return notFound(verdict.knows ? why : (STRANGER[action] ?? CANNOT_MANAGE));
  return forbidden(sentences(verdict.knows ? why : (STRANGER[action] ?? CANNOT_READ), help?.address));
}

function sentences(...parts: readonly (string | undefined)[]): string {
  return parts.filter((part) => part !== undefined).join(" ");
}
