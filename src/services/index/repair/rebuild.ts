// Rebuilds every document of a section from scratch, and compares the stored data with the result, at one revision.

import { setTimeout as pause } from "node:timers/promises";
import type { Reader, Snapshots } from "../../../models/database.ts";
import { compareScope, copyScopes, type ScopeDifference } from "../../../models/index/copy.ts";
import type { IndexScope } from "../../../models/index/scope.ts";
import { SHARDS_LAYOUT } from "../../../models/index/shards.ts";
import type { Clock } from "../../../modules/clock.ts";
import type { BlobKey, BlobStore } from "../../../modules/storage/blob-store.ts";
import type { DerivedFiles } from "../../../modules/storage/derived-files.ts";
import { createFileHash, sha256Hex } from "../../../modules/hash.ts";
import { bytesOf, type Composition } from "../segments/compose.ts";
import { createOngoingWork, type CatchUpParts, type DatedRevision } from "../catch-up/parts.ts";
import { createRecords, type Records } from "../records.ts";
import { advance, finish, type Work } from "../steps/long-work.ts";
import type { BuildScope, IndexFormat, StoredLayout } from "../format.ts";
import type { Scratch, ScratchStore } from "./scratch.ts";

export type RebuildParts = {
  readonly format: IndexFormat;
  readonly snapshots: Snapshots;
  readonly clock: Clock;
  readonly blobs: BlobStore;
  readonly scratch: Scratch;
  /** The server's file of derived data; undefined when there is none of this release. */
  readonly stored: string | undefined;
  /** Called for every rebuilt shard. */
  readonly onShard: (shard: FreshShard) => Promise<void> | void;
  /** Called for every rebuilt document. */
  readonly onDocument: () => void;
};

export type FreshShard = {
  readonly key: BlobKey;
  readonly hash: string;
  readonly content: Uint8Array;
  /** State of the stored blob. `unwritten`: there is none, and no stored shard index names the shard. */
  readonly stored: "same" | "damaged" | "missing" | "unwritten";
};

type RebuiltDocument =
  | { readonly kind: "absent"; readonly point: DatedRevision; readonly why: string }
  | { readonly kind: "composed"; readonly point: DatedRevision; readonly composition: Composition };

/** A consistent snapshot. */
export type Rebuilt = {
  readonly records: Records;
  /** The documents that the channel offers. */
  readonly documents: ReadonlyMap<string, Composition>;
  /** The documents that have stored data. */
  readonly stored: ReadonlySet<string>;
  /** The stored data that differs from the rebuilt data. */
  readonly differences: readonly StoredDifference[];
};

export type StoredDifference = {
  readonly scope: IndexScope;
  /** What differs, in words for people. */
  readonly what: string;
  /** The documents that are affected. */
  readonly documents: readonly string[];
};

/** After a document of this size, garbage is collected before the next document. */
const LARGE_BYTES = 1024 ** 2;
/** Time budget of a step in ms, so that no snapshot blocks checkpoints of the write-ahead log for long. */
const BUDGET_MS = 500;

/** The documents of a section, or of the entire channel when `section` is empty. */
export function documentsOf(format: IndexFormat, section: string): string[] {
  return format.kept(section).flatMap(({ documents }) => documents);
}

