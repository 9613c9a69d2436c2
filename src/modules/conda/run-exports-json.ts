// `run_exports.json`: what the packages of a subdir pass on to those built with them. https://conda.org/learn/ceps/cep-0012

import type { ArchiveFormat } from "./archive.ts";
import { compareText, formatOf, orderKey } from "./file-name.ts";
import { canonicalJson, type RecordColumns } from "./record.ts";

export type RunExportsEntry = Pick<RecordColumns, "runExports"> & { readonly fileName: string };

/** Stands between the entries of `packages` and those of `packages.conda`. */
export const RUN_EXPORTS_MIDDLE = '},"packages.conda":{';
export const RUN_EXPORTS_TAIL = "}}";

/** Up to the first entry of `packages`, which holds the `.tar.bz2` files. */
export function runExportsHead(subdir: string): string {
  return `{"info":{"subdir":${JSON.stringify(subdir)},"version":1},"packages":{`;
}

/** A package that exports nothing has its entry too. */
export function runExportsEntry(fileName: string, runExports: RecordColumns["runExports"]): string {
  return `${JSON.stringify(fileName)}:{"run_exports":${canonicalJson(runExports)}}`;
}

/** The same entries give the same text, in whatever order they come. */
export function composeRunExportsJson(subdir: string, entries: Iterable<RunExportsEntry>): string {
  const sorted = [...entries].sort((a, b) => compareText(orderKey(a.fileName), orderKey(b.fileName)));
  const textOf = (format: ArchiveFormat): string =>
    sorted
      .filter(({ fileName }) => formatOf(fileName) === format)
      .map(({ fileName, runExports }) => runExportsEntry(fileName, runExports))
      .join(",");
  return runExportsHead(subdir) + textOf("tar.bz2") + RUN_EXPORTS_MIDDLE + textOf("conda") + RUN_EXPORTS_TAIL;
}
