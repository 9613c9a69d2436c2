// Serves index documents on demand: a request brings the one document it needs up to the channel's revision.

import { setTimeout as pause } from "node:timers/promises";
import { AppError, unavailable } from "../../errors.ts";
import type { Events } from "../../events.ts";
import { latestRevision, revisionIdentity } from "../../models/channel.ts";
import type { Database, Reader } from "../../models/database.ts";
import { sectionRevision } from "../../models/index-part.ts";
import type { StoresSource } from "../../models/stores-source.ts";
import type { Clock } from "../../modules/clock.ts";
import { createLru } from "../../modules/lru.ts";
import { patienceOfCaller } from "../../modules/patience.ts";
import type { Step } from "../../modules/mutex.ts";
import type { DerivedFiles } from "../../modules/storage/derived-files.ts";
import type { Bodies } from "../bodies.ts";
import { errorOf } from "../worker-failures.ts";
import type { JobOutcome, Workers } from "../workers.ts";
import type { Turns } from "./steps/turns.ts";
import { BEFORE_ANY, type DatedRevision } from "./catch-up/parts.ts";
import { bytesOf } from "./segments/compose.ts";
import { folderOf, WHOLE_CHANNEL, type ChannelAddress, type ChannelView, type DocumentKey } from "./documents.ts";
import type { IndexFormat } from "./format.ts";
import type { BuildReply, BuildRequest } from "./builder.ts";
import type { DocumentJobs } from "./worker.ts";
import type { PackJobs } from "./files/gzip-worker.ts";
import { createPacking, type Packable, type Packing } from "./files/gzip.ts";
import { sendableBytes, sendableFile, type SendableDocument } from "./files/sendable.ts";

/** One exact representation of a document. */
export type BuiltDocument = SendableDocument & {
  readonly kind: "built";
  /** Identifies the exact bytes. */
  readonly hash: string;
  /** ms UTC of the newest change of the section; never decreases. */
  readonly lastModified: number;
  /** The input for gzip; undefined for an empty document, which gzip would make longer. */
  readonly packable: Packable | undefined;
};

export type AbsentDocument = { readonly kind: "absent"; readonly why: string };
type DocumentResult = BuiltDocument | AbsentDocument;

export type Engine = {
  /** The empty document of a channel that has no row in the database. */
  emptyDocument(address: ChannelAddress, key: DocumentKey): BuiltDocument;
  /** The document at the channel's revision or later. */
  document(view: ChannelView, key: DocumentKey): Promise<DocumentResult>;
  /** The same document if it is already built, else undefined. For HEAD, which never builds. */
  peek(view: ChannelView, key: DocumentKey): Promise<DocumentResult | undefined>;
  /** Gzip representations of documents. */
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
  readonly source: StoresSource;
  readonly format: IndexFormat;
  /** Throws when the data folder was replaced: a worker thread may have built the document from the new folder. */
  readonly requireFiles: () => void;
  /** Whether other processes use the same files, and delete those that they have replaced. */
  readonly isShared: boolean;
};

type CachedDocument = { readonly point: DatedRevision; readonly document: DocumentResult };
type Flight = { readonly target: number; readonly result: Promise<DocumentResult> };

const CACHED_DOCUMENTS = 10_000;
const CACHED_BYTES = 64 * 1024 ** 2;
/** Delay before a replaced file is deleted, as a request may be about to open it. An open file stays readable. */
const RETIRE_MS = 2000;
const NOT_BUILT = "The document could not be built because of a server fault. Retry in a few seconds.";
const BUILD_TRIES = 3;
/** ms of failures: a database that does not answer takes seconds to fail. */
const TRY_MS = 3000;
/** The time budget of a build step is far below this: a worker that takes longer is broken. */
const STEP_LIMIT_MS = 10 * 60_000;
/** Bun closes a connection that waits for 255 s; the server responds before. The next request continues the build. */
const MAX_WAIT_MS = 200_000;
/** Delay before the next step of a build that waits for other work to end. */
export const PAUSE_MS = 10;
/** Another process locks index.db only for one build step or a repair; one that holds it longer hangs. */
const BUSY_LIMIT_MS = 60_000;

