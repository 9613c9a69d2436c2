// The composition root: the only file that knows all parts.

import type { Config } from "./config.ts";
import { unavailable } from "./errors.ts";
import { createEvents } from "./events.ts";
import { listChannels } from "./models/channel.ts";
import { openDataFolder, type DataFolder } from "./models/data-folder.ts";
import { openDatabase, type Database } from "./models/database.ts";
import { lockFolder } from "./models/lock.ts";
import { createHandleCount } from "./modules/handles.ts";
import { systemClock, type Clock } from "./modules/clock.ts";
import { ARCHIVE_LIMITS } from "./modules/conda/archive.ts";
import type { Logger } from "./modules/log.ts";
import { createMetrics, type Metrics } from "./modules/metrics.ts";
import type { BlobStore } from "./modules/storage/blob-store.ts";
import { createDerivedFiles, type DerivedFiles } from "./modules/storage/derived-files.ts";
import { createDiskStore } from "./modules/storage/disk.ts";
import { createUnread } from "./modules/unread.ts";
import { createRouter, type Router } from "./routers/index.ts";
import { createRememberedAnswers } from "./routers/remembered.ts";
import { createAccess } from "./services/access.ts";
import { createAdmission } from "./services/admission.ts";
import { createBodies } from "./services/bodies.ts";
import { createChannels, isThere, type Channels } from "./services/channels.ts";
import { createInspect } from "./services/conda/inspect.ts";
import { createPublish } from "./services/conda/publish.ts";
import { createRemove } from "./services/conda/remove.ts";
import { createFileHashes } from "./services/file-hashes.ts";
import { createHealth } from "./services/health.ts";
import { createIdentities } from "./services/identities.ts";
import { createDeepVerify } from "./services/index/deep-verify.ts";
import { createEngine } from "./services/index/engine.ts";
import { createReindex, type Reindex } from "./services/index/reindex.ts";
import { createShards } from "./services/index/shards.ts";
import { createPackages } from "./services/packages.ts";
import { createLocalSource } from "./services/sources/local.ts";
import { createStaging } from "./services/staging.ts";
import { createThrottle } from "./services/throttle.ts";
import { createTokens, type Tokens } from "./services/tokens.ts";
import { createUsers, type Users } from "./services/users.ts";
import { createVerify, type Verify } from "./services/verify.ts";
import { createWorkers, type Workers } from "./services/workers.ts";

/** What the commands beside a server work on: the same database and blobs, no lock, one short transaction each. */
export type Management = {
  readonly users: Users;
  readonly tokens: Tokens;
  readonly channels: Channels;
  readonly verify: Verify;
  readonly reindex: Reindex;
  close(): void;
};

export type App = Management & {
  readonly handle: Router["handle"];
  readonly routes: Router["routes"];
  readonly metrics: Metrics;
};

export type AppOptions = {
  readonly config: Config;
  readonly log: Logger;
  /** Where links point; known only once a free port has been taken. */
  readonly publicUrl: string;
  readonly clock?: Clock;
  readonly failpoint?: ((name: string) => void) | undefined;
  /** Told when only a restart can help. */
  readonly onFatal?: ((error: unknown) => void) | undefined;
};

function once(work: () => void): () => void {
  let done = false;
  return () => {
    if (!done) work();
    done = true;
  };
}

/** Work that waits for a thread; past that, callers are told to come back. */
const WAITING = 1000;
const INDEXERS = 1;

/** What a thread opens; Bun ends the process when a thread that starts finds no handle. */
const HANDLES_OF_A_THREAD = 24;
const countHandles = createHandleCount();

function spawn(): Worker {
  const handles = countHandles?.();
  if (handles && handles.limit - handles.open < HANDLES_OF_A_THREAD)
    throw unavailable("The server has used up its file handles. Try again in a moment.", 5);
  return new Worker(new URL("./worker.ts", import.meta.url).href);
}

type Stores = { readonly folder: DataFolder; readonly database: Database; readonly blobs: BlobStore };

export function openManagement(config: Config, clock: Clock = systemClock): Management {
  const stores = openStores({ config, clock, create: false });
  return { ...managementOf(config, stores, clock), close: () => stores.database.close() };
}

