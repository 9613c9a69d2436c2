// Checks that the package routes run before they parse the address: the data folder and the method.

import { AppError } from "../errors.ts";
import type { Health } from "../services/health.ts";

/** The methods below the address of a channel. */
export const CHANNEL_METHODS = ["GET", "HEAD", "PUT", "DELETE"] as const;

/** Uses the result of the last check, at most a second old; whatever is stored checks again before it is acknowledged. */
export function requireFolder(health: Health): void {
  if (!health.isFolderInPlace) health.requireFolder();
}

/** Whether the method changes nothing. */
export function isRead(method: string): boolean {
  return method === "GET" || method === "HEAD" || method === "OPTIONS";
}

/** `help`: a sentence about what the client may have meant to do. */
export function methodNotAllowed(method: string, allowed: readonly string[], help?: string): AppError {
  const message = `${method} is not supported here; use ${listOf(allowed)}.${help === undefined ? "" : ` ${help}`}`;
  return new AppError("method-not-allowed", message, { allow: allowed.join(", ") });
}

/** `GET, HEAD or PUT` */
function listOf(words: readonly string[]): string {
  return words.join(", ").replace(/, (?=[^,]*$)/, " or ");
}
