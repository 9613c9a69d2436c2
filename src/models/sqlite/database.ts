// The main database in SQLite: one write connection behind a queue, one for reading, one for snapshots.

import type { Database as Connection } from "bun:sqlite";
import { statSync } from "node:fs";
import { drizzle } from "drizzle-orm/bun-sqlite";
import { createMutex } from "../../modules/mutex.ts";
import type { Database, DatabaseOptions, Snapshots, Transaction } from "../database.ts";
import * as schema from "../schema/sqlite.ts";
import { transactionOf } from "../transaction.ts";
import { countChanges } from "./changes.ts";
import { closeWriting, integrityProblems, makeRoom, openForReading, openForWriting, shrinkLog } from "./connections.ts";
import { isDatabaseBusy, toAppError } from "./errors.ts";
import { shrink } from "./shrink.ts";
import { createWriter, type Writer } from "./writer.ts";

export function openSqlite(path: string, options: DatabaseOptions): Database {
  using opened = new DisposableStack();
  const write = opened.adopt(openForWriting({ ...options, path }), closeWriting);
  const read = opened.adopt(openForReading(path), (connection) => connection.close());
  const reader = drizzle(read, { schema });
  const writing = drizzle(write, { schema });
  const changes = countChanges(write);
  const writer: Writer<Transaction> = createWriter({
    connection: write,
    transactionOf: (isOpen) => transactionOf(writing, isOpen),
    failpoint: options.failpoint,
    requireFiles: options.requireFiles,
    onFatal: options.onFatal,
    onChange: changes.add,
    turn: options.writeTurn,
    onFull: () => makeRoom(write, options.reserve),
  });
  const owned = opened.move();
  return {
    read: reader,
    version: changes.version,
    transact: (work, unit) => writer.run(work, { evenIfFull: options.evenIfFull ?? false, ...unit }),
    requireReady: async () => undefined,
    logBytes: () => statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0,
    shrinkLog: () => shrinkLog(write),
    integrityProblems: async () => integrityProblems(read, write),
    shrink: async () => shrink(write),
    close: async () => owned.dispose(),
  };
}

/** For worker threads and commands, which read while the server runs. */
export function openSqliteSnapshots(path: string): Snapshots & { close(): Promise<void> } {
  const connection = openForReading(path);
  const reader = drizzle(connection, { schema });
  const mutex = createMutex();
  return {
    snapshot: (work) => mutex.run(() => inSnapshot(connection, () => work(reader))),
    close: async () => connection.close(),
  };
}

async function inSnapshot<T>(connection: Connection, work: () => Promise<T>): Promise<T> {
  connection.run("BEGIN");
  try {
    return await work();
  } catch (error) {
    throw isDatabaseBusy(error) ? toAppError(error) : error;
  } finally {
    connection.run("COMMIT");
  }
}
