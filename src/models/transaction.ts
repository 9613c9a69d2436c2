// The transaction of a unit of work: it uses the writer's connection while the unit runs, and throws afterwards.

import type { BunSQLiteDatabase } from "drizzle-orm/bun-sqlite";
import type * as schema from "./schema/sqlite.ts";

/** Runs queries; every query function in `models/` takes a reader as its first argument. */
export type Reader = BunSQLiteDatabase<typeof schema>;

declare const inTransaction: unique symbol;

/** A reader inside `transact()`; the functions that write require it. */
export type Transaction = Reader & { readonly [inTransaction]: true };

/** A member that Drizzle stores in each reader, and omits from its types. */
type WithSession = Reader & { readonly session: { prepareQuery(...args: unknown[]): unknown } };

const units = new WeakMap<Reader, { readonly reader: Reader; requireOpen(): void }>();

/** A view of `reader` for one unit: a query after its end would run in another unit's savepoint, or commit alone. */
export function transactionOf(reader: Reader, isOpen: () => boolean): Transaction {
  const requireOpen = (): void => {
    if (!isOpen()) throw new Error("A transaction was used after its unit of work had ended: await all its queries.");
  };
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- test/models/database.test.ts fails when Drizzle changes
  const { session } = reader as WithSession;
  // Every query calls this when it runs, including a query that was built earlier.
  const prepareQuery = (...args: unknown[]): unknown => {
    requireOpen();
    return session.prepareQuery(...args);
  };
  const sessionOfUnit: unknown = Object.create(session, { prepareQuery: { value: prepareQuery } });
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a reader in all but its session
  const transaction = Object.create(reader, { session: { value: sessionOfUnit } }) as Transaction;
  units.set(transaction, { reader, requireOpen });
  return transaction;
}

/** The reader that statements are prepared for: one set of statements serves all units. */
export function preparedFor(reader: Reader): Reader {
  const unit = units.get(reader);
  unit?.requireOpen();
  return unit?.reader ?? reader;
}
