// Records that no document can hold are set aside, and the channel goes on without them. The server writes none, but
// damage and errors of its own may.

import type { AsideRecord } from "../../models/derived.ts";
import type { IndexedFile } from "../../models/package-file.ts";
import { isJsonObject } from "../../modules/conda/strict-json.ts";
import { metadataOf } from "./families.ts";

/** Throws for a file whose record cannot be joined with its columns, or whose metadata cannot be read. */
export function requireReadable({ record, metadata }: Pick<IndexedFile, "record" | "metadata">): void {
  const fields: unknown = JSON.parse(record);
  if (!isJsonObject(fields) || Object.keys(fields).length === 0)
    throw new Error("the record is no object with members");
  if (!record.endsWith("}")) throw new Error("something follows the record");
  if (!isJsonObject(metadataOf({ metadata }).runExports)) throw new Error("the metadata has no run exports");
}

export function isReadable(file: Pick<IndexedFile, "record" | "metadata">): boolean {
  try {
    requireReadable(file);
    return true;
  } catch {
    return false;
  }
}

export function asideRecord({ packageName, section, fileName }: IndexedFile, error: unknown): AsideRecord {
  const reason = error instanceof Error ? error.message : "unreadable";
  return { packageName, path: `${section}/${fileName}`, reason };
}

/** Makes something of the files of a name, without the active ones that cannot be read. */
export function ofReadable<T>(
  files: readonly IndexedFile[],
  make: (files: readonly IndexedFile[]) => T,
): { readonly value: T; readonly aside: readonly AsideRecord[] } {
  const aside: AsideRecord[] = [];
  const passes = (file: IndexedFile, trial: (file: IndexedFile) => unknown): boolean => {
    if (file.state !== "active") return true;
    try {
      trial(file);
      return true;
    } catch (error) {
      aside.push(asideRecord(file, error));
      return false;
    }
  };
  const readable = files.filter((file) => passes(file, requireReadable));
  try {
    return { value: make(readable), aside };
  } catch {
    return { value: make(readable.filter((file) => passes(file, (one) => make([one])))), aside };
  }
}
