// The main database in PostgreSQL: pools for reading, for writing, for looks at the version, and for snapshots.

import { drizzle } from "drizzle-orm/bun-sql";
import { unavailable } from "../../errors.ts";
import type { Database, DatabaseOptions, Reader, Snapshots, Transaction } from "../database.ts";
import { transactionOf } from "../transaction.ts";
import { createPool, type Client, type Connection, type Pool } from "./client.ts";
import { toAppError, toOpenError } from "./errors.ts";
import { shareLooks } from "./look.ts";
import { migrate } from "./migrations.ts";
import { requireServer } from "./server.ts";
import { shownUrl } from "./url.ts";
import { createWriter, type Slot } from "./writer.ts";

const READERS = 6;
const WRITERS = 5;
/** A look is short: a server that does not answer it in time does not work. */
const LOOK_MS = 2_000;

/** Errors: `unavailable`, with the problem and a remedy. */
export async function openPostgres(url: string, options: DatabaseOptions): Promise<Database> {
  await using opened = new AsyncDisposableStack();
  const open = (connections: number, statementMs?: number): Pool =>
    opened.adopt(createPool({ url, connections, statementMs }), (pool) => pool.close());
  // One more connection than writers, to look for the outcome of a lost commit.
  const [read, write, look] = [open(READERS), open(WRITERS + 1), open(1, LOOK_MS)];
  await prepareServer(write, url, options);
  const writer = createWriter<Transaction>({
    ...options,
    pool: write,
    slots: Array.from({ length: WRITERS }, createSlot),
  });
  const looks = shareLooks(async () => await versionOf(look));
  const owned = opened.move();
  return {
    read: readerOf(read),
    version: looks,
    transact: (work, unit) => writer.run(work, unit),
    logBytes: () => 0,
    shrinkLog: () => undefined,
    // PostgreSQL checks itself: https://www.postgresql.org/docs/current/app-pgamcheck.html
    integrityProblems: async () => [],
    shrink: async () => 0,
    close: () => owned.disposeAsync(),
  };
}

/** For worker threads and commands, which read while the server runs. */
export function openPostgresSnapshots(url: string): Snapshots & { close(): Promise<void> } {
  const pool = createPool({ url, connections: 1, statementMs: 60_000 });
  const slot = createSlot();
  return {
    snapshot: async (work) => {
      const connection = await pool.reserve();
      slot.use(connection);
      try {
        await connection.unsafe("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        return await work(slot.reader);
      } catch (error) {
        throw toAppError(error);
      } finally {
        await connection.unsafe("ROLLBACK").then(undefined, () => undefined);
        connection.release();
      }
    },
    close: () => pool.close(),
  };
}

async function prepareServer(pool: Pool, url: string, { clock, create }: DatabaseOptions): Promise<void> {
  try {
    const connection = await pool.reserve();
    try {
      await requireServer(connection);
      await migrate(connection, { now: clock.now(), create });
    } finally {
      connection.release();
    }
  } catch (error) {
    throw toOpenError(error, shownUrl(url));
  }
}

/** `generation` counts new pools: a server that was set back to an earlier state can repeat the numbers of commits. */
async function versionOf(pool: Pool): Promise<string> {
  try {
    const [row] = await pool.unsafe("SELECT sum(commits)::text FROM commit_count").values();
    return `${pool.generation} ${String(row?.[0])}`;
  } catch (error) {
    throw toAppError(error);
  }
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
