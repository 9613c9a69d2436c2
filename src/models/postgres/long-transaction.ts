// A transaction that lasts for hours, for a backup or a restore: its statements are short, and it is never idle for long.

import { createMutex } from "../../modules/mutex.ts";
import type { Reader } from "../database.ts";
import { createPool, PAUSE_MS, rollback, type Client, type Connection } from "./client.ts";
import { CHECK, commit } from "./commit.ts";
import { readerOf } from "./database.ts";
import { toAppError } from "./errors.ts";

export type LongTransaction = {
  /** Runs one statement after the other, also for callers that do not wait for each other. */
  readonly client: Client;
  readonly reader: Reader;
};

export type LongOptions = {
  readonly url: string;
  /** The statement that begins it. */
  readonly begin: string;
  /** ms after which the server ends it when nothing is heard of this process. */
  readonly idleMs?: number;
};

/** What `work` returns: whether to keep what it wrote. */
export type Ending<T> = { readonly isKept: boolean; readonly value: T };

/** For a statement that counts or analyses a large table. */
const STATEMENT_MS = 10 * 60_000;

/**
 * Runs `work` and commits what it keeps. A lost connection, or an error of `work`, undoes everything.
 * Errors: what `work` throws; `unavailable`.
 */
export async function longTransaction<T>(
  { url, begin, idleMs = PAUSE_MS }: LongOptions,
  work: (transaction: LongTransaction) => Promise<Ending<T>>,
): Promise<T> {
  // One more connection, to look for the outcome of a lost commit.
  const pool = createPool({ url, connections: 2, statementMs: STATEMENT_MS });
  try {
    const connection = await pool.reserve();
    try {
      await connection.unsafe(begin);
      await connection.unsafe(`SET LOCAL idle_in_transaction_session_timeout = ${idleMs}`);
      const { isKept, value } = await keptAlive(connection, idleMs / 4, work);
      if (isKept) await commit(pool, connection, { id: await transactionId(connection), last: CHECK });
      return value;
    } finally {
      await rollback(connection);
      connection.release();
    }
  } catch (error) {
    throw toAppError(error);
  } finally {
    await pool.close();
  }
}

/** Sends a statement now and then, because files are copied for a long time between two statements of `work`. */
async function keptAlive<T>(
  connection: Connection,
  everyMs: number,
  work: (transaction: LongTransaction) => Promise<T>,
): Promise<T> {
  const client = inTurn(connection);
  // Its errors are those of the next statement too.
  const timer = setInterval(() => void client.unsafe("SELECT 1").then(undefined, () => undefined), everyMs);
  try {
    return await work({ client, reader: readerOf(client) });
  } finally {
    clearInterval(timer);
  }
}

function inTurn(connection: Connection): Client {
  const turns = createMutex();
  return {
    unsafe: (text, values) => ({
      values: () => turns.run(() => connection.unsafe(text, values).values()),
      // oxlint-disable-next-line unicorn/no-thenable -- drizzle awaits the query itself when it has no columns
      then: (resolve, reject) => turns.run(async () => await connection.unsafe(text, values)).then(resolve, reject),
    }),
  };
}

async function transactionId(connection: Connection): Promise<string> {
  const [row] = await connection.unsafe("SELECT pg_current_xact_id()::text").values();
  return String(row?.[0]);
}
