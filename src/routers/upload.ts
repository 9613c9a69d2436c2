// The body of an upload for staging: a file or a form with one file, with the length and hashes from the headers.

import { AppError, malformed } from "../errors.ts";
import { readMultipart } from "../modules/multipart.ts";
import type { Incoming } from "../services/staging.ts";
import type { Call } from "./request-pipeline.ts";

/** Maximum size of a form without its file. */
const ENVELOPE_BYTES = 1024 ** 2;

/** Errors: `unsupported` for an encoded body, `malformed` for an invalid hash. */
export function incomingOf({ request, body }: Pick<Call, "request" | "body">): Incoming {
  refuseEncoded(request);
  const type = request.headers.get("content-type") ?? "";
  const raw: Incoming = {
    body: body(),
    length: lengthOf(request),
    expected: { sha256: hashOf(request, "x-checksum-sha256", 64), md5: hashOf(request, "x-checksum-md5", 32) },
  };
  if (!/^multipart\/form-data\b/i.test(type)) return raw;
  // The length of each part is unknown until it has been read.
  const atLeast = raw.length === undefined ? undefined : raw.length - ENVELOPE_BYTES;
  return { ...raw, body: raw.body && readMultipart(raw.body, type), length: undefined, atLeast };
}

function refuseEncoded(request: Request): void {
  const encoding = request.headers.get("content-encoding");
  if (encoding === null || encoding.toLowerCase() === "identity") return;
  throw new AppError("unsupported", "An upload must have no Content-Encoding. Send the file unencoded.");
}

function lengthOf(request: Request): number | undefined {
  const header = request.headers.get("content-length");
  return header === null ? undefined : Number(header);
}

function hashOf(request: Request, header: string, length: number): string | undefined {
  const value = request.headers.get(header);
  if (value === null) return undefined;
  if (value.length === length && /^[0-9a-fA-F]+$/.test(value)) return value;
  throw malformed(`${header} must be ${length} hexadecimal digits.`);
}
