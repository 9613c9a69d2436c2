// The revision at which each package name of a section last changed: builders read it to catch up.

import { and, asc, desc, eq, gt, sql } from "drizzle-orm";
import type { Reader, Transaction } from "./database.ts";
import { param, placeholders, prepared } from "./prepared.ts";
import { WHOLE_CHANNEL } from "./index/scope.ts";
import { eachInTurn } from "./rows.ts";
import { indexPart } from "./schema/index.ts";

type IndexPartRow = typeof indexPart.$inferSelect;

const upsertPart = prepared("upsertPart", (reader) =>
  reader
    .insert(indexPart)
    .values(placeholders("channelId", "section", "name", "revision"))
    .onConflictDoUpdate({
      target: [indexPart.channelId, indexPart.section, indexPart.name],
      set: { revision: sql`excluded.revision` },
    }),
);
const newestPart = prepared("newestPart", (reader) =>
  reader
    .select({ revision: indexPart.revision })
    .from(indexPart)
    .where(and(eq(indexPart.channelId, param("channelId")), eq(indexPart.section, param("section"))))
    .orderBy(desc(indexPart.revision))
    .limit(1),
);

export async function touchIndexPart(tx: Transaction, values: IndexPartRow): Promise<void> {
  await upsertPart(tx).execute(values);
}

/** Values of a statement have a limit on both engines. */
const ROWS_A_STATEMENT = 500;

/** The same for many names, each once. */
export async function touchIndexParts(tx: Transaction, rows: readonly IndexPartRow[]): Promise<void> {
  for (let at = 0; at < rows.length; at += ROWS_A_STATEMENT) {
    await tx
      .insert(indexPart)
      .values(rows.slice(at, at + ROWS_A_STATEMENT))
      .onConflictDoUpdate({
        target: [indexPart.channelId, indexPart.section, indexPart.name],
        set: { revision: sql`excluded.revision` },
      });
  }
}

const partOfName = prepared("partOfName", (reader) =>
  reader
    .select({ revision: indexPart.revision })
    .from(indexPart)
    .where(
      and(
        eq(indexPart.channelId, param("channelId")),
        eq(indexPart.section, param("section")),
        eq(indexPart.name, param("name")),
      ),
    )
    .limit(1),
);

/** The newest revision that changed a name in a section; undefined when none did. */
export async function nameRevision(
  reader: Reader,
  key: Pick<IndexPartRow, "channelId" | "section" | "name">,
): Promise<number | undefined> {
  return (await partOfName(reader).execute(key))[0]?.revision;
}

/** Names of a section, or of the whole channel, that changed after `revision`. */
export async function changedNames(
  reader: Reader,
  key: { readonly channelId: number; readonly section: string; readonly revision: number },
): Promise<string[]> {
  const inSection = key.section === WHOLE_CHANNEL ? undefined : eq(indexPart.section, key.section);
  const rows = await reader
    .selectDistinct({ name: indexPart.name })
    .from(indexPart)
    .where(and(eq(indexPart.channelId, key.channelId), inSection, gt(indexPart.revision, key.revision)))
    .orderBy(asc(indexPart.name));
  return rows.map((row) => row.name);
}

/** The names that follow `after`, among all names that ever were in a section or in the whole channel. */
export async function nextNames(
  reader: Reader,
  { channelId, section }: { readonly channelId: number; readonly section: string },
  { after, limit }: { readonly after: string; readonly limit: number },
): Promise<string[]> {
  const names = new Set<string>();
  // Section by section: the database index has this order, and a channel has few sections.
  for (const current of section === WHOLE_CHANNEL ? await changedSections(reader, channelId) : [section]) {
    const rows = await reader
      .select({ name: indexPart.name })
      .from(indexPart)
      .where(and(eq(indexPart.channelId, channelId), eq(indexPart.section, current), gt(indexPart.name, after)))
      .orderBy(asc(indexPart.name))
      .limit(limit);
    for (const { name } of rows) names.add(name);
  }
  return [...names].sort().slice(0, limit);
}

/** The sections that ever changed, including those that are empty. */
export async function changedSections(reader: Reader, channelId: number): Promise<string[]> {
  return await eachInTurn(async (after) => (await nextSection(reader).execute({ channelId, after }))[0]?.section);
}

const nextSection = prepared("nextSection", (reader) =>
  reader
    .select({ section: indexPart.section })
    .from(indexPart)
    .where(and(eq(indexPart.channelId, param("channelId")), gt(indexPart.section, param("after"))))
    .orderBy(asc(indexPart.section))
    .limit(1),
);

/** The newest revision that changed a section; 0 when none did. */
export async function sectionRevision(reader: Reader, channelId: number, section: string): Promise<number> {
  const rows = await newestPart(reader).execute({ channelId, section });
  return rows[0]?.revision ?? 0;
}

export async function deleteIndexParts(tx: Transaction, channelId: number): Promise<void> {
  await tx.delete(indexPart).where(eq(indexPart.channelId, channelId));
}
