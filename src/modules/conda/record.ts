// The record: canonical text of `info/index.json`. The server stores only this form and builds every document from it.

import { emptyObject, isJsonObject, type JsonObject } from "./strict-json.ts";

/** Fields of a repodata entry that describe the file; stored in columns and added when a document is built. */
export type RecordColumns = {
  /** Hexadecimal. */
  readonly md5: string;
  /** Hexadecimal. */
  readonly sha256: string;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds UTC of the publish. https://conda.org/learn/ceps/cep-0047 */
  readonly indexedTimestamp: number;
};

// The first three break clients when a record has them; the server sets the others.
const OMITTED: readonly string[] = ["fn", "url", "channel", "md5", "sha256", "size", "indexed_timestamp"];

/** Equal content gives equal text; parsing and writing the text again does not change it. */
export function canonicalRecord(index: Readonly<Record<string, unknown>>): string {
  const fields = emptyObject();
  for (const [key, value] of Object.entries(index)) if (!OMITTED.includes(key)) fields[key] = value;
  return canonicalJson(fields);
}

/** Returns the text of a repodata entry: a record with its file's columns. */
export function recordWith(record: string, columns: RecordColumns): string {
  const { indexedTimestamp, md5, sha256, size } = columns;
  const joined = `"indexed_timestamp":${indexedTimestamp},"md5":"${md5}","sha256":"${sha256}","size":${size}`;
  return `${record.slice(0, -1)},${joined}}`;
}

/** Parses a stored record. Throws when the text is not a JSON object. */
export function readRecord(record: string): JsonObject {
  const fields: unknown = JSON.parse(record);
  if (!isJsonObject(fields)) throw new Error("the record is not an object");
  return fields;
}

/** Adds the subdir of the publish URL to the record of a package that has none. */
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
