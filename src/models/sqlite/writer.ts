// The single writer: a queue of units of work, committed together so that many units share one fsync.

import type { Database as Connection } from "bun:sqlite";
import { AppError, unavailable } from "../../errors.ts";
import type { UnitOptions } from "../unit.ts";
import { isDatabaseBusy, isLogSyncFailure, toAppError } from "./errors.ts";

export type Writer<Tx> = { run<T>(work: (tx: Tx) => Promise<T>, options?: UnitOptions): Promise<T> };

export type WriterOptions<Tx> = {
  readonly connection: Connection;
  /** Creates the transaction of a unit; the transaction must refuse use once the unit is no longer open. */
  readonly transactionOf: (isOpen: () => boolean) => Tx;
  /** Throws when a commit would be lost. Called before each commit, and again before the commit is acknowledged. */
  readonly requireFiles?: (() => void) | undefined;
  readonly failpoint?: ((name: string) => void) | undefined;
  readonly onFatal?: ((error: unknown) => void) | undefined;
  /** Called just before a commit with at least one unit that is not `isUnseen`. */
  readonly onChange?: (() => void) | undefined;
  /** Frees disk space for the retry of an `evenIfFull` unit. */
  readonly onFull?: (() => void) | undefined;
  /** Waits for the turn of this process to write; the result ends the turn. Turns are fair, a race for the lock is not. */
  readonly turn?: WriteTurn | undefined;
};
export type WriteTurn = () => Promise<() => void>;

type Unit<Tx> = {
  readonly work: (tx: Tx) => Promise<unknown>;
  readonly confirm: (() => Promise<void>) | undefined;
  readonly isUnseen: boolean;
  /** True for an `evenIfFull` unit until its retry. */
  canRetry: boolean;
  settle(outcome: Outcome): void;
};
type Outcome = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: unknown };

const UNITS_PER_COMMIT = 64;
const UNITS_WAITING = 10_000;
const LOCK_WAIT_MS = 5_000;
/** Time between two attempts to get the lock: the first, and the longest after doubling. */
const LOCK_POLL_MS = { first: 1, longest: 25 };

export function createWriter<Tx>(options: WriterOptions<Tx>): Writer<Tx> {
  const waiting: Unit<Tx>[] = [];
  let draining = false;

  async function drain(): Promise<void> {
    draining = true;
    while (waiting.length > 0) {
      // Waits one turn of the event loop, so that units which become ready in it join the commit.
      await new Promise((resolve) => setImmediate(resolve));
      const endTurn = await inTime(options.turn?.());
      await commitTogether(options, waiting);
      endTurn();
    }
    draining = false;
  }

  return {
    run: <T>(work: (tx: Tx) => Promise<T>, { evenIfFull = false, isUnseen = false, confirm }: UnitOptions = {}) =>
      new Promise<T>((resolve, reject) => {
        if (waiting.length >= UNITS_WAITING) {
          reject(unavailable("Too many changes are waiting for the database. Retry later.", 5));
          return;
        }
        const settle = (outcome: Outcome): void => {
          // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the value that `work` returned
          if (outcome.ok) resolve(outcome.value as T);
          else reject(outcome.error);
        };
        waiting.push({ work, confirm, isUnseen, canRetry: evenIfFull, settle });
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
    if (units.some(({ isUnseen }) => !isUnseen)) options.onChange?.();
    options.connection.run("COMMIT");
    options.failpoint?.("p7.committed");
    options.requireFiles?.();
  } catch (error) {
    rollback(options.connection);
    if (isLogSyncFailure(error)) options.onFatal?.(error);
    const failure: Outcome = { ok: false, error: toAppError(error) };
    // Without the lock every waiting unit fails: all have waited long enough.
    if (units.length === 0) units = waiting.splice(0);
    settleOrRetry(options, waiting, units, () => failure);
    return;
  }
  const none: Outcome = { ok: false, error: new Error("a unit of work has no outcome") };
  settleOrRetry(options, waiting, units, (position) => outcomes[position] ?? none);
}

/** Runs outside of any transaction. Units that failed on a full disk and can retry go to the front of the queue. */
function settleOrRetry<Tx>(
  options: WriterOptions<Tx>,
  waiting: Unit<Tx>[],
  units: readonly Unit<Tx>[],
  outcomeOf: (position: number) => Outcome,
): void {
  const retried: Unit<Tx>[] = [];
  for (const [position, unit] of units.entries()) {
    const outcome = outcomeOf(position);
    if (unit.canRetry && isFull(outcome)) retried.push(unit);
    else unit.settle(outcome);
  }
  if (retried.length === 0) return;
  for (const unit of retried) unit.canRetry = false;
  options.onFull?.();
  waiting.unshift(...retried);
}

function isFull(outcome: Outcome): boolean {
  return !outcome.ok && outcome.error instanceof AppError && outcome.error.code === "no-space";
}

/** Without a turn after the longest wait, this process tries to get the lock all the same: only the lock is a rule. */
async function inTime(turn: ReturnType<WriteTurn> | undefined): Promise<() => void> {
  if (!turn) return () => undefined;
  const { promise, resolve } = Promise.withResolvers<() => void>();
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    resolve(() => undefined);
  }, LOCK_WAIT_MS);
  const granted = (end: () => void): void => {
    clearTimeout(timer);
    if (isLate) end();
    else resolve(end);
  };
  // Without a parent process the server ends.
  turn.then(granted, () => granted(() => undefined));
  return await promise;
}

async function begin(connection: Connection): Promise<void> {
  let poll = LOCK_POLL_MS.first;
  for (let waited = 0; ;) {
    try {
      connection.run("BEGIN IMMEDIATE");
      return;
    } catch (error) {
      if (!isDatabaseBusy(error) || waited >= LOCK_WAIT_MS) throw error;
      // Random, so that two processes do not try in step.
      const ms = poll * (0.5 + Math.random());
      await Bun.sleep(ms);
      waited += ms;
      poll = Math.min(2 * poll, LOCK_POLL_MS.longest);
    }
  }
}

async function inSavepoint<Tx>(options: WriterOptions<Tx>, unit: Unit<Tx>): Promise<Outcome> {
  const { connection } = options;
  connection.run("SAVEPOINT unit");
  try {
    const value = await runUnit(options, unit);
    connection.run("RELEASE unit");
    return { ok: true, value };
  } catch (error) {
    // On a full disk SQLite itself rolls back the transaction: then the entire commit fails with this error.
    if (!connection.inTransaction) throw error;
    connection.run("ROLLBACK TO unit");
    connection.run("RELEASE unit");
    return { ok: false, error: toAppError(error) };
  }
}

/** The transaction refuses use after this returns, even in code that still has a reference to it. */
async function runUnit<Tx>({ transactionOf }: WriterOptions<Tx>, unit: Unit<Tx>): Promise<unknown> {
  let isOpen = true;
  try {
    const value = await unit.work(transactionOf(() => isOpen));
    await unit.confirm?.();
    return value;
  } finally {
    isOpen = false;
  }
}

function rollback(connection: Connection): void {
  try {
    if (connection.inTransaction) connection.run("ROLLBACK");
  } catch {
    // A connection that was closed meanwhile has already rolled back; the caller reports the first error.
  }
}
