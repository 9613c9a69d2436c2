// Checks that the files which the server has opened are still the files of its data folder.

import { lstatSync, mkdirSync, type Stats } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../modules/clock.ts";
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
  let settled: string | undefined;

  function problem(): FolderProblem | undefined {
    for (const [path, identity] of opened) {
      const info = statOrProblem(path);
      if (typeof info === "string") return { path, what: info };
      if (fileIdentity(info) !== identity) return { path, what: "was replaced" };
      if (path === database && info.size === 0) return { path, what: "was emptied" };
    }
    return undefined;
  }

  return {
    begin: () => {
      mkdirSync(blobs, { recursive: true, mode: 0o700 });
      for (const path of paths) {
        const info = statOrProblem(path);
        if (typeof info !== "string") opened.set(path, fileIdentity(info));
      }
    },
    problem: () => {
      if (opened.size === 0) return undefined;
      const state = stateOf({ root, database, blobs });
      if (state !== undefined && state === settled) return undefined;
      const found = problem();
      settled = !found && isSettled(root) ? state : undefined;
      return found;
    },
  };
}

/** File systems store times in steps: the second of two changes within one step can leave the time unchanged. */
const SETTLED_MS = 2000;

function isSettled(root: string): boolean {
  const info = statOrProblem(root);
  return typeof info !== "string" && systemClock.now() - info.ctimeMs > SETTLED_MS;
}

type Watched = { readonly root: string; readonly database: string; readonly blobs: string };

/**
 * Three stat calls instead of six: the folder's change time covers its entries. Only a mount over an entry does not change
 * it, so the two entries that can be mounted are checked too.
 */
function stateOf(watched: Watched): string | undefined {
  const [root, database, blobs] = [
    statOrProblem(watched.root),
    statOrProblem(watched.database),
    statOrProblem(watched.blobs),
  ];
  if (typeof root === "string" || typeof database === "string" || typeof blobs === "string") return undefined;
  if (database.size === 0) return undefined;
  return `${fileIdentity(root)} ${root.ctimeMs} ${fileIdentity(database)} ${fileIdentity(blobs)}`;
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
