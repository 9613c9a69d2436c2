// Properties: values of a package, version or file that are searched for, not displayed.

import { allOf } from "../modules/all-of.ts";
import type { Transaction } from "./database.ts";
import { placeholders, prepared } from "./prepared.ts";
import { packageProperty } from "./schema/index.ts";

export type PropertyTarget = { readonly refType: "package" | "version" | "file"; readonly refId: number };
export type Property = { readonly name: string; readonly value: string };

/** At most 64 values of at most 512 bytes per target; the caller chooses the values worth searching. */
const PROPERTIES = 64;
const VALUE_BYTES = 512;

const insertProperty = prepared("insertProperty", (reader) =>
  reader.insert(packageProperty).values(placeholders("refType", "refId", "name", "value")),
);

export async function insertProperties(
  tx: Transaction,
  target: PropertyTarget,
  properties: readonly Property[],
): Promise<void> {
  const stored = properties.filter((property) => Buffer.byteLength(property.value) <= VALUE_BYTES).slice(0, PROPERTIES);
  await allOf(...stored.map(async (property) => await insertProperty(tx).execute({ ...target, ...property })));
}
