// Tells whether what the server has opened is still what lies in its data folder.

import { lstatSync, mkdirSync, type Stats } from "node:fs";
import { join } from "node:path";
import type { DataFolder } from "./data-folder.ts";

export type FolderGuard = {
  /** Takes what lies there now for what it must stay; before this nothing is amiss. */
  begin(): void;
  /** What has been moved, replaced or emptied; undefined while all is in place. Takes some microseconds. */
  problem(): FolderProblem | undefined;
};

export type FolderProblem = { readonly path: string; readonly what: string };

/**
 * Who holds a file open goes on writing to it wherever it is moved, and after it is deleted too. Without the lock file
 * a second server could begin on the same folder; SQLite's companions hold what was committed last, and its locks.
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
        const info = lookAt(path);
        if (typeof info !== "string") opened.set(path, fileIdentity(info));
      }
    },
    problem: () => {
      for (const [path, identity] of opened) {
        const info = lookAt(path);
        if (typeof info === "string") return { path, what: info };
        if (fileIdentity(info) !== identity) return { path, what: "was replaced" };
        if (path === database && info.size === 0) return { path, what: "was emptied" };
      }
      return undefined;
    },
  };
}

/** The same for a file wherever it is moved, and another for whatever takes its place. */
export function fileIdentity({ dev, ino }: Pick<Stats, "dev" | "ino">): string {
  return `${dev}:${ino}`;
}

function lookAt(path: string): Stats | string {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) ?? "was moved or deleted";
  } catch (error) {
    return `cannot be looked at: ${error instanceof Error ? error.message : String(error)}`;
  }
}
