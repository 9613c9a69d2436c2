// What a worker thread tells of a failure, so that the client learns which part of the server fails.

import { AppError, type ErrorCode, type ServerPart } from "../errors.ts";
import { isDatabaseDiskFailure, isDatabaseFull } from "../models/database-errors.ts";
import { diskDown, isDiskFull, isDiskRefusal, noSpace } from "../modules/storage/disk-errors.ts";

/** A failure as it is sent to another thread, which gets no members of an error but its text. */
export type Failure = {
  /** For the log. */
  readonly message: string;
  /** Undefined for a failure that no client can learn more about. */
  readonly refusal: Refusal | undefined;
};

type Refusal = {
  readonly code: ErrorCode;
  readonly message: string;
  readonly retryAfter: number | undefined;
  readonly part: ServerPart | undefined;
};

export function failureOf(error: unknown): Failure {
  const message = error instanceof Error ? error.message : String(error);
  const known = refusalFor(error);
  if (!known) return { message, refusal: undefined };
  const { code, facts } = known;
  return { message, refusal: { code, message: known.message, retryAfter: facts.retryAfter, part: facts.part } };
}

/** The error for the client; undefined when the thread knows nothing that helps. */
export function errorOf({ message, refusal }: Failure): AppError | undefined {
  if (!refusal) return undefined;
  const { code, part, retryAfter } = refusal;
  return new AppError(code, refusal.message, { part, retryAfter, cause: new Error(message) });
}

/** The text of other errors can name paths. */
function refusalFor(error: unknown): AppError | undefined {
  if (error instanceof AppError && error.facts.part !== undefined) return error;
  const isFull = error instanceof AppError ? error.code === "no-space" : isDatabaseFull(error) || isDiskFull(error);
  if (isFull) return noSpace();
  return isDatabaseDiskFailure(error) || isDiskRefusal(error) ? diskDown() : undefined;
}
