// Copies of a data folder whose server has closed.

import { cp } from "node:fs/promises";

/**
 * Copies everything except the logs of the databases. A closed server has written each log into its database, and SQLite
 * deletes the log when the garbage collector frees the last connection, which can happen during the copy.
 */
export async function copyClosedFolder(from: string, to: string): Promise<void> {
  const filter = (path: string): boolean => !/\.db-(?:wal|shm)$/.test(path);
  await cp(from, to, { recursive: true, preserveTimestamps: true, filter });
}
