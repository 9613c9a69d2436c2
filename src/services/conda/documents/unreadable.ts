// Records that no document can hold are set aside, and the channel goes on without them. The server writes none, but
// damage and errors of its own may.

import { MOST_STORED, type IndexedFile } from "../../../models/package-file.ts";
import { isJsonObject } from "../../../modules/conda/strict-json.ts";
import { metadataOf } from "./layouts.ts";

/** Throws for a file that has more than its budget, whose record cannot be joined with its columns, or without metadata. */
export function requireReadable({
  record,
  metadata,
  stored,
}: Pick<IndexedFile, "record" | "metadata" | "stored">): void {
  if (stored > MOST_STORED)
    throw new Error(`record and metadata have ${stored} bytes, and a document holds at most ${MOST_STORED} of a file`);
  const fields: unknown = JSON.parse(record);
  if (!isJsonObject(fields) || Object.keys(fields).length === 0)
    throw new Error("the record is no object with members");
  if (!record.endsWith("}")) throw new Error("something follows the record");
  metadataOf({ metadata });
}
