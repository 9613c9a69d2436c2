// Checks that the package routes run before they parse the address: the data folder and the method.

import { AppError } from "../errors.ts";
import type { Health } from "../services/health.ts";

/** Changes check that the data folder is still there; reads use the result of the last check. */
export function requireFolder(health: Health, method: string): void {
  if (!health.isFolderInPlace || !isRead(method)) health.requireFolder();
}

/** Whether the method changes nothing. */
export function isRead(method: string): boolean {
  return method === "GET" || method === "HEAD" || method === "OPTIONS";
}

export function methodNotAllowed(method: string, allowed: readonly string[]): AppError {
  return new AppError("method-not-allowed", `${method} is not supported here; use ${listOf(allowed)}.`, {
    allow: allowed.join(", "),
  });
}

/** `GET, HEAD or PUT` */
function listOf(words: readonly string[]): string {
  return words.join(", ").replace(/, (?=[^,]*$)/, " or ");
}
