// The one writer: a queue of units of work, committed together so that many share one fsync.

import type { Database as Connection } from "bun:sqlite";
import { unavailable } from "../errors.ts";
import { isDatabaseBusy, isLogSyncFailure, toAppError } from "./database-errors.ts";

export type Writer<Tx> = { run<T>(work: (tx: Tx) => Promise<T>): Promise<T> };

export type WriterOptions<Tx> = {
  readonly connection: Connection;
  readonly transaction: Tx;
  /** Throws when what is committed would be lost: asked before each commit, and once more before it is acknowledged. */
  readonly requireFiles?: (() => void) | undefined;
  readonly failpoint?: ((name: string) => void) | undefined;
  readonly onFatal?: ((error: unknown) => void) | undefined;
};

type Unit<Tx> = { readonly work: (tx: Tx) => Promise<unknown>; settle(outcome: Outcome): void };
type Outcome = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: unknown };

const UNITS_PER_COMMIT = 64;
const UNITS_WAITING = 10_000;
const LOCK_WAIT_MS = 5_000;
const LOCK_POLL_MS = 25;

export function createWriter<Tx>(options: WriterOptions<Tx>): Writer<Tx> {
  const waiting: Unit<Tx>[] = [];
  let draining = false;

  async function drain(): Promise<void> {
    draining = true;
    while (waiting.length > 0) {
      // One turn of the event loop: what has just become ready for the database comes along.
      await new Promise((resolve) => setImmediate(resolve));
      await commitTogether(options, waiting);
    }
    draining = false;
  }

  return {
    run: <T>(work: (tx: Tx) => Promise<T>) =>
      new Promise<T>((resolve, reject) => {
        if (waiting.length >= UNITS_WAITING) {
          reject(unavailable("Too many changes wait for the database.", 5));
          return;
        }
        const settle = (outcome: Outcome): void => {
          // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it came out of `work` itself
          if (outcome.ok) resolve(outcome.value as T);
          else reject(outcome.error);
        };
        waiting.push({ work, settle });
        if (!draining) void drain();
      }),
  };
}

async function commitTogether<Tx>(options: WriterOptions<Tx>, waiting: Unit<Tx>[]): Promise<void> {
  let units: readonly Unit<Tx>[] = [];
  const outcomes: Outcome[] = [];
  try {
    options.requireFiles?.();
    await begin(options.connection);
    units = waiting.splice(0, UNITS_PER_COMMIT);
    for (const unit of units) outcomes.push(await inSavepoint(options, unit));
    options.failpoint?.("p6.in_tx");
    options.connection.run("COMMIT");
    options.failpoint?.("p7.committed");
    options.requireFiles?.();
  } catch (error) {
    rollback(options.connection);
    if (isLogSyncFailure(error)) options.onFatal?.(error);
    const failure: Outcome = { ok: false, error: toAppError(error) };
    // Without the lock, all who waited for it have waited long enough.
    if (units.length === 0) units = waiting.splice(0);
    for (const unit of units) unit.settle(failure);
    return;
  }
  for (const [position, unit] of units.entries()) {
    unit.settle(outcomes[position] ?? { ok: false, error: new Error("a unit of work has no outcome") });
  }
}

async function begin(connection: Connection): Promise<void> {
  for (let waited = 0; ; waited += LOCK_POLL_MS) {
    try {
      connection.run("BEGIN IMMEDIATE");
      return;
    } catch (error) {
      if (!isDatabaseBusy(error) || waited >= LOCK_WAIT_MS) throw error;
      await Bun.sleep(LOCK_POLL_MS);
    }
  }
}

async function inSavepoint<Tx>(options: WriterOptions<Tx>, unit: Unit<Tx>): Promise<Outcome> {
  const { connection } = options;
  connection.run("SAVEPOINT unit");
  try {
    const value = await unit.work(options.transaction);
    connection.run("RELEASE unit");
    return { ok: true, value };
  } catch (error) {
    // A full disk makes SQLite roll back everything by itself: then the whole commit fails with that error.
    if (!connection.inTransaction) throw error;
    connection.run("ROLLBACK TO unit");
    connection.run("RELEASE unit");
    return { ok: false, error: toAppError(error) };
  }
}

function rollback(connection: Connection): void {
  try {
    if (connection.inTransaction) connection.run("ROLLBACK");
  } catch {
    // A connection that has been closed meanwhile has rolled back already; the first error is the one to tell.
  }
}
