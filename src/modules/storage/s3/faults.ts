// What an error of an S3 service means.

import { AppError, usage } from "../../../errors.ts";
import { hasCode } from "../disk-errors.ts";
import type { S3Location } from "../description.ts";

/** An answer of the service to a request that was not sent with the SDK. */
export class ServiceError extends Error {
  readonly $metadata: { readonly httpStatusCode: number };

  constructor(name: string, status: number) {
    super(`the storage answered ${status} ${name}`);
    this.name = name;
    this.$metadata = { httpStatusCode: status };
  }
}

/**
 * Answers below 500 after which a second attempt can succeed: the digests differ when bytes were damaged on their way; a
 * gateway over a file system finds a folder at a key that another request is deleting.
 */
const PASSING = [
  "SlowDown",
  "RequestTimeout",
  "OperationAborted",
  "BadDigest",
  "XAmzContentChecksumMismatch",
  "ExistingObjectIsDirectory",
];

/** The HTTP status of the answer; undefined when none arrived. */
export function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("$metadata" in error)) return undefined;
  const { $metadata: metadata } = error;
  if (typeof metadata !== "object" || metadata === null || !("httpStatusCode" in metadata)) return undefined;
  return typeof metadata.httpStatusCode === "number" ? metadata.httpStatusCode : undefined;
}

/** Whether a further attempt can succeed: the service is overloaded, failing, or did not answer. */
export function isPassing(error: unknown): boolean {
  // Errors of the local disk, from which an upload reads.
  if (error instanceof AppError || hasCode(error, "ENOENT", "EIO", "EACCES", "ENOSPC")) return false;
  const status = statusOf(error);
  if (status === undefined || status >= 500 || status === 429) return true;
  return error instanceof Error && PASSING.includes(error.name);
}

/** Whether the object does not exist. The answer to a HEAD has no body, so it names no reason. */
export function isMissing(error: unknown): boolean {
  return statusOf(error) === 404 && isNamed(error, "NotFound", "NoSuchKey");
}

/** Whether the answer concerns one object or upload alone, and not the bucket or the key. */
export function concernsObject(error: unknown): boolean {
  return isMissing(error) || isNamed(error, "NoSuchUpload", "PreconditionFailed", "InvalidRange");
}

export function isNamed(error: unknown, ...names: readonly string[]): boolean {
  return error instanceof Error && names.includes(error.name);
}

/** The error for the operator at start. */
export function startFault(fault: unknown, { bucket, endpoint, region }: S3Location): AppError {
  const error = fault instanceof AppError ? (fault.cause ?? fault) : fault;
  const place = `the bucket ${bucket} at ${endpoint ?? `Amazon S3 in ${region}`}`;
  const status = statusOf(error);
  if (isNamed(error, "NoSuchBucket"))
    return usage(`There is ${place.replace("the", "no")}. Create it, or correct the URL of --storage.`);
  if (status === 301 || status === 307 || isNamed(error, "AuthorizationHeaderMalformed"))
    return usage(`The server found ${place} in another region. Add the right one to the URL of --storage.`);
  if (status !== undefined && status < 500)
    return usage(
      `The server was refused access to ${place}: ${reason(error)} Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ` +
        "the clock of this machine, and that the key may read, write, delete and list objects.",
    );
  return usage(
    `The server cannot use ${place}: ${reason(error)} Check the URL of --storage, and that the service runs.`,
  );
}

function reason(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.endsWith(".") ? text : `${text}.`;
}
