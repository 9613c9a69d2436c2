// Stops the collector from deleting blobs while they are copied. The lease of a dead or suspended process expires.

import { unavailable } from "../../errors.ts";
import type { Database } from "../../models/database.ts";
import { dropLease, renewLease, takeLease } from "../../models/lease.ts";
import type { Clock } from "../../modules/clock.ts";
import { randomHex } from "../../modules/ids.ts";
import { BLOBS_LEASE } from "./collect.ts";

export type BlobsLease = {
  /** Errors: `unavailable` once the lease is lost, because blobs to copy may have been collected. */
  check(): void;
  /** Checks in the database that the lease never expired. Errors: `unavailable` when it did. */
  confirm(): Promise<void>;
  release(): Promise<void>;
};

const LEASE_MS = 10 * 60_000;
const RENEW_MS = 60_000;

export async function leaseBlobs(parts: { readonly database: Database; readonly clock: Clock }): Promise<BlobsLease> {
  const { database, clock } = parts;
  const own = { name: BLOBS_LEASE, holder: randomHex(16), ms: LEASE_MS };
  await database.transact((tx) => takeLease(tx, own, clock));
  let isLost = false;
  const renew = async (): Promise<void> => {
    isLost ||= !(await database.transact((tx) => renewLease(tx, own, clock)));
  };
  // A failed renewal is repeated long before the lease expires.
  const timer = setInterval(() => void renew().catch(() => undefined), RENEW_MS);
  timer.unref();
  const check = (): void => {
    if (isLost)
      throw unavailable("The backup was suspended for so long that packages may be missing. Run it again.", 1);
  };
  return {
    check,
    confirm: async () => {
      await renew();
      check();
    },
    release: async () => {
      clearInterval(timer);
      await database.transact((tx) => dropLease(tx, own));
    },
  };
}
