// How long one piece of work, such as a request, may wait for a server in total, however many answers it needs.

import { AsyncLocalStorage } from "node:async_hooks";
import { systemClock } from "./clock.ts";

export type Patience = {
  /** ms. */
  left(): number;
  /** ms. */
  spent(): number;
  /** For a wait that others do on its behalf. */
  spend(ms: number): void;
  /** Waits at the same time count once. Returns a function that ends this one. */
  beginWait(): () => void;
};

const ofCaller = new AsyncLocalStorage<Patience>();

/** Runs `work`, and what it starts, with this many ms for all its waits together; other time does not count. */
export function withPatience<T>(ms: number, work: () => T): T {
  return ofCaller.run(createPatience(ms), work);
}

/** Undefined for work that nobody limits, such as that of a command. */
export function patienceOfCaller(): Patience | undefined {
  return ofCaller.getStore();
}

function createPatience(ms: number): Patience {
  let [before, waits, since] = [0, 0, 0];
  const spent = (): number => before + (waits > 0 ? systemClock.elapsed() - since : 0);
  return {
    left: () => Math.max(0, ms - spent()),
    spent,
    spend: (more) => void (before += more),
    beginWait: () => {
      if (waits === 0) since = systemClock.elapsed();
      waits += 1;
      return () => {
        waits -= 1;
        if (waits === 0) before += systemClock.elapsed() - since;
      };
    },
  };
}
