// The main database: one write connection behind a queue, one for reading, one for snapshots.

import type { Database as Connection } from "bun:sqlite";
import { statSync } from "node:fs";
import { drizzle } from "drizzle-orm/bun-sqlite";
import type { Clock } from "../modules/clock.ts";
import { createMutex } from "../modules/mutex.ts";
import type { Reserve } from "./reserve.ts";
import * as schema from "./schema/sqlite.ts";
import { countChanges } from "./sqlite/changes.ts";
import {
  closeWriting,
  integrityProblems,
  makeRoom,
  openForReading,
  openForWriting,
  shrinkLog,
} from "./sqlite/connections.ts";
import { isDatabaseBusy, toAppError } from "./sqlite/errors.ts";
import { shrink } from "./sqlite/shrink.ts";
import { transactionOf, type Reader, type Transaction } from "./transaction.ts";
import { createWriter, type UnitOptions, type Writer } from "./sqlite/writer.ts";

export type { Reader, Transaction } from "./transaction.ts";

/** Consistent snapshots, on a separate connection. */
export type Snapshots = {
  /** Runs `work` inside one read transaction, so that it reads a consistent snapshot. */
  snapshot<T>(work: (reader: Reader) => Promise<T>): Promise<T>;
};

export type Database = {
  readonly read: Reader;
  /** A number that changes after every commit of this process or another, except commits of only `isUnseen` units. */
  version(): number;
  /**
   * Runs `work` inside a write transaction and resolves when it is durable. Units that wait at the same time share a
   * commit, each in a savepoint; a failing unit rolls back only itself. `work` must be short: all writers wait for it.
   * Errors: what `work` throws; `unavailable` when another process keeps the lock; `no-space` when the disk is full.
   */
  transact<T>(work: (tx: Transaction) => Promise<T>, options?: UnitOptions): Promise<T>;
  /** Bytes of the write-ahead log beside the database. */
  logBytes(): number;
  /** Truncates a log that grew during a long read; does nothing while a read is still in progress. */
  shrinkLog(): void;
  /** The problems that SQLite reports for the file (I-1); empty when there are none. */
  integrityProblems(): string[];
  /** Frees unused pages where that is worthwhile; returns the bytes freed. Call it only while no other work runs. */
  shrink(): number;
  close(): void;
};

export type DatabaseOptions = {
  readonly path: string;
  readonly clock: Clock;
  /** False refuses a missing file instead of creating it. */
  readonly create: boolean;
  readonly failpoint?: ((name: string) => void) | undefined;
  /** See `WriterOptions`. */
  readonly requireFiles?: (() => void) | undefined;
  /** Called when the state of the disk is unknown (an fsync of the log failed): the process must end. */
  readonly onFatal?: ((error: unknown) => void) | undefined;
  /** Disk space for changes that free space, when the disk is full. */
  readonly reserve?: Reserve | undefined;
  /** True lets every change use the reserve, for the commands of the operator. */
  readonly evenIfFull?: boolean | undefined;
};

export function openDatabase(options: DatabaseOptions): Database {
  using opened = new DisposableStack();
  const write = opened.adopt(openForWriting(options), closeWriting);
  const read = opened.adopt(openForReading(options.path), (connection) => connection.close());
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
    onFull: () => makeRoom(write, options.reserve),
  });
  const owned = opened.move();
  return {
    read: reader,
    version: changes.version,
    transact: (work, unit) => writer.run(work, { evenIfFull: options.evenIfFull ?? false, ...unit }),
    logBytes: () => statSync(`${options.path}-wal`, { throwIfNoEntry: false })?.size ?? 0,
    shrinkLog: () => shrinkLog(write),
    integrityProblems: () => integrityProblems(read, write),
    shrink: () => shrink(write),
    close: () => owned.dispose(),
  };
}

/** For worker threads and commands, which read while the server runs. */
export function openSnapshots(path: string): Snapshots & { close(): void } {
  const connection = openForReading(path);
  const reader = drizzle(connection, { schema });
  const mutex = createMutex();
  return {
    snapshot: (work) => mutex.run(() => inSnapshot(connection, () => work(reader))),
    close: () => connection.close(),
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
