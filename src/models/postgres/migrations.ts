// Migrates a PostgreSQL database to this binary's schema. The rules are those of SQLite, see drizzle/README.md.

import { unavailable } from "../../errors.ts";
import init from "../../../drizzle/postgres/0004_init.sql" with { type: "text" };
import store from "../../../drizzle/postgres/0005_store.sql" with { type: "text" };
import blobDeletions from "../../../drizzle/postgres/0006_blob_deletions.sql" with { type: "text" };
import people from "../../../drizzle/postgres/0007_people.sql" with { type: "text" };
import secondFactor from "../../../drizzle/postgres/0008_second_factor.sql" with { type: "text" };
import audit from "../../../drizzle/postgres/0009_audit.sql" with { type: "text" };
import tokenLastEight from "../../../drizzle/postgres/0010_token_last_eight.sql" with { type: "text" };
import grantPackages from "../../../drizzle/postgres/0011_grant_packages.sql" with { type: "text" };
import { SCHEMA_NUMBER } from "../sqlite/migrations.ts";
import { createPool, LOCK_MS, rollback, type Client, type Connection } from "./client.ts";
import { LOCKS } from "./locks.ts";

const MIGRATION_TABLE = "schema_migration";

/** Numbered like the migrations of SQLite that create the same tables. */
const MIGRATIONS = [
  { number: 4, minReader: 1, sql: init },
  { number: 5, minReader: 1, sql: store },
  { number: 6, minReader: 1, sql: blobDeletions },
  { number: 7, minReader: 1, sql: people },
  { number: 8, minReader: 1, sql: secondFactor },
  { number: 9, minReader: 1, sql: audit },
  { number: 10, minReader: 1, sql: tokenLastEight },
  { number: 11, minReader: 1, sql: grantPackages },
] as const;

/** ms for one statement, which can rewrite a table of millions of rows, and for the migration by another server. */
const STATEMENT_MS = 30 * 60_000;

/** Errors: `unavailable` when a newer release has made the database unreadable for this one. */
export async function isMigrated(client: Client): Promise<boolean> {
  if (!(await tableNames(client)).includes(MIGRATION_TABLE)) return false;
  const applied = await appliedNumbers(client);
  return MIGRATIONS.every(({ number }) => applied.has(number));
}

type MigrationOptions = { readonly now: number; readonly create: boolean };

/**
 * Applies the missing migrations in one transaction, under a lock that other servers wait for.
 * Errors: `unavailable` when a newer release has made the database unreadable for this one, or when the database belongs
 * to another program, or is empty without `create`; nothing is written then.
 */
export async function migrate(url: string, options: MigrationOptions): Promise<void> {
  const pool = createPool({ url, connections: 1, statementMs: STATEMENT_MS });
  try {
    const connection = await pool.reserve();
    try {
      await migrateOn(connection, options);
    } finally {
      connection.release();
    }
  } finally {
    await pool.close();
  }
}

async function migrateOn(connection: Connection, { now, create }: MigrationOptions): Promise<void> {
  await connection.unsafe("BEGIN");
  try {
    await connection.unsafe(`SET LOCAL lock_timeout = ${STATEMENT_MS}`);
    await connection.unsafe(`SELECT pg_advisory_xact_lock(${LOCKS.migration})`);
    // Servers of the last release wait behind a statement that waits for the lock of a table.
    await connection.unsafe(`SET LOCAL lock_timeout = ${LOCK_MS}`);
    if (!create && (await isEmpty(connection)))
      throw refusal("The database is empty: start a server with it once. If a restore was interrupted, run it again");
    await refuseForeign(connection);
    await createTables(connection, now);
    await connection.unsafe("COMMIT");
  } catch (error) {
    await rollback(connection);
    throw error;
  }
}

/** Applies the missing migrations, inside a transaction with the lock of migrations. */
export async function createTables(client: Client, now: number): Promise<void> {
  await client.unsafe(
    "CREATE TABLE IF NOT EXISTS schema_migration (number bigint PRIMARY KEY, min_reader bigint NOT NULL, applied_at bigint NOT NULL)",
  );
  const applied = await appliedNumbers(client);
  for (const { number, minReader, sql } of MIGRATIONS) {
    if (applied.has(number)) continue;
    for (const statement of sql.split("--> statement-breakpoint")) await client.unsafe(statement);
    await client.unsafe("INSERT INTO schema_migration VALUES ($1, $2, $3)", [number, minReader, now]);
  }
}

/** Whether the database has no table, of any program. */
export async function isEmpty(client: Client): Promise<boolean> {
  return (await tableNames(client)).length === 0;
}

async function appliedNumbers(connection: Client): Promise<Set<number>> {
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

async function refuseForeign(client: Client): Promise<void> {
  const names = await tableNames(client);
  if (names.length === 0 || names.includes(MIGRATION_TABLE)) return;
  throw refusal("The database contains the tables of another program: give condarium its own");
}

async function tableNames(client: Client): Promise<unknown[]> {
  const rows = await client.unsafe("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").values();
  return rows.map(([name]) => name);
}

function refusal(problem: string): Error {
  return unavailable(`${problem}. Nothing was changed.`, 60);
}
