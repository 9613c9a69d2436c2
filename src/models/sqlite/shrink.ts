// Gives the pages of an SQLite file back to the disk that are free, where that pays and is soon done.

import type { Database as Connection } from "bun:sqlite";
import { isDatabaseBusy, isDatabaseFull } from "./errors.ts";

/** While the rest is written anew nobody else can write. */
const MOST_BYTES = 64 * 1024 ** 2;
const LEAST_FREE_BYTES = 64 * 1024;
const LEAST_FREE_SHARE = 0.25;

/** Answers the bytes; 0 when others are busy with it, or the disk is full: the next time will do. */
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
  const rest = before.whole - before.free;
  if (before.free >= LEAST_FREE_BYTES && before.free >= LEAST_FREE_SHARE * before.whole && rest <= MOST_BYTES)
    connection.run("VACUUM");
  connection.run("PRAGMA wal_checkpoint(TRUNCATE)");
  return before.whole - bytesOf(connection).whole;
}

function bytesOf(connection: Connection): { readonly whole: number; readonly free: number } {
  const size = numberOf(connection, "page_size");
  return { whole: size * numberOf(connection, "page_count"), free: size * numberOf(connection, "freelist_count") };
}

function numberOf(connection: Connection, pragma: "page_size" | "page_count" | "freelist_count"): number {
  return Object.values(connection.query<Record<string, number>, []>(`PRAGMA ${pragma}`).get() ?? {})[0] ?? 0;
}
