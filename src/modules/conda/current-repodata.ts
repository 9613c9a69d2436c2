// `current_repodata.json`: which files of a subdir are in it. The newest of every name, and what those need in turn.
// https://conda.org/learn/ceps/cep-0036

import { compareText } from "./file-name.ts";
import { matchesSpec, parseMatchSpec, type MatchSpec } from "./match-spec.ts";
import { isRevision3 } from "./revision3.ts";
import type { JsonObject } from "./strict-json.ts";
import { compareVersions, parseVersion, type Version } from "./version.ts";

/**
 * The text of what the choice needs to know of one name, to be kept from one time to the next; undefined when no file
 * of it can be in the document. The same files give the same text, in whatever order they come.
 */
export function summarizeName(
  files: Iterable<{ readonly fileName: string; readonly record: string }>,
): string | undefined {
  const releases = [...files]
    .filter(({ record }) => !isRevision3(record))
    .map(readRelease)
    .sort(newestFirst);
  const [newest] = releases;
  if (newest === undefined) return undefined;
  const specs = [...new Set(releases.flatMap((release) => release.specs))].sort();
  const places = new Map(specs.map((spec, place) => [spec, place]));
  let rank = 0;
  const builds = releases.map((release, at): Build => {
    const before = releases[at - 1];
    if (before !== undefined && !isSameRank(before, release)) rank += 1;
    const { build, buildNumber, fileName, version } = release;
    return [rank, fileName, version, build, buildNumber, release.specs.map((spec) => places.get(spec) ?? 0)];
  });
  const summary: Summary = { builds, name: newest.name, specs };
  return JSON.stringify(summary);
}

/** What is kept of names. */
export type Summaries = {
  all(): Iterable<string>;
  of(name: string): string | undefined;
};

/**
 * The file names, sorted. For each dependency and each constraint of a chosen file the newest files that satisfy it are
 * chosen too, so that none of them lacks what the subdir has.
 */
export function chooseCurrent(summaries: Summaries): string[] {
  const chosen = new Set<string>();
  const asked = new Set<string>();
  // By name, as the summaries of a large channel are not all held at once.
  const open = new Map<string, MatchSpec[]>();
  const ask = (text: string): void => {
    const spec = asked.has(text) ? undefined : parseMatchSpec(text);
    asked.add(text);
    if (!spec) return;
    const others = open.get(spec.name);
    if (others) others.push(spec);
    else open.set(spec.name, [spec]);
  };
  const choose = ({ builds, specs }: Summary, isMeant: (build: Build) => boolean): void => {
    const newest = builds.find(isMeant);
    if (newest === undefined) return;
    for (const build of builds) {
      const [rank, fileName, , , , places] = build;
      if (rank > newest[0]) break;
      if (chosen.has(fileName) || !isMeant(build)) continue;
      chosen.add(fileName);
      for (const place of places) ask(specs[place] ?? "");
    }
  };
  for (const text of summaries.all()) choose(readSummary(text), () => true);
  // A name that is asked for once more comes up again at the end.
  for (const [name, specs] of open) {
    open.delete(name);
    const text = summaries.of(name);
    if (text === undefined) continue;
    const summary = readSummary(text);
    const versions = createVersions();
    for (const spec of specs) choose(summary, (build) => isWanted(spec, build, versions));
  }
  return [...chosen].sort(compareText);
}

/** Of one name, the newest first. The name is said so that a record that has come to say another is noticed. */
type Summary = { readonly builds: readonly Build[]; readonly name: string; readonly specs: readonly string[] };

/** Equal ranks have the same version and build number; the specs are given by their places in the summary's list. */
type Build = readonly [
  rank: number,
  fileName: string,
  version: string,
  build: string,
  buildNumber: number,
  specs: readonly number[],
];

function readSummary(text: string): Summary {
  const summary: Summary = JSON.parse(text);
  return summary;
}

type Release = {
  readonly fileName: string;
  readonly name: string;
  readonly version: string;
  readonly parsedVersion: Version;
  readonly build: string;
  readonly buildNumber: number;
  readonly specs: readonly string[];
};

const NO_VERSION: Version = { main: [], local: [] };

function readRelease(file: { readonly fileName: string; readonly record: string }): Release {
  const record: JsonObject = JSON.parse(file.record);
  const version = String(record.version);
  return {
    fileName: file.fileName,
    name: String(record.name),
    version,
    parsedVersion: parseVersion(version) ?? NO_VERSION,
    build: String(record.build),
    buildNumber: Number(record.build_number),
    specs: [record.depends, record.constrains].flat().filter((spec) => typeof spec === "string"),
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

function isWanted(spec: MatchSpec, build: Build, versions: (text: string) => Version): boolean {
  const [, , version, buildText, buildNumber] = build;
  return matchesSpec(spec, { version, parsedVersion: versions(version), build: buildText, buildNumber });
}

/** Many files have the same few versions. */
function createVersions(): (text: string) => Version {
  const known = new Map<string, Version>();
  return (text) => {
    const version = known.get(text) ?? parseVersion(text) ?? NO_VERSION;
    known.set(text, version);
    return version;
  };
}
