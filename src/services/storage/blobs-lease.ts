// Keeps the collector away from blobs while they are copied. A process that dies or stands still loses the lease by itself.

import { unavailable } from "../../errors.ts";
import type { Database } from "../../models/database.ts";
import { dropLease, renewLease, takeLease } from "../../models/lease.ts";
import type { Clock } from "../../modules/clock.ts";
import { randomHex } from "../../modules/ids.ts";
import { BLOBS_LEASE } from "./collect.ts";

export type BlobsLease = {
  /** Errors: `unavailable` once it has been lost: what is to be copied may have been collected. */
  check(): void;
  /** Looks whether it was kept until now. Errors: `unavailable` when it was not. */
  confirm(): Promise<void>;
  release(): Promise<void>;
};

const LEASE_MS = 10 * 60_000;
const RENEW_MS = 60_000;

export async function leaseBlobs(parts: { readonly database: Database; readonly clock: Clock }): Promise<BlobsLease> {
  const { database, clock } = parts;
  const mine = { name: BLOBS_LEASE, holder: randomHex(16) };
  const lease = () => ({ ...mine, until: clock.now() + LEASE_MS });
  await database.transact((tx) => takeLease(tx, lease()));
  let isLost = false;
  const renew = async (): Promise<void> => {
    isLost ||= !(await database.transact((tx) => renewLease(tx, lease(), clock.now())));
  };
  // Who cannot write now tries again, long before the lease runs out.
  const timer = setInterval(() => void renew().catch(() => undefined), RENEW_MS);
  timer.unref();
  const check = (): void => {
    if (isLost) throw unavailable("This stood still for so long that packages may be missing. Run it again.", 1);
  };
  return {
    check,
    confirm: async () => {
      await renew();
      check();
    },
    release: async () => {
      clearInterval(timer);
      await database.transact((tx) => dropLease(tx, mine));
    },
  };
}
