// The families of segmented documents: what an entry's text is, in which groups entries stand, and the frame around them.

import type { IndexedFile } from "../../models/package-file.ts";
import type { PackageMetadata } from "../../modules/conda/archive.ts";
import {
  REPODATA_MIDDLE,
  repodataEntry,
  repodataHead,
  repodataTail,
  type RepodataEntry,
} from "../../modules/conda/repodata.ts";
import { isRevision3 } from "../../modules/conda/revision3.ts";
import {
  RUN_EXPORTS_MIDDLE,
  RUN_EXPORTS_TAIL,
  runExportsEntry,
  runExportsHead,
} from "../../modules/conda/run-exports-json.ts";

export type Group = "packages" | "packages.conda";
export const GROUPS: readonly Group[] = ["packages", "packages.conda"];

export type Family = {
  readonly name: "repodata" | "run_exports";
  /** The text of a file's entry, without a comma; undefined for a file that this document leaves out. */
  entry(file: IndexedFile): string | undefined;
  head(section: string): string;
  /** Between the two groups. */
  readonly middle: string;
  tail(yanked: readonly string[]): string;
};

export const REPODATA: Family = {
  name: "repodata",
  // Old clients cannot read records of the third revision. https://conda.org/learn/ceps/cep-0048
  entry: (file) => (isRevision3(file.record) ? undefined : repodataEntry(entryOf(file))),
  head: repodataHead,
  middle: REPODATA_MIDDLE,
  tail: repodataTail,
};

export const RUN_EXPORTS: Family = {
  name: "run_exports",
  entry: (file) => (isRevision3(file.record) ? undefined : runExportsEntry(file.fileName, metadataOf(file).runExports)),
  head: runExportsHead,
  middle: RUN_EXPORTS_MIDDLE,
  tail: () => RUN_EXPORTS_TAIL,
};

/** A stored file as documents write it. */
export function entryOf(file: IndexedFile): RepodataEntry {
  return { ...file, indexedTimestamp: file.publishedAt, runExports: metadataOf(file).runExports };
}

/** How the names of a group's files end. */
export const ENDINGS: Readonly<Record<Group, string>> = { packages: ".tar.bz2", "packages.conda": ".conda" };

/** Written by the publish, from checked parts. */
export function metadataOf(file: Pick<IndexedFile, "metadata">): PackageMetadata {
  const metadata: PackageMetadata = JSON.parse(file.metadata);
  return metadata;
}
