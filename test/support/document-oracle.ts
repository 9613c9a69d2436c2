// What each document has to list for a channel with given files, read by independent decoders.

import { shardHashes, shardIndexOf, shardOf, textOf, type Repodata } from "./documents.ts";
import type { Held } from "./history.ts";

type LaterMaps = { readonly v3?: { readonly conda: object; readonly "tar.bz2": object } };
type Told = Pick<Repodata, "packages" | "packages.conda" | "removed"> & LaterMaps;

/**
 * The files a document lists, with a minus before yanked ones; undefined for a document that omits files for other
 * reasons. `readShard` gets a hash in hexadecimal.
 */
export function filesListed(
  name: string,
  bytes: Uint8Array,
  readShard: (hash: string) => Uint8Array,
): string[] | undefined {
  if (name.startsWith("repodata_shards")) {
    return Object.values(shardHashes(shardIndexOf(bytes)))
      .flatMap((hash) => filesOf(shardOf(readShard(hash))))
      .sort();
  }
  if (name === "channeldata.json") return Object.keys(JSON.parse(textOf(name, bytes)).packages as object).sort();
  if (name.startsWith("repodata.") || name.startsWith("run_exports."))
    return filesOf(JSON.parse(textOf(name, bytes)) as Told).sort();
  return undefined;
}

function filesOf(told: Told): string[] {
  const { v3 = { conda: {}, "tar.bz2": {} }, removed = [] } = told;
  return [
    ...Object.keys(told.packages),
    ...Object.keys(told["packages.conda"]),
    ...Object.keys(v3.conda).map((stem) => `${stem}.conda`),
    ...Object.keys(v3["tar.bz2"]).map((stem) => `${stem}.tar.bz2`),
    ...removed.map((fileName) => `-${fileName}`),
  ];
}

/** The expected list for the contents of a channel. */
export function expectedFiles(name: string, section: string | undefined, held: readonly Held[]): string[] {
  const active = held.filter(({ isYanked }) => !isYanked);
  if (name === "channeldata.json") return [...new Set(active.map((file) => file.name))].sort();
  const files = held.filter(({ subdir }) => subdir === section);
  const told = files.map(({ fileName, isYanked }) => (isYanked ? `-${fileName}` : fileName));
  return told.filter((file) => !name.startsWith("run_exports") || !file.startsWith("-")).sort();
}
