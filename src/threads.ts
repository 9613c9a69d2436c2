// Worker threads: pools by what they do, and how one is started.

import type { Config } from "./config.ts";
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
/** All that a thread can be asked. */
export type ThreadJobs = InspectJobs & IndexerJobs & HashJobs & GcJobs;

/** Worker threads by what they do, so that no kind of work waits for another. */
export type Threads = {
  readonly workers: Workers<InspectJobs>;
  readonly turns: FairTurns;
  readonly indexers: Workers<IndexerJobs>;
  readonly hashers: Workers<HashJobs>;
  close(): void;
};

/** Work that waits for a thread; past that, callers are told to come back. */
export const WAITING = 1000;
const INDEXERS = 1;
/** Bun cuts off whoever waits for 255 s: whose package has not been read by then is told before. */
export const PATIENCE_MS = 200_000;

/** What a thread opens; Bun ends the process when a thread that starts finds no handle. */
const HANDLES_OF_A_THREAD = 24;
const countHandles = createHandleCount();

/** Errors: `unavailable` while file handles are short. */
export function spawn(options: WorkerOptions = {}): Worker {
  const handles = countHandles?.();
  if (handles && handles.limit - handles.open < HANDLES_OF_A_THREAD)
    throw unavailable("The server has used up its file handles. Try again in a moment.", 5);
  return new Worker(new URL("./worker.ts", import.meta.url).href, options);
}

export function createThreads(config: Config, parts: { readonly clock: Clock; readonly metrics: Metrics }): Threads {
  // Their heaps stay small: what they read is thrown away member by member.
  const spawnSmall = (): Worker => spawn({ smol: true });
  // One more than have work as a rule: for an account that has none while another's takes long.
  const workers = createWorkers<InspectJobs>({ spawn: spawnSmall, size: config.workers + 1, queue: WAITING });
  const indexers = createWorkers<IndexerJobs>({ spawn, size: INDEXERS, queue: WAITING });
  const hashers = createWorkers<HashJobs>({ spawn, size: 1, queue: WAITING });
  const turns = createFairTurns({
    places: config.workers,
    queue: WAITING,
    queueOfOne: config["uploads-per-account"],
    patienceMs: PATIENCE_MS,
    now: () => parts.clock.elapsed(),
  });
  const waiting = (): number => turns.waiting;
  parts.metrics.observe("condarium_inspections_waiting", "Packages that wait for a worker", waiting);
  const close = (): void => {
    turns.close();
    for (const pool of [workers, indexers, hashers]) pool.close();
  };
  return { workers, turns, indexers, hashers, close };
}
