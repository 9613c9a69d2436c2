// Deletes the events of the audit trail that are older than the setting audit-days: nothing else ever deletes one.

import { countOldEvents, deleteOldEvents } from "../../models/audit-event.ts";
import type { CollectingShared } from "./collect.ts";

/** Events looked at per transaction: few, because publishes wait for it. */
const BATCH = 1000;

/** Returns the number of events. Errors: `LeaseLost`. */
export async function collectAudit(work: CollectingShared): Promise<number> {
  const { database, clock, lease, auditMs, dryRun } = work;
  if (auditMs === undefined) return 0;
  const before = clock.now() - auditMs;
  if (dryRun) return await countOldEvents(database.read, before);
  let total = 0;
  for (let after = 0; ;) {
    const batch = await database.transact(
      async (tx) => {
        await lease.renew(tx);
        return await deleteOldEvents(tx, { after, before, limit: BATCH });
      },
      { evenIfFull: true, isUnseen: true },
    );
    total += batch?.deleted ?? 0;
    // The order of the events is nearly that of their times: behind such a batch none is old.
    if (!batch || batch.deleted === 0) return total;
    after = batch.last;
  }
}
