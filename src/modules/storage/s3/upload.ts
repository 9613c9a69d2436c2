// Stores a local file as an object. The service compares the SHA-256 of the file, or of each of its parts.
// Hand-written: @aws-sdk/lib-storage computes no SHA-256 of parts before they are sent, and repeats no part.

import { createReadStream } from "node:fs";
import { open, readFile } from "node:fs/promises";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  HeadObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
  type CompletedPart,
} from "@aws-sdk/client-s3";
import { createSha256 } from "../../hash.ts";
import { createSemaphore } from "../../mutex.ts";
import type { Limits, Requests } from "./requests.ts";

export type Target = { readonly Bucket: string; readonly Key: string };
export type LocalFile = {
  readonly path: string;
  readonly size: number;
  /** Base64. */
  readonly sha256: string;
};

const MIB = 1024 ** 2;
/** A larger file is sent in parts. */
const WHOLE_BYTES = 64 * MIB;
/** A file up to this size is read into memory. */
export const SMALL_BYTES = MIB;
const PART_BYTES = 8 * MIB;
const MOST_PARTS = 10_000;
/** Parts in memory, of all uploads together, and of one. */
const partSlots = createSemaphore(8, Number.POSITIVE_INFINITY);
const LANES = 3;
const COMPLETE: Limits = { attemptMs: 60_000, totalMs: 120_000 };

/** Returns when the object is durable. Errors: `unavailable`; then no part remains. */
export async function putFile(requests: Requests, target: Target, file: LocalFile): Promise<void> {
  if (file.size > WHOLE_BYTES) return await putInParts(requests, target, file);
  await requests.run(async (signal) => {
    const content =
      file.size <= SMALL_BYTES ? await readFile(file.path) : createReadStream(file.path, { highWaterMark: MIB / 4 });
    const input = { ...target, Body: content, ContentLength: file.size, ChecksumSHA256: file.sha256 };
    try {
      const { ChecksumSHA256: stored } = await requests.client.send(new PutObjectCommand(input), {
        abortSignal: signal,
      });
      requireSame(stored, file.sha256);
    } finally {
      if (!Buffer.isBuffer(content)) content.destroy();
    }
  }, limitsFor(file.size));
}

/** Stores small content. */
export async function putBytes(requests: Requests, target: Target, content: Uint8Array): Promise<void> {
  const sha256 = createSha256().update(content).digest("base64");
  const input = { ...target, Body: content, ContentLength: content.byteLength, ChecksumSHA256: sha256 };
  await requests.run(async (signal) => {
    const { ChecksumSHA256: stored } = await requests.client.send(new PutObjectCommand(input), { abortSignal: signal });
    requireSame(stored, sha256);
  });
}

async function putInParts(requests: Requests, target: Target, file: LocalFile): Promise<void> {
  const { client, run } = requests;
  const { UploadId: id } = await run((abortSignal) =>
    client.send(new CreateMultipartUploadCommand({ ...target, ChecksumAlgorithm: "SHA256" }), { abortSignal }),
  );
  const upload = { ...target, UploadId: id };
  try {
    const Parts = await sendParts(requests, upload, file);
    const complete = new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } });
    await run((abortSignal) => client.send(complete, { abortSignal }), COMPLETE).catch(async (error: unknown) => {
      if (!(await isComplete(requests, target, file, error))) throw error;
    });
  } catch (error) {
    // A later sweep aborts an upload that cannot be aborted now.
    await run((abortSignal) => client.send(new AbortMultipartUploadCommand(upload), { abortSignal })).catch(
      () => undefined,
    );
    throw error;
  }
}

/** The answer to a first attempt can be lost; the second one then finds no upload, but the object. */
async function isComplete({ client, run }: Requests, target: Target, file: LocalFile, error: unknown) {
  if (!(error instanceof Error) || error.name !== "NoSuchUpload") return false;
  const head = await run((abortSignal) => client.send(new HeadObjectCommand(target), { abortSignal }));
  return head.ContentLength === file.size;
}

type Upload = Target & { readonly UploadId: string | undefined };

/** After the first failure no lane starts another part. */
async function sendParts(requests: Requests, upload: Upload, file: LocalFile): Promise<CompletedPart[]> {
  const bytes = Math.max(PART_BYTES, Math.ceil(file.size / MOST_PARTS));
  const count = Math.ceil(file.size / bytes);
  const parts: CompletedPart[] = [];
  let taken = 0;
  let hasFailed = false;
  const lane = async (): Promise<void> => {
    while (taken < count && !hasFailed) {
      const at = taken;
      taken += 1;
      const range = { path: file.path, start: at * bytes, length: Math.min(bytes, file.size - at * bytes) };
      try {
        parts[at] = await partSlots.run(() => sendPart(requests, upload, at + 1, range));
      } catch (error) {
        hasFailed = true;
        throw error;
      }
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: LANES }, lane));
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  return parts;
}

type Range = { readonly path: string; readonly start: number; readonly length: number };

async function sendPart(
  { client, run }: Requests,
  upload: Upload,
  number: number,
  range: Range,
): Promise<CompletedPart> {
  const content = await readRange(range);
  const sha256 = createSha256().update(content).digest("base64");
  const part = { PartNumber: number, ChecksumSHA256: sha256 };
  const command = new UploadPartCommand({ ...upload, ...part, Body: content, ContentLength: content.byteLength });
  const sent = await run(async (abortSignal) => {
    const answer = await client.send(command, { abortSignal });
    requireSame(answer.ChecksumSHA256, sha256);
    return answer;
  }, limitsFor(content.byteLength));
  return { ...part, ETag: sent.ETag };
}

async function readRange({ path, start, length }: Range): Promise<Buffer> {
  const handle = await open(path, "r");
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafeSlow(length), 0, length, start);
    if (bytesRead < length) throw new Error("the staged file is shorter than it was");
    return buffer;
  } finally {
    await handle.close();
  }
}

/** A service that reports its checksum must report the one that it was sent; many report none. */
function requireSame(stored: string | undefined, sent: string): void {
  if (stored !== undefined && stored !== sent) throw new Error(`the storage stored the sha256 ${stored}, not ${sent}`);
}

/** A megabyte per second is the least that an attempt must reach. */
function limitsFor(size: number): Limits {
  const attemptMs = 10_000 + (size / MIB) * 1000;
  return { attemptMs, totalMs: 2 * attemptMs };
}
