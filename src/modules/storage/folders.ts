// The folders of a disk store: made as they are needed, durable, and never a link to somewhere else.

import { lstat, mkdir, open, realpath } from "node:fs/promises";
import { dirname } from "node:path";
import { unavailable } from "../../errors.ts";
import { hasCode } from "./disk-errors.ts";

export type Folders = {
  /** Makes a folder below the root, and those above it. Errors: when one of them is a link or a file. */
  make(folder: string): Promise<void>;
  /** Makes the entries of a folder durable, and the first time those that lead to it. Errors: for good, once it failed. */
  sync(folder: string): Promise<void>;
  /** Whether the folder is there, with no link on the way to it. */
  isReal(folder: string): Promise<boolean>;
};

export function createFolders(root: string): Folders {
  // Folders known to be no links; true when their own entry is known to be durable.
  const known = new Map<string, boolean>();
  // A second fsync may report success for what the first one lost.
  const failed = new Set<string>();

  async function make(folder: string): Promise<void> {
    const parent = dirname(folder);
    if (parent !== root && !known.has(parent)) await make(parent);
    try {
      await mkdir(folder, 0o700);
      known.set(folder, false);
    } catch (error) {
      if (hasCode(error, "ENOENT") && parent !== root) {
        // Somebody has removed folders under a running server.
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
      throw unavailable("The server's disk failed. Its administrator has to restart the server.", 60, cause);
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
    make,
    sync: async (folder) => {
      const fresh: string[] = [];
      for (let at = folder; at !== root && known.get(at) !== true; at = dirname(at)) fresh.push(at);
      // Together, since one journal commit of the file system serves them all.
      await Promise.all([folder, ...fresh.map((entry) => dirname(entry))].map(syncOne));
      for (const entry of fresh) if (known.has(entry)) known.set(entry, true);
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
