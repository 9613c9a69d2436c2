// What a worker thread keeps of the files that it hashes.

import { closeSync, openSync } from "node:fs";
import { readRange } from "../modules/archive/file-range.ts";
import { createFileHash, type FileDigest, type FileHash } from "../modules/hash.ts";

export type HashStep = {
  readonly id: string;
  readonly path: string;
  /** Where the step before has ended. */
  readonly from: number;
  readonly until: number;
  readonly isLast: boolean;
};

export type HashJobs = { readonly hash: { readonly input: HashStep; readonly answer: FileDigest | undefined } };

export type HashWorker = {
  /** Takes the next bytes of a file; the last step answers the digest. Throws for a file of which it missed a step. */
  take(step: HashStep): FileDigest | undefined;
};

export function createHashWorker(): HashWorker {
  const begun = new Map<string, FileHash>();
  return {
    take: ({ id, path, from, until, isLast }) => {
      const hash = from === 0 ? createFileHash() : begun.get(id);
      if (!hash) throw new Error("the beginning of the file was not hashed here");
      begun.delete(id);
      if (until > from) hashRange(hash, path, from, until);
      if (isLast) return hash.digest();
      begun.set(id, hash);
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
