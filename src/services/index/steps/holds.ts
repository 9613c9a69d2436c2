// Locks on resources that have a limited number of holders. Waiting keys get a lock in the order of their requests.

import type { Clock } from "../../../modules/clock.ts";
import { ABANDON_AFTER_MS, type Work } from "./long-work.ts";

export type Holds = {
  /** Whether a slot is free for the key and no other has waited longer. Otherwise the key waits and must ask again. */
  canHold(resource: string, key: string): boolean;
  hold(resource: string, key: string): void;
  /** The key stops holding the resource or waiting for it. */
  free(resource: string, key: string): void;
};

type Resource = { readonly holders: Set<string>; readonly waiting: Map<string, number> };

/** `most`: maximum number of keys that hold one resource at a time. */
export function createHolds({ clock, most }: { readonly clock: Clock; readonly most: number }): Holds {
  const resources = new Map<string, Resource>();

  function isFirst({ waiting }: Resource, key: string): boolean {
    for (const [other, askedAt] of waiting) {
      if (other === key) return true;
      if (askedAt >= clock.elapsed() - ABANDON_AFTER_MS) return false;
      waiting.delete(other);
    }
    return true;
  }

  return {
    canHold: (resource, key) => {
      const known = resources.get(resource);
      if (!known || known.holders.has(key)) return true;
      if (known.holders.size < most && isFirst(known, key)) return true;
      known.waiting.set(key, clock.elapsed());
      return false;
    },
    hold: (resource, key) => {
      const known = resources.get(resource) ?? { holders: new Set(), waiting: new Map() };
      known.waiting.delete(key);
      known.holders.add(key);
      resources.set(resource, known);
    },
    free: (resource, key) => {
      const known = resources.get(resource);
      known?.holders.delete(key);
      known?.waiting.delete(key);
      if (known && known.holders.size + known.waiting.size === 0) resources.delete(resource);
    },
  };
}

/** Waits until the key can hold the resource, then does the work. */
export async function* holding<T>(holds: Holds, resource: string, key: string, work: () => Work<T>): Work<T> {
  try {
    while (!holds.canHold(resource, key)) yield "waiting";
    holds.hold(resource, key);
    return yield* work();
  } finally {
    holds.free(resource, key);
  }
}
