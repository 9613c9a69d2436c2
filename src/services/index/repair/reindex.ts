// Rebuilds every document from scratch, and replaces the stored data that differs.

import { basename } from "node:path";
import { unavailable } from "../../../errors.ts";
import { bumpRevision } from "../../../models/channel.ts";
import type { Snapshots, Transaction } from "../../../models/database.ts";
import { copyScopes, kindOfDerived } from "../../../models/index/copy.ts";
import { DerivedBusy, type IndexScope } from "../../../models/index/scope.ts";
import { SHARDS_LAYOUT } from "../../../models/index/shards.ts";
import { openDerived } from "../../../models/index/db.ts";
import { changedNames, touchIndexPart } from "../../../models/index-part.ts";
import { randomHex } from "../../../modules/ids.ts";
import type { BlobStore } from "../../../modules/storage/blob-store.ts";
import type { ChannelName } from "../../channel-ref.ts";
import { folderOf, PLAIN_VIEW, WHOLE_CHANNEL } from "../documents.ts";
import type { BuildScope, IndexFormat } from "../format.ts";
import { bytesOf } from "../segments/compose.ts";
import { isFileDamaged, rebuildScope, type FreshShard, type Rebuilt } from "./rebuild.ts";
import { countDocuments, rebuildTargets, type RebuildTarget, type RepairParts } from "./targets.ts";
import { withScratch, type Scratch } from "./scratch.ts";

export type ReindexedDocument = {
  readonly channel: string;
  readonly section: string;
  readonly document: string;
  /** `unread`: not built yet (never requested). */
  readonly result: "same" | "mended" | "unread";
  /** What was wrong; empty if nothing was. */
  readonly detail: string;
};

/** Errors: `not-found` when there is no such channel. */
export type Reindex = (options: {
  /** Without it, all channels. */
  readonly channel?: ChannelName | undefined;
  readonly onDocument: (document: ReindexedDocument) => void;
  readonly onProgress?: (done: number, total: number) => void;
}) => Promise<{ readonly documents: number; readonly mended: number }>;

export function createReindex(parts: RepairParts): Reindex {
  return async ({ channel, onDocument, onProgress }) => {
    const targets = await rebuildTargets(parts.database.read, parts.types, channel);
    const total = countDocuments(parts.format, targets);
    let built = 0;
    let documents = 0;
    let mended = 0;
    const report = (document: ReindexedDocument): void => {
      documents += 1;
      if (document.result === "mended") mended += 1;
      onDocument(document);
    };
    const stored = storedFile(parts.folder.index, parts.format.codec, report);
    const snapshots = parts.openSnapshots();
    const onBuilt = (): void => onProgress?.((built += 1), total);
    try {
      for (const target of targets) {
        for (const document of await reindexChannel({ ...parts, snapshots, stored, onBuilt }, target)) report(document);
      }
    } finally {
      await snapshots.close();
    }
    return { documents, mended };
  };
}

type Work = RepairParts & {
  readonly snapshots: Snapshots;
  readonly stored: string | undefined;
  readonly onBuilt: () => void;
};

/** Recreates a damaged file, as the server does at its start; a file of another release is left to that release. */
function storedFile(path: string, codec: string, report: (document: ReindexedDocument) => void): string | undefined {
  const kind = kindOfDerived(path, codec);
  if (kind !== "damaged") return kind === "ours" ? path : undefined;
  openDerived(path, codec).close();
  report({
    channel: "",
    section: "",
    document: basename(path),
    result: "mended",
    detail: "it was damaged, and was recreated",
  });
  return undefined;
}

