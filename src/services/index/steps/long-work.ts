// Work that takes longer than a step of a build: it is kept from one step to the next, and given up when nobody goes on.

import { setTimeout as pause } from "node:timers/promises";
import type { Clock } from "../../../modules/clock.ts";

/** `step`: others may have their turn. `waiting`: it can only go on after something else has ended. */
export type Pause = "step" | "waiting";
/** It may use the reader of its first step in all of them, each with a snapshot of its own. */
export type Work<T> = AsyncGenerator<Pause, T, undefined>;

export type Advance<T> =
  | { readonly kind: "done"; readonly value: T }
  | { readonly kind: "more"; readonly isWaiting: boolean };

export type LongWork<T> = {
  /** Goes on with the work of this key, or begins it. */
  advance(key: string, begin: () => Work<T>, isLate: () => boolean): Promise<Advance<T>>;
  has(key: string): boolean;
  abandon(key: string): Promise<void>;
  /** Gives up what nobody has gone on with for long. */
  sweep(): Promise<void>;
};

/** Longer than whoever asks again can have to wait for a turn. */
export const FORGOTTEN_MS = 60_000;

export function createLongWork<T>({ clock }: { readonly clock: Clock }): LongWork<T> {
  const underWay = new Map<string, { readonly work: Work<T>; used: number }>();
  const abandon = async (key: string): Promise<void> => {
    const known = underWay.get(key);
    underWay.delete(key);
    // What it holds, it lets go of in its `finally`; there is no result any more.
    await known?.work[Symbol.asyncDispose]();
  };
  return {
    advance: async (key, begin, isLate) => {
      const known = underWay.get(key) ?? { work: begin(), used: 0 };
      known.used = clock.elapsed();
      underWay.set(key, known);
      try {
        const outcome = await advance(known.work, isLate);
        if (outcome.kind === "done") underWay.delete(key);
        return outcome;
      } catch (error) {
        underWay.delete(key);
        throw error;
      }
    },
    has: (key) => underWay.has(key),
    abandon,
    sweep: async () => {
      const before = clock.elapsed() - FORGOTTEN_MS;
      for (const [key, { used }] of underWay) if (used < before) await abandon(key);
    },
  };
}

export async function advance<T>(work: Work<T>, isLate: () => boolean): Promise<Advance<T>> {
  for (;;) {
    const next = await work.next();
    if (next.done === true) return { kind: "done", value: next.value };
    if (next.value === "waiting") return { kind: "more", isWaiting: true };
    if (isLate()) return { kind: "more", isWaiting: false };
  }
}

/** To the end, without a turn for others. */
export async function finish<T>(work: Work<T>): Promise<T> {
  for (;;) {
    const outcome = await advance(work, () => false);
    if (outcome.kind === "done") return outcome.value;
    await pause(1);
  }
}

/** Yields `waiting` until a promise is settled. */
export async function* settled<T>(promise: Promise<T>): Work<T> {
  const state = { isSettled: false };
  const mark = (): void => void (state.isSettled = true);
  promise.then(mark, mark);
  while (!state.isSettled) yield "waiting";
  return await promise;
}
