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

/** Longer than any batch. A dead collector keeps others out this long. */
const LEASE_MS = 60_000;
/** Several times within the lease, as a renewal can fail, and waits for the batch that is being committed. */
const RENEW_MS = 10_000;

/** Undefined when another collector has the lease. */
export async function leaseCollector(parts: {
  readonly database: Database;
  readonly clock: Clock;
}): Promise<CollectorLease | undefined> {
  const { database, clock } = parts;
  const own = { name: "collector", holder: randomHex(16), ms: LEASE_MS };
  if (!(await database.transact((tx) => tryLease(tx, own, clock), { evenIfFull: true }))) return undefined;
  const keep = (tx: Transaction): Promise<boolean> => renewLease(tx, own, clock);
  // The next batch finds out whether a renewal was too late.
  const renewInTime = () => database.transact(keep, { evenIfFull: true, isUnseen: true }).catch(() => undefined);
  const timer = setInterval(() => void renewInTime(), RENEW_MS);
  timer.unref();
  return {
    renew: async (tx) => {
      if (!(await keep(tx))) throw new LeaseLost("another collector may run");
    },
    // Without a database, the lease expires by itself.
    release: async () => {
      clearInterval(timer);
      await database.transact((tx) => dropLease(tx, own), { evenIfFull: true }).catch(() => undefined);
    },
  };
}
