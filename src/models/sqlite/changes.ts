// Detects commits to the database, by this process or another.

import type { Database as Connection } from "bun:sqlite";
import { isDatabaseBusy } from "./errors.ts";

export type Changes = {
  /** Called just before a commit of this process. */
  add(): void;
  /** A number that changes after every commit that was added here, or that another process made. */
  version(): number;
};

/**
 * `add` counts the commits of this process. SQLite reports those of others: the `data_version` of the write connection
 * does not change for its own commits. https://sqlite.org/pragma.html#pragma_data_version
 */
export function countChanges(write: Connection): Changes {
  const dataVersion = write.query<{ data_version: number }, []>("PRAGMA data_version");
  let own = 0;
  let last = 0;
  return {
    add: () => (own += 1),
    version: () => {
      try {
        last = dataVersion.get()?.data_version ?? 0;
      } catch (error) {
        if (!isDatabaseBusy(error)) throw error;
        // Unknown counts as changed.
        own += 1;
      }
      return last + own;
    },
  };
}
