// The composition root: the only file that imports every part.

import { version } from "../package.json";
import type { Config } from "./config.ts";
import { createEvents, type Events } from "./events.ts";
import type { DataFolder } from "./models/data-folder.ts";
import { openDerivedLookup, type DerivedLookup } from "./models/index/lookup.ts";
import { joinFolder, lockFolder } from "./models/lock.ts";
import { systemClock, type Clock } from "./modules/clock.ts";
import { createClientAddress } from "./modules/http/client-address.ts";
import type { Logger } from "./modules/log.ts";
import { pathOf } from "./modules/http/url.ts";
import { createMetrics, type Metrics } from "./modules/metrics.ts";
import { shareHashingTurns } from "./modules/passwords.ts";
import { stagingName } from "./modules/storage/keys.ts";
import { createDerivedFiles, type DerivedFiles } from "./modules/storage/derived-files.ts";
import { createUnread } from "./modules/unread.ts";
import { mountTypes, PACKAGE_TYPES } from "./package-types.ts";
import { apiTable } from "./routers/api/table.ts";
import { healthOf, prepare } from "./preparing.ts";
import { createRouter, type Router } from "./routers/index.ts";
import { createResponseCache } from "./routers/response-cache.ts";
import { createAdmission } from "./services/admission.ts";
import { BUDGET_BYTES as BODY_BYTES, createBodies } from "./services/bodies.ts";
import type { ChannelRef } from "./services/channel-ref.ts";
import { createChannels } from "./services/channels.ts";
import { condaIndex } from "./services/conda/index-format.ts";
import { createFileHashes } from "./services/file-hashes.ts";
import type { Health } from "./services/health.ts";
import { createIdentities } from "./services/identities.ts";
import { createLoginCodes } from "./services/login-codes.ts";
import { createLogins } from "./services/logins.ts";
import { scheduleGc } from "./services/storage/gc-schedule.ts";
import { createEngine } from "./services/index/engine.ts";
import { joinNodes } from "./services/nodes.ts";
import { observeServer } from "./services/server-metrics.ts";
import { createShards } from "./services/conda/shards/read.ts";
import { createTurns } from "./services/index/steps/turns.ts";
import { createPackages } from "./services/packages.ts";
import { createPublishing } from "./services/publishing.ts";
import { createRemoving } from "./services/removing.ts";
import { createLocalSource } from "./services/sources/local.ts";
import type { Source } from "./services/sources/source.ts";
import { createStaging } from "./services/staging.ts";
import { createRefusals, type Refusals } from "./services/refusals.ts";
import { createThrottle, type Throttle } from "./services/throttle.ts";
import { createTokenUses, type TokenUses } from "./services/token-uses.ts";
import { createWorkers } from "./services/workers.ts";
import type { Shared } from "./sharing.ts";
import { closeStores, openFolder, openStores, storesSource, type Stores } from "./stores.ts";
import { createThreads, spawnFor, WAITING, type Threads } from "./threads.ts";
import { accessOf, managementOf, type Management } from "./management.ts";

export type App = Management & {
  readonly handle: Router["handle"];
  readonly routes: Router["routes"];
  readonly apiRoutes: Router["apiRoutes"];
  readonly metrics: Metrics;
};

export type AppOptions = {
  readonly config: Config;
  readonly log: Logger;
  /** Base URL of links; known only after a free port is bound. */
  readonly publicUrl: string;
  readonly clock?: Clock;
  readonly failpoint?: ((name: string) => void) | undefined;
  /** Called for an error that only a restart can repair. */
  readonly onFatal?: ((error: unknown) => void) | undefined;
  /** For one of several processes of a server: what they share. The parent process then does what is done once. */
  readonly shared?: Shared | undefined;
};

const DAY_MS = 24 * 60 * 60 * 1000;
/** Maximum number of waiting build steps, per channel and in total. */
const TURNS = { ofOne: WAITING / 5, ofAll: WAITING };

export async function openManagement(
  config: Config,
  options: { readonly clock?: Clock; readonly failpoint?: ((name: string) => void) | undefined } = {},
): Promise<Management> {
  const { clock = systemClock, failpoint } = options;
  const stores = await openStores({ config, clock, create: false, failpoint });
  const publicUrl = config["public-url"];
  const throttle = createThrottle({ ...stores, clock });
  const management = managementOf({ config, publicUrl, stores, clock, throttle, failpoint });
  return { ...management, close: () => closeStores(stores) };
}

