// Classifies the errors of PostgreSQL and of the connection to it, including those that drizzle has wrapped.
// https://www.postgresql.org/docs/current/errcodes-appendix.html

import { AppError, conflict, unavailable } from "../../errors.ts";

/** serialization_failure and deadlock_detected; foreign_key_violation when a row was deleted between two statements. */
const REPEATED = new Set(["40001", "40P01", "23503"]);
/** lock_not_available, query_canceled (a time-out), too_many_connections. */
const BUSY = new Set(["55P03", "57014", "53300"]);
const UNIQUE = "23505";
const DISK_FULL = "53100";
const DAMAGED = new Set(["XX001", "XX002"]);
/** A standby, or a server that was set to read-only. */
const READ_ONLY = "25006";
/** Every statement after a failed one, in a transaction. */
const IN_FAILED_TRANSACTION = "25P02";

const UNKNOWN_TRANSACTION = "22023";

export type Fault =
  | { readonly kind: "server"; readonly state: string }
  /** `code` is Bun's. */
  | { readonly kind: "connection"; readonly code: string };

/** What happened in the database; undefined for an error from elsewhere. */
export function faultOf(error: unknown): Fault | undefined {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    if (!("code" in at) || typeof at.code !== "string" || !at.code.startsWith("ERR_POSTGRES_")) continue;
    if ("errno" in at && typeof at.errno === "string") return { kind: "server", state: at.errno };
    return { kind: "connection", code: at.code };
  }
  return undefined;
}

/** Whether running the unit of work again can succeed. */
export function isRepeatable(error: unknown): boolean {
  const fault = faultOf(error);
  return fault?.kind === "server" && REPEATED.has(fault.state);
}

/** Whether the connection cannot be used any more. */
export function isConnectionLost(error: unknown): boolean {
  const fault = faultOf(error);
  if (!fault) return false;
  // 57P01 to 57P05: the server ends, has crashed or starts.
  return fault.kind === "connection" || fault.state.startsWith("57P") || fault.state.startsWith("08");
}

/** Whether the connection was open once, and has ended: another one can work. */
export function isConnectionClosed(error: unknown): boolean {
  const fault = faultOf(error);
  if (fault?.kind === "server") return isConnectionLost(error);
  return fault?.code === "ERR_POSTGRES_CONNECTION_CLOSED";
}

/** Whether the server has never had a transaction of this number: it was set back to an earlier state. */
export function isTransactionUnknown(error: unknown): boolean {
  const fault = faultOf(error);
  return fault?.kind === "server" && fault.state === UNKNOWN_TRANSACTION;
}

/** Converts a database error to an error that clients can see; returns other errors unchanged. */
export function toAppError(error: unknown): unknown {
  if (error instanceof AppError) return error;
  const inner = appErrorIn(error);
  if (inner) return inner;
  const fault = faultOf(error);
  if (!fault) return error;
  if (isConnectionLost(error)) return databaseDown("The database cannot be reached. Retry in a moment.", 5, error);
  const state = fault.kind === "server" ? fault.state : "";
  if (state === UNIQUE) return conflict("Another request created the same item. Check, then retry.");
  if (state === DISK_FULL) return new AppError("no-space", "The disk of the database is full.", { cause: error });
  if (REPEATED.has(state) || BUSY.has(state)) return unavailable("The database is busy. Retry in a moment.", 1, error);
  if (state === READ_ONLY) return readOnly(error);
  if (DAMAGED.has(state)) return unavailable("The database is damaged. Its administrator must repair it.", 60, error);
  // Classes of server trouble: insufficient resources, operator intervention, system error, authorization.
  if (/^(?:53|57|58|28)/.test(state) || state === IN_FAILED_TRANSACTION)
    return databaseDown("The database cannot work now. Retry in a moment.", 10, error);
  return error;
}

/** The error for an answer that nobody waits for any more. */
export function unanswered(): AppError {
  return databaseDown("The database does not answer. Retry in a moment.", 5);
}

/** The error of a database that fails for every request. */
function databaseDown(message: string, retryAfter: number, cause?: unknown): AppError {
  return new AppError("unavailable", message, { retryAfter, cause, part: "database" });
}

export function readOnly(cause?: unknown): AppError {
  return databaseDown("The database is read-only now, for example a standby.", 10, cause);
}

/** Converts an error from opening a database to a complete one-line message for the operator. */
export function toOpenError(error: unknown, where: string): unknown {
  const fault = faultOf(error);
  if (!fault) return toAppError(error);
  const reason = messageOf(error);
  const remedy =
    fault.kind === "connection"
      ? "Check that PostgreSQL runs there and accepts connections"
      : "Check the database, its user and the rights of this user";
  return unavailable(`The database ${where} cannot be opened: ${reason}. ${remedy}. Nothing was changed.`, 10, error);
}

function appErrorIn(error: unknown): AppError | undefined {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    if (at instanceof AppError) return at;
  }
  return undefined;
}

/** The message of the server: drizzle wraps it in one that contains the query. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? messageOf(error.cause) : error.message;
}
