// The actor of an action: the identity of a request, or the command line.

import type { UserWithOwner } from "../models/user.ts";

export const SCOPES = [
  "read:package",
  "write:package",
  "delete:package",
  "manage:channel",
  "read:metrics",
  "all",
  "public-only",
] as const;
export type Scope = (typeof SCOPES)[number];

/** How a token restricts its user's rights; an empty list of channels or packages is no restriction. */
export type TokenLimits = {
  readonly id: number;
  readonly name: string;
  readonly scopes: readonly Scope[];
  /** Patterns for channel labels, see `channelLabel()`. */
  readonly channels: readonly string[];
  /** Patterns for package names; they restrict changes, not reads. */
  readonly packages: readonly string[];
  /** ms UTC; null: never expires. */
  readonly expires: number | null;
};

export type Identity =
  | { readonly kind: "anonymous" }
  /** `code`: the two-factor code that the request has used up, if the user has two-factor authentication. */
  | { readonly kind: "user"; readonly user: UserWithOwner; readonly code?: string | undefined }
  /** `isDemoted`: the user must turn on two-factor authentication, and is no administrator until then. */
  | { readonly kind: "token"; readonly user: UserWithOwner; readonly token: TokenLimits; readonly isDemoted?: true };

export const ANONYMOUS: Identity = { kind: "anonymous" };

/**
 * The routes that received a request; `conda`: those of package clients. It decides the status and text of a stranger's
 * refusal, never what the stranger can learn.
 */
export type Surface = "conda" | "management";

export type RequestActor = {
  readonly kind: "request";
  readonly identity: Identity;
  readonly requestId: string;
  readonly address: string;
  readonly surface: Surface;
  readonly help?: RouteHelp | undefined;
};

/** Where a request comes from, for limits and the log. */
export type Sender = Pick<RequestActor, "address" | "requestId">;

/** Sentences for refusals. They depend on the route alone, so they say nothing about what exists. */
export type RouteHelp = {
  /** How URLs are built on this route, for clients that may have used a wrong one. */
  readonly address: string;
  /** How the clients of this route sign in. */
  readonly signIn: string;
};

/**
 * Whether the identity is a token for the metrics alone, which reads no channel, not even a public one: it is stored
 * with a monitoring system.
 */
export function isForMetricsOnly(identity: Identity): boolean {
  if (identity.kind !== "token") return false;
  const { scopes } = identity.token;
  return (
    scopes.includes("read:metrics") && scopes.every((scope) => scope === "read:metrics" || scope === "public-only")
  );
}

/** A command has write access to the data folder, so it is allowed everything; it is audited like a request. */
export type Actor = RequestActor | { readonly kind: "command-line" };

export const COMMAND_LINE: Actor = { kind: "command-line" };

/** Robots are named `organization/robot`. */
export function isRobotName(name: string): boolean {
  return name.includes("/");
}

/** The user or robot behind an actor; for a token, the user whose rights the token restricts. */
export function userOf(actor: Actor): UserWithOwner | undefined {
  return actor.kind === "request" && actor.identity.kind !== "anonymous" ? actor.identity.user : undefined;
}

export function tokenOf(actor: Actor): TokenLimits | undefined {
  return actor.kind === "request" && actor.identity.kind === "token" ? actor.identity.token : undefined;
}
