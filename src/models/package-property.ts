// Properties: values of a package, version or file that are looked up, not shown.

import { and, eq } from "drizzle-orm";
import type { Transaction } from "./database.ts";
import { packageProperty } from "./schema/sqlite.ts";

export type PropertyTarget = { readonly refType: "package" | "version" | "file"; readonly refId: number };
export type Property = { readonly name: string; readonly value: string };

/** At most 64 values of at most 512 bytes a file; the caller chooses what is worth looking up. */
const PROPERTIES = 64;
const VALUE_BYTES = 512;

export async function insertProperties(
  tx: Transaction,
  target: PropertyTarget,
  properties: readonly Property[],
): Promise<void> {
  const kept = properties.filter((property) => Buffer.byteLength(property.value) <= VALUE_BYTES).slice(0, PROPERTIES);
  if (kept.length > 0) await tx.insert(packageProperty).values(kept.map((property) => ({ ...target, ...property })));
}

export async function deleteProperties(tx: Transaction, target: PropertyTarget): Promise<void> {
  await tx
    .delete(packageProperty)
    .where(and(eq(packageProperty.refType, target.refType), eq(packageProperty.refId, target.refId)));
}
