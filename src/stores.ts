// Opens a data folder: its database, its blobs, and the guard of both.

import type { Config } from "./config.ts";
import { AppError } from "./errors.ts";
import { statSync } from "node:fs";
import { openDataFolder, partsOfFolder, type DataFolder } from "./models/data-folder.ts";
import { openDatabase, openSnapshots, type Database } from "./models/database.ts";
import { createFolderGuard, fileIdentity, type FolderGuard } from "./models/folder-guard.ts";
import { openDerived } from "./models/index/db.ts";
import { lockFolder } from "./models/lock.ts";
import { createReserve, type Reserve } from "./models/reserve.ts";
import { systemClock, type Clock } from "./modules/clock.ts";
import type { BlobStore } from "./modules/storage/blob-store.ts";
import { createDerivedFiles } from "./modules/storage/derived-files.ts";
import { createDiskStore } from "./modules/storage/disk.ts";
import { dropDerived } from "./modules/storage/leftovers.ts";
import type { IndexStores, IndexStoresOptions } from "./services/index/worker.ts";
import type { GcStores } from "./services/storage/gc-worker.ts";

export type Stores = {
  readonly folder: DataFolder;
  readonly guard: FolderGuard;
  readonly database: Database;
  readonly blobs: BlobStore;
  readonly reserve: Reserve;
};

type StoresOptions = {
  readonly config: Config;
  readonly clock: Clock;
  /** True for the server, which holds the lock of the folder. */
  readonly create: boolean;
  readonly failpoint?: ((name: string) => void) | undefined;
  readonly onFatal?: ((error: unknown) => void) | undefined;
  readonly requireFiles?: (() => void) | undefined;
};

/** A disk can be too full to open the database; then deletes the derived files, which can be rebuilt, and retries. */
export function openStores(options: StoresOptions): Stores {
  try {
    return openStoresOnce(options);
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "no-space") throw error;
    const { root, lock } = openDataFolder(options.config.data, { create: options.create });
    if (!(options.create || isFree(lock)) || !dropDerived(root)) throw error;
    return openStoresOnce(options);
  }
}

/** Refills the reserve after closing: closing deletes the log of the database, which frees space on a full disk. */
export function closeStores({ database, reserve }: Stores): void {
  database.close();
  reserve.refill();
}

function isFree(lock: string): boolean {
  try {
    lockFolder(lock).release();
    return true;
  } catch {
    return false;
  }
}

function openStoresOnce(options: StoresOptions): Stores {
  const { config, clock, create, failpoint, requireFiles, onFatal } = options;
  const folder = openDataFolder(config.data, { create });
  const reserve = createReserve(folder.database);
  using opened = new DisposableStack();
  const database = openDatabase({
    path: folder.database,
    clock,
    create,
    failpoint,
    requireFiles,
    onFatal,
    reserve,
    // Commands are run by the operator and can free space, so they can use the reserve.
    evenIfFull: !create,
  });
  opened.defer(database.close);
  const blobs = createDiskStore({ root: folder.root, reserve: config["min-free-space"], requireFiles, failpoint });
  opened.move();
  return { folder, guard: createFolderGuard(folder), database, blobs, reserve };
}

/** Opens the stores that a thread beside the server needs to build documents. */
export function openIndexStores(dataFolder: string, options: IndexStoresOptions): IndexStores {
  const { database, index } = partsOfFolder(dataFolder);
  const snapshots = openSnapshots(database);
  try {
    const derived = openDerived(index, options.codec, { onRecreated: options.onRecreated });
    const close = (): void => [snapshots, derived].forEach((connection) => connection.close());
    const files = createDerivedFiles(dataFolder);
    // Shards are small and derived: they can use the space that uploads must leave free.
    return { snapshots, derived, files, blobs: createDiskStore({ root: dataFolder, reserve: 0 }), close };
  } catch (error) {
    snapshots.close();
    throw error;
  }
}

/** Identity of the database files: changes when one is deleted or replaced while a thread has the old one open. */
export function indexIdentity(dataFolder: string): string {
  const { database, index } = partsOfFolder(dataFolder);
  const files = [database, index].map((path) => statSync(path, { throwIfNoEntry: false }));
  return files.map((info) => (info ? fileIdentity(info) : "none")).join(" ");
}

/** Opens the stores that a thread beside the server needs for garbage collection. */
export function openGcStores(dataFolder: string): GcStores {
  const folder = partsOfFolder(dataFolder);
  const [clock, reserve] = [systemClock, createReserve(folder.database)];
  const database = openDatabase({ path: folder.database, clock, create: false, reserve });
  const blobs = createDiskStore({ root: dataFolder, reserve: 0 });
  return { folder, database, blobs, clock, reserve, close: database.close };
}
