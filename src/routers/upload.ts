// The body of an upload as it is staged: the file itself, or a form with one file; with what the headers say of it.

import { AppError, malformed } from "../errors.ts";
import { readMultipart } from "../modules/multipart.ts";
import type { Incoming } from "../services/staging.ts";

/** What a form may hold beside its file. */
const ENVELOPE_BYTES = 1024 ** 2;

/** Errors: `unsupported` for an encoded body, `malformed` for a hash that is none. */
export function incomingOf(request: Request): Incoming {
  refuseEncoded(request);
  const type = request.headers.get("content-type") ?? "";
  const raw: Incoming = {
    body: request.body,
    length: lengthOf(request),
    expected: { sha256: hashOf(request, "x-checksum-sha256", 64), md5: hashOf(request, "x-checksum-md5", 32) },
  };
  if (!/^multipart\/form-data\b/i.test(type)) return raw;
  // The parts' own lengths are not known before they have been read.
  const atLeast = raw.length === undefined ? undefined : raw.length - ENVELOPE_BYTES;
  return { ...raw, body: request.body && readMultipart(request.body, type), length: undefined, atLeast };
}

function refuseEncoded(request: Request): void {
  const encoding = request.headers.get("content-encoding");
  if (encoding === null || encoding.toLowerCase() === "identity") return;
  throw new AppError("unsupported", "Packages are sent as they are, without a Content-Encoding.");
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
