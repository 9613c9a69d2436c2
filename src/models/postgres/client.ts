// Connections to PostgreSQL, bounded in number and in time. Bun.SQL has no time-out for a query or for a place in the
// pool, so a server that accepts connections and never answers would hold every request.

import { SQL } from "bun";
import { unavailable, type AppError } from "../../errors.ts";
import { isConnectionClosed } from "./errors.ts";

export type Rows = Record<string, unknown>[];

/** A query that runs when it is awaited. */
export type Query = PromiseLike<Rows> & { values(): Promise<unknown[][]> };

/** The part of Bun.SQL that drizzle uses. */
export type Client = { unsafe(text: string, values?: readonly unknown[]): Query };

/** Its statements stand alone and only read: one whose connection was already closed is run again. */
export type Pool = Client & {
  /** Takes one connection out of the pool. Errors: `unavailable` when none is free in time. */
  reserve(): Promise<Connection>;
  /** Changes whenever the pool had to be opened again. */
  readonly generation: number;
  close(): Promise<void>;
};

/** Refuses use once an answer was late: what it holds is rolled back when the server notices its end. */
export type Connection = Client & {
  /** Whether an answer was late. */
  readonly isLate: boolean;
  /** Returns the connection to the pool. */
  release(): void;
};

/** Undoes the transaction, if there is one. */
export async function rollback(connection: Connection): Promise<void> {
  try {
    await connection.unsafe("ROLLBACK");
  } catch {
    // A lost connection has already rolled back; the caller reports the first error.
  }
}

export type PoolOptions = {
  readonly url: string;
  readonly connections: number;
  /** ms that a statement may run in the server. */
  readonly statementMs?: number | undefined;
  /** ms that a transaction may pause between two statements; then the server ends it, and with it its locks. */
  readonly pauseMs?: number | undefined;
};

/** A request waits at most 10 s in total: for a look at the version, and for one statement that is not answered. */
const STATEMENT_MS = 4_500;
/** For the way to the server and back. */
const WAY_MS = 1_000;
const CONNECT_SECONDS = 4;
const LOCK_MS = 4_000;
/** Longer than the pauses between two queries of a snapshot. */
export const PAUSE_MS = 120_000;
/** ms before a read is tried again. */
const PAUSES = [20, 100] as const;

export function createPool(options: PoolOptions): Pool {
  const { statementMs = STATEMENT_MS } = options;
  const answerMs = statementMs + WAY_MS;
  let sql = connect(options, statementMs);
  let generation = 0;

  /** A connection that has not answered in time can hold its place in the pool for ever: opens a new pool. */
  const renew = (late: SQL): void => {
    if (late !== sql) return;
    sql = connect(options, statementMs);
    generation += 1;
    void late.close({ timeout: 0 }).catch(() => undefined);
  };

  return {
    unsafe: (text, values) => {
      const current = sql;
      const start = (): BunQuery => current.unsafe(text, [...(values ?? [])]);
      const bounded = <T>(run: () => PromiseLike<T>) => within(repeatedly(run), answerMs, () => renew(current));
      return queryOf(start, bounded);
    },
    reserve: async () => {
      const current = sql;
      let isLate = false;
      const late = (): void => {
        isLate = true;
        renew(current);
      };
      const reserved = await within(current.reserve(), STATEMENT_MS, late);
      return {
        unsafe: (text, values) => {
          const start = (): BunQuery => reserved.unsafe(text, [...(values ?? [])]);
          return queryOf(start, async (run) => {
            if (isLate) throw unanswered();
            return await within(run(), answerMs, late);
          });
        },
        get isLate() {
          return isLate;
        },
        release: () => void reserved.release(),
      };
    },
    get generation() {
      return generation;
    },
    close: () => sql.close({ timeout: 1 }),
  };
}

function connect({ url, connections, pauseMs = PAUSE_MS }: PoolOptions, statementMs: number): SQL {
  return new SQL({
    url,
    max: connections,
    connectionTimeout: CONNECT_SECONDS,
    connection: {
      application_name: "condarium",
      statement_timeout: String(statementMs),
      lock_timeout: String(LOCK_MS),
      idle_in_transaction_session_timeout: String(pauseMs),
    },
  });
}

type BunQuery = SQL.Query<Rows>;
type Bounded = <T>(run: () => PromiseLike<T>) => Promise<T>;

function queryOf(start: () => BunQuery, bounded: Bounded): Query {
  return {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the types of Bun omit what `values()` changes
    values: () => bounded(() => start().values() as PromiseLike<unknown> as PromiseLike<unknown[][]>),
    // oxlint-disable-next-line unicorn/no-thenable -- drizzle awaits the query itself when it has no columns
    then: (resolve, reject) => bounded<Rows>(start).then(resolve, reject),
  };
}

/** A server that has restarted leaves the pool with closed connections, each of which fails once. */
async function repeatedly<T>(run: () => PromiseLike<T>): Promise<T> {
  for (const pause of PAUSES) {
    try {
      return await run();
    } catch (error) {
      if (!isConnectionClosed(error)) throw error;
      await Bun.sleep(pause);
    }
  }
  return await run();
}

async function within<T>(work: PromiseLike<T>, ms: number, onLate: () => void): Promise<T> {
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      onLate();
      reject(unanswered());
    }, ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function unanswered(): AppError {
  return unavailable("The database does not answer. Retry in a moment.", 5);
}
