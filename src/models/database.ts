// The main database: one write connection behind a queue, one to read, one for snapshots.

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

/** Reads of one moment, on a connection of their own. */
export type Snapshots = {
  /** Runs `work` inside one read transaction: everything it sees is of one moment. */
  snapshot<T>(work: (reader: Reader) => Promise<T>): Promise<T>;
};

export type Database = {
  readonly read: Reader;
  /** Another number once anything has been committed, by this process or another, but for what is unseen. */
  version(): number;
  /**
   * Runs `work` inside a write transaction and resolves when it is durable. Work that waits at the same moment shares a
   * commit, each in a savepoint; one failure rolls back only itself. `work` must be short: all writers wait for it.
   * Errors: what `work` throws; `unavailable` when another process keeps the lock; `no-space` when the disk is full.
   */
  transact<T>(work: (tx: Transaction) => Promise<T>, options?: UnitOptions): Promise<T>;
  /** Bytes of the log of commits beside the database. */
  logBytes(): number;
  /** Gives back what the log has grown by while somebody read for long; nothing while somebody still does. */
  shrinkLog(): void;
  /** What SQLite itself says of the file: I-1. Empty when all is well. */
  integrityProblems(): string[];
  /** Gives free pages back to the disk, where that pays; answers the bytes. Only while no other work is under way. */
  shrink(): number;
  close(): void;
};

export type DatabaseOptions = {
  readonly path: string;
  readonly clock: Clock;
  /** False refuses a missing file instead of making a new one. */
  readonly create: boolean;
  readonly failpoint?: ((name: string) => void) | undefined;
  /** As of the writer. */
  readonly requireFiles?: (() => void) | undefined;
  /** Told when the disk can no longer be trusted (a failed fsync of the log): the process must end. */
  readonly onFatal?: ((error: unknown) => void) | undefined;
  /** Room for changes that make room, when the disk is full. */
  readonly reserve?: Reserve | undefined;
  /** True lets all changes use it, for commands of the one who runs the server. */
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

/** For worker threads and commands, which read beside the server. */
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
