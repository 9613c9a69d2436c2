// Builds documents in a worker thread: it reads the main database, owns the derived one, and hands out finished bytes.

import { setImmediate } from "node:timers/promises";
import { latestRevision, revisionTime } from "../../models/channel.ts";
import type { Reader, Snapshots } from "../../models/database.ts";
import { DerivedBusy, DerivedDamaged, scopeKey } from "../../models/index/scope.ts";
import type { Derived } from "../../models/index/db.ts";
import { sectionRevision } from "../../models/index-part.ts";
import type { Clock } from "../../modules/clock.ts";
import type { BlobStore } from "../../modules/storage/blob-store.ts";
import type { DerivedFiles } from "../../modules/storage/derived-files.ts";
import { BEFORE_ANY, createUnderWay, type CatchUpParts, type DatedRevision } from "./catch-up/parts.ts";
import { bytesOf, type Composition } from "./segments/compose.ts";
import { createDocumentFiles, type DocumentFiles } from "./files/document-files.ts";
import { folderOf, WHOLE_CHANNEL } from "./documents.ts";
import type { BuildScope, IndexFormat } from "./format.ts";
import { createRecords } from "./records.ts";
import { createHolds, type Holds } from "./steps/holds.ts";
import { createLongWork, type LongWork, type Work } from "./steps/long-work.ts";

export type BuildRequest = BuildScope & {
  readonly name: string;
  /** What is answered is of this revision or later; without it, of the newest. */
  readonly atLeast?: number;
};

export type BuildReply =
  /** Others get their turn; ask again, and when it is waiting for something else, in a moment. */
  | { readonly kind: "more"; readonly isWaiting: boolean }
  /** Another process keeps the derived data; ask again. */
  | { readonly kind: "busy" }
  /** Not offered: `why` says what to use instead. */
  | { readonly kind: "absent"; readonly point: DatedRevision; readonly skipped: number; readonly why: string }
  | {
      readonly kind: "built";
      readonly point: DatedRevision;
      /** How many records of all channels are left out, as no document can hold them. */
      readonly skipped: number;
      /** Identifies the exact bytes. */
      readonly hash: string;
      readonly size: number;
      /** ms UTC; 0 when nothing was ever published there. */
      readonly lastModified: number;
      /** Small documents come along, larger ones lie in a file. */
      readonly bytes: Uint8Array | undefined;
    };

export type ShardRequest = { readonly channelId: number; readonly hash: string };

/** `unknown` is a shard of which it cannot be known what it said. */
export type RestoreReply = Extract<BuildReply, { kind: "more" }> | { readonly kind: "restored" | "unknown" };

export type IndexBuilder = {
  build(request: BuildRequest): Promise<BuildReply>;
  /** Writes a shard anew, in steps as well. */
  restore(request: ShardRequest): Promise<RestoreReply>;
};

export type IndexBuilderParts = {
  readonly snapshots: Snapshots;
  readonly derived: Derived;
  readonly files: DerivedFiles;
  readonly blobs: BlobStore;
  readonly clock: Clock;
  readonly format: IndexFormat;
};

/** ms of one step of a build from nothing: so long others wait at most, but for the end of what is under way. */
const BUDGET_MS = 25;
const INLINE_BYTES = 64 * 1024;

/** A document that is put together and stored. */
type Stored = Extract<BuildReply, { kind: "built" | "absent" }>;
type UnderWay = { readonly point: DatedRevision; readonly version: number | undefined };

type Builder = Omit<IndexBuilderParts, "snapshots"> &
  Pick<CatchUpParts, "names" | "large"> & {
    readonly documents: DocumentFiles;
    /** Documents that are put together, by their folders. */
    readonly underWay: LongWork<Stored>;
    readonly begun: Map<string, UnderWay>;
    /** What is kept for a layout of documents may not change while one of them is put together. */
    readonly layouts: Holds;
    readonly restoring: LongWork<boolean>;
  };

export function createIndexBuilder(parts: IndexBuilderParts): IndexBuilder {
  const { derived, clock } = parts;
  const builder: Builder = {
    ...parts,
    ...createUnderWay({ clock }),
    documents: createDocumentFiles(parts),
    underWay: createLongWork({ clock }),
    begun: new Map(),
    layouts: createHolds({ clock, most: 1 }),
    restoring: createLongWork({ clock }),
  };
  return {
    build: async (request) => {
      try {
        for (const each of [builder.underWay, builder.names, builder.restoring]) await each.sweep();
        // The lock comes before the snapshot: what others have derived is then never newer than what is seen here.
        return await derived.exclusively(() => parts.snapshots.snapshot((reader) => build(builder, reader, request)));
      } catch (error) {
        if (error instanceof DerivedBusy) {
          // Who keeps it may wait for its turn in this very thread.
          await setImmediate();
          return { kind: "busy" };
        }
        if (!(error instanceof DerivedDamaged)) throw error;
        derived.transact(() => derived.discard({ channelId: request.channelId }));
        return { kind: "more", isWaiting: false };
      }
    },
    restore: (request) => parts.snapshots.snapshot((reader) => restore(builder, reader, request)),
  };
}

