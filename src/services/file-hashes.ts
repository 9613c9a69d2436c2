// Hashes large uploads in a thread of its own, from their files as they grow: what receives them has its hands full.

import { createFileHash, type FileDigest } from "../modules/hash.ts";
import { randomHex } from "../modules/ids.ts";
import type { HashJobs } from "./hash-worker.ts";
import type { Workers } from "./workers.ts";

/** A file that something else appends to. */
export type FollowedFile = {
  /** Tells how many bytes there are now; waits while the hash is too far behind. */
  grown(size: number): Promise<void>;
  /** Ends the hash at so many bytes. */
  end(size: number): Promise<FileDigest>;
  /** Forgets the file. */
  drop(): void;
};

export type FileHashes = { follow(path: string): FollowedFile };

const STEP_BYTES = 4 * 1024 ** 2;
const MOST_BEHIND = 64 * 1024 ** 2;
const STEP_LIMIT_MS = 60_000;

/** `workers` must be of size one: the thread knows the files that it has begun. */
export function createFileHashes({ workers }: { readonly workers: Pick<Workers<HashJobs>, "run"> }): FileHashes {
  return {
    follow: (path) => {
      const id = randomHex(16);
      let asked = 0;
      let done = 0;
      let hasFailed = false;
      let running: Promise<void> | undefined;

      async function step(until: number, isLast: boolean): Promise<FileDigest | undefined> {
        const job = { kind: "hash", id, path, from: asked, until, isLast } as const;
        asked = until;
        const outcome = await workers.run(job, STEP_LIMIT_MS).catch(() => undefined);
        hasFailed ||= outcome?.kind !== "done";
        done = until;
        return outcome?.kind === "done" ? outcome.answer : undefined;
      }

      return {
        grown: async (size) => {
          for (;;) {
            if (hasFailed) return;
            if (!running && size - asked >= STEP_BYTES) running = step(size, false).then(() => (running = undefined));
            if (!running || size - done <= MOST_BEHIND) return;
            await running;
          }
        },
        end: async (size) => {
          await running;
          const digest = hasFailed ? undefined : await step(size, true);
          return digest ?? (await digestOf(path));
        },
        drop: () => void step(asked, true),
      };
    },
  };
}

/** For when the thread has come to an end. */
async function digestOf(path: string): Promise<FileDigest> {
  const hash = createFileHash();
  for await (const chunk of Bun.file(path).stream()) hash.update(chunk);
  return hash.digest();
}
