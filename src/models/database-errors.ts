// Tells the errors of the database apart; drizzle may wrap them.

import { AppError, conflict, unavailable } from "../errors.ts";

const BUSY = new Set([5, 6]);
// SQLITE_FULL, and SQLITE_IOERR_SHMSIZE, which a full disk gives for the shared-memory file.
const FULL = new Set([13, 4874]);
// SQLITE_IOERR_FSYNC and SQLITE_IOERR_DIR_FSYNC.
const FSYNC = new Set([1034, 1290]);
const UNIQUE = new Set([2067, 1555]);
// SQLITE_CORRUPT and SQLITE_NOTADB.
const DAMAGED = new Set([11, 26]);

function errno(error: unknown): number | undefined {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    if ("errno" in at && typeof at.errno === "number" && at.name === "SQLiteError") return at.errno;
  }
  return undefined;
}

function isOneOf(error: unknown, numbers: ReadonlySet<number>): boolean {
  const number = errno(error);
  // The low byte of an extended code is the family it belongs to.
  return number !== undefined && (numbers.has(number) || numbers.has(number & 0xff));
}

export const isDatabaseBusy = (error: unknown): boolean => isOneOf(error, BUSY);
export const isDatabaseFull = (error: unknown): boolean => isOneOf(error, FULL);
/** After a failed fsync nobody knows what is on the disk: the process must end and start anew. */
export const isLogSyncFailure = (error: unknown): boolean => isOneOf(error, FSYNC);

/** A database error as people may see it; anything else as it is. */
export function toAppError(error: unknown): unknown {
  if (isDatabaseBusy(error)) return unavailable("The database is busy. Try again in a moment.", 1, error);
  if (isOneOf(error, UNIQUE)) return conflict("The same thing was made at the same moment. Look, then try again.");
  if (isDatabaseFull(error)) return new AppError("no-space", "The disk of the database is full.", { cause: error });
  if (isLogSyncFailure(error)) return unavailable("The disk of the database failed.", 10, error);
  return error;
}

/** Why a database cannot be opened, in a line for the one who starts the server. */
export function toOpenError(error: unknown, path: string): unknown {
  const known = toAppError(error);
  if (known !== error || !(error instanceof Error) || errno(error) === undefined) return known;
  const damaged = "is damaged, or no database: restore it from a backup. Nothing was changed.";
  return unavailable(`${path} ${isOneOf(error, DAMAGED) ? damaged : `cannot be opened: ${error.message}.`}`, 60, error);
}
