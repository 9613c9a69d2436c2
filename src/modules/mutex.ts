// A semaphore with a bounded first-come queue. The further steps of long work and the first steps of new work start
// alternately.
// Hand-written: async-mutex and p-queue have neither this alternation nor a bounded queue.

import { unavailable } from "../errors.ts";

export type Step = "first" | "further";

export type Semaphore = {
  /** Errors: `unavailable` when the queue is full; what `work` throws. */
  run<T>(work: () => Promise<T>, step?: Step): Promise<T>;
  readonly active: number;
  readonly waiting: number;
};

/** Runs one call at a time, in the order of the calls, with an unbounded queue. */
export function createMutex(): Semaphore {
  return createSemaphore(1, Number.POSITIVE_INFINITY);
}

export function createSemaphore(slots: number, queue: number): Semaphore {
  // A Set keeps the order of insertion and removes its first member in constant time.
  const waiters: Record<Step, Set<() => void>> = { first: new Set(), further: new Set() };
  const waiting = (): number => waiters.first.size + waiters.further.size;
  let active = 0;

  async function enter(step: Step): Promise<void> {
    if (active < slots) {
      active += 1;
      return;
    }
    if (waiting() >= queue) throw unavailable("Too many requests are waiting. Retry in a few seconds.", 5);
    // `leave` passes its slot on directly, so a new request cannot take it in between.
    await new Promise<void>((resolve) => void waiters[step].add(resolve));
  }

  function leave(step: Step): void {
    const others = step === "first" ? waiters.further : waiters.first;
    const line = others.size > 0 ? others : waiters[step];
    for (const next of line) {
      line.delete(next);
      next();
      return;
    }
    active -= 1;
  }

  return {
    get active() {
      return active;
    },
    get waiting() {
      return waiting();
    },
    run: async (work, step = "first") => {
      await enter(step);
      try {
        return await work();
      } finally {
        leave(step);
      }
    },
  };
}
