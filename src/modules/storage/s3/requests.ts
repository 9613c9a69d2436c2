// How every request to an S3 service is made: with a time-out, a few attempts, and a circuit breaker.
// Hand-written: the SDK repeats no request whose body is a stream, and has no limit of the total time and no breaker.

import { setTimeout as pause } from "node:timers/promises";
import { S3Client } from "@aws-sdk/client-s3";
import { AppError } from "../../../errors.ts";
import { systemClock } from "../../clock.ts";
import type { S3Description } from "../description.ts";
import { createBreaker, storageDown } from "./breaker.ts";
import { concernsObject, isPassing, statusOf } from "./faults.ts";

export type Limits = { readonly attemptMs: number; readonly totalMs: number };

export type Requests = {
  readonly client: S3Client;
  /**
   * Runs `work` until it succeeds, at most three times. Errors: `unavailable` when the service fails or does not answer;
   * any other answer of the service as it is.
   */
  run<T>(work: (signal: AbortSignal) => Promise<T>, limits?: Limits): Promise<T>;
};

/** For requests that transfer little. */
const SMALL: Limits = { attemptMs: 3000, totalMs: 10_000 };
const ATTEMPTS = 3;
/** The pauses before the second and the third attempt are random, up to this and twice this. */
const PAUSE_MS = 400;
const RETRY_AFTER = 10;
const REFUSED_RETRY_AFTER = 60;
const CONNECT_MS = 3000;
const ABANDON_MS = 500;
/** A limit that every attempt's own comes before. */
const REQUEST_MS = 5 * 60_000;
/** Above the number of downloads, so that none of them keeps other requests waiting. */
const CONNECTIONS = 200;

export function createRequests(description: S3Description): Requests {
  const now = systemClock.elapsed;
  const breaker = createBreaker({ now });

  return {
    client: createClient(description),
    run: async (work, { attemptMs, totalMs } = SMALL) => {
      const end = now() + totalMs;
      for (let attempts = 1; ; attempts += 1) {
        breaker.enter();
        try {
          const result = await attempt(work, Math.min(attemptMs, end - now()));
          breaker.succeeded();
          return result;
        } catch (error) {
          if (!isPassing(error)) {
            // The service has answered; an error of this server says nothing about the service, but lets the next try.
            breaker.succeeded();
            throw toRefusal(error);
          }
          breaker.failed(error);
          const ms = Math.random() * PAUSE_MS * attempts;
          if (attempts === ATTEMPTS || now() + ms >= end) throw storageDown(RETRY_AFTER, error);
          await pause(ms);
        }
      }
    },
  };
}

function ignore(): void {}

/** What the service answers about one object concerns its caller; any other refusal is the operator's concern. */
function toRefusal(error: unknown): unknown {
  if (statusOf(error) === undefined || concernsObject(error)) return error;
  return storageDown(REFUSED_RETRY_AFTER, error);
}

async function attempt<T>(work: (signal: AbortSignal) => Promise<T>, ms: number): Promise<T> {
  const controller = new AbortController();
  const abandoned = Promise.withResolvers<never>();
  let abandon: Timer | undefined;
  const timer = setTimeout(() => {
    const error = new Error(`no answer within ${Math.round(ms)} ms`);
    controller.abort(error);
    // An aborted request ends at once, unless its connection never does.
    abandon = setTimeout(() => abandoned.reject(error), ABANDON_MS);
  }, ms);
  try {
    return await Promise.race([work(controller.signal), abandoned.promise]);
  } catch (error) {
    // The SDK's own error does not say why.
    throw controller.signal.aborted ? controller.signal.reason : error;
  } finally {
    clearTimeout(timer);
    clearTimeout(abandon);
  }
}

function createClient({ endpoint, region, pathStyle, credentials }: S3Description): S3Client {
  const { accessKeyId, secretAccessKey, sessionToken } = credentials;
  return new S3Client({
    ...(endpoint === undefined ? {} : { endpoint }),
    region,
    forcePathStyle: pathStyle,
    credentials: { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) },
    maxAttempts: 1,
    // By default the SDK adds checksums in a form that other services than Amazon's refuse.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    requestHandler: {
      connectionTimeout: CONNECT_MS,
      requestTimeout: REQUEST_MS,
      throwOnRequestTimeout: true,
      httpAgent: { maxSockets: CONNECTIONS },
      httpsAgent: { maxSockets: CONNECTIONS },
    },
    // Otherwise the SDK writes warnings to standard error.
    logger: { trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore },
  });
}

/** The error of content that a service does not have, when a caller cannot go on without it. */
export function missingError(key: string): AppError {
  return new AppError("unavailable", "The server's storage has lost this content.", {
    retryAfter: 300,
    cause: new Error(`the object ${key} is missing or was replaced`),
  });
}
