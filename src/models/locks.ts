// Locks until the end of a transaction. SQLite has one writer at a time, so only PostgreSQL needs them.

import { sql, type SQL } from "drizzle-orm";
import type { Transaction } from "./database.ts";
import { LOCKS } from "./postgres/locks.ts";
import { engine } from "./schema/engine.ts";

/**
 * No other transaction changes this channel: its revisions commit in order. The channels of `UnitOptions` are locked
 * already.
 */
export async function lockChannel(tx: Transaction, id: number): Promise<void> {
  await execute(tx, sql`SELECT id FROM channel WHERE id = ${id} FOR NO KEY UPDATE`);
}

/** No other transaction stores or collects this content. */
export async function lockBlob(tx: Transaction, sha256: string): Promise<void> {
  // Advisory locks have 64-bit numbers: contents that share one only wait for each other.
  const number = BigInt.asIntN(64, BigInt(`0x${sha256.slice(0, 16)}`)).toString();
  await execute(tx, sql`SELECT pg_advisory_xact_lock(${number}::bigint)`);
}

/** No other transaction adds a file with the same content as one of these files. */
export async function lockContents(tx: Transaction, fileIds: readonly number[]): Promise<void> {
  // A file refers to its blob by a foreign key, for which its insertion locks the row.
  const ids = sql.join(
    fileIds.map((id) => sql`${id}`),
    sql`, `,
  );
  await execute(
    tx,
    sql`SELECT id FROM package_blob WHERE id IN (SELECT blob_id FROM package_file WHERE id IN (${ids})) ORDER BY id FOR UPDATE`,
  );
}

/** No other transaction counts refusals. */
export async function lockRefusals(tx: Transaction): Promise<void> {
  await execute(tx, sql`SELECT pg_advisory_xact_lock(${sql.raw(LOCKS.refusals)})`);
}

type PostgresTransaction = { execute(query: SQL): Promise<unknown> };

async function execute(tx: Transaction, query: SQL): Promise<void> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- transactions are typed for SQLite, see schema/index.ts
  if (engine === "postgres") await (tx as unknown as PostgresTransaction).execute(query);
}