/** Calls `visit` while the snapshot is open. */
export async function rebuildScope<T>(
  parts: RebuildParts,
  scope: BuildScope,
  visit: (rebuilt: Rebuilt) => Promise<T>,
): Promise<T> {
  const { fresh, copy } = parts.scratch;
  const layouts = parts.format.kept(scope.section);
  // Copied before the first snapshot, so that the stored data is never newer than the data it is compared with.
  if (parts.stored !== undefined) {
    const scopes = layouts.map(({ layout }) => scopeOf(scope, layout));
    copyScopes({ from: parts.stored, to: copy.path }, scopes);
  }
  const stored = layouts.filter(({ layout }) => copy.derived.state(scopeOf(scope, layout)) !== undefined);
  const shards = scopeOf(scope, SHARDS_LAYOUT);
  const isNamed = (hash: string): boolean => copy.derived.entryEndingIn(shards, Buffer.from(hash, "hex")) !== undefined;
  const fullBuild: RebuildWork = { ...parts, scope, store: fresh, shards: shardSink(parts, isNamed) };
  const copyUpdate: RebuildWork = { ...parts, scope, store: copy, shards: NO_SHARDS };
  for (const name of documentsOf(parts.format, scope.section)) {
    const built = await buildInSteps(fullBuild, name);
    // The bzip2 blocks are stored and compared, too: `compose` has built them, and this reads them back.
    if (built.kind === "composed" && name.endsWith(".bz2")) drain(bytesOf(built.composition));
    dropDraft(built);
    parts.onDocument();
  }
  // Unreadable data fails again in `differencesOf`, which reports it.
  for (const { documents } of stored) await buildInSteps(copyUpdate, documents[0]).then(dropDraft, () => undefined);
  // Shards that changed since the copy are named in the updated copy, but not yet in the stored data.
  const finalBuild: RebuildWork = { ...fullBuild, shards: shardSink(parts, () => false) };
  return await parts.snapshots.snapshot(async (reader) => {
    const documents = new Map<string, Composition>();
    for (const name of documentsOf(parts.format, scope.section)) {
      const built = await buildAtOnce(finalBuild, reader, name);
      if (built.kind === "composed") documents.set(name, built.composition);
    }
    const differences: StoredDifference[] = [];
    for (const layout of stored) differences.push(...(await differencesOf(copyUpdate, reader, fresh, layout)));
    const names = new Set(stored.flatMap((layout) => layout.documents));
    return await visit({
      records: createRecords(reader, parts.format.requireReadable),
      documents,
      stored: names,
      differences,
    });
  });
}

/** Whether a document has a file whose content is not the document. */
export async function isFileDamaged(files: DerivedFiles, folder: string, composition: Composition): Promise<boolean> {
  const { hash } = composition;
  if (files.isTruncated(folder, hash)) return true;
  const size = files.size(folder, hash);
  if (size === undefined) return false;
  const [expected, found] = [createFileHash(), createFileHash()];
  for (const part of bytesOf(composition)) expected.update(part);
  for await (const chunk of Bun.file(files.pathOf(folder, hash, size)).stream()) found.update(chunk);
  return found.digest().sha256 !== expected.digest().sha256;
}

type RebuildWork = Pick<RebuildParts, "snapshots" | "clock" | "scratch" | "format"> & {
  readonly scope: BuildScope;
  readonly store: ScratchStore;
  readonly shards: CatchUpParts["blobs"];
};

function scopeOf({ channelId, view, section }: BuildScope, layout: string): IndexScope {
  return { channelId, view, section, layout };
}

/** Builds a document in steps, each with its own snapshot. No other process changes the scratch data meanwhile. */
async function buildInSteps(rebuild: RebuildWork, name: string): Promise<RebuiltDocument> {
  const { catchUp, compose } = rebuild.format.builderOf(name);
  const underWay = createOngoingWork(rebuild);
  let composing: { readonly work: Work<Composition | string>; readonly point: DatedRevision } | undefined;
  const step = async (reader: Reader): Promise<RebuiltDocument | { kind: "more"; isWaiting: boolean }> => {
    const work = { ...partsOf(rebuild, reader, BUDGET_MS), ...underWay };
    if (!composing) {
      const progress = await catchUp(work, rebuild.scope);
      if (progress.kind === "more") return progress;
      composing = { work: compose(work, rebuild.scope), point: progress.point };
    }
    const deadline = rebuild.clock.elapsed() + BUDGET_MS;
    const outcome = await advance(composing.work, () => rebuild.clock.elapsed() > deadline);
    return outcome.kind === "more" ? outcome : collectGarbage(toRebuilt(outcome.value, composing.point));
  };
  for (;;) {
    const built = await rebuild.snapshots.snapshot(step);
    if (built.kind !== "more") return built;
    if (built.isWaiting) await pause(1);
  }
}

