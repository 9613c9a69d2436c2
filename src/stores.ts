// Opens a data folder: its database, its blobs, and the guard of both.

import type { Config } from "./config.ts";
import { AppError } from "./errors.ts";
import { existsSync, statSync } from "node:fs";
import { openDataFolder, partsOfFolder, type DataFolder } from "./models/data-folder.ts";
import type { Database } from "./models/database.ts";
import type { WriteTurn } from "./models/sqlite/writer.ts";
import { createFolderGuard, fileIdentity, type FolderGuard } from "./models/folder-guard.ts";
import { openDerived } from "./models/index/db.ts";
import { lockFolder } from "./models/lock.ts";
import { databaseOf, openDatabase, openSnapshots } from "./models/open-database.ts";
import { createReserve, type Reserve } from "./models/reserve.ts";
import { systemClock, type Clock } from "./modules/clock.ts";
import { withBlobCache } from "./modules/storage/blob-cache.ts";
import type { BlobStore } from "./modules/storage/blob-store.ts";
import { createDerivedFiles } from "./modules/storage/derived-files.ts";
import type { StorageDescription } from "./modules/storage/description.ts";
import { createDiskStore, type DiskStoreOptions } from "./modules/storage/disk.ts";
import { dropDerived } from "./modules/storage/leftovers.ts";
import type { StoresSource } from "./models/stores-source.ts";
import type { IndexStores, IndexStoresOptions } from "./services/index/worker.ts";
import { claimStorage, requireUnclaimed } from "./services/storage/store-identity.ts";
import type { GcStores } from "./services/storage/gc-worker.ts";

export type Stores = {
  readonly folder: DataFolder;
  readonly guard: FolderGuard;
  readonly database: Database;
  readonly blobs: BlobStore;
  /** The same blobs for answers to clients, with copies of small ones on the disk of this node. */
  readonly servedBlobs: BlobStore;
  readonly reserve: Reserve;
};

/** Opens the data folder of the settings. Errors: those of `openDataFolder()`. */
export function openFolder({ data, database }: Config, { create }: { readonly create: boolean }): DataFolder {
  return openDataFolder(data, { create, database: database === undefined ? "file" : "server" });
}

type StoresOptions = {
  readonly config: Config;
  readonly clock: Clock;
  /** True for the server, which holds the lock of the folder. */
  readonly create: boolean;
  readonly failpoint?: ((name: string) => void) | undefined;
  readonly onFatal?: ((error: unknown) => void) | undefined;
  readonly requireFiles?: (() => void) | undefined;
  /** For one of several processes of a server. */
  readonly process?: { readonly writeTurn: WriteTurn; readonly staging: string } | undefined;
};

/** A disk can be too full to open the database; then deletes the derived files, which can be rebuilt, and retries. */
export async function openStores(options: StoresOptions): Promise<Stores> {
  try {
    return await openStoresOnce(options);
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== "no-space") throw error;
    const { root, lock } = openFolder(options.config, options);
    if (!(options.create || isFree(lock)) || !dropDerived(root)) throw error;
    return await openStoresOnce(options);
  }
}

/** Refills the reserve after closing: closing deletes the log of the database, which frees space on a full disk. */
export async function closeStores({ database, reserve }: Stores): Promise<void> {
  await database.close();
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

async function openStoresOnce(options: StoresOptions): Promise<Stores> {
  const { config, clock, create, failpoint, requireFiles, onFatal, process } = options;
  const folder = openFolder(config, { create });
  const reserve = createReserve(folder.database);
  await using opened = new AsyncDisposableStack();
  const database = await openDatabase(databaseOf(folder.database, config.database), {
    clock,
    // A server must not fill the database that an interrupted restore has left empty.
    create: create && !existsSync(folder.restoring),
    failpoint,
    requireFiles,
    onFatal,
    reserve,
    // Commands are run by the operator and can free space, so they can use the reserve.
    evenIfFull: !create,
    writeTurn: process?.writeTurn,
  });
  opened.defer(database.close);
  const blobs = await openBlobs(storesSource(config, folder).storage, {
    root: folder.root,
    reserve: config["min-free-space"],
    staging: process?.staging,
    offersUrls: config["storage-redirect"],
    requireFiles,
    failpoint,
  });
  const isSplit = config.database !== undefined || config.storage.kind === "s3";
  await claimStorage({ database, blobs, isSplit });
  const isCached = create && config.storage.kind === "s3";
  const servedBlobs = isCached
    ? withBlobCache(blobs, { root: folder.root, maxBytes: config["storage-cache-size"] })
    : blobs;
  opened.move();
  return { folder, guard: createFolderGuard(folder), database, blobs, servedBlobs, reserve };
}

/** What a worker thread needs to open the same stores. */
export function storesSource(config: Config, folder: Pick<DataFolder, "root">): StoresSource {
  return { dataFolder: folder.root, storage: storageOf(config) };
}

function storageOf(config: Config): StorageDescription {
  const { storage } = config;
  if (storage.kind === "folder") return storage;
  const credentials = {
    accessKeyId: config["s3-access-key-id"] ?? "",
    secretAccessKey: config["s3-secret-access-key"] ?? "",
    sessionToken: config["s3-session-token"],
  };
  return { ...storage, credentials };
}

/** Opens the storage that a backup is restored into. Errors: `usage` when it is that of another database. */
export async function openEmptyBlobs(config: Config, root: string): Promise<BlobStore> {
  const blobs = await openBlobs(storageOf(config), { root, reserve: 0, offersUrls: false });
  if (config.storage.kind === "s3") await blobs.probe();
  await requireUnclaimed(blobs);
  return blobs;
}

type BlobsOptions = DiskStoreOptions & { readonly offersUrls: boolean };

/** The S3 client is loaded only where it is used: it takes memory in every thread. */
async function openBlobs(storage: StorageDescription, options: BlobsOptions): Promise<BlobStore> {
  switch (storage.kind) {
    case "folder":
      return createDiskStore(options);
    case "s3": {
      const { createS3Store } = await import("./modules/storage/s3/store.ts");
      return createS3Store({ ...options, description: storage });
    }
  }
}

/** The blobs of a thread: it needs no cache, and can use the space that uploads must leave free. */
async function openThreadBlobs({ dataFolder, storage }: StoresSource): Promise<BlobStore> {
  return await openBlobs(storage, { root: dataFolder, reserve: 0, offersUrls: false });
}

/** Opens the stores that a thread beside the server needs to build documents. */
export async function openIndexStores(source: StoresSource, options: IndexStoresOptions): Promise<IndexStores> {
  const { dataFolder } = source;
  const { database, index } = partsOfFolder(dataFolder);
  const blobs = await openThreadBlobs(source);
  const snapshots = openSnapshots(databaseOf(database));
  try {
    const derived = openDerived(index, options.codec, { onRecreated: options.onRecreated });
    const close = async (): Promise<void> => {
      derived.close();
      await snapshots.close();
    };
    const files = createDerivedFiles(dataFolder);
    return { snapshots, derived, files, blobs, close };
  } catch (error) {
    void snapshots.close();
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
export async function openGcStores(source: StoresSource): Promise<GcStores> {
  const blobs = await openThreadBlobs(source);
  const folder = partsOfFolder(source.dataFolder);
  const [clock, reserve] = [systemClock, createReserve(folder.database)];
  const place = databaseOf(folder.database);
  const database = await openDatabase(place, { clock, create: false, reserve });
  const isShared = place.engine === "postgres";
  return { folder, database, blobs, clock, reserve, isShared, close: database.close };
}
