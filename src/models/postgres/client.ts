// Connections to PostgreSQL, bounded in number and in time. Bun.SQL has no time-out for a query or for a place in the
// pool, so a server that accepts connections and never answers would hold every request.

import { SQL } from "bun";
import { unavailable } from "../../errors.ts";

export type Rows = Record<string, unknown>[];

/** A query that runs when it is awaited. */
export type Query = PromiseLike<Rows> & { values(): Promise<unknown[][]> };

/** The part of Bun.SQL that drizzle uses. */
export type Client = { unsafe(text: string, values?: readonly unknown[]): Query };

export type Pool = Client & {
  /** Takes one connection out of the pool. Errors: `unavailable` when none is free in time. */
  reserve(): Promise<Connection>;
  /** Changes whenever the pool had to be opened again. */
  readonly generation: number;
  close(): Promise<void>;
};

export type Connection = Client & {
  /** Returns the connection to the pool. */
  release(): void;
};

export type PoolOptions = {
  readonly url: string;
  readonly connections: number;
  /** ms that a statement may run in the server. */
  readonly statementMs?: number | undefined;
};

/** Requests must not wait longer than 10 s in total. */
const ANSWER_MS = 8_000;
const CONNECT_SECONDS = 4;
const STATEMENT_MS = 7_000;
const LOCK_MS = 5_000;
/** Longer than the pauses between two queries of a snapshot. */
export const IDLE_IN_TRANSACTION_MS = 120_000;

export function createPool(options: PoolOptions): Pool {
  const { statementMs = STATEMENT_MS } = options;
  const answerMs = statementMs + (ANSWER_MS - STATEMENT_MS);
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
      return bounded(
        () => current.unsafe(text, [...(values ?? [])]),
        answerMs,
        () => renew(current),
      );
    },
    reserve: async () => {
      const current = sql;
      const late = (): void => renew(current);
      const reserved = await within(current.reserve(), ANSWER_MS, late);
      return {
        unsafe: (text, values) => bounded(() => reserved.unsafe(text, [...(values ?? [])]), answerMs, late),
        release: () => void reserved.release(),
      };
    },
    get generation() {
      return generation;
    },
    close: () => sql.close({ timeout: 1 }),
  };
}

function connect({ url, connections }: PoolOptions, statementMs: number): SQL {
  return new SQL({
    url,
    max: connections,
    connectionTimeout: CONNECT_SECONDS,
    connection: {
      application_name: "condarium",
      statement_timeout: String(statementMs),
      lock_timeout: String(LOCK_MS),
      idle_in_transaction_session_timeout: String(IDLE_IN_TRANSACTION_MS),
    },
  });
}

type BunQuery = SQL.Query<Rows>;

function bounded(start: () => BunQuery, ms: number, onLate: () => void): Query {
  const run = async (): Promise<Rows> => await within<Rows>(start(), ms, onLate);
  return {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the types of Bun omit what `values()` changes
    values: async () => await within(start().values() as PromiseLike<unknown> as PromiseLike<unknown[][]>, ms, onLate),
    // oxlint-disable-next-line unicorn/no-thenable -- drizzle awaits the query itself when it has no columns
    then: (resolve, reject) => run().then(resolve, reject),
  };
}

async function within<T>(work: PromiseLike<T>, ms: number, onLate: () => void): Promise<T> {
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      onLate();
      reject(unavailable("The database does not answer. Retry in a moment.", 5));
    }, ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
