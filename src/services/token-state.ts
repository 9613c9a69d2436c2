// Whether a stored token is valid, and why not.

import type { AccessTokenRow } from "../models/access-token.ts";
import type { UserWithOwner } from "../models/user.ts";

/**
 * Says why the token is not valid; undefined when it is valid. Only the holder of the token gets this answer, so it
 * names no account.
 */
export function tokenProblem(row: AccessTokenRow, user: UserWithOwner, now: number): string | undefined {
  if (row.revoked !== null) return "The access token was revoked. Create a new one.";
  if (row.expires !== null && row.expires <= now) {
    return `The access token expired on ${timeText(row.expires)}. Create a new one.`;
  }
  if (row.credentialVersion !== user.credentialVersion)
    return "The access token is older than the current password of its user. Create a new one.";
  return user.owner.disabled ? "The user of the access token is disabled. Ask an administrator." : undefined;
}

/** For the log. */
export function tokenLabel(row: AccessTokenRow, user: UserWithOwner): string {
  return `token ${JSON.stringify(row.name)} of ${user.owner.name}`;
}

/** ms UTC as ISO 8601 in UTC, to the second. */
export function timeText(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}