/** Errors: `usage` when the folder is in use, foreign or of a newer release; every opened part is closed then. */
export async function createApp(options: AppOptions): Promise<App> {
  const { clock = systemClock, publicUrl } = options;
  await using opened = new AsyncDisposableStack();
  const folder = openFolder(options.config, { create: true });
  // Links are followed once: from here on, the server uses the folder itself.
  const config = { ...options.config, data: folder.root };
  const { failpoint, onFatal, shared } = options;
  opened.adopt(shared ? joinFolder(folder.lock) : lockFolder(folder.lock), (lock) => lock.release());
  // Only now, as the lock keeps a successor of the parent out from here on.
  shared?.requireParent();
  if (shared) shareHashingTurns(shared.hashing);
  const metrics = createMetrics();
  const events = createEvents({ log: options.log, metrics });
  const requireFiles = (): void => health?.requireFolder();
  let health: Health | undefined;
  const stores = opened.adopt(
    await openStores({ config, clock, create: true, failpoint, onFatal, requireFiles, process: processOf(shared) }),
    closeStores,
  );
  const files = createDerivedFiles(folder.root);
  if (shared) await stores.blobs.sweep();
  else await prepare(stores, files, { config, publicUrl });
  observe(metrics, stores, clock);
  const shardIndexes = opened.adopt(openDerivedLookup(folder.index), (lookup) => lookup.close());
  const turns = shared?.inspecting;
  const threads = opened.adopt(createThreads(config, { clock, metrics, turns }), ({ close }) => close());
  stores.reserve.refill();
  health = healthOf(config, { ...stores, events, clock });
  opened.adopt(health.watch(), (watch) => watch.stop());
  if (!shared) opened.adopt(collectInBackground(config, { events, folder }), (gc) => gc.stop());
  if (!shared)
    opened.defer(await joinNodes({ ...stores, clock, isShared: config.database !== undefined, onTooOld: onFatal }));
  const throttle = createThrottle({ ...stores, clock, places: shared?.places });
  const parts = { ...stores, ...threads, health, requireFiles, clock, events, metrics, files, shardIndexes, throttle };
  const management = managementOf({ config, publicUrl, stores, clock, throttle, failpoint });
  const tokenUses = opened.adopt(createTokenUses({ database: stores.database, clock }), ({ close }) => close());
  const refusals = opened.adopt(createRefusals({ ...stores, clock, events }), ({ close }) => close());
  const router = opened.adopt(routerOf(options, { ...parts, management, tokenUses, refusals }), ({ close }) => close());
  // From here on, the app closes the opened parts.
  const owned = opened.move();
  return {
    ...management,
    handle: router.handle,
    routes: router.routes,
    apiRoutes: router.apiRoutes,
    metrics,
    close: () => owned.disposeAsync(),
  };
}

/** The parent of several processes: it does what is done once per server, and serves no requests. */
export type ParentApp = Pick<Management, "users" | "close"> & { readonly metrics: Metrics };

/** Errors: as for `createApp`. Afterwards processes can join. */
export async function createParentApp(options: AppOptions): Promise<ParentApp> {
  const { clock = systemClock, publicUrl, failpoint, onFatal } = options;
  await using opened = new AsyncDisposableStack();
  const folder = openFolder(options.config, { create: true });
  const config = { ...options.config, data: folder.root };
  const lock = opened.adopt(lockFolder(folder.lock), ({ release }) => release());
  const metrics = createMetrics();
  const events = createEvents({ log: options.log, metrics });
  const stores = opened.adopt(await openStores({ config, clock, create: true, failpoint }), closeStores);
  await prepare(stores, createDerivedFiles(folder.root), { config, publicUrl });
  observe(metrics, stores, clock);
  stores.reserve.refill();
  opened.adopt(collectInBackground(config, { events, folder }), (gc) => gc.stop());
  opened.defer(await joinNodes({ ...stores, clock, isShared: config.database !== undefined, onTooOld: onFatal }));
  const throttle = createThrottle({ ...stores, clock });
  const { users } = managementOf({ config, publicUrl, stores, clock, throttle, failpoint });
  lock.share();
  const owned = opened.move();
  return { users, metrics, close: () => owned.disposeAsync() };
}

