// Every document of a channel, and its contents as read by independent decoders.

import { decode } from "@msgpack/msgpack";
import Bzip2 from "compressjs/lib/Bzip2.js";
import { decompress } from "fzstd";

export const SECTION_DOCUMENTS = [
  "repodata.json",
  "repodata.json.zst",
  "repodata.json.bz2",
  "repodata_from_packages.json",
  "repodata_from_packages.json.zst",
  "repodata_shards.msgpack.zst",
  "current_repodata.json",
  "current_repodata.json.zst",
  "run_exports.json",
  "run_exports.json.zst",
] as const;
export const CHANNEL_DOCUMENTS = ["channeldata.json", "rss.xml"] as const;

/** The paths of all documents below a channel: those of one section and the channel's own. */
export function documentPaths(section: string): string[] {
  return [...SECTION_DOCUMENTS.map((name) => `${section}/${name}`), ...CHANNEL_DOCUMENTS];
}

export type Records = Readonly<Record<string, Readonly<Record<string, unknown>>>>;
export type Repodata = {
  readonly info: Readonly<Record<string, unknown>>;
  readonly packages: Records;
  readonly "packages.conda": Records;
  readonly removed?: readonly string[];
};
export type ShardIndex = {
  readonly version: number;
  readonly info: Readonly<Record<string, unknown>>;
  readonly shards: Readonly<Record<string, Uint8Array>>;
};
export type Shard = Pick<Repodata, "packages" | "packages.conda"> & { readonly removed: readonly string[] };

/** The text of a text document. */
export function textOf(path: string, bytes: Uint8Array): string {
  if (path.endsWith(".zst")) return new TextDecoder().decode(decompress(bytes));
  if (path.endsWith(".bz2")) return new TextDecoder().decode(Bzip2.decompressFile(bytes));
  return new TextDecoder().decode(bytes);
}

export function repodataOf(path: string, bytes: Uint8Array): Repodata {
  return JSON.parse(textOf(path, bytes)) as Repodata;
}

export function shardIndexOf(bytes: Uint8Array): ShardIndex {
  return decode(decompress(bytes)) as ShardIndex;
}

export function shardOf(bytes: Uint8Array): Shard {
  return decode(decompress(bytes)) as Shard;
}

/** The hashes that an index names, in hexadecimal. */
export function shardHashes(index: ShardIndex): Record<string, string> {
  return Object.fromEntries(
    Object.entries(index.shards).map(([name, hash]) => [name, Buffer.from(hash).toString("hex")]),
  );
}

/** File names in both maps. */
export function filesIn(records: Pick<Repodata, "packages" | "packages.conda">): string[] {
  return [...Object.keys(records.packages), ...Object.keys(records["packages.conda"])].sort();
}
