// Documents skip unreadable records, so that one record does not block the channel. A publish never writes such a
// record; damage or a bug can.

import { MOST_STORED, type IndexedFile } from "../../../models/indexed-file.ts";
import { isJsonObject } from "../../../modules/conda/strict-json.ts";
import { metadataOf } from "./layouts.ts";

/** Throws for a file above its limit of bytes, with a record that columns cannot be added to, or without metadata. */
export function requireReadable({
  record,
  metadata,
  stored,
}: Pick<IndexedFile, "record" | "metadata" | "stored">): void {
  if (stored > MOST_STORED)
    throw new Error(`record and metadata have ${stored} bytes; the limit per file is ${MOST_STORED} bytes`);
  const fields: unknown = JSON.parse(record);
  if (!isJsonObject(fields) || Object.keys(fields).length === 0)
    throw new Error("the record is not an object with members");
  if (!record.endsWith("}")) throw new Error("the record has text after the object");
  metadataOf({ metadata });
}