/** Errors: `usage` when the folder is in use, foreign or of a newer release. */
export async function createApp(options: AppOptions): Promise<App> {
  const { config, clock = systemClock } = options;
  const folder = openDataFolder(config.data, { create: true });
  const lock = lockFolder(folder.lock);
  const metrics = createMetrics();
  const events = createEvents({ log: options.log, metrics });
  const stores = openStores({ config, clock, create: true, failpoint: options.failpoint, onFatal: options.onFatal });
  await stores.blobs.sweep();
  const files = createDerivedFiles(folder.root);
  const channelIds = new Set((await listChannels(stores.database.read)).map(({ id }) => id));
  files.sweep((id) => channelIds.has(id));
  const workers = createWorkers({ spawn, size: config.workers, queue: WAITING });
  // Apart from those that read packages, so that neither kind of work waits for the other.
  const indexers = createWorkers({ spawn, size: INDEXERS, queue: WAITING });
  const hashers = createWorkers({ spawn, size: 1, queue: WAITING });
  metrics.observe("condarium_inspections_waiting", "Packages that wait for a worker", () => workers.waiting);
  const router = routerOf(options, { ...stores, clock, events, metrics, workers, indexers, hashers, files });
  return {
    ...managementOf(config, stores, clock),
    handle: router.handle,
    routes: router.routes,
    metrics,
    close: once(() => {
      workers.close();
      indexers.close();
      hashers.close();
      stores.database.close();
      lock.release();
    }),
  };
}

type Parts = Stores & {
  readonly clock: Clock;
  readonly events: ReturnType<typeof createEvents>;
  readonly metrics: Metrics;
  readonly workers: Workers;
  readonly indexers: Workers;
  readonly hashers: Workers;
  readonly files: DerivedFiles;
};

function routerOf(options: AppOptions, parts: Parts): Router {
  const { config } = options;
  const { database, blobs, clock, events, metrics, workers, indexers, hashers, files, folder } = parts;
  const access = createAccess({ reader: database.read });
  const throttle = createThrottle({ database, clock });
  const identities = createIdentities({ database, throttle, events, clock });
  const channels = createChannels({ database, access, clock });
  const packages = createPackages({ clock });
  const hashes = createFileHashes({ workers: hashers });
  const limit = config["max-upload-size"];
  const staging = createStaging({ blobs, events, hashes, limit, failpoint: options.failpoint });
  const inspect = createInspect({ workers, limits: ARCHIVE_LIMITS, clock });
  const { admit } = createAdmission({ perAccount: config["uploads-per-account"] });
  const bodies = createBodies();
  const engine = createEngine({ database, files, bodies, workers: indexers, events, clock, dataFolder: folder.root });
  const shards = createShards({ blobs, bodies, events, workers: indexers, dataFolder: folder.root });
  const publish = createPublish({
    database,
    blobs,
    access,
    identities,
    channels,
    packages,
    staging,
    inspect,
    events,
    admit,
    publicUrl: options.publicUrl,
    createChannels: config["create-channels"],
  });
  const remove = createRemove({ database, access, identities, channels, packages, events });
  return createRouter({
    identities,
    events,
    clock,
    remembered: createRememberedAnswers(database),
    unread: createUnread({ now: clock.elapsed }),
    access,
    metrics,
    channels,
    publish,
    remove,
    health: createHealth({
      database,
      blobs,
    }),
    sourceOf: (place) =>
      createLocalSource({ database, blobs, bodies, engine, events, shards, publicUrl: options.publicUrl }, place),
    channelExists: async (owner, name) => {
      const place = await channels.find(database.read, owner, name);
      return place !== undefined && isThere(place);
    },
    subdirs: config["known-subdirs"],
    defaultOwner: config["default-owner"],
    trustedProxies: config["trusted-proxies"],
  });
}

function openStores(options: {
  readonly config: Config;
  readonly clock: Clock;
  readonly create: boolean;
  readonly failpoint?: ((name: string) => void) | undefined;
  readonly onFatal?: ((error: unknown) => void) | undefined;
}): Stores {
  const { config, clock, create, failpoint, onFatal } = options;
  const folder = openDataFolder(config.data, { create });
  const database = openDatabase({ path: folder.database, clock, create, failpoint, onFatal });
  const blobs = createDiskStore({ root: folder.root, reserve: config["min-free-space"], failpoint });
  return { folder, database, blobs };
}

function managementOf(config: Config, stores: Stores, clock: Clock): Omit<Management, "close"> {
  const { database, blobs, folder } = stores;
  const access = createAccess({ reader: database.read });
  const index = { database, blobs, clock, files: createDerivedFiles(folder.root), dataFolder: folder.root };
  return {
    users: createUsers({ database, clock, defaultVisibility: config["default-visibility"] }),
    tokens: createTokens({ database, clock }),
    channels: createChannels({ database, access, clock }),
    verify: createVerify({ database, blobs, clock, root: folder.root, deep: createDeepVerify(index) }),
    reindex: createReindex(index),
  };
}
