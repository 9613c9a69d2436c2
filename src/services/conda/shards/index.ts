// Shards, one per name, and the shard index that lists them. https://conda.org/learn/ceps/cep-0016

import { scopeKey, type IndexScope } from "../../../models/index/scope.ts";
import { SHARDS_LAYOUT } from "../../../models/index/shards.ts";
import type { SkippedRecord } from "../../../models/index/db.ts";
import {
  compressLongShard,
  compressShard,
  compressShardIndex,
  composeShardIndex,
  createShardWriter,
  SHARD_LEVEL,
  shardIndexEntry,
} from "../../../modules/conda/shards.ts";
import { NAME_BYTES } from "../../../modules/stored-budget.ts";
import { sha256Hex } from "../../../modules/hash.ts";
import { shardKey } from "../../../modules/storage/keys.ts";
import { eachRecord, type RecordPage } from "../../index/records.ts";
import { catchUpNames } from "../../index/catch-up/names.ts";
import type { CatchUpParts, NameValue, Progress } from "../../index/catch-up/parts.ts";
import { codecOf } from "../../index/segments/codec.ts";
import type { ShardWork } from "../../index/format.ts";
import { chunkOf, type Composition } from "../../index/segments/compose.ts";
import { shardEntryOf } from "../documents/layouts.ts";
import { holding } from "../../index/steps/holds.ts";
import { settled, type Work } from "../../index/steps/long-work.ts";

/** Codec of derived data: changes when the bytes of any conda document change. */
export const CONDA_CODEC = codecOf([SHARD_LEVEL]);

/** Brings the shard index up to the revision. Writes the shards of changed names before a shard index lists them. */
export async function catchUpShards(work: CatchUpParts, scope: IndexScope): Promise<Progress> {
  const bytesOf = (name: string): Promise<number> => work.records.bytesOfName(scope, name);
  async function* valueOf(name: string): Work<NameValue> {
    const { shard, skipped } = yield* buildShard(work, scope, name);
    const hash = shard && sha256Hex(shard);
    const before = namedHash(work.derived.entry(scope, name));
    if (before !== undefined && before !== hash) work.derived.retire(scope.channelId, before);
    if (!shard || hash === undefined) return { value: undefined, skipped };
    const key = shardKey(scope.channelId, hash);
    if (!(await work.blobs.stat(key))) await work.blobs.putDerived(key, shard);
    return { value: shardIndexEntry(name, hash), skipped };
  }
  return await catchUpNames(work, scope, { valueOf, bytesOf, atOnce: 4 });
}

type BuildParts = Pick<CatchUpParts, "records" | "large">;
type BuiltShard = { readonly shard: Uint8Array | undefined; readonly skipped: readonly SkippedRecord[] };

/** Bytes of a shard that is compressed within one step. Only one or two longer shards are in memory at once. */
const SHORT_BYTES = 1024 ** 2;
/** Above this size, garbage from the records is collected before the shard is compressed. */
const LARGE_BYTES = 8 * 1024 ** 2;
/** A publish counts stored bytes; a shard has slightly more bytes per file. */
const MOST_BYTES = NAME_BYTES + NAME_BYTES / 4;

/** Builds the shard of a name; undefined when the name has no active or yanked file. */
async function* buildShard(work: BuildParts, scope: IndexScope, name: string): Work<BuiltShard> {
  if ((await work.records.bytesOfName(scope, name)) <= SHORT_BYTES) return yield* composeShard(work, scope, name);
  const key = `${scopeKey(scope)} ${name}`;
  return yield* holding(work.large, "memory", key, () => composeShard(work, scope, name));
}

async function* composeShard({ records }: BuildParts, scope: IndexScope, name: string): Work<BuiltShard> {
  const removed: string[] = [];
  const writer = createShardWriter();
  async function* pages(): AsyncGenerator<RecordPage, void, undefined> {
    for await (const page of records.ofName(scope, name)) {
      for (const { fileName } of page.yanked) removed.push(fileName);
      yield page;
    }
  }
  let count = 0;
  const skipped = yield* eachRecord(pages(), (file) => {
    if (writer.bytes + file.stored > MOST_BYTES)
      throw new Error(`the shard of ${name} would have more than ${MOST_BYTES} bytes before compression`);
    writer.add(shardEntryOf(file));
    count += 1;
  });
  if (count === 0 && removed.length === 0) return { shard: undefined, skipped };
  const content = writer.end(removed);
  if (content.byteLength <= SHORT_BYTES) return { shard: compressShard(content), skipped };
  if (content.byteLength > LARGE_BYTES) Bun.gc(true);
  return { shard: yield* settled(compressLongShard(content)), skipped };
}

/** Returns the hash at the end of a shard index entry. */
function namedHash(entry: Uint8Array | undefined): string | undefined {
  return entry && Buffer.from(entry.subarray(-32)).toString("hex");
}

/**
 * Rebuilds a shard whose file is missing or damaged. False when no shard index lists it, or when its name has changed
 * since: the old content is then unknown.
 */
export async function* restoreShard(
  work: ShardWork,
  { channelId, hash }: { readonly channelId: number; readonly hash: string },
): Work<boolean> {
  const entry = work.derived.entryEndingIn({ channelId, layout: SHARDS_LAYOUT }, Buffer.from(hash, "hex"));
  if (!entry) return false;
  const scope = { channelId, view: entry.view, section: entry.section, layout: SHARDS_LAYOUT };
  const { shard } = yield* buildShard(work, scope, entry.name);
  if (!shard || sha256Hex(shard) !== hash) return false;
  await work.blobs.putDerived(shardKey(channelId, hash), shard);
  return true;
}

/** Entries that `entries` caches in memory: a shard index is read far more often than it changes. */
const MOST_HELD = 100_000;

export async function* composeShardIndexDocument({ derived }: CatchUpParts, scope: IndexScope): Work<Composition> {
  const count = derived.countEntries(scope);
  if (count <= MOST_HELD)
    return shardIndexOf(
      scope.section,
      derived.entries(scope).map(({ value }) => value),
    );
  const parts: Uint8Array[] = [];
  let held: Uint8Array[] = [];
  for (const { value } of derived.eachEntry(scope)) {
    if (held.push(value) < 1000) continue;
    parts.push(Buffer.concat(held));
    held = [];
    yield "step";
  }
  return shardIndexOf(scope.section, [...parts, ...held], count);
}

/** Composes the shard index of encoded entries; one fragment can hold several entries. */
export function shardIndexOf(section: string, fragments: readonly Uint8Array[], count = fragments.length): Composition {
  const content = Buffer.concat(composeShardIndex(section, fragments, count));
  return {
    hash: sha256Hex(Buffer.concat([Buffer.from(CONDA_CODEC), content])),
    textSize: content.byteLength,
    chunks: () => [chunkOf(compressShardIndex([content]))],
  };
}
