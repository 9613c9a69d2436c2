// Builds documents in a worker thread: it reads the main database, owns the derived one, and hands out finished bytes.

import { setImmediate } from "node:timers/promises";
import { revisionTime } from "../../models/channel.ts";
import type { Reader, Snapshots } from "../../models/database.ts";
import { DerivedBusy, DerivedDamaged } from "../../models/derived-place.ts";
import type { Derived } from "../../models/derived.ts";
import { sectionRevision } from "../../models/index-part.ts";
import type { Clock } from "../../modules/clock.ts";
import type { BlobStore } from "../../modules/storage/blob-store.ts";
import type { DerivedFiles } from "../../modules/storage/derived-files.ts";
import type { CatchUpParts, Moment } from "./catch-up-parts.ts";
import type { ChannelAddress } from "./channel-documents.ts";
import { bytesOf, type Composition } from "./compose.ts";
import { createDocumentFiles, type DocumentFiles } from "./document-files.ts";
import { folderOf, type DocumentName } from "./documents.ts";
import { RECIPES, type Made } from "./recipes.ts";
import { restoreShard } from "./shard-catalogue.ts";

export type BuildRequest = {
  readonly channelId: number;
  /** Undefined for documents of the channel as a whole. */
  readonly section: string | undefined;
  readonly name: DocumentName;
  readonly address: ChannelAddress;
};

export type BuildReply =
  /** Others get their turn; ask again. */
  | { readonly kind: "more" }
  /** Another process keeps the derived data; ask again. */
  | { readonly kind: "busy" }
  /** Not offered: `why` says what to use instead. */
  | { readonly kind: "absent"; readonly moment: Moment; readonly setAside: number; readonly why: string }
  | {
      readonly kind: "built";
      readonly moment: Moment;
      /** How many records of all channels are left out, as no document can hold them. */
      readonly setAside: number;
      /** Identifies the exact bytes. */
      readonly hash: string;
      readonly size: number;
      /** ms UTC; 0 when nothing was ever published there. */
      readonly lastModified: number;
      /** Small documents come along, larger ones lie in a file. */
      readonly bytes: Uint8Array | undefined;
    };

export type ShardRequest = { readonly channelId: number; readonly hash: string };

export type IndexBuilder = {
  build(request: BuildRequest): Promise<BuildReply>;
  /** Writes a shard anew; false when it cannot be known what it said. */
  restore(request: ShardRequest): Promise<boolean>;
};

export type IndexBuilderParts = {
  readonly snapshots: Snapshots;
  readonly derived: Derived;
  readonly files: DerivedFiles;
  readonly blobs: BlobStore;
  readonly clock: Clock;
};

/** ms of one step of a build from nothing: so long others wait at most, but for the end of what is under way. */
const BUDGET_MS = 25;
const INLINE_BYTES = 64 * 1024;

type Work = Omit<IndexBuilderParts, "files" | "snapshots"> & { readonly files: DocumentFiles };

export function createIndexBuilder(parts: IndexBuilderParts): IndexBuilder {
  const { derived } = parts;
  const work: Work = { ...parts, files: createDocumentFiles(parts) };
  return {
    build: async (request) => {
      try {
        // The lock comes before the snapshot: what others have derived is then never newer than what is seen here.
        return await derived.exclusively(() => parts.snapshots.snapshot((reader) => build(work, reader, request)));
      } catch (error) {
        if (error instanceof DerivedBusy) {
          // Who keeps it may wait for its turn in this very thread.
          await setImmediate();
          return { kind: "busy" };
        }
        if (!(error instanceof DerivedDamaged)) throw error;
        derived.transact(() => derived.discard({ channelId: request.channelId }));
        return { kind: "more" };
      }
    },
    restore: (request) => parts.snapshots.snapshot((reader) => restoreShard({ ...parts, reader }, request)),
  };
}

async function build(work: Work, reader: Reader, request: BuildRequest): Promise<BuildReply> {
  const parts: CatchUpParts = { ...work, reader, budget: BUDGET_MS };
  const made = await RECIPES[request.name](parts, { ...request, section: request.section ?? "" });
  return await replyOf(work, reader, request, made);
}

async function replyOf(work: Work, reader: Reader, request: BuildRequest, made: Made): Promise<BuildReply> {
  switch (made.kind) {
    case "more":
      return { kind: "more" };
    case "absent":
      return { ...made, setAside: work.derived.countAside() };
    case "composed": {
      const { moment } = made;
      const lastModified = await modifiedAt(reader, request, moment);
      const setAside = work.derived.countAside();
      return { kind: "built", moment, setAside, lastModified, ...keep(work, request, made.composition) };
    }
  }
}

/** Writes what is not there yet. The same state has the same name, so most of it often is. */
function keep(
  { files }: Work,
  request: BuildRequest,
  composition: Composition,
): { hash: string; size: number; bytes: Uint8Array | undefined } {
  const { hash, textSize } = composition;
  const folder = folderOf(request.channelId, request);
  const known = files.size(folder, hash);
  if (known !== undefined) return { hash, size: known, bytes: undefined };
  if (textSize > INLINE_BYTES) return { hash, size: files.write(folder, composition), bytes: undefined };
  const bytes = Buffer.concat([...bytesOf(composition)]);
  return { hash, size: bytes.byteLength, bytes };
}

async function modifiedAt(reader: Reader, request: BuildRequest, moment: Moment): Promise<number> {
  if (request.section === undefined) return moment.at;
  const revision = await sectionRevision(reader, request.channelId, request.section);
  return (await revisionTime(reader, request.channelId, revision)) ?? 0;
}
