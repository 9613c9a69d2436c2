// Checks that the files which the server has opened are still the files of its data folder.

import { lstatSync, mkdirSync, type Stats } from "node:fs";
import { join } from "node:path";
import type { DataFolder } from "./data-folder.ts";

export type FolderGuard = {
  /** Records the identity of the current files; until then `problem` reports nothing. */
  begin(): void;
  /** The first file that was moved, replaced or emptied; undefined when there is none. Takes a few microseconds. */
  problem(): FolderProblem | undefined;
};

export type FolderProblem = { readonly path: string; readonly what: string };

/**
 * A process continues to write to an open file after the file is moved or deleted. Without the lock file a second
 * server could start on the same folder; the `-wal` and `-shm` files contain SQLite's last commits and its locks.
 */
export function createFolderGuard({
  root,
  lock,
  database,
}: Pick<DataFolder, "root" | "lock" | "database">): FolderGuard {
  const blobs = join(root, "blobs");
  const paths = [root, lock, database, `${database}-wal`, `${database}-shm`, blobs];
  const opened = new Map<string, string>();
  return {
    begin: () => {
      mkdirSync(blobs, { recursive: true, mode: 0o700 });
      for (const path of paths) {
        const info = statOrProblem(path);
        if (typeof info !== "string") opened.set(path, fileIdentity(info));
      }
    },
    problem: () => {
      for (const [path, identity] of opened) {
        const info = statOrProblem(path);
        if (typeof info === "string") return { path, what: info };
        if (fileIdentity(info) !== identity) return { path, what: "was replaced" };
        if (path === database && info.size === 0) return { path, what: "was emptied" };
      }
      return undefined;
    },
  };
}

/** Identifies a file: unchanged when the file is moved, different for a file that replaces it. */
export function fileIdentity({ dev, ino }: Pick<Stats, "dev" | "ino">): string {
  return `${dev}:${ino}`;
}

function statOrProblem(path: string): Stats | string {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) ?? "was moved or deleted";
  } catch (error) {
    return `cannot be examined: ${error instanceof Error ? error.message : String(error)}`;
  }
}
