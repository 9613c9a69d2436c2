// Classifies the errors of the database, including those that drizzle has wrapped.

import { AppError, conflict, unavailable } from "../../errors.ts";

const BUSY = new Set([5, 6]);
// SQLITE_FULL, and SQLITE_IOERR_SHMSIZE, which a full disk causes for the shared-memory file.
const FULL = new Set([13, 4874]);
// SQLITE_IOERR_FSYNC and SQLITE_IOERR_DIR_FSYNC.
const FSYNC = new Set([1034, 1290]);
const UNIQUE = new Set([2067, 1555]);
// SQLITE_CORRUPT, SQLITE_NOTADB, and SQLITE_IOERR_SHORT_READ for a truncated file.
const DAMAGED = new Set([11, 26, 522]);

// SQLITE_PERM, SQLITE_READONLY, SQLITE_IOERR, SQLITE_CANTOPEN.
const FAILED = new Set([3, 8, 10, 14]);

function errno(error: unknown): number | undefined {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    if ("errno" in at && typeof at.errno === "number" && at.name === "SQLiteError") return at.errno;
  }
  return undefined;
}

function isOneOf(error: unknown, numbers: ReadonlySet<number>): boolean {
  const number = errno(error);
  // The low byte of an extended result code is its primary code.
  return number !== undefined && (numbers.has(number) || numbers.has(number & 0xff));
}

export const isDatabaseBusy = (error: unknown): boolean => isOneOf(error, BUSY);
/** After a failed fsync the content of the disk is unknown: the process must end and restart. */
export const isLogSyncFailure = (error: unknown): boolean => isOneOf(error, FSYNC);

export const isDatabaseDamaged = (error: unknown): boolean => isOneOf(error, DAMAGED);
export const isDatabaseFull = (error: unknown): boolean => isOneOf(error, FULL);
/** The disk of the database fails or denies access. False for a full disk and for a damaged database. */
export const isDatabaseDiskFailure = (error: unknown): boolean =>
  isOneOf(error, FAILED) && !isDatabaseFull(error) && !isDatabaseDamaged(error);

/** Converts a database error to an error that clients can see; returns other errors unchanged. */
export function toAppError(error: unknown): unknown {
  if (error instanceof AppError) return error;
  if (isDatabaseBusy(error)) return unavailable("The database is busy. Retry in a moment.", 1, error);
  if (isOneOf(error, UNIQUE)) return conflict("Another request created the same item. Check, then retry.");
  if (isDatabaseFull(error)) return new AppError("no-space", "The disk of the database is full.", { cause: error });
  if (isLogSyncFailure(error)) return unavailable("The disk of the database failed.", 10, error);
  if (isDatabaseDamaged(error))
    return unavailable("The database is damaged. Its administrator must repair it.", 60, error);
  if (isDatabaseDiskFailure(error)) return unavailable("The server cannot use the disk of its database.", 60, error);
  return error;
}

/** Converts an error from opening a database to a complete one-line message for the operator. */
export function toOpenError(error: unknown, path: string): unknown {
  if (isDatabaseBusy(error)) return unavailable(`${path} is busy: another process has locked it. Retry later.`, 1);
  if (isDatabaseDamaged(error)) {
    return unavailable(`${path} is damaged, or not a database: restore it from a backup. Nothing was changed.`, 60);
  }
  if (isDatabaseFull(error)) return new AppError("no-space", `${path} cannot be written: its disk is full.`);
  if (!isDatabaseDiskFailure(error)) return toAppError(error);
  return unavailable(`${path} cannot be opened: ${messageOf(error)}. Check its disk and its permissions.`, 60);
}

/** SQLite's own message: drizzle wraps it in one that contains the query. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? messageOf(error.cause) : error.message;
}
