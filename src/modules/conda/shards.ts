// Sharded repodata: a shard per package name, and the shard index of hashes. https://conda.org/learn/ceps/cep-0016

import { encodeMsgpack, msgpackMapHeader } from "../msgpack.ts";
import type { ArchiveFormat, PackageMetadata } from "./archive.ts";
import { compareText, formatOf, orderKey } from "./file-name.ts";
import { readRecord } from "./record.ts";
import type { RepodataEntry } from "./repodata.ts";
import { stemOf } from "./repodata-v3.ts";
import { isRevision3, revision3Record } from "./revision3.ts";
import type { JsonObject } from "./strict-json.ts";

/** An entry of repodata with the run exports of the package. https://conda.org/learn/ceps/cep-0021 */
export type ShardEntry = RepodataEntry & Pick<PackageMetadata, "runExports">;

/** The content of one shard: the files of one name in one subdir; `removed` has the names of the yanked files. */
export type Shard = { readonly entries: Iterable<ShardEntry>; readonly removed: readonly string[] };

/** Builds a shard entry by entry; memory holds little more than the bytes of the shard. */
export type ShardWriter = {
  /** Throws for an unreadable record and then leaves the shard unchanged. */
  add(entry: ShardEntry): void;
  /** Encoded bytes of all added entries. */
  readonly bytes: number;
  /** Equal entries give equal bytes, in any order. Frees the entries. */
  end(removed: readonly string[]): Uint8Array;
};

export const SHARD_LEVEL = 12;
/** Hashes do not compress: a higher level costs time and saves nothing. */
export const SHARD_INDEX_LEVEL = 1;

/** Equal entries give equal bytes, in any order. */
export function composeShard({ entries, removed }: Shard): Uint8Array {
  const writer = createShardWriter();
  for (const entry of entries) writer.add(entry);
  return writer.end(removed);
}

export function createShardWriter(): ShardWriter {
  const legacy: FormatMaps = { conda: new Map(), "tar.bz2": new Map() };
  const revision3: FormatMaps = { conda: new Map(), "tar.bz2": new Map() };
  let bytes = 0;
  const put = (map: Map<string, Uint8Array>, key: string, record: JsonObject): void => {
    const encoded = Buffer.concat([encodeMsgpack(key), encodeMsgpack(record)]);
    map.set(key, encoded);
    bytes += encoded.byteLength;
  };
  return {
    get bytes() {
      return bytes;
    },
    add: (entry) => {
      const format = formatOf(entry.fileName) ?? "tar.bz2";
      if (isRevision3(entry.record)) {
        put(revision3[format], stemOf(entry.fileName), shardRecord(revision3Record(entry.record), entry));
      } else {
        put(legacy[format], entry.fileName, shardRecord(entry.record, entry));
      }
    },
    end: (removed) => {
      const sorted = removed.toSorted((a, b) => compareText(orderKey(a), orderKey(b)));
      const isLegacy = revision3.conda.size + revision3["tar.bz2"].size === 0;
      const members: [string, readonly Uint8Array[]][] = [
        ["packages", mapOf(legacy["tar.bz2"])],
        ["packages.conda", mapOf(legacy.conda)],
        ["removed", [encodeMsgpack(sorted)]],
      ];
      if (!isLegacy) {
        const [conda, bzip2] = [mapOf(revision3.conda), mapOf(revision3["tar.bz2"])];
        members.push([
          "v3",
          [msgpackMapHeader(2), encodeMsgpack("conda"), ...conda, encodeMsgpack("tar.bz2"), ...bzip2],
        ]);
      }
      const parts = members.flatMap(([key, value]) => [encodeMsgpack(key), ...value]);
      for (const maps of [legacy, revision3]) for (const map of Object.values(maps)) map.clear();
      return Buffer.concat([msgpackMapHeader(members.length), ...parts]);
    },
  };
}

/** By key: the encoded key followed by its encoded value. */
type FormatMaps = Readonly<Record<ArchiveFormat, Map<string, Uint8Array>>>;

function mapOf(entries: ReadonlyMap<string, Uint8Array>): Uint8Array[] {
  const sorted = [...entries].sort(([a], [b]) => compareText(a, b)).map(([, encoded]) => encoded);
  return [msgpackMapHeader(sorted.length), ...sorted];
}

/** Returns the shard index entry of one name; `hash` is the sha256 of the compressed shard, in hexadecimal. */
export function shardIndexEntry(name: string, hash: string): Uint8Array {
  return Buffer.concat([encodeMsgpack(name), encodeMsgpack(fromHex(hash))]);
}

/**
 * Returns the shard index in parts, to be concatenated. `entries` are results of `shardIndexEntry` in byte order of the
 * names; one item can hold several. `count` is the number of names.
 */
export function composeShardIndex(subdir: string, entries: Iterable<Uint8Array>, count: number): Uint8Array[] {
  const info = { base_url: "", shards_base_url: "./shards/", subdir };
  return [
    msgpackMapHeader(3),
    encodeMsgpack("info"),
    encodeMsgpack(info),
    encodeMsgpack("shards"),
    msgpackMapHeader(count),
    ...entries,
    encodeMsgpack("version"),
    encodeMsgpack(1),
  ];
}

/** Writes one frame with its content size: clients stop after the first frame, and some require the size. */
export function compressShard(shard: Uint8Array): Uint8Array {
  return Bun.zstdCompressSync(new Uint8Array(shard), { level: SHARD_LEVEL });
}

/** Gives the same bytes as `compressShard`; compresses on a thread of the runtime. */
export async function compressLongShard(shard: Uint8Array): Promise<Uint8Array> {
  return await Bun.zstdCompress(shard, { level: SHARD_LEVEL });
}

export function compressShardIndex(parts: readonly Uint8Array[]): Uint8Array {
  return Bun.zstdCompressSync(Buffer.concat(parts), { level: SHARD_INDEX_LEVEL });
}

/** Always writes `run_exports`: clients treat a missing member as unknown. https://conda.org/learn/ceps/cep-0021 */
function shardRecord(record: string, entry: ShardEntry): JsonObject {
  const fields = readRecord(record);
  fields.indexed_timestamp = entry.indexedTimestamp;
  fields.md5 = fromHex(entry.md5);
  fields.run_exports = entry.runExports;
  fields.sha256 = fromHex(entry.sha256);
  fields.size = entry.size;
  return fields;
}

function fromHex(hash: string): Uint8Array {
  return Buffer.from(hash, "hex");
}
