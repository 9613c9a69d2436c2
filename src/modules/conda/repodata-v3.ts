// `repodata.json` of a subdir that has records of revision 3: beside the maps that every client reads stands `v3`.
// https://conda.org/learn/ceps/cep-0048

import type { ArchiveFormat } from "./archive.ts";
import { compareText, formatOf, orderKey } from "./file-name.ts";
import { recordWith } from "./record.ts";
import { composeRepodata, repodataHead, repodataTail, type RepodataEntry } from "./repodata.ts";
import { isRevision3, revision3Record } from "./revision3.ts";

/** What `info` says about the records of revision 3. */
export type RevisionTally = {
  readonly packages: number;
  /** The least and the greatest `indexed_timestamp`, ms UTC. */
  readonly oldest: number;
  readonly newest: number;
};

/** Stands between the entries of `v3.conda` and those of `v3.tar.bz2`. */
export const REPODATA_V3_MIDDLE = '},"tar.bz2":{';
export const REPODATA_V3_TAIL = "}}}";

/** In place of `repodataHead`. */
export function repodataV3Head(subdir: string, tally: RevisionTally): string {
  const { packages, newest, oldest } = tally;
  const revisions = JSON.stringify({ v3: { n_packages: packages, newest, oldest } });
  return `{"info":{"repodata_revisions":${revisions},"subdir":${JSON.stringify(subdir)}},"packages":{`;
}

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

/** The document of any records: without one of revision 3 it is that of `composeRepodata`, byte for byte. */
export function composeRepodataV3(
  subdir: string,
  entries: Iterable<RepodataEntry>,
  removed: readonly string[],
): string {
  const { later = [], legacy = [] } = Object.groupBy(entries, ({ record }) =>
    isRevision3(record) ? "later" : "legacy",
  );
  if (later.length === 0) return composeRepodata(subdir, legacy, removed);
  const maps = composeRepodata(subdir, legacy, []).slice(repodataHead(subdir).length, -repodataTail([]).length);
  const sorted = later.sort((a, b) => compareText(orderKey(a.fileName), orderKey(b.fileName)));
  const textOf = (format: ArchiveFormat): string =>
    sorted
      .filter(({ fileName }) => formatOf(fileName) === format)
      .map(repodataV3Entry)
      .join(",");
  return [
    repodataV3Head(subdir, tallyOf(later)),
    maps,
    repodataV3Start(removed),
    textOf("conda"),
    REPODATA_V3_MIDDLE,
    textOf("tar.bz2"),
    REPODATA_V3_TAIL,
  ].join("");
}

function tallyOf(entries: readonly RepodataEntry[]): RevisionTally {
  const times = entries.map(({ indexedTimestamp }) => indexedTimestamp).sort((a, b) => a - b);
  return { packages: entries.length, oldest: times[0] ?? 0, newest: times.at(-1) ?? 0 };
}
