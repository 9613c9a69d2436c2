// Shards, one per name, and the catalogue that names them. https://conda.org/learn/ceps/cep-0016

import type { DerivedPlace } from "../../models/derived-place.ts";
import { filesOfName, type IndexedFile } from "../../models/package-file.ts";
import {
  compressShard,
  compressShardIndex,
  composeShard,
  composeShardIndex,
  shardIndexEntry,
} from "../../modules/conda/shards.ts";
import { sha256Hex } from "../../modules/hash.ts";
import { shardKey } from "../../modules/storage/keys.ts";
import { ofReadable } from "./aside.ts";
import { catchUpNames, type NameValue } from "./catch-up.ts";
import type { CatchUpParts, Progress } from "./catch-up-parts.ts";
import { CODEC } from "./codec.ts";
import { chunkOf, type Composition } from "./compose.ts";
import { entryOf } from "./families.ts";

/** Brings the catalogue up to the revision. The shards of changed names are written before any catalogue names them. */
export async function catchUpShards(work: CatchUpParts, place: DerivedPlace): Promise<Progress> {
  const valueOf = async (name: string): Promise<NameValue> => {
    const { value: shard, aside } = ofReadable(await filesOfName(work.reader, place, name), shardOf);
    const hash = shard && sha256Hex(shard);
    const before = namedHash(work.derived.entry(place, name));
    if (before !== undefined && before !== hash) work.derived.retire(place.channelId, before);
    if (!shard || hash === undefined) return { value: undefined, aside };
    const key = shardKey(place.channelId, hash);
    if (!(await work.blobs.stat(key))) await work.blobs.putDerived(key, shard);
    return { value: shardIndexEntry(name, hash), aside };
  };
  return await catchUpNames(work, place, { valueOf, atOnce: 4 });
}

/** The hash in which an entry of the catalogue ends. */
function namedHash(entry: Uint8Array | undefined): string | undefined {
  return entry && Buffer.from(entry.subarray(-32)).toString("hex");
}

/**
 * Writes a shard anew whose file has gone or is damaged. False when no catalogue names it, or its name has changed since:
 * what it said then is not known any more.
 */
export async function restoreShard(
  work: Pick<CatchUpParts, "reader" | "derived" | "blobs">,
  { channelId, hash }: { readonly channelId: number; readonly hash: string },
): Promise<boolean> {
  const entry = work.derived.entryEndingIn({ channelId, family: "shards" }, Buffer.from(hash, "hex"));
  if (!entry) return false;
  const files = await filesOfName(work.reader, { channelId, section: entry.section }, entry.name);
  const { value: shard } = ofReadable(files, shardOf);
  if (!shard || sha256Hex(shard) !== hash) return false;
  await work.blobs.putDerived(shardKey(channelId, hash), shard);
  return true;
}

export function composeCatalogue(work: CatchUpParts, place: DerivedPlace): Composition {
  return catalogueOf(
    place.section,
    work.derived.entries(place).map(({ value }) => value),
  );
}

/** The catalogue of these entries, each encoded already. */
export function catalogueOf(section: string, fragments: readonly Uint8Array[]): Composition {
  const whole = Buffer.concat(composeShardIndex(section, fragments, fragments.length));
  return {
    hash: sha256Hex(Buffer.concat([Buffer.from(CODEC), whole])),
    textSize: whole.byteLength,
    chunks: () => [chunkOf(compressShardIndex([whole]))],
  };
}

function shardOf(files: readonly IndexedFile[]): Uint8Array | undefined {
  const removed = files.filter((file) => file.state === "yanked").map((file) => file.fileName);
  const active = files.filter((file) => file.state === "active");
  if (active.length === 0 && removed.length === 0) return undefined;
  return compressShard(composeShard({ entries: active.map(entryOf), removed }));
}
