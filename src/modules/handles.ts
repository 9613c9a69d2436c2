// The number of open file handles of this process and their limit, as reported by Linux.

import { readdirSync, readFileSync, statSync } from "node:fs";

export type Handles = { readonly open: number; readonly limit: number };

const OPEN = "/proc/self/fd";

/** Returns a function that counts the open handles; undefined where the system does not report the limit. */
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

/** Undefined when no handle is left for reading the folder. */
function countOpen(): number | undefined {
  try {
    // Newer kernels report the count as the folder's size, which takes no handle and less time than the list.
    return statSync(OPEN).size || readdirSync(OPEN).length;
  } catch {
    return undefined;
  }
}

/** Whether an operation failed because no handle was left. */
export function isOutOfHandles(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if ("code" in error && (error.code === "EMFILE" || error.code === "ENFILE")) return true;
  return error.cause !== undefined && isOutOfHandles(error.cause);
}
