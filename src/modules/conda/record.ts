// The record: canonical text of `info/index.json`, the one form that is stored and that every document is made of.

import { emptyObject, isJsonObject, type JsonObject } from "./strict-json.ts";

/** What a repodata entry says about the file itself; kept in columns and joined when a document is made. */
export type RecordColumns = {
  /** Hexadecimal. */
  readonly md5: string;
  /** Hexadecimal. */
  readonly sha256: string;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds UTC of the publish. https://conda.org/learn/ceps/cep-0047 */
  readonly indexedTimestamp: number;
  /** As CEP 12 has it; a record says nothing about a package that exports nothing. https://conda.org/learn/ceps/cep-0021 */
  readonly runExports: Readonly<Record<string, readonly string[]>>;
};

// The first three break clients when a record has them; the others are the server's to say.
const LEFT_OUT: readonly string[] = [
  "fn",
  "url",
  "channel",
  "md5",
  "sha256",
  "size",
  "indexed_timestamp",
  "run_exports",
];

/** Equal content gives equal text; reading the text and writing it again changes nothing. */
export function canonicalRecord(index: Readonly<Record<string, unknown>>): string {
  const kept = emptyObject();
  for (const [key, value] of Object.entries(index)) if (!LEFT_OUT.includes(key)) kept[key] = value;
  return canonicalJson(kept);
}

/** The text of a repodata entry: a record with its file's columns. */
export function recordWith(record: string, columns: RecordColumns): string {
  const { indexedTimestamp, md5, sha256, size, runExports } = columns;
  const exports = Object.keys(runExports).length > 0 ? `"run_exports":${canonicalJson(runExports)},` : "";
  const joined = `"indexed_timestamp":${indexedTimestamp},"md5":"${md5}",${exports}"sha256":"${sha256}","size":${size}`;
  return `${record.slice(0, -1)},${joined}}`;
}

/** The members of a record, as it is stored. Throws for text that holds none. */
export function readRecord(record: string): JsonObject {
  const fields: unknown = JSON.parse(record);
  if (!isJsonObject(fields)) throw new Error("the record is no object");
  return fields;
}

/** For a package that does not say its subdir, when the place it was published to does. */
export function setRecordSubdir(record: string, subdir: string): string {
  return canonicalJson({ ...readRecord(record), subdir });
}

/** JSON with the keys of every object sorted by code unit and no spaces. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (!isJsonObject(value)) return JSON.stringify(value);
  const members = Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key])}`);
  return `{${members.join(",")}}`;
}
