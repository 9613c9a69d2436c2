// Makes every document of a place from nothing, and compares what is stored with that, at one revision.

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
import { createUnderWay, type CatchUpParts, type DatedRevision } from "../catch-up/parts.ts";
import { createRecords, type Records } from "../records.ts";
import { advance, finish, type Work } from "../steps/long-work.ts";
import type { BuildScope, IndexFormat, KeptLayout } from "../format.ts";
import type { Scratch, ScratchStore } from "./scratch.ts";

export type RebuildParts = {
  readonly format: IndexFormat;
  readonly snapshots: Snapshots;
  readonly clock: Clock;
  readonly blobs: BlobStore;
  readonly scratch: Scratch;
  /** The file of derived data that the server reads; undefined when there is none of this release. */
  readonly stored: string | undefined;
  /** Told of every shard that is made from nothing. */
  readonly onShard: (shard: FreshShard) => Promise<void> | void;
  /** Told of every document that has been made. */
  readonly onDocument: () => void;
};

export type FreshShard = {
  readonly key: BlobKey;
  readonly hash: string;
  readonly content: Uint8Array;
  /** What lies in its place; `unwritten` where nothing does, and no stored catalogue says that something should. */
  readonly stored: "same" | "damaged" | "missing" | "unwritten";
};

type Made =
  | { readonly kind: "absent"; readonly point: DatedRevision; readonly why: string }
  | { readonly kind: "composed"; readonly point: DatedRevision; readonly composition: Composition };

/** All of it is of one moment. */
export type Rebuilt = {
  readonly records: Records;
  /** Those that are offered. */
  readonly documents: ReadonlyMap<string, Composition>;
  /** Those of which something is stored. */
  readonly stored: ReadonlySet<string>;
  /** What is stored, where it is not what was made from nothing. */
  readonly differences: readonly StoredDifference[];
};

export type StoredDifference = {
  readonly scope: IndexScope;
  /** For people. */
  readonly what: string;
  /** Those that are made of it. */
  readonly documents: readonly string[];
};

/** What a document of this size leaves behind is worth collecting before the next. */
const LARGE_BYTES = 1024 ** 2;
/** ms of one step, so that no snapshot keeps the database's log from being emptied for long. */
const BUDGET_MS = 500;

/** The documents of a section, or of the channel as a whole when it is empty. */
export function documentsOf(format: IndexFormat, section: string): string[] {
  return format.kept(section).flatMap(({ documents }) => documents);
}

/** `visit` is told while the snapshot lasts. */
export async function rebuildScope<T>(
  parts: RebuildParts,
  scope: BuildScope,
  visit: (rebuilt: Rebuilt) => Promise<T>,
): Promise<T> {
  const { fresh, copy } = parts.scratch;
  const kept = parts.format.kept(scope.section);
  // Copied before the first snapshot, so that what is stored is never newer than what it is compared with.
  if (parts.stored !== undefined) {
    const scopes = kept.map(({ layout }) => scopeOf(scope, layout));
    copyScopes({ from: parts.stored, to: copy.path }, scopes);
  }
  const stored = kept.filter(({ layout }) => copy.derived.state(scopeOf(scope, layout)) !== undefined);
  const shards = scopeOf(scope, SHARDS_LAYOUT);
  const isNamed = (hash: string): boolean => copy.derived.entryEndingIn(shards, Buffer.from(hash, "hex")) !== undefined;
  const making: Making = { ...parts, scope, store: fresh, shards: shardSink(parts, isNamed) };
  const following: Making = { ...parts, scope, store: copy, shards: NO_SHARDS };
  for (const name of documentsOf(parts.format, scope.section)) {
    const made = await makeInSteps(making, name);
    // The pieces of bzip2 are kept as well, and are made when they are read.
    if (made.kind === "composed" && name.endsWith(".bz2")) drain(bytesOf(made.composition));
    forget(made);
    parts.onDocument();
  }
  // What is damaged beyond reading fails once more below, and is told of there.
  for (const { documents } of stored) await makeInSteps(following, documents[0]).then(forget, () => undefined);
  // What has changed since then is named in the copy, which has followed, and not yet in what is stored.
  const last: Making = { ...making, shards: shardSink(parts, () => false) };
  return await parts.snapshots.snapshot(async (reader) => {
    const documents = new Map<string, Composition>();
    for (const name of documentsOf(parts.format, scope.section)) {
      const made = await makeAtOnce(last, reader, name);
      if (made.kind === "composed") documents.set(name, made.composition);
    }
    const differences: StoredDifference[] = [];
    for (const layout of stored) differences.push(...(await differencesOf(following, reader, fresh, layout)));
    const names = new Set(stored.flatMap((layout) => layout.documents));
    return await visit({
      records: createRecords(reader, parts.format.requireReadable),
      documents,
      stored: names,
      differences,
    });
  });
}

