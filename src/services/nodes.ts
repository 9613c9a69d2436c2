// The servers that share a database, each with the schema number that it knows: a new meaning waits for the oldest one.

import { conflict, unavailable } from "../errors.ts";
import type { Database, Reader } from "../models/database.ts";
import { dropEndedLeases, dropLease, leaseHolders, renewLease, takeLease } from "../models/lease.ts";
import { findMinReader } from "../models/min-reader.ts";
import { SCHEMA_NUMBER } from "../models/sqlite/migrations.ts";
import type { Clock } from "../modules/clock.ts";
import { randomHex } from "../modules/ids.ts";

export type NodesParts = {
  readonly database: Database;
  readonly clock: Clock;
  /** False when the database can have no other server. */
  readonly isShared: boolean;
  /** Called when another server has raised what a server must know: this one must end. */
  readonly onTooOld?: ((error: unknown) => void) | undefined;
  /** Default: 20 s. */
  readonly everyMs?: number;
};

const NAME = "node";
const EVERY_MS = 20_000;
/** A node that was killed, or has lost the database, is not waited for any longer than this. */
const LEASE_MS = 60_000;
const LEAVE_MS = 1000;

/** Tells the other servers of the database that this one runs, until the result is called. Errors: `unavailable`. */
export async function joinNodes(parts: NodesParts): Promise<() => Promise<void>> {
  const { database, clock, onTooOld, everyMs = EVERY_MS } = parts;
  if (!parts.isShared) return async () => undefined;
  const own = { name: NAME, holder: `${SCHEMA_NUMBER} ${randomHex(16)}`, ms: LEASE_MS };

  async function renew(): Promise<void> {
    await database.transact(
      async (tx) => {
        if (await renewLease(tx, own, clock)) return;
        await dropEndedLeases(tx, clock);
        await takeLease(tx, own, clock);
      },
      { isUnseen: true },
    );
    const needed = await findMinReader(database.read);
    if (needed <= SCHEMA_NUMBER) return;
    const text = `The database needs a newer condarium: it requires schema ${needed}, this binary supports ${SCHEMA_NUMBER}.`;
    onTooOld?.(unavailable(text, 60));
  }

  await renew();
  // Without a database, the next one tries again.
  const timer = setInterval(() => void renew().catch(() => undefined), everyMs).unref();
  return async () => {
    clearInterval(timer);
    const dropped = database.transact((tx) => dropLease(tx, own), { isUnseen: true }).catch(() => undefined);
    // A shutdown does not wait for a database that is gone.
    await Promise.race([dropped, Bun.sleep(LEAVE_MS)]);
  };
}

/**
 * Call it in the transaction that is the first use of a meaning: `schema` is the number of the release that brought it.
 * Errors: `conflict` while a server runs that does not know it.
 */
export async function requireEveryNode(reader: Reader, schema: number, clock: Clock): Promise<void> {
  const holders = await leaseHolders(reader, NAME, clock);
  const old = holders.filter((holder) => Number.parseInt(holder, 10) < schema).length;
  if (old === 0) return;
  throw conflict(
    `${old} of ${holders.length} servers of this database still run an older release, which does not know this. ` +
      "Finish the upgrade first. A server that was killed counts for another minute.",
  );
}
