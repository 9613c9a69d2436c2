// Who acts: an identity behind a request, or the command line.

import type { UserWithOwner } from "../models/user.ts";

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
  /** Patterns over channels as `channelLabel()` writes them. */
  readonly channels: readonly string[];
  /** Patterns over package names; they bind what changes packages, not what reads them. */
  readonly packages: readonly string[];
  /** ms UTC; null never expires. */
  readonly expires: number | null;
};

export type Identity =
  | { readonly kind: "anonymous" }
  | { readonly kind: "user"; readonly user: UserWithOwner }
  | { readonly kind: "token"; readonly user: UserWithOwner; readonly token: TokenLimits };

export const ANONYMOUS: Identity = { kind: "anonymous" };

/** Where a request came in, `conda` being whatever clients of packages use: what a stranger is told differs, never what the stranger may learn. */
export type Surface = "conda" | "management";

export type RequestActor = {
  readonly kind: "request";
  readonly identity: Identity;
  readonly requestId: string;
  readonly address: string;
  readonly surface: Surface;
  /** How addresses are built where the request came in, for those who may have mistaken one. */
  readonly addressHelp?: string | undefined;
};

/** Whoever can write to the data folder may do everything, so a command is allowed everything; it is audited like others. */
export type Actor = RequestActor | { readonly kind: "command-line" };

export const COMMAND_LINE: Actor = { kind: "command-line" };

/** The user behind an actor: of a token, whose rights it narrows. */
export function userOf(actor: Actor): UserWithOwner | undefined {
  return actor.kind === "request" && actor.identity.kind !== "anonymous" ? actor.identity.user : undefined;
}

export function tokenOf(actor: Actor): TokenLimits | undefined {
  return actor.kind === "request" && actor.identity.kind === "token" ? actor.identity.token : undefined;
}
