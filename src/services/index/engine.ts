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
import { BEFORE_ANY, type Moment } from "./catch-up/parts.ts";
import { bytesOf } from "./segments/compose.ts";
import { folderOf, WHOLE_CHANNEL, type ChannelAddress, type ChannelView, type DocumentKey } from "./documents.ts";
import type { IndexFormat } from "./format.ts";
import type { BuildReply } from "./builder.ts";
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

export type Engine = {
  /** The document of a channel without a row, which holds nothing. */
  ofNothing(address: ChannelAddress, place: DocumentKey): BuiltDocument;
  /** The document at the channel's revision or later. */
  document(view: ChannelView, place: DocumentKey): Promise<BuiltDocument | AbsentDocument>;
  /** The same if it is built already, for HEAD, which never builds. */
  peek(view: ChannelView, place: DocumentKey): Promise<BuiltDocument | AbsentDocument | undefined>;
  /** Documents as gzip. */
  readonly packing: Pick<Packing, "pack" | "packed">;
};

export type EngineParts = {
  readonly database: Database;
  readonly files: DerivedFiles;
  readonly bodies: Bodies;
  readonly workers: Workers;
  readonly turns: Turns;
  readonly events: Events;
  readonly clock: Clock;
  readonly dataFolder: string;
  readonly format: IndexFormat;
  /** Throws when the data folder is another: a thread that has opened that one builds what is not ours. */
  readonly requireFiles: () => void;
};

type Kept = { readonly moment: Moment; readonly document: BuiltDocument | AbsentDocument };
type Flight = { readonly target: number; readonly landing: Promise<BuiltDocument | AbsentDocument> };

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
  async function current(view: ChannelView, place: DocumentKey, moment: Moment) {
    const key = keyOf(view, place);
    const known = kept.get(key);
    if (!known || (known.document.kind === "built" && !known.document.isThere())) return undefined;
    if (known.moment.revision === moment.revision) {
      return known.moment.identity === moment.identity ? known.document : undefined;
    }
    if (known.moment.revision > moment.revision) return known.document;
    if (place.section === WHOLE_CHANNEL) return undefined;
    const changed = await sectionRevision(parts.database.read, view.channelId, place.section);
    if (changed > known.moment.revision) return undefined;
    kept.set(key, { ...known, moment });
    return known.document;
  }

  async function fly(view: ChannelView, place: DocumentKey, moment: Moment): Promise<BuiltDocument | AbsentDocument> {
    const key = keyOf(view, place);
    for (;;) {
      const built = await current(view, place, moment);
      if (built) return built;
      const flight = flights.get(key);
      if (!flight) break;
      // A flight that began before this reader's revision may miss it: wait, then look again.
      if (flight.target >= moment.revision) return await flight.landing;
      await flight.landing.catch(() => undefined);
    }
    const landing = land(view, place, moment.revision).finally(() => flights.delete(key));
    flights.set(key, { target: moment.revision, landing });
    return await landing;
  }

  async function land(view: ChannelView, place: DocumentKey, atLeast: number): Promise<BuiltDocument | AbsentDocument> {
    if (await isEmpty(parts.database.read, view.channelId, place)) return ofNothing(parts.format, view, place);
    const key = keyOf(view, place);
    const built = await build(parts, view, place, atLeast);
    const before = kept.get(key)?.document;
    kept.set(key, built);
    if (before?.kind === "built") retire(folderOf(view, place), key, before.hash);
    return built.document;
  }

  /** A file that has been replaced goes once no reader can still be on its way to it, unless it has come back. */
  function retire(folder: string, key: string, hash: string): void {
    const removal = (): void => {
      const now = kept.get(key)?.document;
      if (now?.kind === "built" && now.hash === hash) return;
      parts.files.remove(folder, hash);
      packing.remove(folder, hash);
    };
    setTimeout(removal, RETIRE_MS).unref();
  }

  return {
    packing,
    ofNothing: (address, place) => ofNothing(parts.format, { address }, place),
    document: async (view, place) => await fly(view, place, await momentOf(parts.database.read, view)),
    peek: async (view, place) => await current(view, place, await momentOf(parts.database.read, view)),
  };
}

/** Places that never held anything: their documents cost nothing, so strangers cannot fill the memory with them. */
async function isEmpty(reader: Reader, channelId: number, place: DocumentKey): Promise<boolean> {
  return place.section !== WHOLE_CHANNEL && (await sectionRevision(reader, channelId, place.section)) === 0;
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

async function build(parts: EngineParts, view: ChannelView, place: DocumentKey, atLeast: number): Promise<Kept> {
  const { channelId } = view;
  const started = parts.clock.elapsed();
  const request = { ...view, ...place, atLeast };
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
    const { reply, mended } = outcome.answer;
    if (mended !== undefined) parts.events.derivedMended(mended);
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
    const document = documentOf(parts, folderOf(view, place), reply);
    const seconds = (parts.clock.elapsed() - started) / 1000;
    const bytes = document.kind === "built" ? document.size : 0;
    parts.events.recordsSetAside(reply.setAside);
    parts.events.documentBuilt({ channel: String(channelId), document: place.name, seconds, bytes });
    return { moment: reply.moment, document };
  }
}

function documentOf(
  parts: EngineParts,
  folder: string,
  reply: Exclude<BuildReply, { kind: "more" | "busy" }>,
): BuiltDocument | AbsentDocument {
  if (reply.kind === "absent") return { kind: "absent", why: reply.why };
  const { hash, size, lastModified } = reply;
  const bytes = reply.bytes && new Blob([reply.bytes.slice()]);
  const sendable = bytes ? sendableBytes(bytes) : sendableFile(parts, folder, hash, size);
  const packable = { folder, hash, size, bytes };
  return { kind: "built", hash, lastModified, packable, ...sendable };
}

async function momentOf(reader: Reader, view: ChannelView): Promise<Moment> {
  return (await latestRevision(reader, view.channelId)) ?? BEFORE_ANY;
}

function keyOf(view: ChannelView, place: DocumentKey): string {
  return `${view.channelId} ${view.view} ${place.section} ${place.name}`;
}
