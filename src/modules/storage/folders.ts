// The folders of a disk store: created on demand, made durable, and never links.

import { lstat, mkdir, open, realpath } from "node:fs/promises";
import { dirname } from "node:path";
import { unavailable } from "../../errors.ts";
import { hasCode } from "./disk-errors.ts";

export type Folders = {
  /** Creates a folder below the root and its missing parents; the root exists. Errors: when one of them is a link or a file. */
  make(folder: string): Promise<void>;
  /** Makes a folder's entries durable, at first also those of its parents. Errors: every call after one has failed. */
  sync(folder: string): Promise<void>;
  /** Whether the folder exists and no part of its path is a link. */
  isReal(folder: string): Promise<boolean>;
};

export function createFolders(root: string): Folders {
  // Folders known not to be links; true when the folder's own entry is durable.
  const known = new Map<string, boolean>();
  // A second fsync can report success for data that the first one lost.
  const failed = new Set<string>();

  async function make(folder: string): Promise<void> {
    const parent = dirname(folder);
    if (parent !== root && !known.has(parent)) await make(parent);
    try {
      await mkdir(folder, 0o700);
      known.set(folder, false);
    } catch (error) {
      if (hasCode(error, "ENOENT") && parent !== root) {
        // Folders were removed while the server was running.
        known.clear();
        return await make(folder);
      }
      if (!hasCode(error, "EEXIST")) throw error;
      if (known.has(folder)) return;
      if (!(await lstat(folder)).isDirectory()) throw new Error(`${folder} is not a folder`, { cause: error });
      known.set(folder, false);
    }
  }

  async function syncOne(folder: string): Promise<void> {
    if (failed.has(folder)) {
      const cause = new Error(`an fsync of ${folder} failed before`);
      throw unavailable("The server's disk failed. Its administrator must restart the server.", 60, cause);
    }
    const handle = await open(folder, "r");
    try {
      await handle.sync();
    } catch (error) {
      failed.add(folder);
      throw error;
    } finally {
      await handle.close();
    }
  }

  return {
    make: async (folder) => {
      if (folder !== root) await make(folder);
    },
    sync: async (folder) => {
      const unsynced: string[] = [];
      for (let at = folder; at !== root && known.get(at) !== true; at = dirname(at)) unsynced.push(at);
      // In parallel, since one journal commit of the file system covers them all.
      await Promise.all([folder, ...unsynced.map((entry) => dirname(entry))].map(syncOne));
      for (const entry of unsynced) if (known.has(entry)) known.set(entry, true);
    },
    isReal: async (folder) => {
      if (known.has(folder)) return true;
      try {
        if ((await realpath(folder)) !== folder) return false;
      } catch (error) {
        if (hasCode(error, "ENOENT", "ENOTDIR", "ELOOP")) return false;
        throw error;
      }
      if (!known.has(folder)) known.set(folder, false);
      return true;
    },
  };
}