async function build(builder: Builder, reader: Reader, request: BuildRequest): Promise<BuildReply> {
  const records = createRecords(reader, builder.format.requireReadable);
  const work: CatchUpParts = { ...builder, reader, records, budget: BUDGET_MS };
  const isLate = lateAfter(builder);
  const { layout: name, catchUp } = builder.format.builderOf(request.name);
  const key = folderOf(request, request);
  const layout = scopeKey({ ...request, layout: name });
  if (!(await isOfUse(builder, reader, key, request))) await builder.underWay.abandon(key);
  if (!builder.underWay.has(key)) {
    if (!builder.layouts.mayHold(layout, key)) return { kind: "more", isWaiting: true };
    const progress = await catchUp(work, request);
    if (progress.kind === "more") return progress;
    builder.begun.set(key, { point: progress.point, version: work.derived.version() });
    builder.layouts.hold(layout, key);
  }
  const { point } = builder.begun.get(key) ?? { point: BEFORE_ANY };
  const begin = (): Work<Stored> => putTogether(builder, { work, request, point, key, layout });
  const outcome = await builder.underWay.advance(key, begin, isLate);
  return outcome.kind === "done" ? outcome.value : outcome;
}

/** Whether a document that is put together will do for whoever asks now. */
async function isOfUse(
  { begun, derived, underWay }: Builder,
  reader: Reader,
  key: string,
  { atLeast, channelId }: BuildRequest,
): Promise<boolean> {
  const known = begun.get(key);
  if (!known || !underWay.has(key)) return true;
  const latest = (await latestRevision(reader, channelId)) ?? BEFORE_ANY;
  const { revision } = known.point;
  return known.version === derived.version() && revision >= (atLeast ?? latest.revision) && revision <= latest.revision;
}

function lateAfter({ clock }: Builder): () => boolean {
  const deadline = clock.elapsed() + BUDGET_MS;
  return () => clock.elapsed() > deadline;
}

type Together = {
  readonly work: CatchUpParts;
  readonly request: BuildRequest;
  readonly point: DatedRevision;
  readonly key: string;
  readonly layout: string;
};

async function* putTogether(builder: Builder, { work, request, point, key, layout }: Together): Work<Stored> {
  let composed: Composition | string | undefined;
  try {
    const lastModified = await modifiedAt(work.reader, request, point);
    const { compose } = builder.format.builderOf(request.name);
    composed = yield* compose(work, request);
    const skipped = work.derived.countSkipped();
    if (typeof composed === "string") return { kind: "absent", point, skipped, why: composed };
    return { kind: "built", point, skipped, lastModified, ...(yield* keep(builder, key, composed)) };
  } finally {
    if (typeof composed === "object") composed.draft?.drop();
    builder.begun.delete(key);
    builder.layouts.free(layout, key);
  }
}

/** Writes what is not there yet. The same state has the same name, so most of it often is. */
async function* keep(
  { documents }: Builder,
  folder: string,
  composition: Composition,
): Work<{ hash: string; size: number; bytes: Uint8Array | undefined }> {
  const { hash, textSize, draft } = composition;
  const known = documents.size(folder, hash);
  if (known !== undefined) return { hash, size: known, bytes: undefined };
  if (textSize > INLINE_BYTES) {
    const size = draft ? draft.keep(hash) : yield* documents.writeInSteps(folder, composition);
    return { hash, size, bytes: undefined };
  }
  const bytes = Buffer.concat([...bytesOf(composition)]);
  return { hash, size: bytes.byteLength, bytes };
}

async function modifiedAt(reader: Reader, request: BuildRequest, point: DatedRevision): Promise<number> {
  if (request.section === WHOLE_CHANNEL) return point.at;
  const revision = await sectionRevision(reader, request.channelId, request.section);
  return (await revisionTime(reader, request.channelId, revision)) ?? 0;
}

async function restore(builder: Builder, reader: Reader, request: ShardRequest): Promise<RestoreReply> {
  const records = createRecords(reader, builder.format.requireReadable);
  const begin = (): Work<boolean> => builder.format.restoreShard({ ...builder, records }, request);
  const outcome = await builder.restoring.advance(`${request.channelId} ${request.hash}`, begin, lateAfter(builder));
  if (outcome.kind === "more") return outcome;
  return { kind: outcome.value ? "restored" : "unknown" };
}
