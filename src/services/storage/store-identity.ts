// A database must be used with the storage of its packages only: with another, downloads fail and `gc` deletes the
// packages of a stranger. So both carry the same random identity.

import { usage } from "../../errors.ts";
import type { Database } from "../../models/database.ts";
import { insertStoreIdentity, storeIdentity } from "../../models/store-identity.ts";
import { randomHex } from "../../modules/ids.ts";
import type { BlobStore } from "../../modules/storage/blob-store.ts";
import { STORE_ID_KEY } from "../../modules/storage/keys.ts";

const IDENTITY = /^[0-9a-f]{32}\n$/;

type ClaimParts = {
  readonly database: Database;
  readonly blobs: BlobStore;
  /** False when both are in the data folder: they have an identity only if the database was used elsewhere before. */
  readonly isSplit: boolean;
};

/** Gives both an identity when neither has one. Errors: `usage` when one alone has it, or they differ. */
export async function claimStorage({ database, blobs, isSplit }: ClaimParts): Promise<void> {
  if (!isSplit) {
    const id = await storeIdentity(database.read);
    if (id !== undefined && id !== (await identityOf(blobs))) throw elsewhere();
    return;
  }
  // Most starts and commands find both: they wait for no change of another.
  const known = await storeIdentity(database.read);
  if (known !== undefined && known === (await identityOf(blobs))) return;
  // One server at a time, so that two that start together agree.
  await database.transact(async (tx) => {
    const [ofDatabase, ofStorage] = [await storeIdentity(tx), await identityOf(blobs)];
    if (ofStorage !== undefined && ofStorage !== ofDatabase) throw mismatch();
    if (ofStorage !== undefined) return;
    if (ofDatabase !== undefined) throw elsewhere();
    const id = randomHex(16);
    await insertStoreIdentity(tx, id);
    await blobs.put(STORE_ID_KEY, new TextEncoder().encode(`${id}\n`));
  });
}

/** Errors: `usage` when the storage has the identity of a database. */
export async function requireUnclaimed(blobs: BlobStore): Promise<void> {
  if ((await identityOf(blobs)) !== undefined) throw mismatch();
}

async function identityOf(blobs: BlobStore): Promise<string | undefined> {
  const text = await textOf(blobs);
  if (text === undefined) return undefined;
  if (!IDENTITY.test(text))
    throw usage(`${STORE_ID_KEY} in the storage is damaged. Restore it from a backup of the storage.`);
  return text.trim();
}

async function textOf(blobs: BlobStore): Promise<string | undefined> {
  try {
    const stored = await blobs.open(STORE_ID_KEY);
    return stored && (await new Response(stored.stream()).text());
  } catch (error) {
    // Says what is wrong with the storage, where it can.
    await blobs.probe();
    throw error;
  }
}

function elsewhere(): Error {
  return usage(
    `The packages of this database are in another storage: give its URL with the setting storage. If they were copied to this one, copy ${STORE_ID_KEY} too. Nothing was changed.`,
  );
}

function mismatch(): Error {
  return usage(
    "The storage has the packages of another database. Check the settings database and storage; for a new registry, use an empty storage or another prefix. Nothing was changed.",
  );
}
