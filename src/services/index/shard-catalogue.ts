// Shards, one per name, and the catalogue that names them. https://conda.org/learn/ceps/cep-0016

import type { DerivedPlace } from "../../models/derived-place.ts";
import type { AsideRecord } from "../../models/derived.ts";
import { bytesOfName, pagesOfName, type IndexedFile } from "../../models/package-file.ts";
import {
  compressLongShard,
  compressShard,
  compressShardIndex,
  composeShardIndex,
  createShardWriter,
  shardIndexEntry,
} from "../../modules/conda/shards.ts";
import { NAME_BYTES } from "../../modules/stored-budget.ts";
import { sha256Hex } from "../../modules/hash.ts";
import { shardKey } from "../../modules/storage/keys.ts";
import { eachReadable } from "./aside.ts";
import { catchUpNames } from "./catch-up-names.ts";
import type { CatchUpParts, NameValue, Progress } from "./catch-up-parts.ts";
import { CODEC } from "./codec.ts";
import { chunkOf, type Composition } from "./compose.ts";
import { entryOf } from "./families.ts";
import { holding } from "./holds.ts";
import { settled, type Work } from "./long-work.ts";

/** Brings the catalogue up to the revision. The shards of changed names are written before any catalogue names them. */
export async function catchUpShards(work: CatchUpParts, place: DerivedPlace): Promise<Progress> {
  const bytesOf = (name: string): Promise<number> => bytesOfName(work.reader, place, name);
  async function* valueOf(name: string): Work<NameValue> {
    const { shard, aside } = yield* makeShard(work, place, name);
    const hash = shard && sha256Hex(shard);
    const before = namedHash(work.derived.entry(place, name));
    if (before !== undefined && before !== hash) work.derived.retire(place.channelId, before);
    if (!shard || hash === undefined) return { value: undefined, aside };
    const key = shardKey(place.channelId, hash);
    if (!(await work.blobs.stat(key))) await work.blobs.putDerived(key, shard);
    return { value: shardIndexEntry(name, hash), aside };
  }
  return await catchUpNames(work, place, { valueOf, bytesOf, atOnce: 4 });
}

type ShardWork = Pick<CatchUpParts, "reader" | "large">;
type MadeShard = { readonly shard: Uint8Array | undefined; readonly aside: readonly AsideRecord[] };

/** Bytes of a shard that are compressed in the time of a step. Longer ones are held one or two at a time. */
const SHORT_BYTES = 1024 ** 2;
/** What the records of a shard of this size leave behind is worth collecting before it is compressed. */
const LARGE_BYTES = 8 * 1024 ** 2;
/** A publish counts what is stored; a shard says a little more of each file. */
const MOST_BYTES = NAME_BYTES + NAME_BYTES / 4;

/** The shard of a name, undefined when there is nothing to say of it. */
async function* makeShard(work: ShardWork, place: DerivedPlace, name: string): Work<MadeShard> {
  if ((await bytesOfName(work.reader, place, name)) <= SHORT_BYTES) return yield* composeShard(work, place, name);
  const key = `shard ${place.channelId} ${place.section} ${name}`;
  return yield* holding(work.large, "memory", key, () => composeShard(work, place, name));
}

async function* composeShard({ reader }: ShardWork, place: DerivedPlace, name: string): Work<MadeShard> {
  const removed: string[] = [];
  const writer = createShardWriter();
  async function* pages(): AsyncGenerator<readonly IndexedFile[], void, undefined> {
    for await (const files of pagesOfName(reader, place, name)) {
      for (const file of files) if (file.state === "yanked") removed.push(file.fileName);
      yield files;
    }
  }
  let count = 0;
  const aside = yield* eachReadable(pages(), (file) => {
    if (writer.bytes + file.stored > MOST_BYTES)
      throw new Error(`the shard of ${name} would have more than ${MOST_BYTES} bytes before compression`);
    writer.add(entryOf(file));
    count += 1;
  });
  if (count === 0 && removed.length === 0) return { shard: undefined, aside };
  const content = writer.end(removed);
  if (content.byteLength <= SHORT_BYTES) return { shard: compressShard(content), aside };
  if (content.byteLength > LARGE_BYTES) Bun.gc(true);
  return { shard: yield* settled(compressLongShard(content)), aside };
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
  work: ShardWork & Pick<CatchUpParts, "derived" | "blobs">,
  { channelId, hash }: { readonly channelId: number; readonly hash: string },
): Work<boolean> {
  const entry = work.derived.entryEndingIn({ channelId, family: "shards" }, Buffer.from(hash, "hex"));
  if (!entry) return false;
  const place = { channelId, section: entry.section, family: "shards" };
  const { shard } = yield* makeShard(work, place, entry.name);
  if (!shard || sha256Hex(shard) !== hash) return false;
  await work.blobs.putDerived(shardKey(channelId, hash), shard);
  return true;
}

/** Held in memory by `entries`, as a large catalogue is read far more often than it changes. */
const MOST_HELD = 100_000;

export async function* composeCatalogue({ derived }: CatchUpParts, place: DerivedPlace): Work<Composition> {
  const count = derived.countEntries(place);
  if (count <= MOST_HELD)
    return catalogueOf(
      place.section,
      derived.entries(place).map(({ value }) => value),
    );
  const pieces: Uint8Array[] = [];
  let held: Uint8Array[] = [];
  for (const { value } of derived.eachEntry(place)) {
    if (held.push(value) < 1000) continue;
    pieces.push(Buffer.concat(held));
    held = [];
    yield "step";
  }
  return catalogueOf(place.section, [...pieces, ...held], count);
}

/** The catalogue of these entries, each encoded already, or several in one piece. */
export function catalogueOf(section: string, fragments: readonly Uint8Array[], count = fragments.length): Composition {
  const whole = Buffer.concat(composeShardIndex(section, fragments, count));
  return {
    hash: sha256Hex(Buffer.concat([Buffer.from(CODEC), whole])),
    textSize: whole.byteLength,
    chunks: () => [chunkOf(compressShardIndex([whole]))],
  };
}
