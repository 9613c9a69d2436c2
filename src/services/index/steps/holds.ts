// Who may work on something that few can work on at a time, in the order in which they have asked.

import type { Clock } from "../../../modules/clock.ts";
import { FORGOTTEN_MS, type Work } from "./long-work.ts";

export type Holds = {
  /** Whether nobody else holds it or has waited longer; otherwise the key waits, and is to ask again. */
  mayHold(thing: string, key: string): boolean;
  hold(thing: string, key: string): void;
  /** Neither holds it nor waits for it any more. */
  free(thing: string, key: string): void;
};

type Thing = { readonly holders: Set<string>; readonly waiting: Map<string, number> };

/** `most` are those that may hold one thing. */
export function createHolds({ clock, most }: { readonly clock: Clock; readonly most: number }): Holds {
  const things = new Map<string, Thing>();

  function isFirst({ waiting }: Thing, key: string): boolean {
    for (const [other, asked] of waiting) {
      if (other === key) return true;
      if (asked >= clock.elapsed() - FORGOTTEN_MS) return false;
      waiting.delete(other);
    }
    return true;
  }

  return {
    mayHold: (thing, key) => {
      const known = things.get(thing);
      if (!known || known.holders.has(key)) return true;
      if (known.holders.size < most && isFirst(known, key)) return true;
      known.waiting.set(key, clock.elapsed());
      return false;
    },
    hold: (thing, key) => {
      const known = things.get(thing) ?? { holders: new Set(), waiting: new Map() };
      known.waiting.delete(key);
      known.holders.add(key);
      things.set(thing, known);
    },
    free: (thing, key) => {
      const known = things.get(thing);
      known?.holders.delete(key);
      known?.waiting.delete(key);
      if (known && known.holders.size + known.waiting.size === 0) things.delete(thing);
    },
  };
}

/** Does something once it can be held. */
export async function* holding<T>(holds: Holds, thing: string, key: string, work: () => Work<T>): Work<T> {
  try {
    while (!holds.mayHold(thing, key)) yield "waiting";
    holds.hold(thing, key);
    return yield* work();
  } finally {
    holds.free(thing, key);
  }
}
