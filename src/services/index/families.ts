// The families of segmented documents: the groups in which entries stand, what an entry's text is, and the frame around.

import type { IndexedFile } from "../../models/package-file.ts";
import type { PackageMetadata } from "../../modules/conda/archive.ts";
import {
  REPODATA_V3_MIDDLE,
  REPODATA_V3_TAIL,
  repodataV3Entry,
  repodataV3Start,
} from "../../modules/conda/repodata-v3.ts";
import {
  REPODATA_MIDDLE,
  repodataEntry,
  repodataHead,
  repodataTail,
  type RepodataEntry,
} from "../../modules/conda/repodata.ts";
import { isRevision3 } from "../../modules/conda/revision3.ts";
import { readMetadata } from "../../modules/conda/stored.ts";
import {
  RUN_EXPORTS_MIDDLE,
  RUN_EXPORTS_TAIL,
  runExportsEntry,
  runExportsHead,
} from "../../modules/conda/run-exports-json.ts";

export type Group = {
  readonly name: string;
  /** How the names of its files end. */
  readonly ending: ".tar.bz2" | ".conda";
  /** The text of a file's entry, without a comma; undefined for a file that stands elsewhere. */
  entry(file: IndexedFile): string | undefined;
  /** The file of the entry with this key. */
  fileNameOf(key: string): string;
  /** Whether the document has its map even when there is nothing in it. */
  readonly always: boolean;
};

export type Family = {
  readonly name: "repodata" | "run_exports";
  readonly groups: readonly Group[];
  /** The texts before, between and after so many of the groups. */
  frame(section: string, yanked: readonly string[], groups: number): readonly string[];
};

// Old clients cannot read records of the third revision: these stand apart. https://conda.org/learn/ceps/cep-0048
const legacy = (file: IndexedFile): string | undefined =>
  isRevision3(file.record) ? undefined : repodataEntry(entryOf(file));
const later = (file: IndexedFile): string | undefined =>
  isRevision3(file.record) ? repodataV3Entry(entryOf(file)) : undefined;

const same = (key: string): string => key;

export const REPODATA: Family = {
  name: "repodata",
  groups: [
    { name: "packages", ending: ".tar.bz2", entry: legacy, fileNameOf: same, always: true },
    { name: "packages.conda", ending: ".conda", entry: legacy, fileNameOf: same, always: true },
    { name: "v3.conda", ending: ".conda", entry: later, fileNameOf: (key) => `${key}.conda`, always: false },
    { name: "v3.tar.bz2", ending: ".tar.bz2", entry: later, fileNameOf: (key) => `${key}.tar.bz2`, always: false },
  ],
  frame: (section, yanked, groups) =>
    groups === 2
      ? [repodataHead(section), REPODATA_MIDDLE, repodataTail(yanked)]
      : [repodataHead(section), REPODATA_MIDDLE, repodataV3Start(yanked), REPODATA_V3_MIDDLE, REPODATA_V3_TAIL],
};

const exported = (file: IndexedFile): string => runExportsEntry(file.fileName, metadataOf(file).runExports);

export const RUN_EXPORTS: Family = {
  name: "run_exports",
  groups: [
    { name: "packages", ending: ".tar.bz2", entry: exported, fileNameOf: same, always: true },
    { name: "packages.conda", ending: ".conda", entry: exported, fileNameOf: same, always: true },
  ],
  frame: (section) => [runExportsHead(section), RUN_EXPORTS_MIDDLE, RUN_EXPORTS_TAIL],
};

/** A stored file as documents write it. */
export function entryOf(file: IndexedFile): RepodataEntry {
  return { ...file, indexedTimestamp: file.publishedAt, runExports: metadataOf(file).runExports };
}

/** Written by the publish, from checked parts. */
export function metadataOf(file: Pick<IndexedFile, "metadata">): PackageMetadata {
  return readMetadata(file.metadata);
}
