// Copies of a data folder whose server has closed.

import { cp } from "node:fs/promises";

/**
 * Copies everything except the log of a database: a closed server has written it into the database, and SQLite removes
 * it during the copy when the garbage collector frees the last reader.
 */
export async function copyClosedFolder(from: string, to: string): Promise<void> {
  const filter = (path: string): boolean => !/\.db-(?:wal|shm)$/.test(path);
  await cp(from, to, { recursive: true, preserveTimestamps: true, filter });
}
