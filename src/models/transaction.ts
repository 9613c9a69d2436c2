// What a unit of work is given: the writer's connection for as long as the unit runs, and an error afterwards.

import type { BunSQLiteDatabase } from "drizzle-orm/bun-sqlite";
import type * as schema from "./schema/sqlite.ts";

/** Runs queries; all query functions in `models/` take one as their first argument. */
export type Reader = BunSQLiteDatabase<typeof schema>;

declare const inTransaction: unique symbol;

/** A reader inside `transact()`; the functions that write demand one. */
export type Transaction = Reader & { readonly [inTransaction]: true };

/** What Drizzle keeps in each reader, and leaves out of its types. */
type WithSession = Reader & { readonly session: { prepareQuery(...args: unknown[]): unknown } };

const units = new WeakMap<Reader, { readonly reader: Reader; requireOpen(): void }>();

/** A view of `reader` for one unit: a query that ran after it would end in another's savepoint, or commit alone. */
export function transactionOf(reader: Reader, isOpen: () => boolean): Transaction {
  const requireOpen = (): void => {
    if (!isOpen()) throw new Error("A transaction was used after its unit of work had ended: await all that uses it.");
  };
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- test/models/database.test.ts fails when Drizzle changes
  const { session } = reader as WithSession;
  // Every query comes by here when it runs, one that was built before as well.
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

/** What statements are prepared for: one set serves all units. */
export function preparedFor(reader: Reader): Reader {
  const unit = units.get(reader);
  unit?.requireOpen();
  return unit?.reader ?? reader;
}
