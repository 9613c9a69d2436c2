// The main database: one write connection behind a queue, one to read, one for snapshots.

import { Database as Connection } from "bun:sqlite";
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { drizzle } from "drizzle-orm/bun-sqlite";
import { unavailable } from "../errors.ts";
import type { Clock } from "../modules/clock.ts";
import { createMutex } from "../modules/mutex.ts";
import { isDatabaseBusy, isDatabaseFull, toAppError, toOpenError } from "./database-errors.ts";
import { migrate, schemaNumber } from "./migrations.ts";
import type { Reserve } from "./reserve.ts";
import * as schema from "./schema/sqlite.ts";
import { shrink } from "./shrink.ts";
import { transactionOf, type Reader, type Transaction } from "./transaction.ts";
import { createWriter, type UnitOptions, type Writer } from "./writer.ts";

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

// https://sqlite.org/fileformat2.html#the_write_ahead_log
const LOG_MAGIC = new Set([0x377f0682, 0x377f0683]);
const OLDEST_SQLITE = [3, 51, 3] as const;

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

/**
 * Own commits are counted by who makes them. Those of others SQLite tells: `data_version` of the connection that writes
 * stays as it is for its own. https://sqlite.org/pragma.html#pragma_data_version
 */
function countChanges(write: Connection): { add(): void; version(): number } {
  const ofOthers = write.query<{ data_version: number }, []>("PRAGMA data_version");
  let own = 0;
  let last = 0;
  return {
    add: () => (own += 1),
    version: () => {
      try {
        last = ofOthers.get()?.data_version ?? 0;
      } catch (error) {
        if (!isDatabaseBusy(error)) throw error;
        // What cannot be told has changed.
        own += 1;
      }
      return last + own;
    },
  };
}

function closeWriting(write: Connection): void {
  // What has not committed by now was never acknowledged.
  if (write.inTransaction) write.run("ROLLBACK");
  shrinkLog(write);
  write.close();
}

function openForWriting(options: DatabaseOptions): Connection {
  requireLog(options.path);
  try {
    return connectToWrite(options);
  } catch (error) {
    // Even to look into a database SQLite makes a file beside it.
    if (isDatabaseFull(error) && options.reserve?.release() === true) return openForWriting(options);
    throw toOpenError(error, options.path);
  }
}

function openForReading(path: string): Connection {
  try {
    return connect(path, { create: false }, (connection) => connection.run("PRAGMA query_only = ON"));
  } catch (error) {
    throw toOpenError(error, path);
  }
}

/**
 * SQLite passes over a log that it cannot read, and with it over what was committed last. One of zeros was being begun
 * when the power went.
 */
function requireLog(path: string): void {
  const head = headOf(`${path}-wal`);
  if (head === undefined || head === 0 || LOG_MAGIC.has(head)) return;
  throw unavailable(
    `${path}-wal is damaged, and with it what was stored last: restore a backup, or move it away to go on without that. Nothing was changed.`,
    60,
  );
}

function headOf(path: string): number | undefined {
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) < 4) return undefined;
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(4);
    readSync(file, bytes);
    return bytes.readUInt32BE();
  } finally {
    closeSync(file);
  }
}

function connectToWrite(options: DatabaseOptions): Connection {
  return connect(options.path, { create: options.create }, (connection) => {
    requireSqlite(connection);
    refuseForeign(connection, options.path);
    migrate(connection, options.clock.now());
    // The writer waits for the lock itself, without blocking; see `connect()`.
    connection.run("PRAGMA busy_timeout = 0");
  });
}

/** What the log holds goes into the database, so that its place can be written to again. */
function makeRoom(write: Connection, reserve: Reserve | undefined): void {
  reserve?.release();
  try {
    write.run("PRAGMA wal_checkpoint(RESTART)");
  } catch (error) {
    if (!isDatabaseBusy(error) && !isDatabaseFull(error)) throw error;
  }
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

/** Closed again when `prepare` or a setting fails. */
function connect(path: string, options: { create: boolean }, prepare: (connection: Connection) => void): Connection {
  using opened = new DisposableStack();
  const connection = opened.adopt(
    new Connection(path, { readwrite: true, create: options.create, strict: true }),
    (failed) => failed.close(),
  );
  // Waiting for a lock blocks every request, so SQLite waits briefly and the writer waits on without blocking.
  connection.run("PRAGMA busy_timeout = 100");
  connection.run("PRAGMA journal_mode = WAL");
  connection.run("PRAGMA synchronous = FULL");
  connection.run("PRAGMA foreign_keys = ON");
  // Savepoints keep what they may have to undo; in a file it would leave the data folder, and cost a publish much.
  connection.run("PRAGMA temp_store = MEMORY");
  // Fewer, larger checkpoints: each writes pages that many publishes have touched, and syncs the database.
  connection.run("PRAGMA wal_autocheckpoint = 4000");
  connection.run("PRAGMA journal_size_limit = 67108864");
  connection.run("PRAGMA cache_size = -16384");
  prepare(connection);
  opened.move();
  return connection;
}

function requireSqlite(connection: Connection): void {
  const version = connection.query<{ v: string }, []>("SELECT sqlite_version() AS v").get()?.v ?? "0";
  const parts = version.split(".").map(Number);
  for (const [position, least] of OLDEST_SQLITE.entries()) {
    const part = parts[position] ?? 0;
    if (part > least) return;
    if (part < least) throw new Error(`SQLite ${version} can corrupt its log; ${OLDEST_SQLITE.join(".")} is needed`);
  }
}

function shrinkLog(write: Connection): void {
  if (write.inTransaction) return;
  try {
    write.run("PRAGMA wal_checkpoint(TRUNCATE)");
  } catch {
    // On a disk that takes nothing the log stays as it is, and the next start reads it.
  }
}

/** A file that was put there by mistake is somebody's, and gets no tables of ours. */
function refuseForeign(connection: Connection, path: string): void {
  const tables = connection.query<{ name: string }, []>("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
  if (tables.length === 0 || tables.some(({ name }) => name === "schema_migration")) return;
  throw unavailable(`${path} is a database of something else: put back that of condarium. Nothing was changed.`, 60);
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

function integrityProblems(read: Connection, write: Connection): string[] {
  const problems: string[] = [];
  const integrity = read.query<{ integrity_check: string }, []>("PRAGMA integrity_check").all();
  for (const row of integrity) if (row.integrity_check !== "ok") problems.push(`integrity: ${row.integrity_check}`);
  const foreign = read.query<{ table: string; rowid: number }, []>("PRAGMA foreign_key_check").all();
  for (const row of foreign) problems.push(`foreign key: row ${row.rowid} of ${row.table} points nowhere`);
  const mode = write.query<{ journal_mode: string }, []>("PRAGMA journal_mode").get()?.journal_mode;
  if (mode !== "wal") problems.push(`journal_mode is ${mode}, not wal`);
  const synchronous = write.query<{ synchronous: number }, []>("PRAGMA synchronous").get()?.synchronous;
  if (synchronous !== 2) problems.push(`synchronous is ${synchronous}, not 2`);
  if (schemaNumber(read) < 1) problems.push("no migration has been applied");
  return problems;
}
