// Documents as gzip, for clients that ask for it: each is packed once, by a worker thread, and then lies beside the
// document like any other.

import type { Events } from "../../../events.ts";
import type { Clock } from "../../../modules/clock.ts";
import { createLru } from "../../../modules/lru.ts";
import { createSemaphore } from "../../../modules/mutex.ts";
import type { DerivedFiles } from "../../../modules/storage/derived-files.ts";
import type { Bodies } from "../../bodies.ts";
import type { Workers } from "../../workers.ts";
import { packedFolder, type PackJobs, type PackRequest } from "./gzip-worker.ts";
import { sendableBytes, sendableFile, type SendableDocument } from "./sendable.ts";

/** The document that is packed: a file of this machine, or bytes. */
export type Packable = {
  readonly folder: string;
  readonly hash: string;
  readonly size: number;
  readonly bytes: Blob | undefined;
};

export type Packing = {
  /** Undefined when it cannot be had in time: the document as it is is always right. */
  pack(document: Packable): Promise<SendableDocument | undefined>;
  /** What has been packed already. */
  packed(document: Packable): SendableDocument | undefined;
  /** Removes what was made of a document that has gone. */
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

const KEPT = 10_000;
const KEPT_BYTES = 16 * 1024 ** 2;
/** The worker builds documents as well: it gets one at a time, and no long queue of them. */
const AT_ONCE = 1;
const DOCUMENTS_WAITING = 16;
const REQUESTS_WAITING = 500;
const LIMIT_MS = 60_000;
/** What could not be packed is not tried again before. */
const RETRY_MS = 60_000;

export function createPacking(parts: PackingParts): Packing {
  const { files, bodies, workers, events, clock, dataFolder } = parts;
  const kept = createLru<string, SendableDocument>({
    maxEntries: KEPT,
    maxBytes: KEPT_BYTES,
    sizeOf: ({ heldBytes }) => heldBytes + 500,
  });
  const failed = createLru<string, true>({ maxEntries: KEPT, ttlMs: RETRY_MS, now: clock.elapsed });
  const flights = new Map<string, Promise<SendableDocument | undefined>>();
  const slots = createSemaphore(AT_ONCE, DOCUMENTS_WAITING);
  let waiting = 0;

  function packed({ folder, hash }: Pick<Packable, "folder" | "hash">): SendableDocument | undefined {
    const key = `${folder} ${hash}`;
    const known = kept.get(key);
    if (known) return known.exists() ? known : undefined;
    const size = files.size(packedFolder(folder), hash);
    if (size === undefined) return undefined;
    const found = sendableFile({ files, bodies }, packedFolder(folder), hash, size);
    kept.set(key, found);
    return found;
  }

  async function fly(document: Packable): Promise<SendableDocument | undefined> {
    const { folder, hash, size } = document;
    try {
      const bytes = document.bytes && (await document.bytes.bytes());
      const request: PackRequest = { dataFolder, folder, hash, size, bytes };
      const outcome = await slots.run(() => workers.run({ kind: "pack", request }, LIMIT_MS));
      if (outcome.kind !== "done") throw new Error(outcome.kind === "failed" ? outcome.message : outcome.kind);
      events.documentPacked();
      const { bytes: gzip } = outcome.answer;
      if (!gzip) {
        // Replaced meanwhile, it would never be removed.
        if (!files.has(folder, hash, size)) files.remove(packedFolder(folder), hash);
        return packed(document);
      }
      const made = sendableBytes(new Blob([gzip]));
      kept.set(`${folder} ${hash}`, made);
      return made;
    } catch (error) {
      failed.set(`${folder} ${hash}`, true);
      events.internalError(error, "gzip");
      return undefined;
    }
  }

  return {
    packed,
    pack: async (document) => {
      const known = packed(document);
      if (known) return known;
      const key = `${document.folder} ${document.hash}`;
      let flight = flights.get(key);
      if (failed.get(key) || waiting >= REQUESTS_WAITING || (!flight && slots.waiting >= DOCUMENTS_WAITING))
        return undefined;
      waiting += 1;
      if (!flight) {
        flight = fly(document).finally(() => flights.delete(key));
        flights.set(key, flight);
      }
      return await flight.finally(() => (waiting -= 1));
    },
    remove: (folder, hash) => {
      kept.delete(`${folder} ${hash}`);
      files.remove(packedFolder(folder), hash);
    },
  };
}
