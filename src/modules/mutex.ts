// Turns: at most so many at once, first come first served, and no endless queue.

import { unavailable } from "../errors.ts";

export type Semaphore = {
  /** Errors: `unavailable` when the queue is full; what `work` throws. */
  run<T>(work: () => Promise<T>): Promise<T>;
  readonly active: number;
  readonly waiting: number;
};

/** One at a time, in the order of the calls, as many waiting as there are. */
export function createMutex(): Semaphore {
  return createSemaphore(1, Number.POSITIVE_INFINITY);
}

export function createSemaphore(places: number, queue: number): Semaphore {
  // A Set keeps the order of its members and gives up its first one in constant time.
  const waiters = new Set<() => void>();
  let active = 0;

  async function enter(): Promise<void> {
    if (active < places) {
      active += 1;
      return;
    }
    if (waiters.size >= queue) throw unavailable("Too many requests wait for their turn. Try again in a moment.", 5);
    // The place is handed over, so a newcomer cannot slip in between.
    await new Promise<void>((resolve) => void waiters.add(resolve));
  }

  function leave(): void {
    for (const next of waiters) {
      waiters.delete(next);
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
      return waiters.size;
    },
    run: async (work) => {
      await enter();
      try {
        return await work();
      } finally {
        leave();
      }
    },
  };
}
