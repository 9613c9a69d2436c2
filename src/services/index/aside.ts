// Records that no document can hold are set aside, and the channel goes on without them. The server writes none, but
// damage and errors of its own may.

import type { AsideRecord } from "../../models/derived.ts";
import { MOST_STORED, type IndexedFile } from "../../models/package-file.ts";
import { isJsonObject } from "../../modules/conda/strict-json.ts";
import { metadataOf } from "./families.ts";
import type { Work } from "./long-work.ts";

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

export function isReadable(file: Pick<IndexedFile, "record" | "metadata" | "stored">): boolean {
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

/** Does something with each active file of a name, page by page, but for those that cannot be read; answers these. */
export async function* eachReadable(
  pages: AsyncIterable<readonly IndexedFile[]>,
  use: (file: IndexedFile) => void,
): Work<AsideRecord[]> {
  const aside: AsideRecord[] = [];
  for await (const files of pages) {
    for (const file of files) {
      if (file.state !== "active") continue;
      try {
        requireReadable(file);
        use(file);
      } catch (error) {
        aside.push(asideRecord(file, error));
      }
    }
    yield "step";
  }
  return aside;
}
