// Frees the unused pages of an SQLite file, when that is worthwhile and fast.

import type { Database as Connection } from "bun:sqlite";
import { isDatabaseBusy, isDatabaseFull } from "./errors.ts";

/** Most used bytes: VACUUM rewrites them, and blocks all other writers meanwhile. */
const MOST_BYTES = 64 * 1024 ** 2;
const LEAST_FREE_BYTES = 64 * 1024;
const LEAST_FREE_SHARE = 0.25;

/** Returns the bytes freed; 0 when the file is busy or the disk is full: the next run tries again. */
export function shrink(connection: Connection): number {
  try {
    return connection.inTransaction ? 0 : shrinkNow(connection);
  } catch (error) {
    if (isDatabaseBusy(error) || isDatabaseFull(error)) return 0;
    throw error;
  }
}

function shrinkNow(connection: Connection): number {
  const before = bytesOf(connection);
  const used = before.total - before.free;
  if (before.free >= LEAST_FREE_BYTES && before.free >= LEAST_FREE_SHARE * before.total && used <= MOST_BYTES)
    connection.run("VACUUM");
  connection.run("PRAGMA wal_checkpoint(TRUNCATE)");
  return before.total - bytesOf(connection).total;
}

function bytesOf(connection: Connection): { readonly total: number; readonly free: number } {
  const size = numberOf(connection, "page_size");
  return { total: size * numberOf(connection, "page_count"), free: size * numberOf(connection, "freelist_count") };
}

function numberOf(connection: Connection, pragma: "page_size" | "page_count" | "freelist_count"): number {
  return Object.values(connection.query<Record<string, number>, []>(`PRAGMA ${pragma}`).get() ?? {})[0] ?? 0;
}
