// What lies in the data folder beside the blobs, as the collector finds it: temporary files, and documents.

import { existsSync, rmSync } from "node:fs";
import { lstat, readdir, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";

export type Leftover = {
  /** Below the data folder. */
  readonly name: string;
  readonly size: number;
  /** ms UTC; of a folder, that of the newest file in it. */
  readonly modified: number;
};

export type DocumentFile = Leftover & {
  readonly channelId: number;
  /** The section, or `channel`. */
  readonly section: string;
  /** Whether it is whole, and none in its folder is newer. */
  readonly isNewest: boolean;
};

const WHOLE = /^[0-9a-f]{64}-\d+$/;

export async function listTemporary(root: string): Promise<Leftover[]> {
  const found: Leftover[] = [];
  for (const { name } of await entriesOf(join(root, "tmp"))) found.push(...(await leftoverAt(root, `tmp/${name}`)));
  return found;
}

/** Folder by folder: `derived/{channel}/{section}/{document}/{hash}-{size}`. */
export async function* listDocuments(root: string): AsyncGenerator<DocumentFile, void, undefined> {
  for (const channel of await foldersOf(root, "derived")) {
    for (const section of await foldersOf(root, channel.path)) {
      for (const document of await foldersOf(root, section.path)) {
        const files: Leftover[] = [];
        for (const { name } of await entriesOf(join(root, document.path)))
          files.push(...(await leftoverAt(root, `${document.path}/${name}`)));
        files.sort((a, b) => b.modified - a.modified);
        const newest = files.find(({ name }) => WHOLE.test(name.slice(document.path.length + 1)));
        for (const file of files)
          yield { ...file, channelId: Number(channel.name), section: section.name, isNewest: file === newest };
      }
    }
  }
}

/** The channels that have a folder of shards. */
export async function channelsWithShards(root: string): Promise<number[]> {
  const folders = await foldersOf(root, "shards");
  return folders.flatMap(({ name }) => (/^\d+$/.test(name) ? [Number(name)] : []));
}

/** Removes it, and the folders that it leaves empty, but for the first. Safe to call for what has gone. */
export async function removeLeftover(root: string, name: string): Promise<void> {
  await rm(join(root, name), { recursive: true, force: true });
  const parts = name.split("/").slice(0, -1);
  try {
    for (; parts.length > 1; parts.pop()) await rmdir(join(root, ...parts));
  } catch {
    // Not empty, or gone: there is nothing to do.
  }
}

/**
 * Removes all that is derived from the database, but for shards, which clients ask for without asking whether they are
 * still named. Only while no server runs. False when there was nothing.
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
