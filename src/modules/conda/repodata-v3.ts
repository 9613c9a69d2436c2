// `repodata.json` of a subdir that has records of revision 3: beside the maps that every client reads stands `v3`.
// https://conda.org/learn/ceps/cep-0048

import { formatOf } from "./file-name.ts";
import { recordWith } from "./record.ts";
import { repodataTail, type RepodataEntry } from "./repodata.ts";
import { revision3Record } from "./revision3.ts";

/** Stands between the entries of `v3.conda` and those of `v3.tar.bz2`. */
export const REPODATA_V3_MIDDLE = '},"tar.bz2":{';
export const REPODATA_V3_TAIL = "}}}";

/** In place of `repodataTail`: from the last entry of `packages.conda` to the first of `v3.conda`. */
export function repodataV3Start(removed: readonly string[]): string {
  return `${repodataTail(removed).slice(0, -1)},"v3":{"conda":{`;
}

/** The name of a file of revision 3 has lost its extension. */
export function repodataV3Entry(entry: RepodataEntry): string {
  return `${JSON.stringify(stemOf(entry.fileName))}:${recordWith(revision3Record(entry.record), entry)}`;
}

export function stemOf(fileName: string): string {
  return fileName.slice(0, -(formatOf(fileName) ?? "").length - 1);
}
