// Worker threads: one pool per kind of work, and how a thread is started.

import { threadEnvironment, type Config } from "./config.ts";
import { unavailable } from "./errors.ts";
import type { Clock } from "./modules/clock.ts";
import { createFairTurns, type FairTurns } from "./modules/fair-turns.ts";
import { createHandleCount } from "./modules/handles.ts";
import type { Metrics } from "./modules/metrics.ts";
import type { InspectJobs } from "./services/conda/inspect.ts";
import type { HashJobs } from "./services/hash-worker.ts";
import type { PackJobs } from "./services/index/files/gzip-worker.ts";
import type { DocumentJobs, ShardJobs } from "./services/index/worker.ts";
import type { GcJobs } from "./services/storage/gc-worker.ts";
import { createWorkers, type Workers } from "./services/workers.ts";

type IndexerJobs = DocumentJobs & ShardJobs & PackJobs;
/** Every job that a thread accepts. */
export type ThreadJobs = InspectJobs & IndexerJobs & HashJobs & GcJobs;

/** One pool per kind of work, so that no kind waits for another. */
export type Threads = {
  readonly workers: Workers<InspectJobs>;
  readonly turns: FairTurns;
  readonly indexers: Workers<IndexerJobs>;
  readonly hashers: Workers<HashJobs>;
  close(): void;
};

/** Maximum number of jobs that wait for a thread; further callers get `unavailable` and can retry. */
export const WAITING = 1000;
const INDEXERS = 1;
/** Bun closes a connection after 255 s without data: a waiting upload gets its error response before that. */
export const PATIENCE_MS = 200_000;

/** File handles that a thread opens; Bun aborts the process when a starting thread gets none. */
const HANDLES_OF_A_THREAD = 24;
const countHandles = createHandleCount();

/** Starts threads. Errors: `unavailable` while too few file handles are free. */
export function spawnFor(config: Config, options: WorkerOptions = {}): () => Worker {
  const env = threadEnvironment(config);
  return () => {
    const handles = countHandles?.();
    if (handles && handles.limit - handles.open < HANDLES_OF_A_THREAD)
      throw unavailable("The server has no free file handles. Retry in a few seconds.", 5);
    return new Worker(new URL("./worker.ts", import.meta.url).href, { ...options, env });
  };
}

type ThreadsParts = {
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Turns that several processes share; default: those of this process. */
  readonly turns?: FairTurns | undefined;
};

/** Turns to inspect packages. */
export function createInspectionTurns(config: Config, { clock }: Pick<ThreadsParts, "clock">): FairTurns {
  return createFairTurns({
    slots: config.workers,
    queue: WAITING,
    queuePerUser: config["uploads-per-account"],
    patienceMs: PATIENCE_MS,
    now: () => clock.elapsed(),
  });
}

export function createThreads(config: Config, parts: ThreadsParts): Threads {
  // A small heap is enough: an inspection releases each archive member before it reads the next.
  const spawnSmall = spawnFor(config, { smol: true });
  const spawn = spawnFor(config);
  // One spare thread: the fair turns give it to an account that has no work under way.
  const workers = createWorkers<InspectJobs>({ spawn: spawnSmall, size: config.workers + 1, queue: WAITING });
  const indexers = createWorkers<IndexerJobs>({ spawn, size: INDEXERS, queue: WAITING });
  const hashers = createWorkers<HashJobs>({ spawn, size: 1, queue: WAITING });
  const { turns = createInspectionTurns(config, parts) } = parts;
  const waiting = (): number => turns.waiting;
  parts.metrics.observe("condarium_inspections_waiting", "Packages that wait for inspection", waiting);
  const close = (): void => {
    turns.close();
    for (const pool of [workers, indexers, hashers]) pool.close();
  };
  return { workers, turns, indexers, hashers, close };
}
