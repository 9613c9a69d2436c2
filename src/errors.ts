// The one error type that crosses layers. Only routers/http/errors.ts and cli/ know what a code means to a person.

export type ErrorCode =
  | "malformed"
  /** A value that cannot be what it is meant for, by whatever way it came. */
  | "invalid-argument"
  | "unauthenticated"
  | "forbidden"
  | "not-found"
  | "method-not-allowed"
  | "timeout"
  | "conflict"
  | "too-large"
  | "unsupported"
  | "invalid"
  | "hash-mismatch"
  | "throttled"
  | "usage"
  | "unavailable"
  | "no-space";

/** Extra facts for the one who is told: extension members of the problem document, and HTTP hints. */
export type ErrorFacts = {
  /** Members added to the answer, for machines: `findings`, `identical`, `limit`. */
  readonly members?: Readonly<Record<string, unknown>>;
  /** Seconds after which it makes sense to try again. */
  readonly retryAfter?: number;
  /** Methods that are allowed, for `method-not-allowed`. */
  readonly allow?: string;
  /** The request header that this depends on, so that no cache gives it to someone else. */
  readonly vary?: string | undefined;
  readonly cause?: unknown;
};

/** An expected failure. `message` is shown to people, so it never holds a secret or an internal. */
export class AppError extends Error {
  override readonly name = "AppError";
  readonly code: ErrorCode;
  readonly facts: ErrorFacts;

  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}) {
    super(message, { cause: facts.cause });
    this.code = code;
    this.facts = facts;
  }
}

export const malformed = (message: string, facts?: ErrorFacts): AppError => new AppError("malformed", message, facts);
export const unauthenticated = (message: string): AppError => new AppError("unauthenticated", message);
export const forbidden = (message: string): AppError => new AppError("forbidden", message);
export const notFound = (message: string, facts?: ErrorFacts): AppError => new AppError("not-found", message, facts);
export const conflict = (message: string, facts?: ErrorFacts): AppError => new AppError("conflict", message, facts);
export const invalid = (message: string, facts?: ErrorFacts): AppError => new AppError("invalid", message, facts);
export const invalidArgument = (message: string): AppError => new AppError("invalid-argument", message);
export const usage = (message: string): AppError => new AppError("usage", message);
export const unavailable = (message: string, retryAfter: number, cause?: unknown): AppError =>
  new AppError("unavailable", message, { retryAfter, cause });
