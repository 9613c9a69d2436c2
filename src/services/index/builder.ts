// Builds documents in a worker thread: it reads the main database, owns the derived one, and returns finished bytes.

import { setImmediate } from "node:timers/promises";
import { latestRevision, revisionTime } from "../../models/channel.ts";
import type { Reader, Snapshots } from "../../models/database.ts";
import { DerivedBusy, DerivedDamaged, scopeKey } from "../../models/index/scope.ts";
import type { Derived } from "../../models/index/db.ts";
import { sectionRevision } from "../../models/index-part.ts";
import type { Clock } from "../../modules/clock.ts";
import type { BlobStore } from "../../modules/storage/blob-store.ts";
import type { DerivedFiles } from "../../modules/storage/derived-files.ts";
import { BEFORE_ANY, createOngoingWork, type CatchUpParts, type DatedRevision } from "./catch-up/parts.ts";
import { bytesOf, type Composition } from "./segments/compose.ts";
import { createDocumentFiles, type DocumentFiles } from "./files/document-files.ts";
import { folderOf, WHOLE_CHANNEL } from "./documents.ts";
import type { BuildScope, IndexFormat } from "./format.ts";
import { createRecords } from "./records.ts";
import { createHolds, type Holds } from "./steps/holds.ts";
import { createLongWork, type LongWork, type Work } from "./steps/long-work.ts";

export type BuildRequest = BuildScope & {
  readonly name: string;
  /** The reply has this revision or a later one; without it, the newest. */
  readonly atLeast?: number;
};

export type BuildReply =
  /** The step has ended and others get their turn. Ask again; after a pause if `isWaiting` for other work. */
  | { readonly kind: "more"; readonly isWaiting: boolean }
  /** Another process has locked the derived data; ask again. */
  | { readonly kind: "busy" }
  /** The channel does not offer the document: `why` says what to use instead. */
  | { readonly kind: "absent"; readonly point: DatedRevision; readonly skipped: number; readonly why: string }
  | {
      readonly kind: "built";
      readonly point: DatedRevision;
      /** Number of skipped records in all channels: those that no document can represent. */
      readonly skipped: number;
      /** Identifies the exact bytes. */
      readonly hash: string;
      readonly size: number;
      /** ms UTC; 0 when nothing was ever published to the section or channel. */
      readonly lastModified: number;
      /** The content of a small document; a larger one is stored in a file. */
      readonly bytes: Uint8Array | undefined;
    };

export type ShardRequest = { readonly channelId: number; readonly hash: string };

/** `unknown`: the content of the shard cannot be determined. */
export type RestoreReply = Extract<BuildReply, { kind: "more" }> | { readonly kind: "restored" | "unknown" };

