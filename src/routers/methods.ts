// What routes of packages ask of a request before they look at its address.

import { AppError } from "../errors.ts";
import type { Health } from "../services/health.ts";

/** Changes want the data folder looked for; reads take what was found when it was last looked for. */
export function requireFolder(health: Health, method: string): void {
  if (!health.isFolderThere || (method !== "GET" && method !== "HEAD")) health.requireFolder();
}

export function methodNotAllowed(method: string, allowed: readonly string[]): AppError {
  return new AppError("method-not-allowed", `${method} has no meaning here.`, { allow: allowed.join(", ") });
}