function processOf(shared: Shared | undefined) {
  return shared && { writeTurn: shared.writeTurn, staging: stagingName(shared.slot) };
}

function observe(metrics: Metrics, { database }: Stores, clock: Clock): void {
  const help = "Bytes of the write-ahead log of the database";
  metrics.observe("condarium_database_log_bytes", help, database.logBytes, "max");
  observeServer({ metrics, reader: database.read, clock, version });
}

type Parts = Stores & {
  readonly health: Health;
  readonly requireFiles: () => void;
  readonly clock: Clock;
  readonly events: Events;
  readonly metrics: Metrics;
  readonly files: DerivedFiles;
  readonly shardIndexes: DerivedLookup;
  readonly management: Omit<Management, "close">;
  readonly tokenUses: TokenUses;
  readonly refusals: Refusals;
  readonly throttle: Throttle;
} & Omit<Threads, "close">;

function routerOf(options: AppOptions, parts: Parts): Router {
  const { config, shared } = options;
  const { database, blobs, servedBlobs, clock, events, metrics, files, folder, requireFiles } = parts;
  const { indexers, hashers } = parts;
  const access = accessOf(config, parts);
  const { throttle, tokenUses } = parts;
  const codes = createLoginCodes({ database, throttle, clock });
  const logins = createLogins({ database, throttle, codes, events, clock });
  const identities = createIdentities({
    database,
    logins,
    tokenUses,
    clock,
    twoFactor: config["require-two-factor"],
  });
  const channels = createChannels({ database, access, clock, types: PACKAGE_TYPES });
  const packages = createPackages({ clock });
  const hashes = createFileHashes({ workers: hashers });
  const limit = config["max-upload-size"];
  const staging = createStaging({ blobs, events, hashes, limit, failpoint: options.failpoint });
  const { admit } =
    shared ??
    createAdmission({
      perAccount: config["uploads-per-account"],
      perCredential: config["uploads-per-token"],
      now: () => clock.elapsed(),
    });
  const processes = shared?.processes ?? 1;
  // Divided, since processes cannot lend memory to each other, and each gets its share of the connections.
  const bodies = createBodies({ budget: BODY_BYTES / processes });
  const building = {
    bodies,
    workers: indexers,
    turns: createTurns({ ...TURNS, now: clock.elapsed }),
    events,
    source: storesSource(config, folder),
  };
  const engine = createEngine({
    ...building,
    database,
    files,
    clock,
    requireFiles,
    format: condaIndex,
    isShared: processes > 1,
  });
  const shards = createShards({ ...building, blobs: servedBlobs, shardIndexes: parts.shardIndexes });
  const publishing = createPublishing({ ...parts, access, channels, packages, staging, types: PACKAGE_TYPES, admit });
  const removing = createRemoving({ database, access, packages, events });
  const { publicUrl } = options;
  const sourceOf = (ref: ChannelRef): Source =>
    createLocalSource({ database, blobs: servedBlobs, bodies, engine, events, shards, publicUrl }, ref);
  return createRouter({
    identities,
    events,
    clock,
    responseCache: createResponseCache({ version: database.version, processes }),
    unread: createUnread({ now: clock.elapsed }),
    access,
    refusals: parts.refusals,
    metrics: shared ? { render: shared.render, contentType: metrics.contentType } : metrics,
    health: parts.health,
    apiRoutes: apiTable({ ...parts.management, version }),
    packages: mountTypes({ ...parts, config, publicUrl, access, publishing, removing, sourceOf }),
    clientAddress: createClientAddress({ trusted: config["trusted-proxies"], onUntrusted: events.proxyNotTrusted }),
    publicUrl,
    prefix: pathOf(publicUrl),
  });
}

/** Runs in its own thread, so that no request waits for the collection. */
function collectInBackground(config: Config, parts: { readonly events: Events; readonly folder: DataFolder }) {
  return scheduleGc({
    createWorkers: () => createWorkers({ spawn: spawnFor(config), size: 1, queue: 1 }),
    events: parts.events,
    source: storesSource(config, parts.folder),
    intervalMs: config["gc-interval"] * 1000,
    graceMs: config["gc-grace"] * 1000,
    auditMs: config["audit-days"] * DAY_MS,
  });
}
