// When tokens were last used: collected in memory and stored in batches, so that no request waits for it.

import { noteTokenUses, type AccessTokenRow } from "../models/access-token.ts";
import type { Database } from "../models/database.ts";
import type { Clock } from "../modules/clock.ts";

export type TokenUses = {
  /** Notes that a token is used now, unless a use of the last minute is stored. Never waits and never fails. */
  note(token: Pick<AccessTokenRow, "id" | "lastUsed">): void;
  /** Stores the uses that are not stored yet. */
  close(): Promise<void>;
};

/** The time of one token is stored at most this often, and a use at the latest this long after it. */
const EVERY_MS = 60_000;
const BATCH_MS = 1000;
/** Uses that wait; tokens beyond that are noted when they are used again. */
const MOST_WAITING = 10_000;
/** Rows of one statement, so that no other change waits for long. */
const ROWS = 500;

export function createTokenUses({
  database,
  clock,
}: {
  readonly database: Database;
  readonly clock: Clock;
}): TokenUses {
  const waiting = new Set<number>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let storing = Promise.resolve();

  async function store(): Promise<void> {
    timer = undefined;
    const ids = [...waiting];
    waiting.clear();
    const at = clock.now();
    for (let start = 0; start < ids.length; start += ROWS) {
      const some = ids.slice(start, start + ROWS);
      // Without the time of a use, the next one is noted instead.
      await database.transact((tx) => noteTokenUses(tx, some, at), { isUnseen: true }).catch(() => undefined);
    }
  }

  const storeNext = (): Promise<void> => (storing = storing.then(store));

  return {
    note: ({ id, lastUsed }) => {
      const isStored = lastUsed !== null && Math.abs(clock.now() - lastUsed) < EVERY_MS;
      if (isStored || waiting.size >= MOST_WAITING) return;
      waiting.add(id);
      timer ??= setTimeout(() => void storeNext(), BATCH_MS).unref();
    },
    close: async () => {
      clearTimeout(timer);
      await storeNext();
    },
  };
}
