// Room on the disk that is kept for the database, so that what is to make room can be committed when there is none.

import { rmSync, statSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";

export type Reserve = {
  /** Gives the room to whoever writes next; false when there was none. */
  release(): boolean;
  /** Takes it back, if the disk has it. */
  refill(): void;
};

/** Some of the largest changes that delete something; a file system that compresses cannot make it smaller. */
const BYTES = 256 * 1024;

/** Beside the database. */
export function createReserve(database: string): Reserve {
  const path = `${database}.reserve`;
  const size = (): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  return {
    release: () => {
      const had = size() > 0;
      rmSync(path, { force: true });
      return had;
    },
    refill: () => {
      if (size() === BYTES) return;
      try {
        writeFileSync(path, randomBytes(BYTES), { mode: 0o600 });
      } catch {
        // The disk is full: whoever makes room comes back here.
        rmSync(path, { force: true });
      }
    },
  };
}