/** Whether a file of a document lies there and is not what the document is. */
export async function isFileDamaged(files: DerivedFiles, folder: string, composition: Composition): Promise<boolean> {
  const { hash } = composition;
  if (files.isCut(folder, hash)) return true;
  const size = files.size(folder, hash);
  if (size === undefined) return false;
  const [expected, found] = [createFileHash(), createFileHash()];
  for (const part of bytesOf(composition)) expected.update(part);
  for await (const chunk of Bun.file(files.pathOf(folder, hash, size)).stream()) found.update(chunk);
  return found.digest().sha256 !== expected.digest().sha256;
}

type Making = Pick<RebuildParts, "snapshots" | "clock" | "scratch" | "format"> & {
  readonly scope: BuildScope;
  readonly store: ScratchStore;
  readonly shards: CatchUpParts["blobs"];
};

function scopeOf({ channelId, view, section }: BuildScope, layout: string): IndexScope {
  return { channelId, view, section, layout };
}

/** Each step has a snapshot of its own; nobody else changes what is kept. */
async function makeInSteps(making: Making, name: string): Promise<Made> {
  const { catchUp, compose } = making.format.builderOf(name);
  const underWay = createUnderWay(making);
  let composing: { readonly work: Work<Composition | string>; readonly point: DatedRevision } | undefined;
  const step = async (reader: Reader): Promise<Made | { kind: "more"; isWaiting: boolean }> => {
    const work = { ...partsOf(making, reader, BUDGET_MS), ...underWay };
    if (!composing) {
      const progress = await catchUp(work, making.scope);
      if (progress.kind === "more") return progress;
      composing = { work: compose(work, making.scope), point: progress.point };
    }
    const deadline = making.clock.elapsed() + BUDGET_MS;
    const outcome = await advance(composing.work, () => making.clock.elapsed() > deadline);
    return outcome.kind === "more" ? outcome : collected(madeOf(outcome.value, composing.point));
  };
  for (;;) {
    const made = await making.snapshots.snapshot(step);
    if (made.kind !== "more") return made;
    if (made.isWaiting) await pause(1);
  }
}

async function makeAtOnce(making: Making, reader: Reader, name: string): Promise<Made> {
  const work = partsOf(making, reader, Number.POSITIVE_INFINITY);
  const { catchUp, compose } = making.format.builderOf(name);
  for (;;) {
    const progress = await catchUp(work, making.scope);
    if (progress.kind === "current")
      return collected(madeOf(await finish(compose(work, making.scope)), progress.point));
  }
}

function madeOf(composed: Composition | string, point: DatedRevision): Made {
  if (typeof composed === "string") return { kind: "absent", point, why: composed };
  return { kind: "composed", point, composition: composed };
}

function partsOf({ clock, store, shards, scratch, format }: Making, reader: Reader, budget: number): CatchUpParts {
  const files = { draft: scratch.draft };
  const records = createRecords(reader, format.requireReadable);
  const work = { reader, records, derived: store.derived, clock, blobs: shards, files, budget };
  return { ...work, ...createUnderWay({ clock }) };
}

function collected(made: Made): Made {
  if (made.kind === "composed" && made.composition.textSize > LARGE_BYTES) Bun.gc(true);
  return made;
}

async function differencesOf(
  following: Making,
  reader: Reader,
  fresh: ScratchStore,
  { layout, documents }: KeptLayout,
): Promise<StoredDifference[]> {
  const scope = scopeOf(following.scope, layout);
  try {
    forget(await makeAtOnce(following, reader, documents[0]));
  } catch (error) {
    return [{ scope, documents, what: `all, which cannot be read: ${error instanceof Error ? error.message : ""}` }];
  }
  const { bzip2Blocks, ...parts } = compareScope(fresh.path, following.store.path, scope);
  const isOther = Object.values(parts).some((count) => count > 0);
  if (!isOther && bzip2Blocks === 0) return [];
  const concerned = isOther ? documents : documents.filter((name) => name.endsWith(".bz2"));
  return [{ scope, documents: concerned, what: describe({ ...parts, bzip2Blocks }) }];
}

function describe({ segments, bzip2Blocks, entries, skipped }: ScopeDifference): string {
  const counts = [
    [segments, "segment(s)"],
    [bzip2Blocks, "piece(s) of bzip2"],
    [entries, "name(s)"],
    [skipped, "record(s) set aside"],
  ] as const;
  return counts
    .filter(([count]) => count > 0)
    .map(([count, what]) => `${count} ${what}`)
    .join(" and ");
}

/** What is stored is only read here: nobody waits for the shards of its newest names. */
const NO_SHARDS: Making["shards"] = { stat: () => Promise.resolve(undefined), putDerived: () => Promise.resolve() };

/** `isNamed` tells whether a stored catalogue names a shard. */
function shardSink({ blobs, onShard }: RebuildParts, isNamed: (hash: string) => boolean): Making["shards"] {
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

/** It is made once more when it is needed. */
function forget(made: Made): void {
  if (made.kind === "composed") made.composition.draft?.drop();
}

function drain(parts: Iterable<Uint8Array>): void {
  for (const part of parts) void part;
}