export function createEngine(parts: EngineParts): Engine {
  const cache = createDocumentCache();
  const flights = new Map<string, Flight>();
  const packing = createPacking({ ...parts, dataFolder: parts.source.dataFolder });

  /** The cached document, if it is as new as `point`, or if its section has not changed since it was built. */
  async function current(view: ChannelView, key: DocumentKey, point: DatedRevision) {
    const name = nameOf(view, key);
    const cached = cache.get(name);
    if (!cached || (cached.document.kind === "built" && !cached.document.exists())) return undefined;
    if (cached.point.revision === point.revision) {
      return cached.point.identity === point.identity ? cached.document : undefined;
    }
    if (!(await hasRevision(parts.database.read, view.channelId, cached.point))) return undefined;
    if (cached.point.revision > point.revision) return cached.document;
    if (key.section === WHOLE_CHANNEL) return undefined;
    const changed = await sectionRevision(parts.database.read, view.channelId, key.section);
    if (changed > cached.point.revision) return undefined;
    cache.set(name, { ...cached, point });
    return cached.document;
  }

  async function joinOrBuild(view: ChannelView, key: DocumentKey, point: DatedRevision): Promise<DocumentResult> {
    const name = nameOf(view, key);
    for (;;) {
      const built = await current(view, key, point);
      if (built) return built;
      const flight = flights.get(name);
      if (!flight) break;
      // A flight with an older target can miss this revision: wait for its end, then check again.
      if (flight.target >= point.revision) return await flight.result;
      await flight.result.catch(failWithoutDatabase);
    }
    const result = buildAndCache(view, key, point.revision).finally(() => flights.delete(name));
    flights.set(name, { target: point.revision, result });
    return await result;
  }

  async function buildAndCache(view: ChannelView, key: DocumentKey, atLeast: number): Promise<DocumentResult> {
    if (await isEmpty(parts.database.read, view.channelId, key)) return emptyDocument(parts.format, view, key);
    const name = nameOf(view, key);
    const built = await build(parts, view, key, atLeast);
    const before = cache.get(name)?.document;
    cache.set(name, built);
    if (before?.kind === "built") retire(folderOf(view, key), name, before.hash);
    return built.document;
  }

  /** Deletes a replaced file once no request can be about to open it, unless the file has become current again. */
  function retire(folder: string, name: string, hash: string): void {
    const unlessAfter = parts.clock.now();
    const removal = (): void => {
      const latest = cache.get(name)?.document;
      if (latest?.kind === "built" && latest.hash === hash) return;
      parts.files.remove(folder, hash, { unlessAfter });
      packing.remove(folder, hash);
    };
    setTimeout(removal, RETIRE_MS).unref();
  }

  return {
    packing,
    emptyDocument: (address, key) => emptyDocument(parts.format, { address }, key),
    document: async (view, key) => await joinOrBuild(view, key, await latestOf(parts.database.read, view)),
    peek: async (view, key) => await current(view, key, await latestOf(parts.database.read, view)),
  };
}

/** Another wait would be as long, and as much in vain. */
function failWithoutDatabase(error: unknown): void {
  if (error instanceof AppError && error.facts.part === "database") throw error;
}

function createDocumentCache() {
  return createLru<string, CachedDocument>({
    maxEntries: CACHED_DOCUMENTS,
    maxBytes: CACHED_BYTES,
    sizeOf: ({ document }) => (document.kind === "built" ? document.heldBytes : 0) + 500,
  });
}

function touch({ files, clock }: EngineParts, folder: string, document: DocumentResult): void {
  if (document.kind === "built") files.touch(folder, document.hash, document.size, clock.now());
}

