// A small pool of worker threads, so that one hostile or huge package does not slow other requests.

import { unavailable, type AppError } from "../errors.ts";
import { createSemaphore, type Step } from "../modules/mutex.ts";
import type { Failure } from "./worker-failures.ts";

/** The jobs of a pool, by kind. Each folder declares its own jobs; `src/worker.ts` runs all of them. */
export type Jobs = Readonly<Record<string, { readonly input: object; readonly answer: unknown }>>;

export type WorkerJob<J extends Jobs, K extends keyof J = keyof J> = {
  [Kind in K]: { readonly kind: Kind } & J[Kind]["input"];
}[K];

/** A failure is a fault of the server's disk or code, never of the package. */
export type WorkerReply<Answer = unknown> =
  /** A spent thread has a grown heap and a low priority: the pool replaces it. */
  | { readonly kind: "done"; readonly answer: Answer; readonly isSpent: boolean }
  | ({ readonly kind: "failed" } & Failure);

/** What a worker posts once, when it can take jobs. */
export const STARTED = "started";

export type JobOutcome<Answer = unknown> =
  | WorkerReply<Answer>
  | { readonly kind: "timed-out" }
  | { readonly kind: "crashed" };

export type Workers<J extends Jobs> = {
  /** Runs one job on a free worker; a worker that exceeds the time limit is terminated and replaced. */
  run<K extends keyof J>(job: WorkerJob<J, K>, timeLimitMs: number, step?: Step): Promise<JobOutcome<J[K]["answer"]>>;
  readonly waiting: number;
  close(): void;
};

export type WorkersParts = {
  /** Starts a worker thread on `src/worker.ts`. */
  readonly spawn: () => Worker;
  readonly size: number;
  readonly queue: number;
};

/** The events after which a worker never replies. */
const END_EVENTS = ["error", "close"] as const;

export function createWorkers<J extends Jobs>(parts: WorkersParts): Workers<J> {
  const alive = new Set<Worker>();
  const idle: Worker[] = [];
  const started = new WeakSet<Worker>();
  const slots = createSemaphore(parts.size, parts.queue);
  let closed = false;

  function start(): Worker {
    const worker = parts.spawn();
    alive.add(worker);
    // A worker that dies while idle must not get the next job: it would never reply.
    for (const end of END_EVENTS) worker.addEventListener(end, () => drop(worker));
    worker.addEventListener("message", () => started.add(worker), { once: true });
    return worker;
  }

  /** A worker that did not start, for want of the disk or of memory, has never seen the job. */
  function explained<Answer>(worker: Worker, outcome: JobOutcome<Answer>): JobOutcome<Answer> {
    if (outcome.kind !== "crashed" || started.has(worker)) return outcome;
    return { kind: "failed", message: "the thread did not start", refusal: undefined };
  }

  function drop(worker: Worker): void {
    alive.delete(worker);
    if (idle.includes(worker)) idle.splice(idle.indexOf(worker), 1);
    worker.terminate();
  }

  return {
    get waiting() {
      return slots.waiting;
    },
    run: (job, timeLimitMs, step) =>
      slots.run(async () => {
        if (closed) throw shuttingDown();
        const worker = idle.pop() ?? start();
        const outcome = await ask<J[keyof J]["answer"]>(worker, job, timeLimitMs);
        if (closed) throw shuttingDown();
        if (hasEnded(outcome)) drop(worker);
        else if (alive.has(worker)) idle.push(worker);
        return explained(worker, outcome);
      }, step),
    close: () => {
      closed = true;
      for (const worker of alive) drop(worker);
    },
  };
}

function hasEnded({ kind, ...outcome }: JobOutcome): boolean {
  return kind === "timed-out" || kind === "crashed" || ("isSpent" in outcome && outcome.isSpent);
}

function shuttingDown(): AppError {
  return unavailable("The server is shutting down.", 5);
}

function ask<Answer>(worker: Worker, job: object, timeLimitMs: number): Promise<JobOutcome<Answer>> {
  return new Promise((resolve) => {
    const listening = new AbortController();
    const { signal } = listening;
    const settle = (outcome: JobOutcome<Answer>): void => {
      clearTimeout(timer);
      listening.abort();
      resolve(outcome);
    };
    const timer = setTimeout(() => settle({ kind: "timed-out" }), timeLimitMs);
    const take = ({ data }: MessageEvent<WorkerReply<Answer> | typeof STARTED>): void => {
      if (data !== STARTED) settle(data);
    };
    worker.addEventListener("message", take, { signal });
    for (const end of END_EVENTS) worker.addEventListener(end, () => settle({ kind: "crashed" }), { signal });
    worker.postMessage(job);
  });
}
