// One server per data folder: an exclusive lock on a small SQLite file. The kernel releases it when the process dies.

import { Database as Connection } from "bun:sqlite";
import { usage } from "../errors.ts";
import { isDatabaseBusy, isDatabaseDamaged } from "./sqlite/errors.ts";

export type FolderLock = { release(): void };

/** Errors: `usage` when another server holds the folder. */
export function lockFolder(path: string): FolderLock {
  let connection: Connection | undefined;
  try {
    connection = new Connection(path, { create: true, readwrite: true });
    // No journal on disk, which can be full: nothing is ever written to this database.
    connection.run("PRAGMA journal_mode = MEMORY");
    connection.run("PRAGMA locking_mode = EXCLUSIVE");
    connection.run("BEGIN EXCLUSIVE");
  } catch (error) {
    connection?.close();
    throw usage(whyNot(error, path));
  }
  const held = connection;
  // The closure keeps the connection alive: a garbage-collected connection would release the lock.
  return { release: () => held.close() };
}

function whyNot(error: unknown, path: string): string {
  if (isDatabaseBusy(error)) {
    return `Another condarium server is using this data folder (${path} is locked). Stop that server, or set another --data.`;
  }
  if (isDatabaseDamaged(error)) {
    return `${path} is damaged. It contains no data: make sure that no server uses this folder, then delete the file.`;
  }
  return `${path} cannot be locked: ${error instanceof Error ? error.message : String(error)}.`;
}
