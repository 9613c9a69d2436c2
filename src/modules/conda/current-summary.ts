// Summary of one name for `current_repodata.json`: its builds, newest first, with their dependencies and constraints.

import { compareText } from "./file-name.ts";
import { readRecord } from "./record.ts";
import { isRevision3 } from "./revision3.ts";
import { isJsonObject, type JsonObject } from "./strict-json.ts";
import { compareVersions, parseVersion, type Version } from "./version.ts";

/** Builds the summary of one name, file by file. */
export type NameSummary = {
  /** Throws for an unreadable record and then leaves the summary unchanged. */
  add(file: { readonly fileName: string; readonly record: string }): void;
  /**
   * Text to store; undefined when no file of the name can be in the document. The same files give the same text, in any
   * order.
   */
  text(): string | undefined;
};

/** The document is not offered past one of these limits: it would take too long or too much memory. */
export const CURRENT_LIMITS = {
  /** Bytes of the summary of a name. */
  summary: 4 * 1024 ** 2,
  /** Characters of one spec, which can hold thousands of alternatives. */
  spec: 8 * 1024,
  /** Characters of all distinct specs; each counts `SPEC_CHARACTERS` more. */
  specs: 8 * 1024 ** 2,
  files: 100_000,
  /** Units of work, about 0.2 µs each: one comparison of a version with a clause, or one character of a spec. */
  work: 40_000_000,
};
/** Cost of a spec beside its characters. */
export const SPEC_CHARACTERS: number = 32;

export function createNameSummary(): NameSummary {
  const releases: Release[] = [];
  const indexes = new Map<string, number>();
  let name: string | undefined;
  let bytes = 0;
  return {
    add: (file) => {
      if (isRevision3(file.record)) return;
      const record = readRecord(file.record);
      const specs = [record.depends, record.constrains].flat().filter((spec) => typeof spec === "string");
      name ??= String(record.name);
      bytes += file.fileName.length + 10 * specs.length;
      // An oversized summary is stored without its builds, only marked as too large.
      if (bytes > CURRENT_LIMITS.summary) return;
      releases.push(readRelease(file.fileName, record, specs.map(indexOfSpec)));
    },
    text: () => {
      if (name === undefined) return undefined;
      if (bytes > CURRENT_LIMITS.summary) return JSON.stringify({ builds: [], isTooLarge: true, name, specs: [] });
      return summaryText(name, releases, [...indexes.keys()]);
    },
  };

  function indexOfSpec(spec: string): number {
    const known = indexes.get(spec);
    if (known !== undefined) return known;
    const index = indexes.size;
    bytes += spec.length;
    indexes.set(spec, index);
    return index;
  }
}

function summaryText(name: string, releases: Release[], specsAsAdded: readonly string[]): string {
  const specs = specsAsAdded.toSorted();
  const sorted = new Map(specs.map((spec, index) => [spec, index]));
  const sortedIndexes = specsAsAdded.map((spec) => sorted.get(spec) ?? 0);
  releases.sort(newestFirst);
  let rank = 0;
  const builds = releases.map((release, at): Build => {
    const before = releases[at - 1];
    if (before !== undefined && !isSameRank(before, release)) rank += 1;
    const { build, buildNumber, fileName, version } = release;
    return [rank, fileName, version, build, buildNumber, release.specs.map((spec) => sortedIndexes[spec] ?? 0)];
  });
  const summary: Summary = { builds, name, specs };
  return JSON.stringify(summary);
}

/** Builds of one name, newest first. `name` reveals a record whose name has changed. */
export type Summary = {
  readonly builds: readonly Build[];
  readonly name: string;
  readonly specs: readonly string[];
  readonly isTooLarge?: boolean;
};

/** Checks only the top level: there are millions of builds, and `index.db` has no other writer. */
export function isSummary(value: unknown): value is Summary {
  return isJsonObject(value) && Array.isArray(value.builds) && Array.isArray(value.specs) && "name" in value;
}

/** Builds of equal rank have the same version and build number; `specs` are indexes into the summary's `specs`. */
export type Build = readonly [
  rank: number,
  fileName: string,
  version: string,
  build: string,
  buildNumber: number,
  specs: readonly number[],
];

type Release = {
  readonly fileName: string;
  readonly version: string;
  readonly parsedVersion: Version;
  readonly build: string;
  readonly buildNumber: number;
  readonly specs: readonly number[];
};

export const NO_VERSION: Version = { main: [], local: [] };

function readRelease(fileName: string, record: JsonObject, specs: readonly number[]): Release {
  const version = String(record.version);
  return {
    fileName,
    version,
    parsedVersion: parseVersion(version) ?? NO_VERSION,
    build: String(record.build),
    buildNumber: Number(record.build_number),
    specs,
  };
}

function newestFirst(a: Release, b: Release): number {
  return (
    compareVersions(b.parsedVersion, a.parsedVersion) ||
    b.buildNumber - a.buildNumber ||
    compareText(a.fileName, b.fileName)
  );
}

function isSameRank(a: Release, b: Release): boolean {
  return a.buildNumber === b.buildNumber && compareVersions(a.parsedVersion, b.parsedVersion) === 0;
}
