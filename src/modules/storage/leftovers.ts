// Lists the files of the data folder that are not blobs, for the collector: temporary files and index documents.

import { existsSync, rmSync } from "node:fs";
import { lstat, readdir, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { STAGING } from "./keys.ts";

export type Leftover = {
  /** The path below the data folder. */
  readonly name: string;
  readonly size: number;
  /** ms UTC; for a folder the time of its newest file. */
  readonly modified: number;
};

export type DocumentFile = Leftover & {
  readonly channelId: number;
  /** The section, or `channel`. */
  readonly section: string;
  /** Whether it is the newest finished file of its folder. */
  readonly isNewest: boolean;
};

const FINISHED = /^[0-9a-f]{64}-\d+$/;

export async function listTemporary(root: string): Promise<Leftover[]> {
  const found: Leftover[] = [];
  for (const { name } of await entriesOf(join(root, "tmp"))) {
    // A running process needs its folder, however long nothing was in it.
    const inside = STAGING.test(name) ? await entriesOf(join(root, "tmp", name)) : undefined;
    const names = inside?.map((entry) => `tmp/${name}/${entry.name}`) ?? [`tmp/${name}`];
    for (const path of names) found.push(...(await leftoverAt(root, path)));
  }
  return found;
}

/** Yields the files `derived/{channel}/{section}/{document}/{hash}-{size}`, folder by folder. */
export async function* listDocuments(root: string): AsyncGenerator<DocumentFile, void, undefined> {
  for (const channel of await foldersOf(root, "derived")) {
    for (const section of await foldersOf(root, channel.path)) {
      for (const document of await foldersOf(root, section.path)) {
        const files: Leftover[] = [];
        for (const { name } of await entriesOf(join(root, document.path)))
          files.push(...(await leftoverAt(root, `${document.path}/${name}`)));
        files.sort((a, b) => b.modified - a.modified);
        const newest = files.find(({ name }) => FINISHED.test(name.slice(document.path.length + 1)));
        for (const file of files)
          yield { ...file, channelId: Number(channel.name), section: section.name, isNewest: file === newest };
      }
    }
  }
}

/** Removes a file and the parent folders that become empty, except the topmost and those of processes. Safe to call for a missing file. */
export async function removeLeftover(root: string, name: string): Promise<void> {
  await rm(join(root, name), { recursive: true, force: true });
  const parts = name.split("/").slice(0, -1);
  try {
    for (; parts.length > 1 && !STAGING.test(parts.at(-1) ?? ""); parts.pop()) await rmdir(join(root, ...parts));
  } catch {
    // The folder is not empty, or is already removed.
  }
}

/**
 * Removes everything derived from the database except shards, which clients request without checking that the shard
 * index still lists them. Call it only while no server runs. False when nothing existed.
 */
export function dropDerived(root: string): boolean {
  const names = ["index.db", "index.db-wal", "index.db-shm", "derived"].map((name) => join(root, name));
  const found = names.filter((name) => existsSync(name));
  for (const name of found) rmSync(name, { recursive: true, force: true });
  return found.length > 0;
}

async function leftoverAt(root: string, name: string): Promise<Leftover[]> {
  const info = await lstat(join(root, name)).catch(() => undefined);
  if (!info) return [];
  if (!info.isDirectory()) return [{ name, size: info.size, modified: info.mtimeMs }];
  let [size, modified] = [0, info.mtimeMs];
  for (const entry of await entriesOf(join(root, name))) {
    for (const inside of await leftoverAt(root, `${name}/${entry.name}`)) {
      size += inside.size;
      modified = Math.max(modified, inside.modified);
    }
  }
  return [{ name, size, modified }];
}

type Folder = { readonly name: string; readonly path: string };

async function foldersOf(root: string, path: string): Promise<Folder[]> {
  const entries = await entriesOf(join(root, path));
  return entries.flatMap((entry) => (entry.isDirectory() ? [{ name: entry.name, path: `${path}/${entry.name}` }] : []));
}

async function entriesOf(path: string) {
  return await readdir(path, { withFileTypes: true }).catch(() => []);
}
