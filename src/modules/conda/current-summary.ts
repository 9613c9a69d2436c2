// What `current_repodata.json` needs to know of one name: its builds from the newest on, and what they depend on.

import { compareText } from "./file-name.ts";
import { readRecord } from "./record.ts";
import { isRevision3 } from "./revision3.ts";
import { isJsonObject, type JsonObject } from "./strict-json.ts";
import { compareVersions, parseVersion, type Version } from "./version.ts";

/** What the choice needs to know of one name, gathered file by file. */
export type NameSummary = {
  /** Throws for a record that cannot be read, and is then as before. */
  add(file: { readonly fileName: string; readonly record: string }): void;
  /**
   * To be kept from one time to the next; undefined when no file of the name can be in the document. The same files give
   * the same text, in whatever order they come.
   */
  text(): string | undefined;
};

/** Past one of these there is no document: it would take too long, or too much memory. */
export const CURRENT_LIMITS = {
  /** Bytes of what is kept of a name. */
  summary: 4 * 1024 ** 2,
  /** Characters of one spec, which may hold thousands of alternatives. */
  spec: 8 * 1024,
  /** Characters of all different specs, of which each counts `SPEC_CHARACTERS` more. */
  specs: 8 * 1024 ** 2,
  files: 100_000,
  /** Units of work, each some 0.2 µs: a version compared with a clause, or a character of a spec. */
  work: 40_000_000,
};
/** What it takes to remember a spec, however short. */
export const SPEC_CHARACTERS: number = 32;

export function createNameSummary(): NameSummary {
  const releases: Release[] = [];
  const places = new Map<string, number>();
  let name: string | undefined;
  let bytes = 0;
  return {
    add: (file) => {
      if (isRevision3(file.record)) return;
      const record = readRecord(file.record);
      const specs = [record.depends, record.constrains].flat().filter((spec) => typeof spec === "string");
      name ??= String(record.name);
      bytes += file.fileName.length + 10 * specs.length;
      // Only that it is too much is kept of what is too much.
      if (bytes > CURRENT_LIMITS.summary) return;
      releases.push(readRelease(file.fileName, record, specs.map(placeOf)));
    },
    text: () => {
      if (name === undefined) return undefined;
      if (bytes > CURRENT_LIMITS.summary) return JSON.stringify({ builds: [], isTooLarge: true, name, specs: [] });
      return summaryText(name, releases, [...places.keys()]);
    },
  };

  function placeOf(spec: string): number {
    const known = places.get(spec);
    if (known !== undefined) return known;
    const place = places.size;
    bytes += spec.length;
    places.set(spec, place);
    return place;
  }
}

function summaryText(name: string, releases: Release[], given: readonly string[]): string {
  const specs = given.toSorted();
  const sorted = new Map(specs.map((spec, place) => [spec, place]));
  const places = given.map((spec) => sorted.get(spec) ?? 0);
  releases.sort(newestFirst);
  let rank = 0;
  const builds = releases.map((release, at): Build => {
    const before = releases[at - 1];
    if (before !== undefined && !isSameRank(before, release)) rank += 1;
    const { build, buildNumber, fileName, version } = release;
    return [rank, fileName, version, build, buildNumber, release.specs.map((spec) => places[spec] ?? 0)];
  });
  const summary: Summary = { builds, name, specs };
  return JSON.stringify(summary);
}

/** Of one name, the newest first. The name is said so that a record that has come to say another is noticed. */
export type Summary = {
  readonly builds: readonly Build[];
  readonly name: string;
  readonly specs: readonly string[];
  readonly isTooLarge?: boolean;
};

/** Looks at its outline only: there are millions of builds, and `index.db` has no other writer. */
export function isSummary(value: unknown): value is Summary {
  return isJsonObject(value) && Array.isArray(value.builds) && Array.isArray(value.specs) && "name" in value;
}

/** Equal ranks have the same version and build number; the specs are given by their places in the summary's list. */
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
