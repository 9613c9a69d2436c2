// Migrates a PostgreSQL database to this binary's schema. The rules are those of SQLite, see drizzle/README.md.

import { unavailable } from "../../errors.ts";
import init from "../../../drizzle/postgres/0004_init.sql" with { type: "text" };
import store from "../../../drizzle/postgres/0005_store.sql" with { type: "text" };
import audit from "../../../drizzle/postgres/0009_audit.sql" with { type: "text" };
import { SCHEMA_NUMBER } from "../sqlite/migrations.ts";
import { rollback, type Client, type Connection } from "./client.ts";
import { LOCKS } from "./locks.ts";

/** Numbered like the migrations of SQLite that create the same tables. */
const MIGRATIONS = [
  { number: 4, minReader: 1, sql: init },
  { number: 5, minReader: 1, sql: store },
  { number: 9, minReader: 1, sql: audit },
] as const;

/**
 * Applies the missing migrations in one transaction, under a lock that other servers wait for.
 * Errors: `unavailable` when a newer release has made the database unreadable for this one, or when the database belongs
 * to another program, or is empty without `create`; nothing is written then.
 */
export async function migrate(
  connection: Connection,
  { now, create }: { readonly now: number; readonly create: boolean },
): Promise<void> {
  await connection.unsafe("BEGIN");
  try {
    await connection.unsafe(`SELECT pg_advisory_xact_lock(${LOCKS.migration})`);
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
  if (names.length === 0 || names.includes("schema_migration")) return;
  throw refusal("The database contains the tables of another program: give condarium its own");
}

async function tableNames(client: Client): Promise<unknown[]> {
  const rows = await client.unsafe("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").values();
  return rows.map(([name]) => name);
}

function refusal(problem: string): Error {
  return unavailable(`${problem}. Nothing was changed.`, 60);
}
