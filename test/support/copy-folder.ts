// Copies of a data folder whose server has closed, with what its engines store elsewhere.

import { cp } from "node:fs/promises";
import { copyEngines } from "./engines.ts";

/**
 * Copies everything except the logs of the databases. A closed server has written each log into its database, and SQLite
 * deletes the log when the garbage collector frees the last connection, which can happen during the copy.
 */
export async function copyClosedFolder(from: string, to: string): Promise<void> {
  const filter = (path: string): boolean => !/\.db-(?:wal|shm)$/.test(path);
  await cp(from, to, { recursive: true, preserveTimestamps: true, filter });
  await copyEngines(from, to);
}
