// Opens the main database on the engine of this process.

import type { Database, DatabaseOptions, DatabaseSource, Snapshots } from "./database.ts";
import { openPostgres, openPostgresSnapshots } from "./postgres/database.ts";
import { databaseUrl, engine } from "./schema/engine.ts";
import { openSqlite, openSqliteSnapshots } from "./sqlite/database.ts";

/** The database at a URL; without one, the file in the data folder. */
export function databaseOf(path: string, url: string | undefined = databaseUrl): DatabaseSource {
  return url === undefined ? { engine: "sqlite", path } : { engine: "postgres", url };
}

/** Errors: `unavailable` and `no-space`, with the problem and a remedy. */
export async function openDatabase(source: DatabaseSource, options: DatabaseOptions): Promise<Database> {
  if (source.engine !== engine) throw new Error(`the tables of this process are for ${engine}`);
  return source.engine === "sqlite" ? openSqlite(source.path, options) : await openPostgres(source.url, options);
}

/** For worker threads and commands, which read while the server runs. */
export function openSnapshots(source: DatabaseSource): Snapshots & { close(): Promise<void> } {
  return source.engine === "sqlite" ? openSqliteSnapshots(source.path) : openPostgresSnapshots(source.url);
}