/** False for the revision of a document from before the database was set back to an earlier state. */
async function hasRevision(reader: Reader, channelId: number, { revision, identity }: DatedRevision): Promise<boolean> {
  return revision === 0 || identity === (await revisionIdentity(reader, channelId, revision));
}

/** Whether a section never had a file. Its documents are not cached, so strangers cannot fill the memory with them. */
async function isEmpty(reader: Reader, channelId: number, key: DocumentKey): Promise<boolean> {
  return key.section !== WHOLE_CHANNEL && (await sectionRevision(reader, channelId, key.section)) === 0;
}

function emptyDocument(
  format: IndexFormat,
  { address }: Pick<ChannelView, "address">,
  { section, name }: DocumentKey,
): BuiltDocument {
  const composition = format.empty(section, name, address);
  const { hash } = composition;
  const bytes = new Blob([Buffer.concat([...bytesOf(composition)])]);
  return { kind: "built", hash, lastModified: 0, packable: undefined, ...sendableBytes(bytes) };
}

async function build(
  parts: EngineParts,
  view: ChannelView,
  key: DocumentKey,
  atLeast: number,
): Promise<CachedDocument> {
  const { channelId } = view;
  const startedAt = parts.clock.elapsed();
  const request = { ...view, ...key, atLeast };
  let step: Step = "first";
  let unlockedAt = startedAt;
  for (let failures = 0; ;) {
    const outcome = await parts.turns.run(channelId, step, () => runStep(parts, request, step));
    step = "further";
    if (outcome.kind !== "done") {
      failures += 1;
      // After a failure the worker reopens the derived data, which repairs damage or finds a lock released.
      if (failures < BUILD_TRIES && parts.clock.elapsed() - unlockedAt < TRY_MS) continue;
      throw failureOf(outcome);
    }
    const { reply, repaired } = outcome.answer;
    if (repaired !== undefined) parts.events.derivedRepaired(repaired);
    if (reply.kind === "busy") {
      if (parts.clock.elapsed() - unlockedAt < BUSY_LIMIT_MS) continue;
      throw unavailable("Another process has locked the server's index.db. Retry later.", 5, "index.db is locked");
    }
    unlockedAt = parts.clock.elapsed();
    if (reply.kind === "more") {
      if (reply.isWaiting) await pause(PAUSE_MS);
      if (unlockedAt - startedAt < MAX_WAIT_MS) continue;
      throw unavailable("This index document is still being built. Retry in a few seconds.", 5);
    }
    parts.requireFiles();
    const document = documentOf(parts, folderOf(view, key), reply);
    if (parts.isShared) touch(parts, folderOf(view, key), document);
    const seconds = (parts.clock.elapsed() - startedAt) / 1000;
    const bytes = document.kind === "built" ? document.size : 0;
    parts.events.recordsSkipped(reply.skipped);
    parts.events.documentBuilt({ channel: String(channelId), document: key.name, seconds, bytes });
    return { point: reply.point, document };
  }
}

type StepOutcome = JobOutcome<DocumentJobs["document"]["answer"]>;

async function runStep(parts: EngineParts, request: BuildRequest, step: Step): Promise<StepOutcome> {
  const patience = patienceOfCaller();
  const begunAt = parts.clock.elapsed();
  const job = { kind: "document", source: parts.source, request, patienceMs: patience?.left() } as const;
  const outcome = await parts.workers.run(job, STEP_LIMIT_MS, step);
  if (outcome.kind === "done") return outcome;
  const ms = parts.clock.elapsed() - begunAt;
  patience?.spend(ms);
  const error = failureOf(outcome);
  // Each of the others would wait as long for the database, one after the other.
  if (error.facts.part === "database" && ms > TRY_MS) parts.turns.refuse(error);
  return outcome;
}

function failureOf(outcome: Exclude<StepOutcome, { kind: "done" }>): AppError {
  const known = outcome.kind === "failed" ? errorOf(outcome) : undefined;
  return known ?? unavailable(NOT_BUILT, 5, outcome.kind === "failed" ? outcome.message : outcome.kind);
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
