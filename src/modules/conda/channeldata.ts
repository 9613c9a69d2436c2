// `channeldata.json`: one entry about each package name of a channel. https://conda.org/learn/ceps/cep-0038

import type { PackageMetadata } from "./archive.ts";
import { compareText } from "./file-name.ts";
import { canonicalJson } from "./record.ts";
import { emptyObject, type JsonObject } from "./strict-json.ts";
import { toMilliseconds } from "./timestamp.ts";
import { compareVersions, parseVersion, type Version } from "./version.ts";

export type ChanneldataFile = {
  readonly fileName: string;
  readonly subdir: string;
  readonly record: string;
  readonly metadata: PackageMetadata;
};

export type ChanneldataEntry = { readonly name: string; readonly text: string };

/** The same files give the same text, in whatever order they come. */
export function composeChanneldata(files: Iterable<ChanneldataFile>): string {
  const subdirs = new Set<string>();
  const names = new Map<string, Summary>();
  for (const file of files) {
    const release = readRelease(file);
    const summary = names.get(release.name) ?? emptySummary();
    addRelease(summary, release);
    names.set(release.name, summary);
    subdirs.add(file.subdir);
  }
  const entries = [...names].map(([name, summary]) => ({ name, text: canonicalJson(describe(summary)) }));
  entries.sort((a, b) => compareText(a.name, b.name));
  return [...channeldataText(entries, subdirs)].join("");
}

/** What the document says of one name, as text; undefined without files. The order of the files does not matter. */
export function channeldataEntry(files: Iterable<ChanneldataFile>): string | undefined {
  const summary = emptySummary();
  for (const file of files) addRelease(summary, readRelease(file));
  return summary.releases.size === 0 ? undefined : canonicalJson(describe(summary));
}

/**
 * The text of the document of these entries, which come in the order of their names; `subdirs` are those that hold a file,
 * in any order; `noarch` is there in any case.
 */
export function* channeldataText(
  entries: Iterable<ChanneldataEntry>,
  subdirs: Iterable<string>,
): Generator<string, void, undefined> {
  yield '{"channeldata_version":1,"packages":{';
  let comma = "";
  for (const { name, text } of entries) {
    yield `${comma}${JSON.stringify(name)}:${text}`;
    comma = ",";
  }
  yield `},"subdirs":${JSON.stringify([...new Set(["noarch", ...subdirs])].sort())}}`;
}

/** What is kept of a file while all are read. */
type Release = {
  readonly name: string;
  readonly version: string;
  readonly parsedVersion: Version;
  readonly buildNumber: number;
  /** Milliseconds. */
  readonly timestamp: number;
  readonly license: unknown;
  readonly file: ChanneldataFile;
};

type Summary = {
  /** The greatest of each version. */
  readonly releases: Map<string, Release>;
  readonly subdirs: Set<string>;
  /** Milliseconds; the greatest of all files. */
  timestamp: number;
};

const TEXTS = ["dev_url", "doc_url", "home", "summary"];

/** Flags as the document calls them, and as the metadata of a package does. */
const FLAGS: readonly (readonly [string, string])[] = [
  ["activate.d", "activate"],
  ["binary_prefix", "binary-prefix"],
  ["deactivate.d", "deactivate"],
  ["post_link", "post-link"],
  ["pre_link", "pre-link"],
  ["pre_unlink", "pre-unlink"],
  ["text_prefix", "text-prefix"],
];

function readRelease(file: ChanneldataFile): Release {
  const record: JsonObject = JSON.parse(file.record);
  const version = String(record.version);
  const parsedVersion = parseVersion(version) ?? { main: [], local: [] };
  return {
    name: String(record.name),
    version,
    parsedVersion,
    buildNumber: Number(record.build_number),
    timestamp: toMilliseconds(Number(record.timestamp ?? 0)),
    license: record.license,
    file,
  };
}

function emptySummary(): Summary {
  return { releases: new Map(), subdirs: new Set(), timestamp: 0 };
}

function addRelease(summary: Summary, release: Release): void {
  const { releases, subdirs } = summary;
  const rival = releases.get(release.version);
  if (rival === undefined || compareReleases(rival, release) < 0) releases.set(release.version, release);
  subdirs.add(release.file.subdir);
  summary.timestamp = Math.max(summary.timestamp, release.timestamp);
}

function compareReleases(a: Release, b: Release): number {
  return (
    compareVersions(a.parsedVersion, b.parsedVersion) ||
    a.buildNumber - b.buildNumber ||
    a.timestamp - b.timestamp ||
    compareText(a.file.fileName, b.file.fileName) ||
    compareText(a.file.subdir, b.file.subdir)
  );
}

function describe(summary: Summary): JsonObject {
  const releases = [...summary.releases.values()].sort(compareReleases);
  const greatest = releases.at(-1);
  const entry = emptyObject();
  if (greatest === undefined) return entry;
  const { about, flags } = greatest.file.metadata;
  for (const key of TEXTS) setText(entry, key, about[key]);
  setText(entry, "license", greatest.license ?? about.license);
  if (isTexts(about.source_url)) entry.source_url = about.source_url;
  for (const [key, flag] of FLAGS) entry[key] = flags.includes(flag);
  entry.run_exports = runExportsByVersion(releases);
  entry.subdirs = [...summary.subdirs].sort();
  entry.timestamp = Math.floor(summary.timestamp / 1000);
  entry.version = greatest.version;
  return entry;
}

function runExportsByVersion(releases: readonly Release[]): JsonObject {
  const byVersion = emptyObject();
  for (const { version, file } of releases) {
    if (Object.keys(file.metadata.runExports).length > 0) byVersion[version] = file.metadata.runExports;
  }
  return byVersion;
}

/** Some build tools write a list where the format has one text. */
function setText(entry: JsonObject, key: string, value: unknown): void {
  const text: unknown = Array.isArray(value) ? value[0] : value;
  if (typeof text === "string") entry[key] = text;
}

function isTexts(value: unknown): boolean {
  return typeof value === "string" || (Array.isArray(value) && value.every((item) => typeof item === "string"));
}
