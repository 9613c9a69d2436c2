// The oldest schema number that a server must know to use the database. A new meaning of rows raises it at its first use.

import { sql } from "drizzle-orm";
import type { Reader } from "./database.ts";

export async function findMinReader(reader: Reader): Promise<number> {
  const rows = await reader.select({ needed: sql`max(min_reader)` }).from(sql`schema_migration`);
  return Number(rows[0]?.needed ?? 0);
}
