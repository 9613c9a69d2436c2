// The identity of the registry, which its database shares with the storage of its packages.

import type { Reader, Transaction } from "./database.ts";
import { store } from "./schema/index.ts";

/** Undefined for a database that was never used with a storage of its own. */
export async function storeIdentity(reader: Reader): Promise<string | undefined> {
  const rows = await reader.select().from(store).limit(1);
  return rows[0]?.id;
}

export async function insertStoreIdentity(tx: Transaction, id: string): Promise<void> {
  await tx.insert(store).values({ id });
}
