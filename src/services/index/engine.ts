// The index, by pull: a reader brings the one document it wants up to the channel's revision, and then gets it.

import type { Events } from "../../events.ts";
import { latestRevision, revisionTime } from "../../models/channel.ts";
import type { Database, Reader } from "../../models/database.ts";
import { sectionRevision } from "../../models/index-part.ts";
import type { Clock } from "../../modules/clock.ts";
import { sha256Hex } from "../../modules/hash.ts";
import type { BlobKey, BlobStore } from "../../modules/storage/blob-store.ts";
import { documentKey } from "../../modules/storage/keys.ts";
import { composeDocument, compressDocument, type DocumentPlace, type View } from "./documents.ts";

/** One exact representation of a document. */
export type BuiltDocument = {
  /** The sha256 of the bytes, in hexadecimal. */
  readonly hash: string;
  readonly size: number;
  /** ms UTC of the newest change of the section; never goes back. */
  readonly lastModified: number;
  open(): Promise<Blob>;
};

export type Engine = {
  /** The document at the channel's revision or later. */
  document(view: View, place: DocumentPlace): Promise<BuiltDocument>;
  /** The same if it is built already, for HEAD, which never builds. */
  peek(view: View, place: DocumentPlace): Promise<BuiltDocument | undefined>;
};

export type EngineParts = {
  readonly database: Database;
  readonly blobs: BlobStore;
  readonly events: Events;
  readonly clock: Clock;
};

/** What the document was made from: a channel made anew, or a database restored, has other identities. */
type Moment = { readonly revision: number; readonly identity: string; readonly at: number };
type Kept = { readonly moment: Moment; readonly document: BuiltDocument; readonly key: BlobKey | undefined };
type Retired = { readonly key: BlobKey; readonly since: number };
type Flight = { readonly target: number; readonly landing: Promise<BuiltDocument> };

const BEFORE_ANY: Moment = { revision: 0, identity: "", at: 0 };
/** Smaller documents stay in memory, larger ones are files. */
const IN_MEMORY_BYTES = 64 * 1024;
/** A replaced file may still be on its way to a reader. */
const RETIRE_MS = 60_000;

export function createEngine(parts: EngineParts): Engine {
  const kept = new Map<string, Kept>();
  const flights = new Map<string, Flight>();
  const shelf = createShelf(parts);

  /** What is kept, if it is as new as the moment, or if nothing in its section has changed since. */
  async function current(view: View, place: DocumentPlace, moment: Moment): Promise<BuiltDocument | undefined> {
    const key = keyOf(view, place);
    const known = kept.get(key);
    if (!known) return undefined;
    if (known.moment.revision === moment.revision) {
      return known.moment.identity === moment.identity ? known.document : undefined;
    }
    if (known.moment.revision > moment.revision) return known.document;
    if (view.channelId === undefined || place.section === undefined) return undefined;
    const changed = await sectionRevision(parts.database.read, view.channelId, place.section);
    if (changed > known.moment.revision) return undefined;
    kept.set(key, { ...known, moment });
    return known.document;
  }

  async function fly(view: View, place: DocumentPlace, moment: Moment): Promise<BuiltDocument> {
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
    const landing = land(view, place).finally(() => flights.delete(key));
    flights.set(key, { target: moment.revision, landing });
    return await landing;
  }

  async function land(view: View, place: DocumentPlace): Promise<BuiltDocument> {
    const key = keyOf(view, place);
    const { moment, lastModified, bytes } = await build(parts, view, place);
    // Documents of sections that hold nothing cost nothing to make, so strangers cannot fill the memory with them.
    if (lastModified === 0) return inMemory(bytes, lastModified);
    const before = kept.get(key);
    const stored = await shelf.keep(view, bytes, lastModified);
    kept.set(key, { moment, ...stored });
    if (before?.key !== undefined && before.key !== stored.key) await shelf.retire(before.key);
    return stored.document;
  }

  return {
    document: async (view, place) => await fly(view, place, await momentOf(parts.database.read, view)),
    peek: async (view, place) => await current(view, place, await momentOf(parts.database.read, view)),
  };
}

type Build = { readonly moment: Moment; readonly lastModified: number; readonly bytes: Uint8Array };

async function build(parts: EngineParts, view: View, place: DocumentPlace): Promise<Build> {
  const started = parts.clock.elapsed();
  const composed = await parts.database.snapshot(async (reader) => {
    const moment = await momentOf(reader, view);
    return {
      moment,
      lastModified: await modifiedAt(reader, view, place, moment),
      content: await composeDocument(reader, view, place),
    };
  });
  const bytes = place.name.endsWith(".zst") ? await compressDocument(composed.content) : composed.content;
  const seconds = (parts.clock.elapsed() - started) / 1000;
  const channel = String(view.channelId ?? "-");
  parts.events.documentBuilt({ channel, document: place.name, seconds, bytes: bytes.byteLength });
  return { ...composed, bytes };
}

type Stored = { readonly document: BuiltDocument; readonly key: BlobKey | undefined };
type Shelf = {
  keep(view: View, bytes: Uint8Array, lastModified: number): Promise<Stored>;
  retire(key: BlobKey): Promise<void>;
};

/** Where large documents lie; what is replaced goes once no reader can still be on its way to it. */
function createShelf(parts: EngineParts): Shelf {
  const retired: Retired[] = [];
  return {
    keep: async (view, bytes, lastModified) => {
      if (bytes.byteLength <= IN_MEMORY_BYTES || view.channelId === undefined) {
        return { key: undefined, document: inMemory(bytes, lastModified) };
      }
      const hash = sha256Hex(bytes);
      const key = documentKey(view.channelId, hash);
      await parts.blobs.put(key, bytes);
      const open = async (): Promise<Blob> => {
        const blob = await parts.blobs.open(key);
        if (!blob) throw new Error(`the derived document ${key} has gone`);
        return blob;
      };
      return { key, document: { hash, size: bytes.byteLength, lastModified, open } };
    },
    retire: async (key) => {
      const now = parts.clock.elapsed();
      retired.push({ key, since: now });
      while (retired[0] && retired[0].since < now - RETIRE_MS) {
        const gone = retired.shift();
        // A channel that came back to an earlier state serves that file again.
        if (gone && !retired.some((later) => later.key === gone.key)) await parts.blobs.delete(gone.key);
      }
    },
  };
}

function inMemory(bytes: Uint8Array, lastModified: number): BuiltDocument {
  const blob = new Blob([bytes.slice()]);
  return { hash: sha256Hex(bytes), size: bytes.byteLength, lastModified, open: () => Promise.resolve(blob) };
}

async function momentOf(reader: Reader, view: View): Promise<Moment> {
  if (view.channelId === undefined) return BEFORE_ANY;
  return (await latestRevision(reader, view.channelId)) ?? BEFORE_ANY;
}

async function modifiedAt(reader: Reader, view: View, place: DocumentPlace, moment: Moment): Promise<number> {
  if (view.channelId === undefined || place.section === undefined) return moment.at;
  const revision = await sectionRevision(reader, view.channelId, place.section);
  return (await revisionTime(reader, view.channelId, revision)) ?? 0;
}

function keyOf(view: View, place: DocumentPlace): string {
  return `${view.channelId ?? "-"} ${place.section ?? ""} ${place.name}`;
}
