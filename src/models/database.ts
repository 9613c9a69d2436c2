// The main database: one write connection behind a queue, one to read, one for snapshots.

import { Database as Connection } from "bun:sqlite";
import { drizzle, type BunSQLiteDatabase } from "drizzle-orm/bun-sqlite";
import type { Clock } from "../modules/clock.ts";
import { createMutex } from "../modules/mutex.ts";
import { isDatabaseBusy, isDatabaseFull, toAppError, toOpenError } from "./database-errors.ts";
import { migrate, schemaNumber } from "./migrations.ts";
import type { Reserve } from "./reserve.ts";
import * as schema from "./schema/sqlite.ts";
import { shrink } from "./shrink.ts";
import { createWriter, type UnitOptions, type Writer } from "./writer.ts";

/** Runs queries; all query functions in `models/` take one as their first argument. */
export type Reader = BunSQLiteDatabase<typeof schema>;

declare const inTransaction: unique symbol;

/** A reader inside `transact()`; the functions that write demand one. */
export type Transaction = Reader & { readonly [inTransaction]: true };

/** Reads of one moment, on a connection of their own. */
export type Snapshots = {
  /** Runs `work` inside one read transaction: everything it sees is of one moment. */
  snapshot<T>(work: (reader: Reader) => Promise<T>): Promise<T>;
};

export type Database = {
  readonly read: Reader;
  /** Another number once anything has been committed, by this process or another. */
  version(): number;
  /**
   * Runs `work` inside a write transaction and resolves when it is durable. Work that waits at the same moment shares a
   * commit, each in a savepoint; one failure rolls back only itself. `work` must be short: all writers wait for it.
   * Errors: what `work` throws; `unavailable` when another process keeps the lock; `no-space` when the disk is full.
   */
  transact<T>(work: (tx: Transaction) => Promise<T>, options?: UnitOptions): Promise<T>;
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
  /** Told when the disk can no longer be trusted (a failed fsync of the log): the process must end. */
  readonly onFatal?: ((error: unknown) => void) | undefined;
  /** Room for changes that make room, when the disk is full. */
  readonly reserve?: Reserve | undefined;
  /** True lets all changes use it, for commands of the one who runs the server. */
  readonly evenIfFull?: boolean | undefined;
};

const OLDEST_SQLITE = [3, 51, 3] as const;

export function openDatabase(options: DatabaseOptions): Database {
  const write = openForWriting(options);
  const read = connect(options.path, { create: false });
  read.run("PRAGMA query_only = ON");
  const reader = drizzle(read, { schema });
  const writer: Writer<Transaction> = createWriter({
    connection: write,
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what the writer hands out is inside its transaction
    transaction: drizzle(write, { schema }) as Reader as Transaction,
    failpoint: options.failpoint,
    onFatal: options.onFatal,
    onFull: () => makeRoom(write, options.reserve),
  });
  const dataVersion = read.query<{ data_version: number }, []>("PRAGMA data_version");
  return {
    read: reader,
    version: () => dataVersion.get()?.data_version ?? 0,
    transact: (work, unit) => writer.run(work, { evenIfFull: options.evenIfFull ?? false, ...unit }),
    integrityProblems: () => integrityProblems(read, write),
    shrink: () => shrink(write),
    close: () => {
      read.close();
      // What has not committed by now was never acknowledged.
      if (write.inTransaction) write.run("ROLLBACK");
      write.run("PRAGMA wal_checkpoint(TRUNCATE)");
      write.close();
    },
  };
}

function openForWriting(options: DatabaseOptions): Connection {
  try {
    return connectToWrite(options);
  } catch (error) {
    // Even to look into a database SQLite makes a file beside it.
    if (isDatabaseFull(error) && options.reserve?.release() === true) return openForWriting(options);
    throw toOpenError(error, options.path);
  }
}

function connectToWrite(options: DatabaseOptions): Connection {
  const connection = connect(options.path, { create: options.create });
  requireSqlite(connection);
  migrate(connection, options.clock.now());
  // The writer waits for the lock itself, without blocking; see `connect()`.
  connection.run("PRAGMA busy_timeout = 0");
  return connection;
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
  const connection = connect(path, { create: false });
  connection.run("PRAGMA query_only = ON");
  const reader = drizzle(connection, { schema });
  const mutex = createMutex();
  return {
    snapshot: (work) => mutex.run(() => inSnapshot(connection, () => work(reader))),
    close: () => connection.close(),
  };
}

function connect(path: string, options: { create: boolean }): Connection {
  const connection = new Connection(path, { readwrite: true, create: options.create, strict: true });
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
