// The main database in PostgreSQL: pools for reading, for writing, for looks at the version, and for snapshots.

import { drizzle } from "drizzle-orm/bun-sql";
import { unavailable } from "../../errors.ts";
import { patienceOfCaller } from "../../modules/patience.ts";
import type { Database, DatabaseOptions, Reader, Snapshots, Transaction } from "../database.ts";
import { transactionOf } from "../transaction.ts";
import { createPool, rollback, type Client, type Connection, type Pool, type PoolOptions } from "./client.ts";
import { readOnly, toAppError, toOpenError } from "./errors.ts";
import { shareLooks } from "./look.ts";
import { isMigrated, migrate } from "./migrations.ts";
import { requireServer } from "./server.ts";
import { shownUrl } from "./url.ts";
import { createWriter, type Slot } from "./writer.ts";

const READERS = 6;
const WRITERS = 5;
/** A look is short: a server that does not answer it in time does not work. */
const LOOK_MS = 500;
/** A writer reads and writes blobs between two statements. */
const WRITER_PAUSE_MS = 30_000;

/** Errors: `unavailable`, with the problem and a remedy. */
export async function openPostgres(url: string, options: DatabaseOptions): Promise<Database> {
  await using opened = new AsyncDisposableStack();
  const open = (pool: Omit<PoolOptions, "url">): Pool =>
    opened.adopt(createPool({ url, ...pool }), ({ close }) => close());
  const read = open({ connections: READERS });
  // One more connection than writers, to look for the outcome of a lost commit.
  const write = open({ connections: WRITERS + 1, pauseMs: WRITER_PAUSE_MS });
  const look = open({ connections: 1, statementMs: LOOK_MS });
  await prepareServer(write, url, options);
  const writer = createWriter<Transaction>({
    ...options,
    pool: write,
    slots: Array.from({ length: WRITERS }, createSlot),
  });
  const looks = shareLooks(() => versionOf(look));
  const owned = opened.move();
  return {
    read: readerOf(read),
    version: () => counted(looks),
    transact: (work, unit) => writer.run(work, unit),
    logBytes: () => 0,
    shrinkLog: () => undefined,
    // PostgreSQL checks itself: https://www.postgresql.org/docs/current/app-pgamcheck.html
    integrityProblems: async () => [],
    shrink: async () => 0,
    requireReady: async () => await requireWritable(look),
    close: () => owned.disposeAsync(),
  };
}

/** Counts a wait that callers share. */
async function counted<T>(wait: () => Promise<T>): Promise<T> {
  const endWait = patienceOfCaller()?.beginWait();
  try {
    return await wait();
  } finally {
    endWait?.();
  }
}

/** For worker threads and commands, which read while the server runs. */
export function openPostgresSnapshots(url: string): Snapshots & { close(): Promise<void> } {
  const pool = createPool({ url, connections: 1 });
  const slot = createSlot();
  return {
    snapshot: async (work) => {
      let connection: Connection | undefined;
      try {
        connection = await pool.reserve();
        slot.use(connection);
        await connection.unsafe("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        return await work(slot.reader);
      } catch (error) {
        throw toAppError(error);
      } finally {
        if (connection) await rollback(connection);
        connection?.release();
      }
    },
    close: () => pool.close(),
  };
}

async function prepareServer(pool: Pool, url: string, { clock, create }: DatabaseOptions): Promise<void> {
  try {
    await requireServer(pool);
    if (!(await isMigrated(pool))) await migrate(url, { now: clock.now(), create });
  } catch (error) {
    throw toOpenError(error, shownUrl(url));
  }
}

/**
 * The connection is part of it, as a server that was set back to an earlier state, which ends its connections, can
 * repeat the numbers of commits.
 */
async function versionOf(pool: Pool): Promise<string> {
  try {
    const [row] = await pool.unsafe("SELECT pg_backend_pid(), sum(commits)::text FROM commit_count").values();
    return `${pool.generation} ${String(row?.[0])} ${String(row?.[1])}`;
  } catch (error) {
    throw toAppError(error);
  }
}

async function requireWritable(pool: Pool): Promise<void> {
  try {
    const [row] = await pool.unsafe("SELECT current_setting('transaction_read_only')").values();
    if (row?.[0] === "off") return;
  } catch (error) {
    throw toAppError(error);
  }
  throw readOnly();
}

function createSlot(): Slot<Transaction> & { readonly reader: Reader } {
  let current: Connection | undefined;
  const reader = readerOf({
    unsafe: (text, values) => {
      if (!current) throw unavailable("The connection to the database is closed. Retry in a moment.", 1);
      return current.unsafe(text, values);
    },
  });
  return {
    reader,
    use: (connection) => (current = connection),
    transactionOf: (isOpen) => transactionOf(reader, isOpen),
  };
}

export function readerOf(client: Client): Reader {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- queries are typed for SQLite, see schema/index.ts
  return drizzle({ client: client as never }) as unknown as Reader;
}
