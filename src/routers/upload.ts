// The body of an upload for staging: a file or a form with one file, with the length and hashes from the headers.

import { AppError, malformed } from "../errors.ts";
import { createHash, equalHex, type HashName } from "../modules/hash.ts";
import { parseContentMd5, parseDigest, parseDigestField, type DeclaredDigest } from "../modules/http/digest.ts";
import { readMultipart } from "../modules/multipart.ts";
import type { IfExists } from "../services/existing-file.ts";
import type { Incoming } from "../services/staging.ts";
import type { Call } from "./request-pipeline.ts";

/** Maximum size of a form without its file. */
const ENVELOPE_BYTES = 1024 ** 2;

/** Errors: `unsupported` for an encoded body, `malformed` for an invalid hash, `hash-mismatch` for contradictory ones. */
export function incomingOf({ request, body: bodyOf }: Pick<Call, "request" | "body">): Incoming {
  refuseEncoded(request);
  const type = request.headers.get("content-type") ?? "";
  const [ofFile, ofBody] = [fileHashes(request), bodyDigests(request)];
  const body = bodyOf();
  const length = lengthOf(request);
  if (!/^multipart\/form-data\b/i.test(type)) {
    return { body, length, expected: expectedOf([...ofFile, ...ofBody]) };
  }
  // The length of each part is unknown until it has been read.
  const atLeast = length === undefined ? undefined : length - ENVELOPE_BYTES;
  const file = body && (ofBody.length > 0 ? checkedFile(body, type, ofBody) : readMultipart(body, type));
  return { body: file, length: undefined, atLeast, expected: expectedOf(ofFile) };
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

/** Headers in the form of Artifactory, which describe the file also when a form contains it. */
function fileHashes(request: Request): DeclaredDigest[] {
  const headers = [
    ["x-checksum-sha256", "sha256", 64],
    ["x-checksum-sha1", "sha1", 40],
    ["x-checksum-md5", "md5", 32],
  ] as const;
  return headers.flatMap(([header, algorithm, length]) => {
    const value = request.headers.get(header);
    if (value === null) return [];
    if (value.length === length && /^[0-9a-fA-F]+$/.test(value)) return [{ algorithm, hex: value.toLowerCase() }];
    throw malformed(`${header} must be ${length} hexadecimal digits.`);
  });
}

/** Headers of HTTP, which describe the body. */
function bodyDigests(request: Request): DeclaredDigest[] {
  const headers = [
    ["content-md5", parseContentMd5, "the md5 of the body in base64"],
    ["digest", parseDigest, "a list like sha-256=BASE64"],
    ["content-digest", parseDigestField, "a list like sha-256=:BASE64:"],
    ["repr-digest", parseDigestField, "a list like sha-256=:BASE64:"],
  ] as const;
  return headers.flatMap(([header, parse, form]) => {
    const value = request.headers.get(header);
    const digests = value === null ? [] : parse(value);
    if (digests) return digests;
    throw malformed(`${header} must be ${form}.`);
  });
}

function expectedOf(digests: readonly DeclaredDigest[]): Incoming["expected"] {
  const expected: { [name in HashName]?: string } = {};
  for (const { algorithm, hex } of digests) {
    const other = (expected[algorithm] ??= hex);
    if (other !== hex) {
      throw new AppError("hash-mismatch", `The request declared two values of ${algorithm}: ${other} and ${hex}.`);
    }
  }
  return expected;
}

/**
 * Yields the file of a form. A digest in the headers describes the complete form, but some clients declare that of the
 * file: it must be one of the two.
 */
async function* checkedFile(
  body: AsyncIterable<Uint8Array>,
  type: string,
  digests: readonly DeclaredDigest[],
): AsyncGenerator<Uint8Array> {
  const names = [...new Set(digests.map(({ algorithm }) => algorithm))];
  const [ofForm, ofFile] = [createHashes(names), createHashes(names)];
  async function* observed(): AsyncGenerator<Uint8Array> {
    for await (const chunk of body) {
      ofForm.update(chunk);
      yield chunk;
    }
  }
  for await (const chunk of readMultipart(observed(), type)) {
    ofFile.update(chunk);
    yield chunk;
  }
  const [form, file] = [ofForm.digest(), ofFile.digest()];
  for (const { algorithm, hex } of digests) {
    const [formHash = "", fileHash = ""] = [form.get(algorithm), file.get(algorithm)];
    if (equalHex(formHash, hex) || equalHex(fileHash, hex)) continue;
    const found = `The ${algorithm} of the received form is ${formHash}, and of its file ${fileHash}`;
    throw new AppError("hash-mismatch", `${found}, but the request declared ${hex}.`);
  }
}

function createHashes(names: readonly HashName[]): {
  update(chunk: Uint8Array): void;
  digest(): ReadonlyMap<HashName, string>;
} {
  const hashes = names.map((name) => [name, createHash(name)] as const);
  return {
    update: (chunk) => hashes.forEach(([, hash]) => hash.update(chunk)),
    digest: () => new Map(hashes.map(([name, hash]) => [name, hash.digest("hex")])),
  };
}

/** What the query and the headers of an upload ask for. */
export type UploadOptions = { readonly dryRun: boolean; readonly ifExists: IfExists };

/** Errors: `malformed` for a value that is neither true nor false. */
export function uploadOptions({ request, context }: Call): UploadOptions {
  const dryRun = flagOf(context.query, "dry_run");
  const skips = flagOf(context.query, "skip_existing");
  // A precondition counts before the request's own options (RFC 9110, 13.2).
  const isConditional = (request.headers.get("if-none-match") ?? "").trim() === "*";
  return { dryRun, ifExists: isConditional ? "require-absent" : skips ? "skip" : "refuse" };
}

/** An upload that stores a file nobody wanted stored cannot be undone, so a misspelled value is refused. */
function flagOf(query: URLSearchParams, name: string): boolean {
  const value = query.get(name);
  if (value === null) return false;
  const word = value.trim().toLowerCase();
  if (["", "1", "true", "yes", "on"].includes(word)) return true;
  if (["0", "false", "no", "off"].includes(word)) return false;
  throw malformed(`${name} must be true or false, for example ?${name}=true.`);
}

/** 201 for a stored file, 200 for a dry run and for a skipped one. */
export function publishedResponse(published: {
  readonly url: string;
  readonly revision: number | null;
  readonly skipped?: true;
}): Response {
  const headers = new Headers({ "cache-control": "no-store", location: published.url });
  const isStored = published.revision !== null && published.skipped !== true;
  return Response.json(published, { status: isStored ? 201 : 200, headers });
}