export type IndexBuilder = {
  build(request: BuildRequest): Promise<BuildReply>;
  /** Rewrites a shard, also in steps. */
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

/** Time budget of a step in ms: others wait this long at most, plus the end of the current segment. */
const BUDGET_MS = 25;
const INLINE_BYTES = 64 * 1024;

/** The reply for a composed and stored document. */
type Stored = Extract<BuildReply, { kind: "built" | "absent" }>;
/** The revision and the version of index.db from which a document is composed. */
type Basis = { readonly point: DatedRevision; readonly version: number | undefined };

type Builder = Omit<IndexBuilderParts, "snapshots"> &
  Pick<CatchUpParts, "names" | "large"> & {
    readonly documents: DocumentFiles;
    /** Compositions in progress, by document folder. */
    readonly compositions: LongWork<Stored>;
    readonly bases: Map<string, Basis>;
    /** Locks on layouts: the derived data of a layout must not change while a document of it is composed. */
    readonly layouts: Holds;
    readonly restoring: LongWork<boolean>;
  };

export function createIndexBuilder(parts: IndexBuilderParts): IndexBuilder {
  const { derived, clock } = parts;
  const builder: Builder = {
    ...parts,
    ...createOngoingWork({ clock }),
    documents: createDocumentFiles(parts),
    compositions: createLongWork({ clock }),
    bases: new Map(),
    layouts: createHolds({ clock, most: 1 }),
    restoring: createLongWork({ clock }),
  };
  return {
    build: async (request) => {
      try {
        for (const each of [builder.compositions, builder.names, builder.restoring]) await each.sweep();
        // The lock comes before the snapshot, so that data derived by other processes is never newer than the snapshot.
        return await derived.exclusively(() => parts.snapshots.snapshot((reader) => build(builder, reader, request)));
      } catch (error) {
        if (error instanceof DerivedBusy) {
          // The holder of the lock may be waiting for its turn in this same thread.
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
  const isLate = deadlineFor(builder);
  const { layout: name, catchUp } = builder.format.builderOf(request.name);
  const key = folderOf(request, request);
  const layout = scopeKey({ ...request, layout: name });
  if (!(await isUsable(builder, reader, key, request))) await builder.compositions.abandon(key);
  if (!builder.compositions.has(key)) {
    if (!builder.layouts.canHold(layout, key)) return { kind: "more", isWaiting: true };
    const progress = await catchUp(work, request);
    if (progress.kind === "more") return progress;
    builder.bases.set(key, { point: progress.point, version: work.derived.version() });
    builder.layouts.hold(layout, key);
  }
  const { point } = builder.bases.get(key) ?? { point: BEFORE_ANY };
  const begin = (): Work<Stored> => composeAndStore(builder, { work, request, point, key, layout });
  const outcome = await builder.compositions.advance(key, begin, isLate);
  return outcome.kind === "done" ? outcome.value : outcome;
}

/** Whether the composition in progress, if there is one, is new enough for this request and still valid. */
async function isUsable(
  { bases, derived, compositions }: Builder,
  reader: Reader,
  key: string,
  { atLeast, channelId }: BuildRequest,
): Promise<boolean> {
  const basis = bases.get(key);
  if (!basis || !compositions.has(key)) return true;
  const latest = (await latestRevision(reader, channelId)) ?? BEFORE_ANY;
  const { revision } = basis.point;
  return basis.version === derived.version() && revision >= (atLeast ?? latest.revision) && revision <= latest.revision;
}

function deadlineFor({ clock }: Builder): () => boolean {
  const deadline = clock.elapsed() + BUDGET_MS;
  return () => clock.elapsed() > deadline;
}

type CompositionTask = {
  readonly work: CatchUpParts;
  readonly request: BuildRequest;
  readonly point: DatedRevision;
  readonly key: string;
  readonly layout: string;
};

async function* composeAndStore(
  builder: Builder,
  { work, request, point, key, layout }: CompositionTask,
): Work<Stored> {
  let composed: Composition | string | undefined;
  try {
    const lastModified = await modifiedAt(work.reader, request, point);
    const { compose } = builder.format.builderOf(request.name);
    composed = yield* compose(work, request);
    const skipped = work.derived.countSkipped();
    if (typeof composed === "string") return { kind: "absent", point, skipped, why: composed };
    return { kind: "built", point, skipped, lastModified, ...(yield* store(builder, key, composed)) };
  } finally {
    if (typeof composed === "object") composed.draft?.drop();
    builder.bases.delete(key);
    builder.layouts.free(layout, key);
  }
}

/** Writes the document unless its file exists, as it often does: equal content has an equal name. */
async function* store(
  { documents }: Builder,
  folder: string,
  composition: Composition,
): Work<{ hash: string; size: number; bytes: Uint8Array | undefined }> {
  const { hash, textSize, draft } = composition;
  const storedSize = documents.size(folder, hash);
  if (storedSize !== undefined) return { hash, size: storedSize, bytes: undefined };
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
  const outcome = await builder.restoring.advance(`${request.channelId} ${request.hash}`, begin, deadlineFor(builder));
  if (outcome.kind === "more") return outcome;
  return { kind: outcome.value ? "restored" : "unknown" };
}
