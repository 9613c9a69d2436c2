// Disk space reserved for the database, so that changes that free space can be committed on a full disk.

import { rmSync, statSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";

export type Reserve = {
  /** Frees the space for the next write; false when no space was reserved. */
  release(): boolean;
  /** Reserves the space again, if the disk has it. */
  refill(): void;
};

/** Enough for several of the largest deletions. The bytes are random so that a file system cannot compress them. */
const BYTES = 256 * 1024;

/** The reserve is a file beside the database. */
export function createReserve(database: string): Reserve {
  const path = `${database}.reserve`;
  const size = (): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  return {
    release: () => {
      const wasReserved = size() > 0;
      rmSync(path, { force: true });
      return wasReserved;
    },
    refill: () => {
      if (size() === BYTES) return;
      try {
        writeFileSync(path, randomBytes(BYTES), { mode: 0o600 });
      } catch {
        // The disk is full: the next collection calls `refill` again.
        rmSync(path, { force: true });
      }
    },
  };
}
