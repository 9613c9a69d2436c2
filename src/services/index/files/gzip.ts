// Gzip representations of documents, for clients that accept gzip. A worker thread compresses each document once; the
// result is then stored like any other document.

import type { Events } from "../../../events.ts";
import type { Clock } from "../../../modules/clock.ts";
import { createLru } from "../../../modules/lru.ts";
import { createSemaphore } from "../../../modules/mutex.ts";
import type { DerivedFiles } from "../../../modules/storage/derived-files.ts";
import type { Bodies } from "../../bodies.ts";
import type { Workers } from "../../workers.ts";
import { packedFolder, type PackJobs, type PackRequest } from "./gzip-worker.ts";
import { sendableBytes, sendableFile, type SendableDocument } from "./sendable.ts";

/** The document to compress: a local file, or bytes in memory. */
export type Packable = {
  readonly folder: string;
  readonly hash: string;
  readonly size: number;
  readonly bytes: Blob | undefined;
};

export type Packing = {
  /** Undefined when gzip is not available in time: the uncompressed document is always a correct response. */
  pack(document: Packable): Promise<SendableDocument | undefined>;
  /** The gzip representation, if it already exists. */
  packed(document: Packable): SendableDocument | undefined;
  /** Deletes the gzip representation of a deleted document. */
  remove(folder: string, hash: string): void;
};

export type PackingParts = {
  readonly files: DerivedFiles;
  readonly bodies: Bodies;
  readonly workers: Pick<Workers<PackJobs>, "run">;
  readonly events: Events;
  readonly clock: Clock;
  readonly dataFolder: string;
};

const CACHED = 10_000;
const CACHED_BYTES = 16 * 1024 ** 2;
/** The worker also builds documents: it gets one document at a time to compress, and the queue is short. */
const AT_ONCE = 1;
const DOCUMENTS_WAITING = 16;
const REQUESTS_WAITING = 500;
const LIMIT_MS = 60_000;
/** A document that could not be compressed is not retried before this time. */
const RETRY_MS = 60_000;

export function createPacking(parts: PackingParts): Packing {
  const { files, bodies, workers, events, clock, dataFolder } = parts;
  const cache = createLru<string, SendableDocument>({
    maxEntries: CACHED,
    maxBytes: CACHED_BYTES,
    sizeOf: ({ heldBytes }) => heldBytes + 500,
  });
  const failed = createLru<string, true>({ maxEntries: CACHED, ttlMs: RETRY_MS, now: clock.elapsed });
  const flights = new Map<string, Promise<SendableDocument | undefined>>();
  const slots = createSemaphore(AT_ONCE, DOCUMENTS_WAITING);
  let waiting = 0;

  function packed({ folder, hash }: Pick<Packable, "folder" | "hash">): SendableDocument | undefined {
    const key = `${folder} ${hash}`;
    const cached = cache.get(key);
    if (cached) return cached.exists() ? cached : undefined;
    const size = files.size(packedFolder(folder), hash);
    if (size === undefined) return undefined;
    const found = sendableFile({ files, bodies }, packedFolder(folder), hash, size);
    cache.set(key, found);
    return found;
  }

  async function compress(document: Packable): Promise<SendableDocument | undefined> {
    const { folder, hash, size } = document;
    try {
      const bytes = document.bytes && (await document.bytes.bytes());
      const request: PackRequest = { dataFolder, folder, hash, size, bytes };
      const outcome = await slots.run(() => workers.run({ kind: "pack", request }, LIMIT_MS));
      if (outcome.kind !== "done") throw new Error(outcome.kind === "failed" ? outcome.message : outcome.kind);
      events.documentPacked();
      const { bytes: gzip } = outcome.answer;
      if (!gzip) {
        // If the document was replaced meanwhile, nothing else would delete this file.
        if (!files.has(folder, hash, size)) files.remove(packedFolder(folder), hash);
        return packed(document);
      }
      const sendable = sendableBytes(new Blob([gzip]));
      cache.set(`${folder} ${hash}`, sendable);
      return sendable;
    } catch (error) {
      failed.set(`${folder} ${hash}`, true);
      events.internalError(error, "gzip");
      return undefined;
    }
  }

  return {
    packed,
    pack: async (document) => {
      const existing = packed(document);
      if (existing) return existing;
      const key = `${document.folder} ${document.hash}`;
      let flight = flights.get(key);
      if (failed.get(key) || waiting >= REQUESTS_WAITING || (!flight && slots.waiting >= DOCUMENTS_WAITING))
        return undefined;
      waiting += 1;
      if (!flight) {
        flight = compress(document).finally(() => flights.delete(key));
        flights.set(key, flight);
      }
      return await flight.finally(() => (waiting -= 1));
    },
    remove: (folder, hash) => {
      cache.delete(`${folder} ${hash}`);
      files.remove(packedFolder(folder), hash);
    },
  };
}
