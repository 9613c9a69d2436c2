// How many file handles this process has open, and how many it may have, as Linux tells.

import { readdirSync, readFileSync, statSync } from "node:fs";

export type Handles = { readonly open: number; readonly limit: number };

const OPEN = "/proc/self/fd";

/** Counts them each time; undefined where the system does not tell. */
export function createHandleCount(): (() => Handles) | undefined {
  const limit = limitOf();
  if (limit === undefined) return undefined;
  return () => ({ open: countOpen() ?? limit, limit });
}

function limitOf(): number | undefined {
  try {
    const limit = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1];
    return limit === undefined ? undefined : Number(limit);
  } catch {
    return undefined;
  }
}

/** Undefined when there is not even one left to look with. */
function countOpen(): number | undefined {
  try {
    // Newer kernels tell the number as a size, which takes no handle and less time than the list.
    return statSync(OPEN).size || readdirSync(OPEN).length;
  } catch {
    return undefined;
  }
}

/** Whether something failed for want of a handle. */
export function isOutOfHandles(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ("code" in error && (error.code === "EMFILE" || error.code === "ENFILE")) return true;
  return error.cause !== undefined && isOutOfHandles(error.cause);
}
