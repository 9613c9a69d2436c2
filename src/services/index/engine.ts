// The index, by pull: a reader has the one document it wants brought up to the channel's revision, and then gets it.

import { setTimeout as pause } from "node:timers/promises";
import { unavailable } from "../../errors.ts";
import type { Events } from "../../events.ts";
import { latestRevision } from "../../models/channel.ts";
import type { Database, Reader } from "../../models/database.ts";
import { sectionRevision } from "../../models/index-part.ts";
import type { Clock } from "../../modules/clock.ts";
import { createLru } from "../../modules/lru.ts";
import type { Step } from "../../modules/mutex.ts";
import type { DerivedFiles } from "../../modules/storage/derived-files.ts";
import type { Bodies } from "../bodies.ts";
import type { Workers } from "../workers.ts";
import type { Turns } from "./steps/turns.ts";
import { BEFORE_ANY, type DatedRevision } from "./catch-up/parts.ts";
import { bytesOf } from "./segments/compose.ts";
import { folderOf, WHOLE_CHANNEL, type ChannelAddress, type ChannelView, type DocumentKey } from "./documents.ts";
import type { IndexFormat } from "./format.ts";
import type { BuildReply } from "./builder.ts";
import type { DocumentJobs } from "./worker.ts";
import type { PackJobs } from "./files/gzip-worker.ts";
import { createPacking, type Packable, type Packing } from "./files/gzip.ts";
import { sendableBytes, sendableFile, type SendableDocument } from "./files/sendable.ts";

/** One exact representation of a document. */
export type BuiltDocument = SendableDocument & {
  readonly kind: "built";
  /** Identifies the exact bytes. */
  readonly hash: string;
  /** ms UTC of the newest change of the section; never goes back. */
  readonly lastModified: number;
  /** What it is packed from; undefined for one of nothing, which is shorter as it is. */
  readonly packable: Packable | undefined;
};

export type AbsentDocument = { readonly kind: "absent"; readonly why: string };
type DocumentResult = BuiltDocument | AbsentDocument;

export type Engine = {
  /** The document of a channel without a row, which holds nothing. */
  ofNothing(address: ChannelAddress, key: DocumentKey): BuiltDocument;
  /** The document at the channel's revision or later. */
  document(view: ChannelView, key: DocumentKey): Promise<DocumentResult>;
  /** The same if it is built already, for HEAD, which never builds. */
  peek(view: ChannelView, key: DocumentKey): Promise<DocumentResult | undefined>;
  /** Documents as gzip. */
  readonly packing: Pick<Packing, "pack" | "packed">;
};

export type EngineParts = {
  readonly database: Database;
  readonly files: DerivedFiles;
  readonly bodies: Bodies;
  readonly workers: Pick<Workers<DocumentJobs & PackJobs>, "run">;
  readonly turns: Turns;
  readonly events: Events;
  readonly clock: Clock;
  readonly dataFolder: string;
  readonly format: IndexFormat;
  /** Throws when the data folder is another: a thread that has opened that one builds what is not ours. */
  readonly requireFiles: () => void;
};

type Kept = { readonly point: DatedRevision; readonly document: DocumentResult };
type Flight = { readonly target: number; readonly landing: Promise<DocumentResult> };

const KEPT_DOCUMENTS = 10_000;
const KEPT_BYTES = 64 * 1024 ** 2;
/** A replaced file may be about to be opened for a reader; one that is open can be read to its end. */
const RETIRE_MS = 2000;
const BUILD_TRIES = 3;
/** One step of a build has a budget far below this; a worker that takes longer is broken. */
const STEP_LIMIT_MS = 10 * 60_000;
/** Bun cuts off whoever waits for 255 s; before that they are told. What has been made is kept for the next who asks. */
const PATIENCE_MS = 200_000;
/** Before somebody asks again who waits for something else to end. */
export const PAUSE_MS = 10;
/** Another process keeps the derived data for a step of a build, or while it mends them; one that stands still for ever. */
const BUSY_LIMIT_MS = 60_000;

