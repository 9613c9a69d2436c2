// Whose step of a build is next: the channel that has used the thread least lately, so that those with much to build hold
// another for one step at most, however many they are.

import { unavailable } from "../../../errors.ts";
import { createLru } from "../../../modules/lru.ts";
import type { Step } from "../../../modules/mutex.ts";

export type Turns = {
  /** Does `work` alone. Errors: `unavailable` when too many wait; what `work` throws. */
  run<T>(channelId: number, step: Step, work: () => Promise<T>): Promise<T>;
};

export type TurnsParts = {
  /** How many may wait, of one channel and of all. */
  readonly ofOne: number;
  readonly ofAll: number;
  /** Milliseconds, never going back. */
  readonly now: () => number;
};

type Waiters = Record<Step, Set<() => void>> & { last: Step };

/** What a channel has used counts half after this time. */
const HALF_LIFE_MS = 10_000;
/** What is less is the same as nothing: then turns go round. */
const LEAST_MS = 1;
const REMEMBERED = 1000;

export function createTurns({ ofOne, ofAll, now }: TurnsParts): Turns {
  // A Map keeps the order of insertion: of channels that have used the same, the one whose turn is longest ago is next.
  const channels = new Map<number, Waiters>();
  const usage = createUsage(now);
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
    let best: { readonly channelId: number; readonly waiters: Waiters; readonly used: number } | undefined;
    for (const [channelId, waiters] of channels) {
      const used = usage.of(channelId);
      if (!best || used < best.used) best = { channelId, waiters, used };
    }
    if (!best) {
      isTaken = false;
      return;
    }
    const { channelId, waiters } = best;
    channels.delete(channelId);
    const next = takeNext(waiters);
    if (waiters.first.size + waiters.further.size > 0) channels.set(channelId, waiters);
    waiting -= 1;
    next?.();
  }

  return {
    run: async (channelId, step, work) => {
      await enter(channelId, step);
      const began = now();
      try {
        return await work();
      } finally {
        usage.add(channelId, now() - began);
        leave();
      }
    },
  };
}

/** Milliseconds that channels have used lately. */
function createUsage(now: () => number) {
  const kept = createLru<number, { readonly ms: number; readonly at: number }>({ maxEntries: REMEMBERED });
  const of = (channelId: number): number => {
    const known = kept.get(channelId);
    const ms = known ? known.ms * 2 ** ((known.at - now()) / HALF_LIFE_MS) : 0;
    return ms < LEAST_MS ? 0 : ms;
  };
  return {
    of,
    add: (channelId: number, ms: number): void => kept.set(channelId, { ms: of(channelId) + ms, at: now() }),
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
