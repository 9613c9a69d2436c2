// Whether the server can do its work: the database answers and there is room to write.

import { findOwner } from "../models/owner.ts";
import type { Database } from "../models/database.ts";
import type { BlobStore } from "../modules/storage/blob-store.ts";

export type Health = {
  isReady(): Promise<boolean>;
  /** A fault that only a restart or a person can mend; from then on the server is not ready. */
  fail(): void;
};

export function createHealth(parts: { readonly database: Database; readonly blobs: BlobStore }): Health {
  let failed = false;
  return {
    fail: () => {
      failed = true;
    },
    isReady: async () => {
      if (failed) return false;
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
