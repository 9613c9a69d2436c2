// Which names changed in which section, and at what revision: what a reader asks to catch up.

import { and, desc, eq } from "drizzle-orm";
import type { Reader, Transaction } from "./database.ts";
import { indexPart } from "./schema/sqlite.ts";

type IndexPartRow = typeof indexPart.$inferSelect;

export async function touchIndexPart(tx: Transaction, values: IndexPartRow): Promise<void> {
  await tx
    .insert(indexPart)
    .values(values)
    .onConflictDoUpdate({
      target: [indexPart.channelId, indexPart.section, indexPart.name],
      set: { revision: values.revision },
    });
}

/** The newest revision that changed a section; 0 when none did. */
export async function sectionRevision(reader: Reader, channelId: number, section: string): Promise<number> {
  const rows = await reader
    .select({ revision: indexPart.revision })
    .from(indexPart)
    .where(and(eq(indexPart.channelId, channelId), eq(indexPart.section, section)))
    .orderBy(desc(indexPart.revision))
    .limit(1);
  return rows[0]?.revision ?? 0;
}

export async function deleteIndexParts(tx: Transaction, channelId: number): Promise<void> {
  await tx.delete(indexPart).where(eq(indexPart.channelId, channelId));
}
