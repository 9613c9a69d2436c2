// The only error type that crosses layers. Only routers/http/errors.ts and cli/ translate a code for people.

export type ErrorCode =
  | "malformed"
  /** A value that is not valid for its purpose, from a request, a command or a setting. */
  | "invalid-argument"
  | "unauthenticated"
  | "forbidden"
  | "not-found"
  | "method-not-allowed"
  | "timeout"
  | "conflict"
  /** The request was only to be done if the file did not exist. */
  | "precondition-failed"
  | "too-large"
  | "unsupported"
  | "invalid"
  /** A password that the rules refuse. */
  | "weak-password"
  /** A well-formed request to the API that breaks a rule. */
  | "unprocessable"
  | "hash-mismatch"
  | "throttled"
  | "usage"
  | "unavailable"
  | "no-space";

/** A part of the server that can fail for all requests at once. */
export type ServerPart = "database" | "storage" | "disk";

/** Extra facts for the recipient: extension members of the problem document, and HTTP hints. */
export type ErrorFacts = {
  /** Machine-readable members of the response: `findings`, `identical`, `limit`. */
  readonly members?: Readonly<Record<string, unknown>>;
  /** The rules that a refused package breaks, for the log. */
  readonly rules?: readonly string[];
  /** Seconds after which a retry can succeed. */
  readonly retryAfter?: number | undefined;
  /** Allowed methods, for `method-not-allowed`. */
  readonly allow?: string;
  /** Request header that the error depends on (`Vary`), so that no cache serves it to other clients. */
  readonly vary?: string | undefined;
  /** Reason for the server's log alone, where the client must not learn it. */
  readonly log?: string | undefined;
  /** The part that fails, where not only this request does. */
  readonly part?: ServerPart | undefined;
  /** What the actor was refused, for the audit trail. */
  readonly refused?: Refused | undefined;
  readonly cause?: unknown;
};

/** An action on a channel, an owner, or the whole server. */
export type Refused = {
  readonly action: string;
  readonly owner?: string | undefined;
  readonly channel?: string | undefined;
  readonly type?: string | undefined;
};

/** An expected failure. `message` is shown to people, so it never contains a secret or an internal detail. */
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
export const unauthenticated = (message: string, facts?: ErrorFacts): AppError =>
  new AppError("unauthenticated", message, facts);
export const forbidden = (message: string, facts?: ErrorFacts): AppError => new AppError("forbidden", message, facts);
export const notFound = (message: string, facts?: ErrorFacts): AppError => new AppError("not-found", message, facts);
export const conflict = (message: string, facts?: ErrorFacts): AppError => new AppError("conflict", message, facts);
export const preconditionFailed = (message: string, facts?: ErrorFacts): AppError =>
  new AppError("precondition-failed", message, facts);
export const invalid = (message: string, facts?: ErrorFacts): AppError => new AppError("invalid", message, facts);
export const invalidArgument = (message: string): AppError => new AppError("invalid-argument", message);
export const usage = (message: string): AppError => new AppError("usage", message);
export const unavailable = (message: string, retryAfter: number, cause?: unknown): AppError =>
  new AppError("unavailable", message, { retryAfter, cause });
