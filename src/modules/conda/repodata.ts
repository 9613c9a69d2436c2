// `repodata.json`, one flat document per subdir: head, entries, tail. https://conda.org/learn/ceps/cep-0036
// A record has run exports only if its `index.json` has them: those of the package are in `run_exports.json` and in shards.

import type { ArchiveFormat } from "./archive.ts";
import { compareText, formatOf, orderKey } from "./file-name.ts";
import { recordWith, type RecordColumns } from "./record.ts";

export type RepodataEntry = RecordColumns & { readonly fileName: string; readonly record: string };

/** Separator between the entries of `packages` and those of `packages.conda`. */
export const REPODATA_MIDDLE = '},"packages.conda":{';

/** Text before the first entry of `packages`, which holds the `.tar.bz2` files. */
export function repodataHead(subdir: string): string {
  return `{"info":{"subdir":${JSON.stringify(subdir)}},"packages":{`;
}

export function repodataEntry(entry: RepodataEntry): string {
  return `${JSON.stringify(entry.fileName)}:${recordWith(entry.record, entry)}`;
}

/** Text after the last entry of `packages.conda`. `removed` is a list: rattler fails on a map. */
export function repodataTail(removed: readonly string[]): string {
  const sorted = inOrder(removed, (fileName) => fileName);
  return `},"removed":${JSON.stringify(sorted)},"repodata_version":1}`;
}

/** Equal entries give equal text, in any order. */
export function composeRepodata(subdir: string, entries: Iterable<RepodataEntry>, removed: readonly string[]): string {
  const sorted = inOrder([...entries], (entry) => entry.fileName);
  const textOf = (format: ArchiveFormat): string =>
    sorted
      .filter((entry) => formatOf(entry.fileName) === format)
      .map(repodataEntry)
      .join(",");
  return repodataHead(subdir) + textOf("tar.bz2") + REPODATA_MIDDLE + textOf("conda") + repodataTail(removed);
}

function inOrder<T>(items: readonly T[], fileNameOf: (item: T) => string): T[] {
  return items
    .map((item) => ({ item, key: orderKey(fileNameOf(item)) }))
    .sort((a, b) => compareText(a.key, b.key))
    .map(({ item }) => item);
}
