// How much may be stored of one package: whatever goes into documents is read again whenever one of them is made.

import type { PackageMetadata } from "./archive.ts";
import type { Finding } from "./findings.ts";
import { STORED_BYTES } from "../stored-budget.ts";
import { isJsonObject } from "./strict-json.ts";

/** What is kept beside the record; stored as JSON. */
export type StoredMetadata = PackageMetadata & { readonly findings: readonly Finding[] };

/** Raised when a member comes to mean something else; text without a version is of the first. */
const METADATA_VERSION = 1;

/** What is written beside a record. `weight`: the bytes of the file in the document of its name. */
export function metadataText(metadata: StoredMetadata, weight: number): string {
  return JSON.stringify({ ...metadata, weight, version: METADATA_VERSION });
}

/** Read for each file of each document, so that it looks at the outline only. Throws for what no publish has written. */
export function readMetadata(text: string): PackageMetadata {
  const stored: unknown = JSON.parse(text);
  if (!isJsonObject(stored)) throw new Error("the metadata is no object");
  const { version = METADATA_VERSION, about = {}, runExports, flags = [] } = stored;
  if (version !== METADATA_VERSION) throw new Error("the metadata is of a version that this condarium does not know");
  if (!isRunExports(runExports)) throw new Error("the metadata has no run exports");
  if (!isJsonObject(about) || !isTexts(flags)) throw new Error("the metadata has parts of another form");
  return { about, runExports, flags };
}

function isRunExports(value: unknown): value is PackageMetadata["runExports"] {
  return isJsonObject(value);
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value);
}

/** The finding that refuses a package of which more would be stored. */
export function storedProblem(record: string, metadata: StoredMetadata): Finding | undefined {
  const total = Buffer.byteLength(record) + bytesOf(metadata);
  if (total <= STORED_BYTES) return undefined;
  const members: (readonly [path: string, bytes: number])[] = [
    ["info/index.json", Buffer.byteLength(record)],
    ["info/run_exports.json", bytesOf(metadata.runExports)],
    ["info/about.json", bytesOf(metadata.about)],
  ];
  const [path, bytes] = members.reduce((largest, member) => (member[1] > largest[1] ? member : largest));
  return {
    rule: "stored-size",
    level: "refused",
    path,
    message: `${bytes} bytes of ${path} would be stored, ${total} bytes with the rest; the limit is ${STORED_BYTES} bytes.`,
    fix: "Shorten the file: record, run exports, about and findings count together.",
  };
}

function bytesOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}
