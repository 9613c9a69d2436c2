// Documents as files of this machine: made from the database, named by their content, and never made durable.

import { closeSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { randomHex } from "../ids.ts";

export type DerivedFiles = {
  pathOf(folder: string, hash: string): string;
  /** Bytes; undefined when there is no such file. */
  size(folder: string, hash: string): number | undefined;
  /** Writes the parts one after the other; a reader sees the whole file or none. Answers the bytes. */
  write(folder: string, hash: string, parts: Iterable<Uint8Array>): number;
  remove(folder: string, hash: string): void;
  /** Removes all files but those that `isWanted`; for the start, when nobody reads them. */
  sweep(isWanted: (hash: string) => boolean): void;
};

const BATCH_BYTES = 1024 ** 2;
const NAME = /^[0-9a-f]{64}$/;
const FOLDER = /^\d+$/;

export function createDerivedFiles(root: string): DerivedFiles {
  const pathOf = (folder: string, hash: string): string => {
    if (!FOLDER.test(folder) || !NAME.test(hash)) throw new Error("not the name of a derived file");
    return join(root, "derived", folder, hash);
  };
  return {
    pathOf,
    size: (folder, hash) => statSync(pathOf(folder, hash), { throwIfNoEntry: false })?.size,
    write: (folder, hash, parts) => {
      const target = pathOf(folder, hash);
      mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
      const temporary = `${target}.${randomHex(8)}`;
      try {
        const bytes = writeParts(temporary, parts);
        renameSync(temporary, target);
        return bytes;
      } catch (error) {
        rmSync(temporary, { force: true });
        throw error;
      }
    },
    remove: (folder, hash) => rmSync(pathOf(folder, hash), { force: true }),
    sweep: (isWanted) => {
      const folders = readdirOr(join(root, "derived"));
      for (const folder of folders) {
        for (const name of readdirOr(join(root, "derived", folder))) {
          if (!isWanted(name)) rmSync(join(root, "derived", folder, name), { force: true });
        }
      }
    },
  };
}

/** Small parts are joined first: a document of a million records has thousands of them. */
function writeParts(path: string, parts: Iterable<Uint8Array>): number {
  const file = openSync(path, "wx", 0o600);
  let total = 0;
  let held: Uint8Array[] = [];
  let bytes = 0;
  const flush = (): void => {
    const batch = Buffer.concat(held, bytes);
    for (let written = 0; written < batch.byteLength;) written += writeSync(file, batch, written);
    total += bytes;
    held = [];
    bytes = 0;
  };
  try {
    for (const part of parts) {
      held.push(part);
      bytes += part.byteLength;
      if (bytes >= BATCH_BYTES) flush();
    }
    flush();
    return total;
  } finally {
    closeSync(file);
  }
}

function readdirOr(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
