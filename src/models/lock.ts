// One server per data folder: an exclusive lock on a small SQLite file, which the kernel drops when the process dies.

import { Database as Connection } from "bun:sqlite";
import { usage } from "../errors.ts";
import { isDatabaseBusy } from "./database-errors.ts";

export type FolderLock = { release(): void };

/** Errors: `usage` when another server holds the folder. */
export function lockFolder(path: string): FolderLock {
  const connection = new Connection(path, { create: true, readwrite: true });
  try {
    // Without a journal on the disk, which may be full: nothing is ever written here.
    connection.run("PRAGMA journal_mode = MEMORY");
    connection.run("PRAGMA locking_mode = EXCLUSIVE");
    connection.run("BEGIN EXCLUSIVE");
  } catch (error) {
    connection.close();
    if (isDatabaseBusy(error)) throw usage(`Another condarium server is using this data folder (${path} is locked).`);
    throw error;
  }
  // The closure keeps the connection alive: a collected connection would give the lock away.
  return { release: () => connection.close() };
}
