// Shards, one per name, and the catalogue that names them. https://conda.org/learn/ceps/cep-0016

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
import { entryOf } from "../documents/layouts.ts";
import { holding } from "../../index/steps/holds.ts";
import { settled, type Work } from "../../index/steps/long-work.ts";

/** Of derived data: what decides the bytes of all conda documents. */
export const CONDA_CODEC = codecOf([SHARD_LEVEL]);

/** Brings the catalogue up to the revision. The shards of changed names are written before any catalogue names them. */
export async function catchUpShards(work: CatchUpParts, scope: IndexScope): Promise<Progress> {
  const bytesOf = (name: string): Promise<number> => work.records.bytesOfName(scope, name);
  async function* valueOf(name: string): Work<NameValue> {
    const { shard, skipped } = yield* makeShard(work, scope, name);
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

type MakingParts = Pick<CatchUpParts, "records" | "large">;
type MadeShard = { readonly shard: Uint8Array | undefined; readonly skipped: readonly SkippedRecord[] };

/** Bytes of a shard that are compressed in the time of a step. Longer ones are held one or two at a time. */
const SHORT_BYTES = 1024 ** 2;
/** What the records of a shard of this size leave behind is worth collecting before it is compressed. */
const LARGE_BYTES = 8 * 1024 ** 2;
/** A publish counts what is stored; a shard says a little more of each file. */
const MOST_BYTES = NAME_BYTES + NAME_BYTES / 4;

/** The shard of a name, undefined when there is nothing to say of it. */
async function* makeShard(work: MakingParts, scope: IndexScope, name: string): Work<MadeShard> {
  if ((await work.records.bytesOfName(scope, name)) <= SHORT_BYTES) return yield* composeShard(work, scope, name);
  const key = `${scopeKey(scope)} ${name}`;
  return yield* holding(work.large, "memory", key, () => composeShard(work, scope, name));
}

async function* composeShard({ records }: MakingParts, scope: IndexScope, name: string): Work<MadeShard> {
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
    writer.add(entryOf(file));
    count += 1;
  });
  if (count === 0 && removed.length === 0) return { shard: undefined, skipped };
  const content = writer.end(removed);
  if (content.byteLength <= SHORT_BYTES) return { shard: compressShard(content), skipped };
  if (content.byteLength > LARGE_BYTES) Bun.gc(true);
  return { shard: yield* settled(compressLongShard(content)), skipped };
}

/** The hash in which an entry of the catalogue ends. */
function namedHash(entry: Uint8Array | undefined): string | undefined {
  return entry && Buffer.from(entry.subarray(-32)).toString("hex");
}

/**
 * Writes a shard anew whose file has gone or is damaged. False when no catalogue names it, or its name has changed since:
 * what it said then is not known any more.
 */
export async function* restoreShard(
  work: ShardWork,
  { channelId, hash }: { readonly channelId: number; readonly hash: string },
): Work<boolean> {
  const entry = work.derived.entryEndingIn({ channelId, layout: SHARDS_LAYOUT }, Buffer.from(hash, "hex"));
  if (!entry) return false;
  const scope = { channelId, view: entry.view, section: entry.section, layout: SHARDS_LAYOUT };
  const { shard } = yield* makeShard(work, scope, entry.name);
  if (!shard || sha256Hex(shard) !== hash) return false;
  await work.blobs.putDerived(shardKey(channelId, hash), shard);
  return true;
}

/** Held in memory by `entries`, as a large catalogue is read far more often than it changes. */
const MOST_HELD = 100_000;

export async function* composeShardIndexDocument({ derived }: CatchUpParts, scope: IndexScope): Work<Composition> {
  const count = derived.countEntries(scope);
  if (count <= MOST_HELD)
    return shardIndexOf(
      scope.section,
      derived.entries(scope).map(({ value }) => value),
    );
  const pieces: Uint8Array[] = [];
  let held: Uint8Array[] = [];
  for (const { value } of derived.eachEntry(scope)) {
    if (held.push(value) < 1000) continue;
    pieces.push(Buffer.concat(held));
    held = [];
    yield "step";
  }
  return shardIndexOf(scope.section, [...pieces, ...held], count);
}

/** The catalogue of these entries, each encoded already, or several in one piece. */
export function shardIndexOf(section: string, fragments: readonly Uint8Array[], count = fragments.length): Composition {
  const whole = Buffer.concat(composeShardIndex(section, fragments, count));
  return {
    hash: sha256Hex(Buffer.concat([Buffer.from(CONDA_CODEC), whole])),
    textSize: whole.byteLength,
    chunks: () => [chunkOf(compressShardIndex([whole]))],
  };
}
