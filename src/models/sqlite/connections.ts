// Connections to the main database: how they are opened and set, and what SQLite says of the file.

import { Database as Connection } from "bun:sqlite";
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { unavailable } from "../../errors.ts";
import type { Clock } from "../../modules/clock.ts";
import type { Reserve } from "../reserve.ts";
import { isDatabaseBusy, isDatabaseFull, toOpenError } from "./errors.ts";
import { migrate, schemaNumber } from "./migrations.ts";

type WritingOptions = {
  readonly path: string;
  readonly clock: Clock;
  readonly create: boolean;
  readonly reserve?: Reserve | undefined;
};

// https://sqlite.org/fileformat2.html#the_write_ahead_log
const LOG_MAGIC = new Set([0x377f0682, 0x377f0683]);
const OLDEST_SQLITE = [3, 51, 3] as const;

/** Brought to the schema of this binary. Errors: `unavailable`, with what is wrong with the file and the way out. */
export function openForWriting(options: WritingOptions): Connection {
  requireLog(options.path);
  try {
    return connectToWrite(options);
  } catch (error) {
    // Even to look into a database SQLite makes a file beside it.
    if (isDatabaseFull(error) && options.reserve?.release() === true) return openForWriting(options);
    throw toOpenError(error, options.path);
  }
}

/** Errors: as above. */
export function openForReading(path: string): Connection {
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

function connectToWrite(options: WritingOptions): Connection {
  return connect(options.path, { create: options.create }, (connection) => {
    requireSqlite(connection);
    refuseForeign(connection, options.path);
    migrate(connection, options.clock.now());
    // The writer waits for the lock itself, without blocking; see `connect()`.
    connection.run("PRAGMA busy_timeout = 0");
  });
}

/** What the log holds goes into the database, so that its place can be written to again. */
export function makeRoom(write: Connection, reserve: Reserve | undefined): void {
  reserve?.release();
  try {
    write.run("PRAGMA wal_checkpoint(RESTART)");
  } catch (error) {
    if (!isDatabaseBusy(error) && !isDatabaseFull(error)) throw error;
  }
}

export function closeWriting(write: Connection): void {
  // What has not committed by now was never acknowledged.
  if (write.inTransaction) write.run("ROLLBACK");
  shrinkLog(write);
  write.close();
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

export function shrinkLog(write: Connection): void {
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

/** What SQLite itself says of the file, and of what durability needs. */
export function integrityProblems(read: Connection, write: Connection): string[] {
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
