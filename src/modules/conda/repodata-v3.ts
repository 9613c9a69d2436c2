// `repodata.json` of a subdir with records of revision 3: adds the map `v3` to those that every client reads.
// https://conda.org/learn/ceps/cep-0048

import { formatOf } from "./file-name.ts";
import { recordWith } from "./record.ts";
import { repodataTail, type RepodataEntry } from "./repodata.ts";
import { revision3Record } from "./revision3.ts";

/** Separator between the entries of `v3.conda` and those of `v3.tar.bz2`. */
export const REPODATA_V3_MIDDLE = '},"tar.bz2":{';
export const REPODATA_V3_TAIL = "}}}";

/** Replaces `repodataTail`: the text between the last entry of `packages.conda` and the first of `v3.conda`. */
export function repodataV3Start(removed: readonly string[]): string {
  return `${repodataTail(removed).slice(0, -1)},"v3":{"conda":{`;
}

/** Keys of revision 3 are file names without extension. */
export function repodataV3Entry(entry: RepodataEntry): string {
  return `${JSON.stringify(stemOf(entry.fileName))}:${recordWith(revision3Record(entry.record), entry)}`;
}

export function stemOf(fileName: string): string {
  return fileName.slice(0, -(formatOf(fileName) ?? "").length - 1);
}
