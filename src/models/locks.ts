// Locks until the end of a transaction. SQLite has one writer at a time, so only PostgreSQL needs them.

import { sql, type SQL } from "drizzle-orm";
import type { Transaction } from "./database.ts";
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

type PostgresTransaction = { execute(query: SQL): Promise<unknown> };

async function execute(tx: Transaction, query: SQL): Promise<void> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- transactions are typed for SQLite, see schema/index.ts
  if (engine === "postgres") await (tx as unknown as PostgresTransaction).execute(query);
}
