// Hashes large uploads in a separate thread, from their growing files: the main thread is busy receiving them.

import { createFileHash, type ExtraHash, type FileDigest } from "../modules/hash.ts";
import { randomHex } from "../modules/ids.ts";
import type { HashJobs } from "./hash-worker.ts";
import type { Workers } from "./workers.ts";

/** A file that the caller appends to. */
export type FollowedFile = {
  /** Reports the current size; waits while the hash is too far behind. */
  grown(size: number): Promise<void>;
  /** Hashes up to `size` bytes and returns the digest. */
  end(size: number): Promise<FileDigest>;
  /** Discards the hash. */
  drop(): void;
};

/** `extra`: hashes to compute besides the usual ones. */
export type FileHashes = { follow(path: string, extra?: readonly ExtraHash[]): FollowedFile };

const STEP_BYTES = 4 * 1024 ** 2;
const MAX_BEHIND_BYTES = 64 * 1024 ** 2;
const STEP_LIMIT_MS = 60_000;

/** `workers` must have size one: the state of a hash is in the thread that began it. */
export function createFileHashes({ workers }: { readonly workers: Pick<Workers<HashJobs>, "run"> }): FileHashes {
  return {
    follow: (path, extra = []) => {
      const id = randomHex(16);
      let sent = 0;
      let done = 0;
      let hasFailed = false;
      let running: Promise<void> | undefined;

      async function step(until: number, isLast: boolean): Promise<FileDigest | undefined> {
        const job = { kind: "hash", id, path, from: sent, until, isLast, extra } as const;
        sent = until;
        const outcome = await workers.run(job, STEP_LIMIT_MS).catch(() => undefined);
        hasFailed ||= outcome?.kind !== "done";
        done = until;
        return outcome?.kind === "done" ? outcome.answer : undefined;
      }

      return {
        grown: async (size) => {
          for (;;) {
            if (hasFailed) return;
            if (!running && size - sent >= STEP_BYTES) running = step(size, false).then(() => (running = undefined));
            if (!running || size - done <= MAX_BEHIND_BYTES) return;
            await running;
          }
        },
        end: async (size) => {
          await running;
          const digest = hasFailed ? undefined : await step(size, true);
          return digest ?? (await digestOf(path, extra));
        },
        drop: () => void step(sent, true),
      };
    },
  };
}

/** Fallback when the thread has ended. */
async function digestOf(path: string, extra: readonly ExtraHash[]): Promise<FileDigest> {
  const hash = createFileHash(extra);
  for await (const chunk of Bun.file(path).stream()) hash.update(chunk);
  return hash.digest();
}
