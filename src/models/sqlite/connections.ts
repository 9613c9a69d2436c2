// Connections to the main database: how they are opened and configured, and SQLite's checks of the file.

import { Database as Connection } from "bun:sqlite";
import { closeSync, openSync, readSync } from "node:fs";
import { unavailable } from "../../errors.ts";
import type { Clock } from "../../modules/clock.ts";
import { hasCode } from "../../modules/storage/disk-errors.ts";
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

/** Opens the database and migrates it to this binary's schema. Errors: `unavailable` with the problem and a remedy. */
export function openForWriting(options: WritingOptions): Connection {
  requireLog(options.path);
  try {
    return connectToWrite(options);
  } catch (error) {
    // SQLite creates a file beside the database even to read it.
    if (isDatabaseFull(error) && options.reserve?.release() === true) return openForWriting(options);
    throw toOpenError(error, options.path);
  }
}

/** Opens the database for reading only. Errors: as above. */
export function openForReading(path: string): Connection {
  try {
    return connect(path, { create: false }, (connection) => connection.run("PRAGMA query_only = ON"));
  } catch (error) {
    throw toOpenError(error, path);
  }
}

/**
 * SQLite ignores a log that it cannot read, and with it the latest commits. A log that starts with zeros is accepted:
 * it was being created during a power cut.
 */
function requireLog(path: string): void {
  const magic = magicOf(`${path}-wal`);
  if (magic === undefined || magic === 0 || LOG_MAGIC.has(magic)) return;
  throw unavailable(
    `${path}-wal is damaged, and the latest commits with it: restore a backup, or move the file away to continue without those commits. Nothing was changed.`,
    60,
  );
}

function magicOf(path: string): number | undefined {
  const file = openIfPresent(path);
  if (file === undefined) return undefined;
  try {
    const bytes = Buffer.alloc(4);
    return readSync(file, bytes) < bytes.length ? undefined : bytes.readUInt32BE();
  } finally {
    closeSync(file);
  }
}

/** Opens without a look first: another process that closes the database deletes the log. */
function openIfPresent(path: string): number | undefined {
  try {
    return openSync(path, "r");
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
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

/** Copies the log into the database, so that the file of the log can be overwritten from its start. */
export function makeRoom(write: Connection, reserve: Reserve | undefined): void {
  reserve?.release();
  try {
    write.run("PRAGMA wal_checkpoint(RESTART)");
  } catch (error) {
    if (!isDatabaseBusy(error) && !isDatabaseFull(error)) throw error;
  }
}

export function closeWriting(write: Connection): void {
  // An uncommitted transaction was never acknowledged.
  if (write.inTransaction) write.run("ROLLBACK");
  shrinkLog(write);
  write.close();
}

/** Closes the connection again when `prepare` or a setting fails. */
function connect(path: string, options: { create: boolean }, prepare: (connection: Connection) => void): Connection {
  using opened = new DisposableStack();
  const connection = opened.adopt(
    new Connection(path, { readwrite: true, create: options.create, strict: true }),
    (failed) => failed.close(),
  );
  // SQLite's wait for a lock blocks every request, so it is short; the writer then waits longer without blocking.
  connection.run("PRAGMA busy_timeout = 100");
  connection.run("PRAGMA journal_mode = WAL");
  connection.run("PRAGMA synchronous = FULL");
  connection.run("PRAGMA foreign_keys = ON");
  // Savepoints store their undo data here; in a file it would leave the data folder, and slow down every publish.
  connection.run("PRAGMA temp_store = MEMORY");
  // Fewer, larger checkpoints: a checkpoint writes each page once for many publishes, and syncs the database.
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
    // On a full disk the log remains unchanged, and the next start reads it.
  }
}

/** Refuses another program's database, put there by mistake, instead of creating tables in it. */
function refuseForeign(connection: Connection, path: string): void {
  const tables = connection.query<{ name: string }, []>("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
  if (tables.length === 0 || tables.some(({ name }) => name === "schema_migration")) return;
  throw unavailable(`${path} is another program's database: put the condarium database back. Nothing was changed.`, 60);
}

/** The problems that SQLite finds in the file, and settings that durability requires. */
export function integrityProblems(read: Connection, write: Connection): string[] {
  const problems: string[] = [];
  const integrity = read.query<{ integrity_check: string }, []>("PRAGMA integrity_check").all();
  for (const row of integrity) if (row.integrity_check !== "ok") problems.push(`integrity: ${row.integrity_check}`);
  const foreign = read.query<{ table: string; rowid: number }, []>("PRAGMA foreign_key_check").all();
  for (const row of foreign) problems.push(`foreign key: row ${row.rowid} of ${row.table} references a missing row`);
  const mode = write.query<{ journal_mode: string }, []>("PRAGMA journal_mode").get()?.journal_mode;
  if (mode !== "wal") problems.push(`journal_mode is ${mode}, not wal`);
  const synchronous = write.query<{ synchronous: number }, []>("PRAGMA synchronous").get()?.synchronous;
  if (synchronous !== 2) problems.push(`synchronous is ${synchronous}, not 2`);
  if (schemaNumber(read) < 1) problems.push("no migration has been applied");
  return problems;
}
