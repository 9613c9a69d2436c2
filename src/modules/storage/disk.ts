// Stores blobs as files of one folder. Content survives a power failure once `promote()` or `put()` has returned.

import { lstatSync, mkdirSync, realpathSync, statfsSync, type Stats } from "node:fs";
import { copyFile, link, open, readdir, rename, rm, rmdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { usage } from "../../errors.ts";
import type { BlobKey, BlobStore, StagedBlob } from "./blob-store.ts";
import { hasCode, noRoom, noSpace, orNoSpace } from "./disk-errors.ts";
import { createFolders, type Folders } from "./folders.ts";
import { checkKey, checkPrefix, FOLDERS, isBlobKey } from "./keys.ts";
import { createTempFile, tempName, type TempFile } from "./temp-file.ts";

export type DiskStoreOptions = {
  /** The data folder; created when missing. */
  readonly root: string;
  /** Bytes of the disk that uploads must leave free. */
  readonly reserve: number;
  /** Throws when the root is not the original folder any more; called before each write. */
  readonly requireFiles?: (() => void) | undefined;
  /** Called after every durable step of an upload. */
  readonly failpoint?: ((name: string) => void) | undefined;
  /** Name of this process's own folder for temporary files: then `sweep()` leaves those of other processes alone. */
  readonly staging?: string | undefined;
};

/** The state shared by the functions of one store. */
type Disk = {
  readonly root: string;
  readonly tmp: string;
  readonly folders: Folders;
  readonly requireFiles: () => void;
  readonly failpoint: (name: string) => void;
  /** Names of the temporary files of this process. */
  readonly live: Set<string>;
  /** The announced sizes of the uploads in progress. */
  readonly claims: Set<Claim>;
  /** Bytes that can be written before the reserve is reached; negative once it is in use. */
  readonly left: () => number;
};

/** The bytes that a file will have, and the bytes already written. */
type Claim = { readonly announced: number; written: number };

/** Errors: `usage` when the folder spans file systems or has links in it. */
export function createDiskStore(options: DiskStoreOptions): BlobStore {
  const disk = prepare(options);
  const { root, tmp, live } = disk;
  const pathOf = (key: BlobKey): string => join(root, checkKey(key));

  async function infoOf(path: string): Promise<Stats | undefined> {
    return (await disk.folders.isReal(dirname(path))) ? fileAt(path) : undefined;
  }

  return {
    free: async () => Math.max(0, disk.left()),
    stage: async (atLeast = 0) => {
      const announced = Math.max(0, atLeast);
      // No await between the check and the claim, so two uploads cannot claim the same space.
      const room = disk.left() - claimed(disk);
      if (room <= 0) throw noSpace();
      if (room < announced) throw noRoom(announced, room);
      const claim = { announced, written: 0 };
      disk.claims.add(claim);
      try {
        const file = await newTempFile(disk);
        try {
          disk.failpoint("p1.temp_open");
        } catch (error) {
          await discard(disk, file);
          throw error;
        }
        return stagedBlob(disk, { file, claim }, pathOf);
      } catch (error) {
        disk.claims.delete(claim);
        throw error;
      }
    },
    put: async (key, content) => await writeFile(disk, pathOf(key), content, "durable"),
    putDerived: async (key, content) => await writeFile(disk, pathOf(key), content, "quick"),
    stat: async (key) => {
      const info = await infoOf(pathOf(key));
      return info && { size: info.size, modified: Math.floor(info.mtimeMs) };
    },
    open: async (key, range) => {
      const path = pathOf(key);
      if (!(await infoOf(path))) return undefined;
      const file = Bun.file(path);
      return range ? file.slice(range.start, range.end + 1) : file;
    },
    // Not durable: a blob that reappears after a power failure is an orphan, which the collector removes.
    delete: async (key) => {
      await rm(pathOf(key), { force: true });
      await removeEmptyFolders(root, key);
    },
    list: (prefix) => keysBelow(root, checkPrefix(prefix)),
    folders: async (parent) => await foldersIn(join(root, parent)),
    sweep: async () => {
      const stale = (await readdir(tmp)).filter((name) => !live.has(name));
      for (const name of stale) await rm(join(tmp, name), { recursive: true, force: true });
      return stale.length;
    },
    // The folder was checked when it was opened.
    probe: () => Promise.resolve(),
    requireReady: () => Promise.resolve(),
  };
}

/** Creates the data folder; refuses a folder in which a rename could fail or lead outside it. */
function prepare(options: DiskStoreOptions): Disk {
  mkdirSync(options.root, { recursive: true, mode: 0o700 });
  const root = realpathSync(options.root);
  const tmp = join(root, "tmp", options.staging ?? "");
  mkdirSync(tmp, { recursive: true, mode: 0o700 });
  const device = lstatSync(tmp).dev;
  for (const path of [tmp, ...FOLDERS.map((name) => join(root, name))]) {
    const info = lstatSync(path, { throwIfNoEntry: false });
    if (!info) continue;
    if (!info.isDirectory()) throw usage(`${path} must be a folder, not a link or a file.`);
    if (info.dev !== device) throw usage(`${path} must be on the same file system as ${tmp}.`);
  }
  const { failpoint = () => undefined, requireFiles = () => undefined } = options;
  const left = (): number => {
    const { bavail, bsize } = statfsSync(root);
    return bavail * bsize - options.reserve;
  };
  const folders = createFolders(root);
  return { root, tmp, folders, requireFiles, failpoint, live: new Set(), claims: new Set(), left };
}

/** Sum of the bytes that uploads have announced and not written yet. */
function claimed({ claims }: Disk): number {
  let sum = 0;
  for (const { announced, written } of claims) sum += Math.max(0, announced - written);
  return sum;
}

type Staged = { readonly file: TempFile; readonly claim: Claim };

function stagedBlob(disk: Disk, { file, claim }: Staged, pathOf: (key: BlobKey) => string): StagedBlob {
  return {
    path: file.path,
    get size() {
      return file.size;
    },
    append: async (chunk) => {
      // An upload without an announced size must not use the space that others have announced.
      const needed = claim.announced === 0 ? chunk.byteLength + claimed(disk) : chunk.byteLength;
      if (disk.left() < needed) {
        await file.close();
        throw noSpace();
      }
      await file.append(chunk);
      claim.written = file.size;
    },
    sync: async () => {
      await file.sync();
      disk.failpoint("p3.temp_fsynced");
    },
    promote: async (key) => {
      const path = pathOf(key);
      if (!file.isDurable) throw new Error("only a synced blob can be promoted");
      disk.requireFiles();
      await inFolderOf(disk, path, async () => {
        await putAt(file, path, disk.tmp);
        disk.failpoint("p4.renamed");
        await disk.folders.sync(dirname(path));
        disk.failpoint("p5.dir_fsynced");
      });
    },
    discard: async () => {
      disk.claims.delete(claim);
      await discard(disk, file);
    },
  };
}

async function writeFile(disk: Disk, path: string, content: Uint8Array, how: "durable" | "quick"): Promise<void> {
  const file = await newTempFile(disk);
  try {
    await file.append(content);
    await (how === "durable" ? file.sync() : file.close());
    await inFolderOf(disk, path, async () => {
      await rename(file.path, path);
      if (how === "durable") await disk.folders.sync(dirname(path));
    });
  } finally {
    await discard(disk, file);
  }
}

/** Another process can remove the folder at any moment, together with its last blob; then it is created again. */
const FOLDER_TRIES = 10;

async function inFolderOf(disk: Disk, path: string, work: () => Promise<void>): Promise<void> {
  for (let left = FOLDER_TRIES; ; left -= 1) {
    try {
      await disk.folders.make(dirname(path));
      return await work();
    } catch (error) {
      if (left === 1 || !hasCode(error, "ENOENT")) throw orNoSpace(error);
    }
  }
}

/** Removes the empty folders between the blob and the first folder of its key, innermost first. */
async function removeEmptyFolders(root: string, key: BlobKey): Promise<void> {
  for (let folder = dirname(key); folder.includes("/"); folder = dirname(folder)) {
    const isRemoved = await rmdir(join(root, folder)).then(
      () => true,
      () => false,
    );
    if (!isRemoved) return;
  }
}

async function newTempFile(disk: Disk): Promise<TempFile> {
  disk.requireFiles();
  const name = tempName();
  disk.live.add(name);
  return await createTempFile(join(disk.tmp, name)).catch((error: unknown) => {
    disk.live.delete(name);
    throw error;
  });
}

async function discard(disk: Disk, file: TempFile): Promise<void> {
  await file.remove();
  disk.live.delete(basename(file.path));
}

/** Links a durable file to `target`; leaves a file of the same size there, and replaces anything else. */
async function putAt(file: TempFile, target: string, tmp: string): Promise<void> {
  if (await linked(file.path, target)) return;
  if (fileAt(target)?.size === file.size) return;
  const fresh = join(tmp, tempName());
  try {
    if (!(await linked(file.path, fresh))) await copyDurably(file.path, fresh);
    await rename(fresh, target);
  } catch (error) {
    await rm(fresh, { force: true });
    throw error;
  }
}

/** False when the name exists, or when the file system supports no links or no further link to this file. */
async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (hasCode(error, "EEXIST", "EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK")) return false;
    throw error;
  }
}

async function copyDurably(from: string, to: string): Promise<void> {
  await copyFile(from, to);
  const handle = await open(to, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Returns regular files only. Synchronous: this takes 3 microseconds, a call through the thread pool takes 20. */
function fileAt(path: string): Stats | undefined {
  const info = lstatSync(path, { throwIfNoEntry: false });
  return info?.isFile() === true ? info : undefined;
}

async function foldersIn(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  return entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
}

async function* keysBelow(root: string, prefix: string): AsyncGenerator<BlobKey, void, undefined> {
  const entries = await readdir(join(root, prefix), { withFileTypes: true }).catch((error: unknown) => {
    if (hasCode(error, "ENOENT")) return [];
    throw error;
  });
  for (const entry of entries) {
    const key = prefix + entry.name;
    if (entry.isDirectory()) yield* keysBelow(root, `${key}/`);
    else if (entry.isFile() && isBlobKey(key)) yield key;
  }
}
