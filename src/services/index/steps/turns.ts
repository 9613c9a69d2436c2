// Whose step of a build is next: channels by turns, so that one with much to build holds another for one step at most.

import { unavailable } from "../../../errors.ts";
import type { Step } from "../../../modules/mutex.ts";

export type Turns = {
  /** Does `work` alone. Errors: `unavailable` when too many wait; what `work` throws. */
  run<T>(channelId: number, step: Step, work: () => Promise<T>): Promise<T>;
};

export type TurnsParts = {
  /** How many may wait, of one channel and of all. */
  readonly ofOne: number;
  readonly ofAll: number;
};

type Waiters = Record<Step, Set<() => void>> & { last: Step };

export function createTurns({ ofOne, ofAll }: TurnsParts): Turns {
  // A Map keeps the order of insertion: whose channel has had its turn goes to the end.
  const channels = new Map<number, Waiters>();
  let isTaken = false;
  let waiting = 0;

  async function enter(channelId: number, step: Step): Promise<void> {
    if (!isTaken) {
      isTaken = true;
      return;
    }
    const waiters = channels.get(channelId) ?? { first: new Set(), further: new Set(), last: "further" };
    // What has begun goes on: it is the newcomers that are told to come back.
    if (step === "first" && (waiting >= ofAll || waiters.first.size + waiters.further.size >= ofOne))
      throw unavailable("Too many requests wait for their turn. Try again in a moment.", 5);
    channels.set(channelId, waiters);
    waiting += 1;
    // The turn is handed over, so a newcomer cannot slip in between.
    await new Promise<void>((resolve) => void waiters[step].add(resolve));
  }

  function leave(): void {
    for (const [channelId, waiters] of channels) {
      channels.delete(channelId);
      const next = takeNext(waiters);
      if (waiters.first.size + waiters.further.size > 0) channels.set(channelId, waiters);
      waiting -= 1;
      next?.();
      return;
    }
    isTaken = false;
  }

  return {
    run: async (channelId, step, work) => {
      await enter(channelId, step);
      try {
        return await work();
      } finally {
        leave();
      }
    },
  };
}

/** Within a channel those who have just come and those who go on take turns. */
function takeNext(waiters: Waiters): (() => void) | undefined {
  const other = waiters.last === "first" ? "further" : "first";
  const step = waiters[other].size > 0 ? other : waiters.last;
  waiters.last = step;
  for (const next of waiters[step]) {
    waiters[step].delete(next);
    return next;
  }
  return undefined;
}
