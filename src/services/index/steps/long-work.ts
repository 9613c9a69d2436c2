// Work that takes longer than a step of a build: it is suspended between steps, and abandoned when nobody continues it.

import { setTimeout as pause } from "node:timers/promises";
import type { Clock } from "../../../modules/clock.ts";

/** `step`: others can have their turn. `waiting`: the work can continue only after other work has ended. */
export type Pause = "step" | "waiting";
/** The work can use the reader of its first step in all steps; each step has its own snapshot. */
export type Work<T> = AsyncGenerator<Pause, T, undefined>;

export type Advance<T> =
  | { readonly kind: "done"; readonly value: T }
  | { readonly kind: "more"; readonly isWaiting: boolean };

export type LongWork<T> = {
  /** Continues the work of this key, or starts it. */
  advance(key: string, begin: () => Work<T>, isLate: () => boolean): Promise<Advance<T>>;
  has(key: string): boolean;
  abandon(key: string): Promise<void>;
  /** Abandons work that nobody has continued for `ABANDON_AFTER_MS`. */
  sweep(): Promise<void>;
};

/** Longer than any request waits for its next turn. */
export const ABANDON_AFTER_MS = 60_000;

export function createLongWork<T>({ clock }: { readonly clock: Clock }): LongWork<T> {
  const inProgress = new Map<string, { readonly work: Work<T>; usedAt: number }>();
  const abandon = async (key: string): Promise<void> => {
    const known = inProgress.get(key);
    inProgress.delete(key);
    // The work releases what it holds in its `finally`; it has no result.
    await known?.work[Symbol.asyncDispose]();
  };
  return {
    advance: async (key, begin, isLate) => {
      const known = inProgress.get(key) ?? { work: begin(), usedAt: 0 };
      known.usedAt = clock.elapsed();
      inProgress.set(key, known);
      try {
        const outcome = await advance(known.work, isLate);
        if (outcome.kind === "done") inProgress.delete(key);
        return outcome;
      } catch (error) {
        inProgress.delete(key);
        throw error;
      }
    },
    has: (key) => inProgress.has(key),
    abandon,
    sweep: async () => {
      const before = clock.elapsed() - ABANDON_AFTER_MS;
      for (const [key, { usedAt }] of inProgress) if (usedAt < before) await abandon(key);
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

/** Runs the work to its end, without turns for others. */
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
