// `channeldata.json`: one entry per package name of a channel. https://conda.org/learn/ceps/cep-0038

import type { PackageMetadata } from "./archive.ts";
import { compareText } from "./file-name.ts";
import { canonicalJson, readRecord } from "./record.ts";
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

/** Builds the entry of one name, file by file; the order of the files does not matter. */
export type ChanneldataName = {
  /** Throws for an unreadable file and then leaves the entry unchanged. */
  add(file: ChanneldataFile): void;
  /** Undefined when no file was added. */
  text(): string | undefined;
};

export function createChanneldataName(): ChanneldataName {
  const exporting = new Map<string, Release>();
  const subdirs = new Set<string>();
  let timestamp = 0;
  let newest: Newest | undefined;
  return {
    add: (file) => {
      const fields = readRecord(file.record);
      const release = readRelease(file, fields);
      newest = newestOf(newest, release, () => headOf(file, fields), file.metadata.flags);
      const rival = exporting.get(release.version);
      // Another file of a version can have run exports when its newest file has none.
      if (release.runExports !== undefined && (rival === undefined || compareReleases(rival, release) < 0))
        exporting.set(release.version, release);
      subdirs.add(file.subdir);
      timestamp = Math.max(timestamp, release.timestamp);
    },
    text: () => {
      if (newest === undefined) return undefined;
      const { head, flags } = newest;
      const exports = [...exporting].map(([version, { runExports = "{}" }]): Member => [version, runExports]);
      return objectText([
        ...head,
        ...FLAGS.map(([key, flag]): Member => [key, JSON.stringify(flags.has(flag))]),
        ["run_exports", objectText(exports)],
        ["subdirs", JSON.stringify([...subdirs].sort())],
        ["timestamp", JSON.stringify(Math.floor(timestamp / 1000))],
      ]);
    },
  };
}

/**
 * Yields the text of the document. `entries` are sorted by name. `subdirs` are those with at least one file, in any
 * order; `noarch` is always included.
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

/** The fields of a file that the entry of its name needs. */
type Release = {
  readonly fileName: string;
  readonly subdir: string;
  readonly version: string;
  readonly parsedVersion: Version;
  readonly buildNumber: number;
  /** Milliseconds. */
  readonly timestamp: number;
  /** JSON text; undefined when there are none. */
  readonly runExports: string | undefined;
};

/** A key and its value as JSON text. */
type Member = readonly [key: string, text: string];

/** The newest release, and the flags of all files of its version: a platform can have scripts that another has not. */
type Newest = { readonly release: Release; readonly head: readonly Member[]; readonly flags: ReadonlySet<string> };

const TEXTS = ["dev_url", "doc_url", "home", "summary"];

/** Flag names: in the document, in the metadata of a package. */
const FLAGS: readonly (readonly [string, string])[] = [
  ["activate.d", "activate"],
  ["binary_prefix", "binary-prefix"],
  ["deactivate.d", "deactivate"],
  ["post_link", "post-link"],
  ["pre_link", "pre-link"],
  ["pre_unlink", "pre-unlink"],
  ["text_prefix", "text-prefix"],
];

function readRelease({ fileName, subdir, metadata }: ChanneldataFile, fields: JsonObject): Release {
  const version = String(fields.version);
  const { runExports } = metadata;
  return {
    fileName,
    subdir,
    version,
    parsedVersion: parseVersion(version) ?? { main: [], local: [] },
    buildNumber: Number(fields.build_number),
    timestamp: toMilliseconds(Number(fields.timestamp ?? 0)),
    runExports: Object.keys(runExports).length > 0 ? canonicalJson(runExports) : undefined,
  };
}

function newestOf(
  newest: Newest | undefined,
  release: Release,
  head: () => readonly Member[],
  flags: readonly string[],
): Newest {
  if (newest === undefined) return { release, head: head(), flags: new Set(flags) };
  const isOf = compareVersions(newest.release.parsedVersion, release.parsedVersion);
  if (isOf > 0) return newest;
  const all = isOf < 0 ? new Set(flags) : new Set([...newest.flags, ...flags]);
  if (compareReleases(newest.release, release) > 0) return { ...newest, flags: all };
  return { release, head: head(), flags: all };
}

function compareReleases(a: Release, b: Release): number {
  return (
    compareVersions(a.parsedVersion, b.parsedVersion) ||
    a.buildNumber - b.buildNumber ||
    a.timestamp - b.timestamp ||
    compareText(a.fileName, b.fileName) ||
    compareText(a.subdir, b.subdir)
  );
}

/** The members that the newest release decides. */
function headOf({ metadata: { about } }: ChanneldataFile, { license, version }: JsonObject): Member[] {
  const entry = emptyObject();
  for (const key of TEXTS) setText(entry, key, about[key]);
  setText(entry, "license", license ?? about.license);
  if (isTexts(about.source_url)) entry.source_url = about.source_url;
  entry.version = String(version);
  return Object.entries(entry).map(([key, value]): Member => [key, canonicalJson(value)]);
}

/** Same text as `canonicalJson` of an object with these members. */
function objectText(members: readonly Member[]): string {
  const sorted = members.toSorted(([a], [b]) => compareText(a, b));
  return `{${sorted.map(([key, text]) => `${JSON.stringify(key)}:${text}`).join(",")}}`;
}

/** Some build tools write a list where the format has a single string. */
function setText(entry: JsonObject, key: string, value: unknown): void {
  const text: unknown = Array.isArray(value) ? value[0] : value;
  if (typeof text === "string") entry[key] = text;
}

function isTexts(value: unknown): boolean {
  return typeof value === "string" || (Array.isArray(value) && value.every((item) => typeof item === "string"));
}
