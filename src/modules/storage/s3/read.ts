// Reads objects: small ones completely, larger ones as a stream.

import { Readable } from "node:stream";
import { GetObjectCommand } from "@aws-sdk/client-s3";
import { createSemaphore, type Semaphore } from "../../mutex.ts";
import type { BlobKey, BlobStore, StoredBlob } from "../blob-store.ts";
import { downloadOf, readAll, type Body } from "./download.ts";
import { isMissing } from "./faults.ts";
import { missingError, type Requests } from "./requests.ts";
import type { Target } from "./upload.ts";

export type ReaderParts = {
  readonly requests: Requests;
  readonly targetOf: (key: BlobKey) => Target;
};

/** Content up to this size is read at once: then a failure in the middle is repeated, and known before the answer begins. */
const COMPLETE_BYTES = 1024 ** 2;
/** Bodies that are open at the same time; each has a connection. Further reads wait, as readers who pause give theirs up. */
const BODIES = 100;
const BODIES_WAITING = 1000;

export function createReader(parts: ReaderParts): BlobStore["open"] {
  const { targetOf } = parts;
  const slots = createSemaphore(BODIES, BODIES_WAITING);
  const openBody = createOpening(parts.requests, slots);
  const isWanted = (): boolean => slots.waiting > 0;
  return async (key, range) => {
    const target = targetOf(key);
    const opened = await openBody(target, range, undefined);
    if (!opened) return undefined;
    return opened.kind === "stream" ? streamed(opened, { target, openBody, isWanted }) : new Blob([opened.content]);
  };
}

type Opened =
  | { readonly kind: "complete"; readonly content: Uint8Array<ArrayBuffer> }
  | {
      readonly kind: "stream";
      readonly body: Body;
      readonly start: number;
      readonly size: number;
      readonly etag: string | undefined;
    };
type OpenBody = (
  target: Target,
  range: { readonly start: number; readonly end: number } | undefined,
  etag: string | undefined,
) => Promise<Opened | undefined>;

function createOpening({ client, run }: Requests, slots: Semaphore): OpenBody {
  /** Takes a slot until the returned function is called. */
  async function takeSlot(): Promise<() => void> {
    return await new Promise((resolve, reject) => {
      slots.run(() => new Promise<void>((free) => resolve(free))).catch(reject);
    });
  }

  return async (target, range, etag) => {
    const command = new GetObjectCommand({
      ...target,
      ...(range ? { Range: `bytes=${range.start}-${range.end}` } : {}),
      ...(etag === undefined ? {} : { IfMatch: etag }),
    });
    const free = await takeSlot();
    try {
      return await run(async (abortSignal): Promise<Opened> => {
        const answer = await client.send(command, { abortSignal });
        const { Body: content, ContentLength: size, ETag: found } = answer;
        if (!(content instanceof Readable)) throw new Error("the storage answered without a body");
        if (abortSignal.aborted) {
          // Nobody waits for this answer any more.
          content.destroy();
          throw abortSignal.reason;
        }
        const body = bodyOf(content, free);
        if (size === undefined || (range && size > range.end + 1 - range.start)) {
          content.destroy();
          throw new Error(`the storage answered with another range of ${target.Key}`);
        }
        // A part of a download is read as a stream always: its reader has begun already.
        if (size > COMPLETE_BYTES || etag !== undefined)
          return { kind: "stream", body, start: range?.start ?? 0, size, etag: found };
        abortSignal.addEventListener("abort", () => content.destroy(new Error("the storage sends too slowly")));
        const bytes = await readAll({ content, release: () => void content.destroy() }, size);
        free();
        return { kind: "complete", content: bytes };
      });
    } catch (error) {
      free();
      if (etag === undefined && isMissing(error)) return undefined;
      throw error;
    }
  };
}

/** Without a listener, an error of a body that nobody reads any more would end the process. */
function bodyOf(content: Readable, free: () => void): Body {
  content.on("error", () => undefined);
  const release = (): void => {
    content.destroy();
    free();
  };
  return { content, release };
}

type StreamParts = { readonly target: Target; readonly openBody: OpenBody; readonly isWanted: () => boolean };

/** The body that is open already serves the first reader; another one begins anew. */
function streamed(opened: Opened & { readonly kind: "stream" }, parts: StreamParts): StoredBlob {
  const { target, openBody, isWanted } = parts;
  const { start, size, etag } = opened;
  const end = start + size;
  const reopen = async (at: number): Promise<Body> => {
    const next = await openBody(target, { start: at, end: end - 1 }, etag ?? "*");
    if (next?.kind !== "stream" || next.size !== end - at) throw missingError(target.Key);
    return next.body;
  };
  const rest = { start, end, reopen, isWanted };
  let first: ReadableStream<Uint8Array<ArrayBuffer>> | undefined = downloadOf({ ...rest, first: opened.body });
  const stream = (): ReadableStream<Uint8Array<ArrayBuffer>> => {
    const content = first ?? downloadOf({ ...rest, first: undefined });
    first = undefined;
    return content;
  };
  const response = (): Response => new Response(stream());
  return {
    size,
    stream,
    text: () => response().text(),
    arrayBuffer: () => response().arrayBuffer(),
    bytes: async () => new Uint8Array(await response().arrayBuffer()),
  };
}
