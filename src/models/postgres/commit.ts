// Commits, and finds out what became of a commit whose answer was lost. https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT

import { AppError, unavailable } from "../../errors.ts";
import { systemClock } from "../../modules/clock.ts";
import { patienceOfCaller, withPatience } from "../../modules/patience.ts";
import type { Connection, Pool } from "./client.ts";
import { isConnectionLost, isTransactionUnknown } from "./errors.ts";

const UNKNOWN_COMMIT = "The database was lost during the commit: check whether the change was made, then retry.";

/** A COMMIT alone would silently undo a transaction in which a failed statement was ignored: this fails before it. */
export const CHECK = "SELECT 1";

/** ms to look for the outcome of a lost commit; a caller with little patience left gets the least. */
const LOOK_MS = 4_000;
const LEAST_LOOK_MS = 1_500;
const PAUSE_MS = 100;

/**
 * `id` is that of the transaction; `last` is a statement before the commit, in the same round trip.
 * Errors: `unavailable` when nobody can tell in time whether it has committed; otherwise it has not.
 */
export async function commit(
  pool: Pool,
  connection: Connection,
  { id, last }: { readonly id: string; readonly last: string },
): Promise<void> {
  try {
    await connection.unsafe(`${last}; COMMIT`);
  } catch (error) {
    // A late answer leaves no time to ask what became of it, but the locks must go.
    if (connection.isLate) void commitState(pool, id).catch(() => undefined);
    if (connection.isLate) throw unavailable(UNKNOWN_COMMIT, 5, error);
    if (!isConnectionLost(error)) throw error;
    // The answer is lost, not the question: the database knows whether the transaction has committed.
    if ((await commitState(pool, id)) === "committed") return;
    throw error;
  }
}

/** Errors: `unavailable` when the database cannot tell in time; the client must then look for itself. */
async function commitState(pool: Pool, id: string): Promise<"committed" | "aborted"> {
  const left = patienceOfCaller()?.left() ?? LOOK_MS;
  const ms = Math.min(LOOK_MS, Math.max(LEAST_LOOK_MS, left));
  const until = systemClock.elapsed() + ms;
  return await withPatience(ms, async () => {
    while (systemClock.elapsed() < until) {
      const state = await stateOf(pool, id);
      if (state !== undefined) return state;
      await Bun.sleep(PAUSE_MS);
    }
    throw unavailable(UNKNOWN_COMMIT, 5);
  });
}

/** Undefined while the transaction is in progress, or the database cannot be reached. */
async function stateOf(pool: Pool, id: string): Promise<"committed" | "aborted" | undefined> {
  try {
    const [row] = await pool.unsafe("SELECT pg_xact_status($1::xid8)", [id]).values();
    if (row?.[0] === "in progress") await endIdle(pool, id);
    return row?.[0] === "committed" || row?.[0] === "aborted" ? row[0] : undefined;
  } catch (error) {
    if (isTransactionUnknown(error)) return "aborted";
    if (isConnectionLost(error) || error instanceof AppError) return undefined;
    throw error;
  }
}

/** The COMMIT never arrived, and the server has not noticed that its client is gone: the locks would stay. */
async function endIdle(pool: Pool, id: string): Promise<void> {
  await pool.unsafe(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_xid = $1::xid8::xid AND state = 'idle in transaction'",
    [id],
  );
}
