// Numbers of stored packages, which triggers of the database keep up to date: reading them costs one row.

import type { Reader } from "./database.ts";
import { prepared } from "./prepared.ts";
import { requireRow } from "./rows.ts";
import { storedTotal } from "./schema/sqlite.ts";

export type StoredTotals = {
  /** Files in all channels. */
  readonly files: number;
  /** Stored contents, which several files can share, and their bytes. A content counts until it is collected. */
  readonly blobs: number;
  readonly bytes: number;
};

const totals = prepared((reader) =>
  reader
    .select({ files: storedTotal.files, blobs: storedTotal.blobs, bytes: storedTotal.bytes })
    .from(storedTotal)
    .limit(1)
    .prepare(),
);

export async function storedTotals(reader: Reader): Promise<StoredTotals> {
  return requireRow(await totals(reader).execute());
}
