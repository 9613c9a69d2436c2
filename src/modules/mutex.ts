// Turns: at most so many at once, first come first served, and no endless queue. Long work that is done in steps lets those
// who have just come go first, every other time.
// By hand, since async-mutex and p-queue have no such alternation, nor an end of the queue.

import { unavailable } from "../errors.ts";

export type Step = "first" | "further";

export type Semaphore = {
  /** Errors: `unavailable` when the queue is full; what `work` throws. */
  run<T>(work: () => Promise<T>, step?: Step): Promise<T>;
  readonly active: number;
  readonly waiting: number;
};

/** One at a time, in the order of the calls, as many waiting as there are. */
export function createMutex(): Semaphore {
  return createSemaphore(1, Number.POSITIVE_INFINITY);
}

export function createSemaphore(places: number, queue: number): Semaphore {
  // A Set keeps the order of its members and gives up its first one in constant time.
  const waiters: Record<Step, Set<() => void>> = { first: new Set(), further: new Set() };
  const waiting = (): number => waiters.first.size + waiters.further.size;
  let active = 0;

  async function enter(step: Step): Promise<void> {
    if (active < places) {
      active += 1;
      return;
    }
    if (waiting() >= queue) throw unavailable("Too many requests wait for their turn. Try again in a moment.", 5);
    // The place is handed over, so a newcomer cannot slip in between.
    await new Promise<void>((resolve) => void waiters[step].add(resolve));
  }

  function leave(step: Step): void {
    const others = step === "first" ? waiters.further : waiters.first;
    const turn = others.size > 0 ? others : waiters[step];
    for (const next of turn) {
      turn.delete(next);
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
