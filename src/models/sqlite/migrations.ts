// Migrates a database to this binary's schema. The SQL is embedded, so the binary needs no folder beside it.

import type { Database as Connection } from "bun:sqlite";
import { unavailable } from "../../errors.ts";
import init from "../../../drizzle/sqlite/0001_init.sql" with { type: "text" };
import gc from "../../../drizzle/sqlite/0002_gc.sql" with { type: "text" };
import principals from "../../../drizzle/sqlite/0003_principals.sql" with { type: "text" };
import storedTotals from "../../../drizzle/sqlite/0004_stored_totals.sql" with { type: "text" };
import store from "../../../drizzle/sqlite/0005_store.sql" with { type: "text" };
import blobDeletions from "../../../drizzle/sqlite/0006_blob_deletions.sql" with { type: "text" };
import people from "../../../drizzle/sqlite/0007_people.sql" with { type: "text" };
import secondFactor from "../../../drizzle/sqlite/0008_second_factor.sql" with { type: "text" };
import audit from "../../../drizzle/sqlite/0009_audit.sql" with { type: "text" };
import tokenLastEight from "../../../drizzle/sqlite/0010_token_last_eight.sql" with { type: "text" };
import grantPackages from "../../../drizzle/sqlite/0011_grant_packages.sql" with { type: "text" };

type Migration = {
  /** The schema number after this migration. */
  readonly number: number;
  /** The oldest schema number a binary must know to work on the result; raised only by a contract step. */
  readonly minReader: number;
  readonly sql: string;
};

const MIGRATIONS: readonly Migration[] = [
  { number: 1, minReader: 1, sql: init },
  { number: 2, minReader: 1, sql: gc },
  { number: 3, minReader: 1, sql: principals },
  { number: 4, minReader: 1, sql: storedTotals },
  { number: 5, minReader: 1, sql: store },
  { number: 6, minReader: 1, sql: blobDeletions },
  { number: 7, minReader: 1, sql: people },
  { number: 8, minReader: 1, sql: secondFactor },
  { number: 9, minReader: 1, sql: audit },
  { number: 10, minReader: 1, sql: tokenLastEight },
  { number: 11, minReader: 1, sql: grantPackages },
];

/** The schema number that this binary supports. */
export const SCHEMA_NUMBER = Math.max(...MIGRATIONS.map(({ number }) => number));

/**
 * Applies the missing migrations up to a schema number, each in its own transaction, so that a crash never leaves a
 * partial step.
 * Errors: `unavailable` when a newer release has made the database unreadable for this one; nothing is written then.
 */
export function migrate(connection: Connection, now: number, through = SCHEMA_NUMBER): void {
  connection.run(
    "CREATE TABLE IF NOT EXISTS schema_migration (number INTEGER PRIMARY KEY, min_reader INTEGER NOT NULL, applied_at INTEGER NOT NULL)",
  );
  refuseNewer(connection);
  for (const migration of MIGRATIONS) if (migration.number <= through) apply(connection, migration, now);
}

/** The schema number of the database, 0 when it is empty. */
export function schemaNumber(connection: Connection): number {
  const row = connection
    .query<{ number: number | null }, []>("SELECT max(number) AS number FROM schema_migration")
    .get();
  return row?.number ?? 0;
}

function refuseNewer(connection: Connection): void {
  const row = connection
    .query<{ needed: number | null }, []>("SELECT max(min_reader) AS needed FROM schema_migration")
    .get();
  if ((row?.needed ?? 0) <= SCHEMA_NUMBER) return;
  throw unavailable(
    `The database needs a newer condarium: it requires schema ${row?.needed}, this binary supports ${SCHEMA_NUMBER}. Nothing was changed.`,
    60,
  );
}

function apply(connection: Connection, migration: Migration, now: number): void {
  // An applied migration takes no lock, so a start does not wait for other processes that use the database.
  if (isApplied(connection, migration.number)) return;
  connection.run("BEGIN IMMEDIATE");
  try {
    if (!isApplied(connection, migration.number)) {
      for (const statement of migration.sql.split("--> statement-breakpoint")) connection.run(statement);
      connection.run("INSERT INTO schema_migration VALUES (?, ?, ?)", [migration.number, migration.minReader, now]);
    }
    connection.run("COMMIT");
  } catch (error) {
    connection.run("ROLLBACK");
    throw error;
  }
}

function isApplied(connection: Connection, number: number): boolean {
  return connection.query("SELECT 1 FROM schema_migration WHERE number = ?").get(number) !== null;
}
