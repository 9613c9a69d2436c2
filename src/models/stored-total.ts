// Numbers of stored packages, which triggers of the database keep up to date: reading them costs one row.

import { count, gt, sql, type AnyColumn, type SQL } from "drizzle-orm";
import type { Reader } from "./database.ts";
import { prepared } from "./prepared.ts";
import { requireRow } from "./rows.ts";
import { storedTotal } from "./schema/index.ts";

export type StoredTotals = {
  /** Files in all channels. */
  readonly files: number;
  /** Stored contents, which several files can share, and their bytes. A content counts until it is collected. */
  readonly blobs: number;
  readonly bytes: number;
};

/** PostgreSQL counts in several rows, so that changes do not wait for each other. */
const sumOf = (column: AnyColumn): SQL<number> => sql<number>`sum(${column})`.mapWith(Number);

const totals = prepared("totals", (reader) =>
  reader
    .select({ files: sumOf(storedTotal.files), blobs: sumOf(storedTotal.blobs), bytes: sumOf(storedTotal.bytes) })
    .from(storedTotal)
    .having(gt(count(), 0)),
);

export async function storedTotals(reader: Reader): Promise<StoredTotals> {
  return requireRow(await totals(reader).execute());
}
