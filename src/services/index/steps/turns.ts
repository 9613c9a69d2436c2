// Decides whose build step is next: that of the channel with the least recent use of the thread. Channels with much to
// build therefore delay another channel by one step at most, however many they are.

import { unavailable } from "../../../errors.ts";
import { createLru } from "../../../modules/lru.ts";
import type { Step } from "../../../modules/mutex.ts";

export type Turns = {
  /** Runs `work` exclusively. Errors: `unavailable` when too many wait; the errors of `work`. */
  run<T>(channelId: number, step: Step, work: () => Promise<T>): Promise<T>;
  /** Refuses all that wait now: what failed for the one that had the turn would fail for each of them, one by one. */
  refuse(error: Error): void;
};

export type TurnsParts = {
  /** How many steps can wait: of one channel, and of all. */
  readonly ofOne: number;
  readonly ofAll: number;
  /** Monotonic time in milliseconds. */
  readonly now: () => number;
};

type Waiter = PromiseWithResolvers<void>;
type Waiters = Record<Step, Set<Waiter>> & { last: Step };

/** The use of a channel counts half after this time. */
const HALF_LIFE_MS = 10_000;
/** Less use counts as none: such channels take turns round-robin. */
const LEAST_MS = 1;
const REMEMBERED = 1000;

export function createTurns({ ofOne, ofAll, now }: TurnsParts): Turns {
  // A Map keeps insertion order: of channels with equal use, the one whose turn is longest ago is next.
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
    // Builds in progress always continue: only new requests are refused.
    if (step === "first" && (waiting >= ofAll || waiters.first.size + waiters.further.size >= ofOne))
      throw unavailable("Too many requests are waiting. Retry in a few seconds.", 5);
    channels.set(channelId, waiters);
    waiting += 1;
    // `leave` hands the turn over directly, so a new request cannot take it in between.
    const waiter: Waiter = Promise.withResolvers();
    waiters[step].add(waiter);
    await waiter.promise;
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
    next?.resolve();
  }

  return {
    run: async (channelId, step, work) => {
      await enter(channelId, step);
      const startedAt = now();
      try {
        return await work();
      } finally {
        usage.add(channelId, now() - startedAt);
        leave();
      }
    },
    refuse: (error) => {
      for (const { first, further } of channels.values())
        for (const waiter of [...first, ...further]) waiter.reject(error);
      channels.clear();
      waiting = 0;
    },
  };
}

/** Recent use of the thread by each channel, in milliseconds. */
function createUsage(now: () => number) {
  const usages = createLru<number, { readonly ms: number; readonly at: number }>({ maxEntries: REMEMBERED });
  const of = (channelId: number): number => {
    const known = usages.get(channelId);
    const ms = known ? known.ms * 2 ** ((known.at - now()) / HALF_LIFE_MS) : 0;
    return ms < LEAST_MS ? 0 : ms;
  };
  return {
    of,
    add: (channelId: number, ms: number): void => usages.set(channelId, { ms: of(channelId) + ms, at: now() }),
  };
}

/** Within a channel, first steps and further steps alternate. */
function takeNext(waiters: Waiters): Waiter | undefined {
  const other = waiters.last === "first" ? "further" : "first";
  const step = waiters[other].size > 0 ? other : waiters.last;
  waiters.last = step;
  for (const next of waiters[step]) {
    waiters[step].delete(next);
    return next;
  }
  return undefined;
}
