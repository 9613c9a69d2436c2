// One collector runs at a time, on whatever node. The lease of a dead or suspended one expires.

import type { Database, Transaction } from "../../models/database.ts";
import { dropLease, renewLease, tryLease } from "../../models/lease.ts";
import type { Clock } from "../../modules/clock.ts";
import { randomHex } from "../../modules/ids.ts";

export type CollectorLease = {
  /** Call it in the transaction of each batch. Errors: `LeaseLost`. */
  renew(tx: Transaction): Promise<void>;
  release(): Promise<void>;
};

/** Another collector may run: this one was suspended or without a database for too long. */
export class LeaseLost extends Error {
  override readonly name = "LeaseLost";
}

/** Longer than any batch, and than the search for the next one. */
const LEASE_MS = 10 * 60_000;

/** Undefined when another collector has the lease. */
export async function leaseCollector(parts: {
  readonly database: Database;
  readonly clock: Clock;
}): Promise<CollectorLease | undefined> {
  const { database, clock } = parts;
  const own = { name: "collector", holder: randomHex(16), ms: LEASE_MS };
  if (!(await database.transact((tx) => tryLease(tx, own, clock), { evenIfFull: true }))) return undefined;
  return {
    renew: async (tx) => {
      if (!(await renewLease(tx, own, clock))) throw new LeaseLost("another collector may run");
    },
    // Without a database, the lease expires by itself.
    release: () => database.transact((tx) => dropLease(tx, own), { evenIfFull: true }).catch(() => undefined),
  };
}
