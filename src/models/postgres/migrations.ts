// Migrates a PostgreSQL database to this binary's schema. The rules are those of SQLite, see drizzle/README.md.

import { unavailable } from "../../errors.ts";
import init from "../../../drizzle/postgres/0004_init.sql" with { type: "text" };
import store from "../../../drizzle/postgres/0005_store.sql" with { type: "text" };
import { SCHEMA_NUMBER } from "../sqlite/migrations.ts";
import type { Connection } from "./client.ts";
import { LOCKS } from "./locks.ts";

/** Numbered like the migrations of SQLite that create the same tables. */
const MIGRATIONS = [
  { number: 4, minReader: 1, sql: init },
  { number: 5, minReader: 1, sql: store },
] as const;

/**
 * Applies the missing migrations in one transaction, under a lock that other servers wait for.
 * Errors: `unavailable` when a newer release has made the database unreadable for this one, or when the database belongs
 * to another program; nothing is written then.
 */
export async function migrate(connection: Connection, now: number): Promise<void> {
  await connection.unsafe("BEGIN");
  try {
    await connection.unsafe(`SELECT pg_advisory_xact_lock(${LOCKS.migration})`);
    await refuseForeign(connection);
    await connection.unsafe(
      "CREATE TABLE IF NOT EXISTS schema_migration (number bigint PRIMARY KEY, min_reader bigint NOT NULL, applied_at bigint NOT NULL)",
    );
    const applied = await appliedNumbers(connection);
    for (const { number, minReader, sql } of MIGRATIONS) {
      if (applied.has(number)) continue;
      for (const statement of sql.split("--> statement-breakpoint")) await connection.unsafe(statement);
      await connection.unsafe("INSERT INTO schema_migration VALUES ($1, $2, $3)", [number, minReader, now]);
    }
    await connection.unsafe("COMMIT");
  } catch (error) {
    await rollback(connection);
    throw error;
  }
}

async function appliedNumbers(connection: Connection): Promise<Set<number>> {
  const rows = await connection.unsafe("SELECT number, min_reader FROM schema_migration").values();
  const needed = Math.max(0, ...rows.map((row) => Number(row[1])));
  if (needed > SCHEMA_NUMBER) {
    throw unavailable(
      `The database needs a newer condarium: it requires schema ${needed}, this binary supports ${SCHEMA_NUMBER}. Nothing was changed.`,
      60,
    );
  }
  return new Set(rows.map((row) => Number(row[0])));
}

async function refuseForeign(connection: Connection): Promise<void> {
  const rows = await connection.unsafe("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").values();
  if (rows.length === 0 || rows.some(([name]) => name === "schema_migration")) return;
  throw unavailable(
    "The database contains the tables of another program: give condarium its own. Nothing was changed.",
    60,
  );
}

async function rollback(connection: Connection): Promise<void> {
  try {
    await connection.unsafe("ROLLBACK");
  } catch {
    // A lost connection has already rolled back; the caller reports the first error.
  }
}
