// A circuit breaker: a storage that keeps failing is not asked for some seconds, so that requests fail at once.
// Hand-written: opossum and cockatiel wrap functions with policies of their own; this counts attempts of one policy.

import { AppError } from "../../../errors.ts";

export type Breaker = {
  /** Call it before each attempt, and report its outcome. Errors: `unavailable` while the breaker is open. */
  enter(): void;
  succeeded(): void;
  /** `cause` is what the breaker then refuses with. */
  failed(cause?: unknown): void;
};

export type BreakerOptions = {
  /** Milliseconds that never go back. */
  readonly now: () => number;
};

/** Failed attempts in a row, of all calls, after which the breaker opens. */
const FAILURES = 5;
/** They must last this long: attempts of a moment in which this machine was busy time out together. */
const LASTING_MS = 1000;
const OPEN_MS = 5000;

export function createBreaker({ now }: BreakerOptions): Breaker {
  let failures = 0;
  let failingSince = 0;
  let lastCause: unknown;
  /** Undefined while closed; after this time one attempt is let through, and moves it. */
  let closedUntil: number | undefined;
  return {
    enter: () => {
      if (closedUntil === undefined) return;
      const left = closedUntil - now();
      if (left > 0) throw storageDown(Math.ceil(left / 1000), lastCause);
      // Half open: the attempt that comes now decides, and the next ones are refused until it has.
      closedUntil = now() + OPEN_MS;
    },
    succeeded: () => {
      failures = 0;
      closedUntil = undefined;
    },
    failed: (cause) => {
      failures += 1;
      lastCause = cause;
      if (failures === 1) failingSince = now();
      if (failures >= FAILURES && now() - failingSince >= LASTING_MS) closedUntil = now() + OPEN_MS;
    },
  };
}

export function storageDown(retryAfter: number, cause?: unknown): AppError {
  const message = "The server cannot use its storage now. Its administrator can find the reason in the log.";
  return new AppError("unavailable", message, { retryAfter, cause, part: "storage" });
}
