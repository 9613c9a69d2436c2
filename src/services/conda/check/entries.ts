// Compares document entries with their rows, without building entries: invariants I-6 and I-7.

import type { IndexedFile } from "../../../models/indexed-file.ts";
import { formatOf } from "../../../modules/conda/file-name.ts";
import { canonicalJson, readRecord } from "../../../modules/conda/record.ts";
import { isRevision3, revision3Record } from "../../../modules/conda/revision3.ts";
import { isJsonObject, type JsonObject } from "../../../modules/conda/strict-json.ts";
import type { ReportProblem } from "../../index/format.ts";
import { metadataOf } from "../documents/layouts.ts";

/** JSON writes hashes as text and has the run exports of `index.json`; shards write bytes and those of the package. */
export type EntryForm = "json" | "shard";

/** The maps of a document, as paths of keys. https://conda.org/learn/ceps/cep-0048 */
export const ENTRY_MAPS = ["packages", "packages.conda", "v3/conda", "v3/tar.bz2"] as const;
export type EntryMap = (typeof ENTRY_MAPS)[number];

/** The map that a file belongs in. */
export function mapOf(file: IndexedFile): EntryMap {
  const format = formatOf(file.fileName) ?? "conda";
  if (isRevision3(file.record)) return `v3/${format}`;
  return format === "conda" ? "packages.conda" : "packages";
}

/** Returns the file name of a key; keys of revision 3 have no extension. */
export function fileNameOf(map: EntryMap, key: string): string {
  return map.startsWith("v3/") ? `${key}.${map.slice("v3/".length)}` : key;
}

export function checkEntry(entry: unknown, file: IndexedFile, form: EntryForm, complain: ReportProblem): void {
  const { fileName } = file;
  if (!isJsonObject(entry)) return complain("I-6", `the entry of ${fileName} is not an object`);
  const { md5, sha256, size, ...fields } = entry;
  const rebuilt = `${String(fields.name)}-${String(fields.version)}-${String(fields.build)}`;
  if (fileName !== `${rebuilt}.${formatOf(fileName) ?? ""}`)
    complain("I-7", `the entry of ${fileName} describes ${rebuilt}`);
  if (!isHash(md5, file.md5, form)) complain("I-7", `the entry of ${fileName} has a different md5 than its blob`);
  if (!isHash(sha256, file.sha256, form))
    complain("I-7", `the entry of ${fileName} has a different sha256 than its blob`);
  if (size !== file.size) complain("I-7", `the entry of ${fileName} has a different size than its blob`);
  if (canonicalJson(fields) !== canonicalJson(fieldsOf(file, form)))
    complain("I-6", `the entry of ${fileName} differs from its record`);
}

function isHash(value: unknown, hash: string, form: EntryForm): boolean {
  if (form === "json") return value === hash;
  return value instanceof Uint8Array && Buffer.compare(value, Buffer.from(hash, "hex")) === 0;
}

/** The members of an entry except hashes and size. */
function fieldsOf(file: IndexedFile, form: EntryForm): JsonObject {
  const fields = readRecord(isRevision3(file.record) ? revision3Record(file.record) : file.record);
  const exports = form === "shard" ? { run_exports: metadataOf(file).runExports } : {};
  return { ...fields, indexed_timestamp: file.publishedAt, ...exports };
}
