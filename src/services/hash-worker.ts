// The hash states that a worker thread keeps between the steps of a file.

import { closeSync, openSync } from "node:fs";
import { readRange } from "../modules/archive/file-range.ts";
import { createFileHash, type ExtraHash, type FileDigest, type FileHash } from "../modules/hash.ts";

export type HashStep = {
  readonly id: string;
  readonly path: string;
  /** End of the previous step. */
  readonly from: number;
  readonly until: number;
  readonly isLast: boolean;
  readonly extra: readonly ExtraHash[];
};

export type HashJobs = { readonly hash: { readonly input: HashStep; readonly answer: FileDigest | undefined } };

export type HashWorker = {
  /** Hashes the next bytes of a file; the last step returns the digest. Throws if this thread missed a step before. */
  take(step: HashStep): FileDigest | undefined;
};

export function createHashWorker(): HashWorker {
  const hashes = new Map<string, FileHash>();
  return {
    take: ({ id, path, from, until, isLast, extra }) => {
      const hash = from === 0 ? createFileHash(extra) : hashes.get(id);
      if (!hash) throw new Error("this worker did not hash the beginning of the file");
      hashes.delete(id);
      if (until > from) hashRange(hash, path, from, until);
      if (isLast) return hash.digest();
      hashes.set(id, hash);
      return undefined;
    },
  };
}

function hashRange(hash: FileHash, path: string, from: number, until: number): void {
  const file = openSync(path, "r");
  try {
    for (const chunk of readRange(file, from, until - from)) hash.update(chunk);
  } finally {
    closeSync(file);
  }
}
