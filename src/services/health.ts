// Whether the server can do its work: the database answers and there is room to write.

import { findOwner } from "../models/owner.ts";
import type { Database } from "../models/database.ts";
import type { BlobStore } from "../modules/storage/blob-store.ts";

export type Health = {
  isReady(): Promise<boolean>;
};

export function createHealth(parts: { readonly database: Database; readonly blobs: BlobStore }): Health {
  return {
    isReady: async () => {
      try {
        await findOwner(parts.database.read, "admin");
        const free = await parts.blobs.free();
        return free === undefined || free > 0;
      } catch {
        return false;
      }
    },
  };
}
