// Layouts of the segmented conda documents: the entries of each map, and the text around the maps.

import type { IndexedFile } from "../../../models/indexed-file.ts";
import type { PackageMetadata } from "../../../modules/conda/archive.ts";
import { packageNameOf } from "../../../modules/conda/file-name.ts";
import {
  REPODATA_V3_MIDDLE,
  REPODATA_V3_TAIL,
  repodataV3Entry,
  repodataV3Start,
} from "../../../modules/conda/repodata-v3.ts";
import {
  REPODATA_MIDDLE,
  repodataEntry,
  repodataHead,
  repodataTail,
  type RepodataEntry,
} from "../../../modules/conda/repodata.ts";
import { isRevision3 } from "../../../modules/conda/revision3.ts";
import type { ShardEntry } from "../../../modules/conda/shards.ts";
import { readMetadata } from "../../../modules/conda/stored.ts";
import {
  RUN_EXPORTS_MIDDLE,
  RUN_EXPORTS_TAIL,
  runExportsEntry,
  runExportsHead,
} from "../../../modules/conda/run-exports-json.ts";
import type { Group, Layout } from "../../index/segments/layout.ts";

// Old clients cannot read records of revision 3: these are in maps of their own. https://conda.org/learn/ceps/cep-0048
const legacy = (file: IndexedFile): string | undefined =>
  isRevision3(file.record) ? undefined : repodataEntry(entryOf(file));
const revision3 = (file: IndexedFile): string | undefined =>
  isRevision3(file.record) ? repodataV3Entry(entryOf(file)) : undefined;

type FileOf = Group["fileOf"];
const named: FileOf = (fileName) => ({ packageName: packageNameOf(fileName), fileName });
const stem =
  (ending: string): FileOf =>
  (key) =>
    named(key + ending);

export const REPODATA: Layout = {
  name: "repodata",
  groups: [
    { name: "packages", ending: ".tar.bz2", entry: legacy, fileOf: named, always: true },
    { name: "packages.conda", ending: ".conda", entry: legacy, fileOf: named, always: true },
    { name: "v3.conda", ending: ".conda", entry: revision3, fileOf: stem(".conda"), always: false },
    { name: "v3.tar.bz2", ending: ".tar.bz2", entry: revision3, fileOf: stem(".tar.bz2"), always: false },
  ],
  frame: (section, yanked, groups) =>
    groups === 2
      ? [repodataHead(section), REPODATA_MIDDLE, repodataTail(yanked)]
      : [repodataHead(section), REPODATA_MIDDLE, repodataV3Start(yanked), REPODATA_V3_MIDDLE, REPODATA_V3_TAIL],
};

const exported = (file: IndexedFile): string => runExportsEntry(file.fileName, metadataOf(file).runExports);

export const RUN_EXPORTS: Layout = {
  name: "run_exports",
  groups: [
    { name: "packages", ending: ".tar.bz2", entry: exported, fileOf: named, always: true },
    { name: "packages.conda", ending: ".conda", entry: exported, fileOf: named, always: true },
  ],
  frame: (section) => [runExportsHead(section), RUN_EXPORTS_MIDDLE, RUN_EXPORTS_TAIL],
};

/** Converts a stored file to a repodata entry. */
export function entryOf(file: IndexedFile): RepodataEntry {
  return { ...file, indexedTimestamp: file.publishedAt };
}

/** Converts a stored file to an entry of a shard. */
export function shardEntryOf(file: IndexedFile): ShardEntry {
  return { ...entryOf(file), runExports: metadataOf(file).runExports };
}

/** Throws for metadata that no publish wrote. */
export function metadataOf(file: Pick<IndexedFile, "metadata">): PackageMetadata {
  return readMetadata(file.metadata);
}
