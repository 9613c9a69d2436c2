// Compares entries of documents with the rows they are made of, without making any: I-6 and I-7.

import type { IndexedFile } from "../../../models/package-file.ts";
import { formatOf } from "../../../modules/conda/file-name.ts";
import { canonicalJson, readRecord } from "../../../modules/conda/record.ts";
import { isRevision3, revision3Record } from "../../../modules/conda/revision3.ts";
import { isJsonObject, type JsonObject } from "../../../modules/conda/strict-json.ts";
import type { Complain } from "../../index/format.ts";
import { metadataOf } from "../documents/layouts.ts";

/** JSON has hashes as text and leaves empty run exports out, shards do neither. */
export type EntryForm = "json" | "shard";

/** The maps of a document, each by the keys that lead to it. https://conda.org/learn/ceps/cep-0048 */
export const ENTRY_MAPS = ["packages", "packages.conda", "v3/conda", "v3/tar.bz2"] as const;
export type EntryMap = (typeof ENTRY_MAPS)[number];

/** The map that a file belongs in. */
export function mapOf(file: IndexedFile): EntryMap {
  const format = formatOf(file.fileName) ?? "conda";
  if (isRevision3(file.record)) return `v3/${format}`;
  return format === "conda" ? "packages.conda" : "packages";
}

/** The file that stands in a map under `key`: those of the third revision have lost their extension. */
export function fileNameOf(map: EntryMap, key: string): string {
  return map.startsWith("v3/") ? `${key}.${map.slice("v3/".length)}` : key;
}

export function checkEntry(entry: unknown, file: IndexedFile, form: EntryForm, complain: Complain): void {
  const { fileName } = file;
  if (!isJsonObject(entry)) return complain("I-6", `the entry of ${fileName} is no object`);
  const { md5, sha256, size, ...fields } = entry;
  const rebuilt = `${String(fields.name)}-${String(fields.version)}-${String(fields.build)}`;
  if (fileName !== `${rebuilt}.${formatOf(fileName) ?? ""}`)
    complain("I-7", `the entry of ${fileName} is of ${rebuilt}`);
  if (!isHash(md5, file.md5, form)) complain("I-7", `the entry of ${fileName} has another md5 than its blob`);
  if (!isHash(sha256, file.sha256, form)) complain("I-7", `the entry of ${fileName} has another sha256 than its blob`);
  if (size !== file.size) complain("I-7", `the entry of ${fileName} has another size than its blob`);
  if (canonicalJson(fields) !== canonicalJson(fieldsOf(file, form)))
    complain("I-6", `the entry of ${fileName} is not what its record says`);
}

function isHash(value: unknown, hash: string, form: EntryForm): boolean {
  if (form === "json") return value === hash;
  return value instanceof Uint8Array && Buffer.compare(value, Buffer.from(hash, "hex")) === 0;
}

/** What an entry says beside the hashes and the size. */
function fieldsOf(file: IndexedFile, form: EntryForm): JsonObject {
  const fields = readRecord(isRevision3(file.record) ? revision3Record(file.record) : file.record);
  const { runExports } = metadataOf(file);
  const exports = form === "shard" || Object.keys(runExports).length > 0 ? { run_exports: runExports } : {};
  return { ...fields, indexed_timestamp: file.publishedAt, ...exports };
}
