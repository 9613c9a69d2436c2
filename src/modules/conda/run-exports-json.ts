// `run_exports.json`: what the packages of a subdir pass on to those built with them. https://conda.org/learn/ceps/cep-0012

import { canonicalJson, type RecordColumns } from "./record.ts";

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
