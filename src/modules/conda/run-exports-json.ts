// `run_exports.json`: the run exports of the packages of a subdir. https://conda.org/learn/ceps/cep-0012

import type { PackageMetadata } from "./archive.ts";
import { canonicalJson } from "./record.ts";

/** Separator between the entries of `packages` and those of `packages.conda`. */
export const RUN_EXPORTS_MIDDLE = '},"packages.conda":{';
export const RUN_EXPORTS_TAIL = "}}";

/** Text before the first entry of `packages`, which holds the `.tar.bz2` files. */
export function runExportsHead(subdir: string): string {
  return `{"info":{"subdir":${JSON.stringify(subdir)},"version":1},"packages":{`;
}

/** A package without run exports has an entry too. */
export function runExportsEntry(fileName: string, runExports: PackageMetadata["runExports"]): string {
  return `${JSON.stringify(fileName)}:{"run_exports":${canonicalJson(runExports)}}`;
}
