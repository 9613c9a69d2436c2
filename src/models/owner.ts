// Owners: the users and organizations that channels belong to.

import { and, eq, inArray, ne } from "drizzle-orm";
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
    .where(and(eq(owner.name, param("name")), ne(owner.kind, "robot")))
    .limit(1),
);

/** Names are stored lower-case; the lookup ignores case. A robot owns nothing, so it is not found. */
export async function findOwner(reader: Reader, name: string): Promise<OwnerRow | undefined> {
  const rows = await ownerByName(reader).execute({ name: foldCase(name) });
  return rows[0];
}

export async function insertOwner(
  tx: Transaction,
  values: Pick<OwnerRow, "kind" | "name" | "visibility" | "created"> &
    Partial<Pick<OwnerRow, "displayName" | "description">>,
): Promise<OwnerRow> {
  const rows = await tx.insert(owner).values(values).returning();
  return requireRow(rows);
}

export async function updateOwner(
  tx: Transaction,
  id: number,
  values: {
    readonly [Name in "name" | "visibility" | "disabled" | "hidden" | "displayName" | "description"]?:
      | OwnerRow[Name]
      | undefined;
  },
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
