// Tells when anything has been committed to the database, by this process or another.

import type { Database as Connection } from "bun:sqlite";
import { isDatabaseBusy } from "./errors.ts";

export type Changes = {
  /** Told just before a commit of this process. */
  add(): void;
  /** Another number once anything has been committed that was added here, or by others. */
  version(): number;
};

/**
 * Own commits are counted by who makes them. Those of others SQLite tells: `data_version` of the connection that writes
 * stays as it is for its own. https://sqlite.org/pragma.html#pragma_data_version
 */
export function countChanges(write: Connection): Changes {
  const ofOthers = write.query<{ data_version: number }, []>("PRAGMA data_version");
  let own = 0;
  let last = 0;
  return {
    add: () => (own += 1),
    version: () => {
      try {
        last = ofOthers.get()?.data_version ?? 0;
      } catch (error) {
        if (!isDatabaseBusy(error)) throw error;
        // What cannot be told has changed.
        own += 1;
      }
      return last + own;
    },
  };
}
