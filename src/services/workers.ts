// A small pool of worker threads, so that one hostile or huge package never slows another request.

import { unavailable, type AppError } from "../errors.ts";
import { createSemaphore, type Step } from "../modules/mutex.ts";
import type { FileDigest } from "../modules/hash.ts";
import type { HashStep } from "./hash-worker.ts";
import type { GcSummary } from "./storage/gc.ts";
import type { BuildReply, BuildRequest, RestoreReply, ShardRequest } from "./index/builder.ts";
import type { PackReply, PackRequest } from "./index/files/gzip-worker.ts";
import type { ArchiveLimits, Inspection } from "../modules/conda/archive.ts";

/** What a worker can be asked, by the kind of job; `src/worker.ts` does it. */
type Tasks = {
  inspect: {
    readonly path: string;
    readonly fileName: string;
    readonly limits: ArchiveLimits;
    /** ms UTC, to tell a timestamp of the future. */
    readonly now: number;
  };
  document: { readonly dataFolder: string; readonly request: BuildRequest };
  shard: { readonly dataFolder: string; readonly request: ShardRequest };
  hash: HashStep;
  pack: { readonly request: PackRequest };
  gc: { readonly dataFolder: string; readonly graceMs: number };
};

/** What it answers to each. */
export type Answers = {
  inspect: Inspection;
  document: { readonly reply: BuildReply; readonly mended: string | undefined };
  shard: RestoreReply;
  hash: FileDigest | undefined;
  pack: PackReply;
  gc: GcSummary;
};

export type JobKind = keyof Tasks;
export type WorkerJob<K extends JobKind = JobKind> = { [Kind in K]: { readonly kind: Kind } & Tasks[Kind] }[K];

/** A failure is one of our own disk or code, never of the package. */
export type WorkerReply<K extends JobKind = JobKind> =
  /** A thread that is spent has grown and gives way to others: another takes its place. */
  | { readonly kind: "done"; readonly answer: Answers[K]; readonly isSpent: boolean }
  | { readonly kind: "failed"; readonly message: string };

export type JobOutcome<K extends JobKind> =
  | WorkerReply<K>
  | { readonly kind: "timed-out" }
  | { readonly kind: "crashed" };

export type Workers = {
  /** Runs one job on a free worker; a worker that passes its time is ended and replaced. */
  run<K extends JobKind>(job: WorkerJob<K>, timeLimitMs: number, step?: Step): Promise<JobOutcome<K>>;
  readonly waiting: number;
  close(): void;
};

export type WorkersParts = {
  /** Starts a worker thread on `src/worker.ts`. */
  readonly spawn: () => Worker;
  readonly size: number;
  readonly queue: number;
};

/** The events of a worker that will never answer again. */
const ENDS = ["error", "close"] as const;

export function createWorkers(parts: WorkersParts): Workers {
  const alive = new Set<Worker>();
  const idle: Worker[] = [];
  const places = createSemaphore(parts.size, parts.queue);
  let closed = false;

  function start(): Worker {
    const worker = parts.spawn();
    alive.add(worker);
    // One that dies while it is idle must not get the next job, which it would never answer.
    for (const end of ENDS) worker.addEventListener(end, () => drop(worker));
    return worker;
  }

  function drop(worker: Worker): void {
    alive.delete(worker);
    if (idle.includes(worker)) idle.splice(idle.indexOf(worker), 1);
    worker.terminate();
  }

  return {
    get waiting() {
      return places.waiting;
    },
    run: (job, timeLimitMs, step) =>
      places.run(async () => {
        if (closed) throw shuttingDown();
        const worker = idle.pop() ?? start();
        const outcome = await ask(worker, job, timeLimitMs);
        if (closed) throw shuttingDown();
        if (hasEnded(outcome)) drop(worker);
        else if (alive.has(worker)) idle.push(worker);
        return outcome;
      }, step),
    close: () => {
      closed = true;
      for (const worker of alive) drop(worker);
    },
  };
}

function hasEnded({ kind, ...outcome }: JobOutcome<JobKind>): boolean {
  return kind === "timed-out" || kind === "crashed" || ("isSpent" in outcome && outcome.isSpent);
}

function shuttingDown(): AppError {
  return unavailable("The server is shutting down.", 5);
}

function ask<K extends JobKind>(worker: Worker, job: WorkerJob<K>, timeLimitMs: number): Promise<JobOutcome<K>> {
  return new Promise((resolve) => {
    const listening = new AbortController();
    const { signal } = listening;
    const settle = (outcome: JobOutcome<K>): void => {
      clearTimeout(timer);
      listening.abort();
      resolve(outcome);
    };
    const timer = setTimeout(() => settle({ kind: "timed-out" }), timeLimitMs);
    worker.addEventListener("message", (event: MessageEvent<WorkerReply<K>>) => settle(event.data), { signal });
    for (const end of ENDS) worker.addEventListener(end, () => settle({ kind: "crashed" }), { signal });
    worker.postMessage(job);
  });
}
