// Blobs as files of one folder. What `promote()` and `put()` have answered survives a power cut.

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
  /** The data folder; made when it is missing. */
  readonly root: string;
  /** Bytes of the disk that uploads leave free. */
  readonly reserve: number;
  /** Throws when the root is not the folder it was: asked before anything is written. */
  readonly requireFiles?: (() => void) | undefined;
  /** Told of every durable step of an upload as it has been taken. */
  readonly failpoint?: ((name: string) => void) | undefined;
};

/** What the parts of one store share. */
type Disk = {
  readonly root: string;
  readonly tmp: string;
  readonly folders: Folders;
  readonly requireFiles: () => void;
  readonly failpoint: (name: string) => void;
  /** Names of the temporary files of this process. */
  readonly live: Set<string>;
  /** What the uploads under way have announced. */
  readonly claims: Set<Claim>;
  /** Bytes before the reserve is reached, which is below 0 then. */
  readonly left: () => number;
};

/** Bytes that a file will have, of which some are written already. */
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
      // Nothing is awaited between the look and the claim, so no two can be given the same space.
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
    put: async (key, content) => await writeWhole(disk, pathOf(key), content, "durable"),
    putDerived: async (key, content) => await writeWhole(disk, pathOf(key), content, "quick"),
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
    // Not made durable: a blob that comes back after a power cut is an orphan, and orphans are collected.
    delete: async (key) => {
      await rm(pathOf(key), { force: true });
      await removeEmptyFolders(root, key);
    },
    list: (prefix) => keysBelow(root, checkPrefix(prefix)),
    sweep: async () => {
      const stale = (await readdir(tmp)).filter((name) => !live.has(name));
      for (const name of stale) await rm(join(tmp, name), { recursive: true, force: true });
      return stale.length;
    },
  };
}

/** Makes the data folder, and refuses one in which a rename could fail or lead elsewhere. */
function prepare(options: DiskStoreOptions): Disk {
  mkdirSync(options.root, { recursive: true, mode: 0o700 });
  const root = realpathSync(options.root);
  const tmp = join(root, "tmp");
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

/** Of what has been announced and not been written yet. */
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
      // What others have announced is not for one who has announced nothing.
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
        await place(file, path, disk.tmp);
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

async function writeWhole(disk: Disk, path: string, content: Uint8Array, how: "durable" | "quick"): Promise<void> {
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

/** Whoever deletes the last blob of a folder removes that too, in another process at any moment: then it is made again. */
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

/** Those between the blob and the first folder of its key, from the inside out. */
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

/** Puts a durable file at `target` too: nothing to do if one of the same size is there, any other thing is replaced. */
async function place(file: TempFile, target: string, tmp: string): Promise<void> {
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

/** False when the name is taken, and where the file system has no links or no more of them. */
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

/** A regular file only. Synchronous: it takes 3 microseconds, where a trip through the thread pool takes 20. */
function fileAt(path: string): Stats | undefined {
  const info = lstatSync(path, { throwIfNoEntry: false });
  return info?.isFile() === true ? info : undefined;
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
