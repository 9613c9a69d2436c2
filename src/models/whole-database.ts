// The main database as a whole, on either engine: one moment of it, and a new one that is complete or not there at all.

import { open, rename } from "node:fs/promises";
import type { DatabaseSource, Reader } from "./database.ts";
import { fillDatabase, postgresMoment, requireEmpty } from "./postgres/table-rows.ts";
import { openSqliteSnapshots } from "./sqlite/database.ts";
import { openTableSource, sqliteMoment } from "./sqlite/table-rows.ts";
import type { Moment } from "./table-rows.ts";

/**
 * Runs `work` on one moment of the database, while others change it. `copy` is the path of a temporary file for it.
 * Errors: what `work` throws; `no-space`, `unavailable`.
 */
export async function atMoment<T>(
  source: DatabaseSource,
  copy: string,
  work: (moment: Moment) => Promise<T>,
): Promise<T> {
  return source.engine === "sqlite"
    ? await sqliteMoment(source.path, copy, work)
    : await postgresMoment(source.url, work);
}

/** Errors: `usage` when there are tables; a caller looks for files itself. */
export async function requireEmptyServer(target: DatabaseSource): Promise<void> {
  if (target.engine === "postgres") await requireEmpty(target.url);
}

export type NewDatabase = {
  readonly target: DatabaseSource;
  /** A complete SQLite file, which becomes the database, or is copied into it. */
  readonly rows: string;
  /** ms UTC. */
  readonly now: number;
  readonly onProgress: (done: number, total: number) => void;
};

/**
 * Runs `work` on the queries of a new database, and puts it in place, atomically and durably, if `work` returns that it
 * `isKept`. Otherwise, and after a crash, there is no database.
 * Errors: what `work` throws; `malformed` when the engine cannot hold a row; `usage` when it is not empty.
 */
export async function createDatabase<T>(
  { target, rows, now, onProgress }: NewDatabase,
  work: (reader: Reader) => Promise<{ readonly isKept: boolean; readonly value: T }>,
): Promise<T> {
  if (target.engine === "sqlite") {
    const { isKept, value } = await withReader(rows, work);
    if (isKept) await putInPlace(rows, target.path);
    return value;
  }
  const source = openTableSource(rows);
  try {
    return await fillDatabase({ url: target.url, source, now, onProgress }, work);
  } finally {
    source.close();
  }
}

/** Queries of a SQLite file. */
export async function withReader<T>(path: string, work: (reader: Reader) => Promise<T>): Promise<T> {
  const snapshots = openSqliteSnapshots(path);
  try {
    return await snapshots.snapshot(work);
  } finally {
    await snapshots.close();
  }
}

async function putInPlace(path: string, database: string): Promise<void> {
  const file = await open(path, "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(path, database);
}