async function buildAtOnce(rebuild: RebuildWork, reader: Reader, name: string): Promise<RebuiltDocument> {
  const work = partsOf(rebuild, reader, Number.POSITIVE_INFINITY);
  const { catchUp, compose } = rebuild.format.builderOf(name);
  for (;;) {
    const progress = await catchUp(work, rebuild.scope);
    if (progress.kind === "current")
      return collectGarbage(toRebuilt(await finish(compose(work, rebuild.scope)), progress.point));
  }
}

function toRebuilt(composed: Composition | string, point: DatedRevision): RebuiltDocument {
  if (typeof composed === "string") return { kind: "absent", point, why: composed };
  return { kind: "composed", point, composition: composed };
}

function partsOf({ clock, store, shards, scratch, format }: RebuildWork, reader: Reader, budget: number): CatchUpParts {
  const files = { draft: scratch.draft };
  const records = createRecords(reader, format.requireReadable);
  const work = { reader, records, derived: store.derived, clock, blobs: shards, files, budget };
  return { ...work, ...createOngoingWork({ clock }) };
}

function collectGarbage(built: RebuiltDocument): RebuiltDocument {
  if (built.kind === "composed" && built.composition.textSize > LARGE_BYTES) Bun.gc(true);
  return built;
}

async function differencesOf(
  copyUpdate: RebuildWork,
  reader: Reader,
  fresh: ScratchStore,
  { layout, documents }: StoredLayout,
): Promise<StoredDifference[]> {
  const scope = scopeOf(copyUpdate.scope, layout);
  try {
    dropDraft(await buildAtOnce(copyUpdate, reader, documents[0]));
  } catch (error) {
    return [{ scope, documents, what: `all, which is unreadable: ${error instanceof Error ? error.message : ""}` }];
  }
  const { bzip2Blocks, ...parts } = compareScope(fresh.path, copyUpdate.store.path, scope);
  const differs = Object.values(parts).some((count) => count > 0);
  if (!differs && bzip2Blocks === 0) return [];
  const affected = differs ? documents : documents.filter((name) => name.endsWith(".bz2"));
  return [{ scope, documents: affected, what: describe({ ...parts, bzip2Blocks }) }];
}

function describe({ segments, bzip2Blocks, entries, skipped }: ScopeDifference): string {
  const counts = [
    [segments, "segment(s)"],
    [bzip2Blocks, "bzip2 part(s)"],
    [entries, "name(s)"],
    [skipped, "skipped record(s)"],
  ] as const;
  return counts
    .filter(([count]) => count > 0)
    .map(([count, what]) => `${count} ${what}`)
    .join(" and ");
}

/** Does not write shards: the copy is only compared, so nobody reads the shards of its newest names. */
const NO_SHARDS: RebuildWork["shards"] = {
  stat: () => Promise.resolve(undefined),
  putDerived: () => Promise.resolve(),
};

/** `isNamed`: whether a stored shard index names a shard. */
function shardSink({ blobs, onShard }: RebuildParts, isNamed: (hash: string) => boolean): RebuildWork["shards"] {
  return {
    stat: () => Promise.resolve(undefined),
    putDerived: async (key, content) => {
      const hash = sha256Hex(content);
      const found = await blobs.open(key);
      let stored: FreshShard["stored"] = isNamed(hash) ? "missing" : "unwritten";
      if (found) stored = sha256Hex(new Uint8Array(await found.arrayBuffer())) === hash ? "same" : "damaged";
      await onShard({ key, hash, content, stored });
    },
  };
}

/** Drops the draft of a document, which is rebuilt when it is needed. */
function dropDraft(built: RebuiltDocument): void {
  if (built.kind === "composed") built.composition.draft?.drop();
}

function drain(parts: Iterable<Uint8Array>): void {
  for (const part of parts) void part;
}
