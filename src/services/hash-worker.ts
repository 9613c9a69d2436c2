// What a worker thread keeps of the files that it hashes.

import { closeSync, openSync, readSync } from "node:fs";
import { createFileHash, type FileDigest, type FileHash } from "../modules/hash.ts";

export type HashStep = {
  readonly id: string;
  readonly path: string;
  /** Where the step before has ended. */
  readonly from: number;
  readonly until: number;
  readonly isLast: boolean;
};

export type HashWorker = {
  /** Takes the next bytes of a file; the last step answers the digest. Throws for a file of which it missed a step. */
  take(step: HashStep): FileDigest | undefined;
};

const READ_BYTES = 1024 ** 2;

export function createHashWorker(): HashWorker {
  const begun = new Map<string, FileHash>();
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  return {
    take: ({ id, path, from, until, isLast }) => {
      const hash = from === 0 ? createFileHash() : begun.get(id);
      if (!hash) throw new Error("the beginning of the file was not hashed here");
      begun.delete(id);
      if (until > from) readInto(hash, buffer, { path, from, until });
      if (isLast) return hash.digest();
      begun.set(id, hash);
      return undefined;
    },
  };
}

function readInto(
  hash: FileHash,
  buffer: Buffer,
  { path, from, until }: Pick<HashStep, "path" | "from" | "until">,
): void {
  const file = openSync(path, "r");
  try {
    for (let at = from; at < until;) {
      const read = readSync(file, buffer, 0, Math.min(buffer.byteLength, until - at), at);
      if (read === 0) throw new Error("the file is shorter than it was said to be");
      hash.update(buffer.subarray(0, read));
      at += read;
    }
  } finally {
    closeSync(file);
  }
}