async function reindexChannel(work: Work, target: RebuildTarget): Promise<ReindexedDocument[]> {
  return await withScratch(work.folder.temporary, work.format.codec, async (scratch) => {
    const documents: ReindexedDocument[] = [];
    const differing: IndexScope[] = [];
    for (const section of target.sections) {
      const scope = { channelId: target.channelId, view: PLAIN_VIEW, section, address: { title: "", url: "" } };
      let shards = 0;
      const onShard = async (shard: FreshShard): Promise<void> => {
        if (await repairShard(work.blobs, shard, hasShardIndex(scratch, scope))) shards += 1;
      };
      const parts = { ...work, scratch, onShard, onDocument: work.onBuilt };
      await rebuildScope(parts, scope, async (rebuilt) => {
        differing.push(...rebuilt.differences.map((difference) => difference.scope));
        for (const name of rebuilt.documents.keys()) {
          const faults = await repairDocument(work, { ...rebuilt, ...scope }, name);
          if (namesShards(work.format, section, name) && shards > 0)
            faults.push(`${shards} of its shards were missing or damaged`);
          const unrepaired = rebuilt.stored.has(name) ? "same" : "unread";
          const result = faults.length > 0 ? "mended" : unrepaired;
          documents.push({ channel: target.label, section, document: name, result, detail: faults.join(", ") });
        }
      });
    }
    if (differing.length > 0) await replaceStored(work, scratch, differing);
    return documents;
  });
}

/** Each attempt waits some seconds for the server to unlock the file. */
const ATTEMPTS = 3;

function namesShards(format: IndexFormat, section: string, name: string): boolean {
  return format.kept(section).some(({ layout, documents }) => layout === SHARDS_LAYOUT && documents.includes(name));
}

function hasShardIndex({ copy }: Scratch, scope: Omit<IndexScope, "layout">): boolean {
  return copy.derived.state({ ...scope, layout: SHARDS_LAYOUT }) !== undefined;
}

/** Whether the shard was missing or damaged. A shard index that replaces the stored one must find all of its shards. */
async function repairShard(blobs: BlobStore, shard: FreshShard, isStored: boolean): Promise<boolean> {
  if (shard.stored === "same" || (shard.stored === "unwritten" && !isStored)) return false;
  await blobs.put(shard.key, shard.content);
  return shard.stored !== "unwritten";
}

/** Returns the faults of a document. Repairs its file; its derived data is replaced once the entire channel is read. */
async function repairDocument({ files }: Work, rebuilt: Rebuilt & BuildScope, name: string): Promise<string[]> {
  const faults = rebuilt.differences
    .filter(({ documents }) => documents.includes(name))
    .map(({ what }) => `it differed in ${what}`);
  const composition = rebuilt.documents.get(name);
  const folder = folderOf(rebuilt, { section: rebuilt.section, name });
  if (!composition || !(await isFileDamaged(files, folder, composition))) return faults;
  files.write(folder, composition.hash, bytesOf(composition));
  return [...faults, "its file was damaged"];
}

/**
 * Replaces stored scopes by the rebuilt ones, in one transaction. A revision without changes then makes a running
 * server rebuild the documents that it has in memory.
 */
async function replaceStored(work: Work, scratch: Scratch, scopes: readonly IndexScope[]): Promise<void> {
  if (work.stored === undefined) return;
  copyToStored({ from: scratch.fresh.path, to: work.stored }, scopes);
  const at = work.clock.now();
  const sections = new Set(scopes.map(({ section }) => section));
  const [channelId = 0] = scopes.map((scope) => scope.channelId);
  const replace = async (tx: Transaction): Promise<void> => {
    const revision = await bumpRevision(tx, { channelId, identity: randomHex(16), at, actorId: null });
    for (const section of sections) {
      if (section === WHOLE_CHANNEL) continue;
      const [name] = await changedNames(tx, { channelId, section, revision: -1 });
      if (name !== undefined) await touchIndexPart(tx, { channelId, section, name, revision });
    }
  };
  await work.database.transact(replace, { channels: [channelId] });
}

function copyToStored(files: { readonly from: string; readonly to: string }, scopes: readonly IndexScope[]): void {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return copyScopes(files, scopes);
    } catch (error) {
      if (!(error instanceof DerivedBusy)) throw error;
      if (attempt === ATTEMPTS) throw unavailable("The server has locked index.db. Run this again later.", 5, error);
    }
  }
}
