// Connections to PostgreSQL, bounded in number and in time. Bun.SQL has no time-out for a query or for a place in the
// pool, so a server that accepts connections and never answers would hold every request.

import { SQL } from "bun";
import { AppError } from "../../errors.ts";
import { patienceOfCaller, withPatience } from "../../modules/patience.ts";
import { isConnectionClosed, unanswered } from "./errors.ts";

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

/** Refuses use once an answer was late, or its caller could wait no longer. */
export type Connection = Client & {
  /** Whether nobody waits any more for an answer that was late. */
  readonly isLate: boolean;
  /** Returns the connection to the pool; after a late answer, as soon as that has arrived and what it holds is undone. */
  release(): void;
};

/** Undoes the transaction, if there is one, also for a caller who can wait no longer. */
export async function rollback(connection: Connection): Promise<void> {
  try {
    await withPatience(ROLLBACK_MS, async () => await connection.unsafe("ROLLBACK"));
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

const STATEMENT_MS = 4_500;
/** For the way to the server and back. */
const WAY_MS = 1_000;
const CONNECT_SECONDS = 4;
const CLOSE_SECONDS = 1;
/** ms that a statement may wait for a lock. */
export const LOCK_MS = 4_000;
const ROLLBACK_MS = 1_000;
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
      const bounded = <T>(run: () => PromiseLike<T>) =>
        within(
          () => repeatedly(run),
          answerMs,
          () => renew(current),
        );
      return queryOf(start, bounded);
    },
    reserve: () => {
      const current = sql;
      return reserveFrom(current, answerMs, () => renew(current));
    },
    get generation() {
      return generation;
    },
    close: async () => {
      // Whoever closes a pool goes on, also when a connection cannot be closed in order.
      await Promise.race([sql.close({ timeout: CLOSE_SECONDS }).catch(ignore), Bun.sleep(2000 * CLOSE_SECONDS)]);
    },
  };
}

async function reserveFrom(sql: SQL, answerMs: number, onLate: () => void): Promise<Connection> {
  const reserving = sql.reserve();
  const reserved = await within(() => reserving, STATEMENT_MS, onLate).catch((error: unknown) => {
    void reserving.then((unwanted) => unwanted.release()).catch(ignore);
    throw error;
  });
  let late: Promise<unknown> | undefined;
  const send = (text: string, values: readonly unknown[] = []): BunQuery => reserved.unsafe(text, [...values]);
  const undoAndRelease = async (answer: Promise<unknown>): Promise<void> => {
    await answer.catch(ignore);
    await within(() => send("ROLLBACK"), answerMs, onLate);
    await reserved.release();
  };
  return {
    unsafe: (text, values) =>
      queryOf(
        () => send(text, values),
        async (run) => {
          if (late) throw unanswered();
          let answer: Promise<unknown> | undefined;
          const runOnce = () => {
            const running = (async () => await run())();
            answer = running;
            return running;
          };
          try {
            return await within(runOnce, answerMs, onLate);
          } catch (error) {
            if (error instanceof AppError) late = answer;
            throw error;
          }
        },
      ),
    get isLate() {
      return late !== undefined;
    },
    release: () => {
      const answer = late;
      if (!answer) void reserved.release();
      else void withPatience(Infinity, () => undoAndRelease(answer)).catch(ignore);
    },
  };
}

function ignore(): void {}

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

/** Errors: `unavailable` when the answer takes longer than `ms`, or than its caller can wait; those of `run`. */
async function within<T>(run: () => PromiseLike<T>, ms: number, onLate: () => void): Promise<T> {
  const patience = patienceOfCaller();
  const left = patience?.left() ?? Infinity;
  if (left === 0) throw unanswered();
  const ended = Promise.withResolvers<never>();
  const end = (): void => ended.reject(unanswered());
  // Runs on when the caller has gone: a connection that never answers would keep its place in the pool.
  const lateness = setTimeout(() => {
    onLate();
    end();
  }, ms);
  const impatience = left < ms ? setTimeout(end, left) : undefined;
  const answer = (async () => await run())().finally(() => clearTimeout(lateness));
  const endWait = patience?.beginWait();
  try {
    return await Promise.race([answer, ended.promise]);
  } finally {
    clearTimeout(impatience);
    endWait?.();
  }
}
