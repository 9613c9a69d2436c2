// Owners: the users and organizations that channels belong to.

import { eq, inArray } from "drizzle-orm";
import type { Reader, Transaction } from "./database.ts";
import { param, prepared } from "./prepared.ts";
import { requireRow } from "./rows.ts";
import { owner } from "./schema/index.ts";
import { foldCase } from "../modules/fold-case.ts";

export type OwnerRow = typeof owner.$inferSelect;
export type Visibility = OwnerRow["visibility"];

const ownerByName = prepared("ownerByName", (reader) =>
  reader
    .select()
    .from(owner)
    .where(eq(owner.name, param("name")))
    .limit(1),
);

/** Names are stored lower-case; the lookup ignores case. */
export async function findOwner(reader: Reader, name: string): Promise<OwnerRow | undefined> {
  const rows = await ownerByName(reader).execute({ name: foldCase(name) });
  return rows[0];
}

export async function insertOwner(
  tx: Transaction,
  values: Pick<OwnerRow, "kind" | "name" | "visibility" | "created">,
): Promise<OwnerRow> {
  const rows = await tx.insert(owner).values(values).returning();
  return requireRow(rows);
}

export async function updateOwner(
  tx: Transaction,
  id: number,
  values: Partial<Pick<OwnerRow, "visibility" | "disabled" | "hidden" | "displayName">>,
): Promise<void> {
  await tx.update(owner).set(values).where(eq(owner.id, id));
}

export async function deleteOwner(tx: Transaction, id: number): Promise<void> {
  await tx.delete(owner).where(eq(owner.id, id));
}

/** The ids of the owners with these folded names, by name; pass at most a few thousand names. */
export async function ownerIds(reader: Reader, names: readonly string[]): Promise<Map<string, number>> {
  const rows = await reader
    .select({ id: owner.id, name: owner.name })
    .from(owner)
    .where(inArray(owner.name, [...names]));
  return new Map(rows.map(({ id, name }) => [name, id]));
}