export function createEngine(parts: EngineParts): Engine {
  const kept = createLru<string, Kept>({
    maxEntries: KEPT_DOCUMENTS,
    maxBytes: KEPT_BYTES,
    sizeOf: ({ document }) => (document.kind === "built" ? document.heldBytes : 0) + 500,
  });
  const flights = new Map<string, Flight>();
  const packing = createPacking(parts);

  /** What is kept, if it is as new as the moment, or if nothing in its section has changed since. */
  async function current(view: ChannelView, key: DocumentKey, point: DatedRevision) {
    const name = nameOf(view, key);
    const known = kept.get(name);
    if (!known || (known.document.kind === "built" && !known.document.exists())) return undefined;
    if (known.point.revision === point.revision) {
      return known.point.identity === point.identity ? known.document : undefined;
    }
    if (known.point.revision > point.revision) return known.document;
    if (key.section === WHOLE_CHANNEL) return undefined;
    const changed = await sectionRevision(parts.database.read, view.channelId, key.section);
    if (changed > known.point.revision) return undefined;
    kept.set(name, { ...known, point });
    return known.document;
  }

  async function fly(view: ChannelView, key: DocumentKey, point: DatedRevision): Promise<DocumentResult> {
    const name = nameOf(view, key);
    for (;;) {
      const built = await current(view, key, point);
      if (built) return built;
      const flight = flights.get(name);
      if (!flight) break;
      // A flight that began before this reader's revision may miss it: wait, then look again.
      if (flight.target >= point.revision) return await flight.landing;
      await flight.landing.catch(() => undefined);
    }
    const landing = land(view, key, point.revision).finally(() => flights.delete(name));
    flights.set(name, { target: point.revision, landing });
    return await landing;
  }

  async function land(view: ChannelView, key: DocumentKey, atLeast: number): Promise<DocumentResult> {
    if (await isEmpty(parts.database.read, view.channelId, key)) return ofNothing(parts.format, view, key);
    const name = nameOf(view, key);
    const built = await build(parts, view, key, atLeast);
    const before = kept.get(name)?.document;
    kept.set(name, built);
    if (before?.kind === "built") retire(folderOf(view, key), name, before.hash);
    return built.document;
  }

  /** A file that has been replaced goes once no reader can still be on its way to it, unless it has come back. */
  function retire(folder: string, name: string, hash: string): void {
    const removal = (): void => {
      const now = kept.get(name)?.document;
      if (now?.kind === "built" && now.hash === hash) return;
      parts.files.remove(folder, hash);
      packing.remove(folder, hash);
    };
    setTimeout(removal, RETIRE_MS).unref();
  }

  return {
    packing,
    ofNothing: (address, key) => ofNothing(parts.format, { address }, key),
    document: async (view, key) => await fly(view, key, await latestOf(parts.database.read, view)),
    peek: async (view, key) => await current(view, key, await latestOf(parts.database.read, view)),
  };
}

/** Places that never held anything: their documents cost nothing, so strangers cannot fill the memory with them. */
async function isEmpty(reader: Reader, channelId: number, key: DocumentKey): Promise<boolean> {
  return key.section !== WHOLE_CHANNEL && (await sectionRevision(reader, channelId, key.section)) === 0;
}

function ofNothing(
  format: IndexFormat,
  { address }: Pick<ChannelView, "address">,
  { section, name }: DocumentKey,
): BuiltDocument {
  const composition = format.empty(section, name, address);
  const { hash } = composition;
  const bytes = new Blob([Buffer.concat([...bytesOf(composition)])]);
  return { kind: "built", hash, lastModified: 0, packable: undefined, ...sendableBytes(bytes) };
}

async function build(parts: EngineParts, view: ChannelView, key: DocumentKey, atLeast: number): Promise<Kept> {
  const { channelId } = view;
  const started = parts.clock.elapsed();
  const request = { ...view, ...key, atLeast };
  const job = { kind: "document", dataFolder: parts.dataFolder, request } as const;
  let step: Step = "first";
  let free = started;
  for (let failures = 0; ;) {
    const outcome = await parts.turns.run(channelId, step, () => parts.workers.run(job, STEP_LIMIT_MS, step));
    step = "further";
    if (outcome.kind !== "done") {
      const why = outcome.kind === "failed" ? outcome.message : outcome.kind;
      failures += 1;
      // A worker opens derived data anew after a failure, which mends what was damaged or held by another process.
      if (failures < BUILD_TRIES) continue;
      throw unavailable("The document could not be built because of a fault on the server.", 5, why);
    }
    const { reply, repaired } = outcome.answer;
    if (repaired !== undefined) parts.events.derivedRepaired(repaired);
    if (reply.kind === "busy") {
      if (parts.clock.elapsed() - free < BUSY_LIMIT_MS) continue;
      throw unavailable("Another process keeps the server's index.db busy.", 5, "index.db is locked");
    }
    free = parts.clock.elapsed();
    if (reply.kind === "more") {
      if (reply.isWaiting) await pause(PAUSE_MS);
      if (free - started < PATIENCE_MS) continue;
      throw unavailable("The document is being made from nothing, which takes longer. Ask again for it.", 5);
    }
    parts.requireFiles();
    const document = documentOf(parts, folderOf(view, key), reply);
    const seconds = (parts.clock.elapsed() - started) / 1000;
    const bytes = document.kind === "built" ? document.size : 0;
    parts.events.recordsSkipped(reply.skipped);
    parts.events.documentBuilt({ channel: String(channelId), document: key.name, seconds, bytes });
    return { point: reply.point, document };
  }
}

function documentOf(
  parts: EngineParts,
  folder: string,
  reply: Exclude<BuildReply, { kind: "more" | "busy" }>,
): DocumentResult {
  if (reply.kind === "absent") return { kind: "absent", why: reply.why };
  const { hash, size, lastModified } = reply;
  const bytes = reply.bytes && new Blob([reply.bytes.slice()]);
  const sendable = bytes ? sendableBytes(bytes) : sendableFile(parts, folder, hash, size);
  const packable = { folder, hash, size, bytes };
  return { kind: "built", hash, lastModified, packable, ...sendable };
}

async function latestOf(reader: Reader, view: ChannelView): Promise<DatedRevision> {
  return (await latestRevision(reader, view.channelId)) ?? BEFORE_ANY;
}

function nameOf(view: ChannelView, key: DocumentKey): string {
  return `${view.channelId} ${view.view} ${key.section} ${key.name}`;
}
