// The one writer: a queue of units of work, committed together so that many share one fsync.

import type { Database as Connection } from "bun:sqlite";
import { AppError, unavailable } from "../../errors.ts";
import { isDatabaseBusy, isLogSyncFailure, toAppError } from "./errors.ts";

export type Writer<Tx> = { run<T>(work: (tx: Tx) => Promise<T>, options?: UnitOptions): Promise<T> };

export type UnitOptions = {
  /** For work that makes room: on a full disk it is done once more with what is kept for that. */
  readonly evenIfFull?: boolean;
  /** For what no answer to a stranger can depend on, as a failed login: it is no change to `onChange`. */
  readonly isUnseen?: boolean;
};

export type WriterOptions<Tx> = {
  readonly connection: Connection;
  /** Makes what a unit works with, which has to refuse once the unit is no longer open. */
  readonly transactionOf: (isOpen: () => boolean) => Tx;
  /** Throws when what is committed would be lost: asked before each commit, and once more before it is acknowledged. */
  readonly requireFiles?: (() => void) | undefined;
  readonly failpoint?: ((name: string) => void) | undefined;
  readonly onFatal?: ((error: unknown) => void) | undefined;
  /** Told just before a commit of anything that is not unseen. */
  readonly onChange?: (() => void) | undefined;
  /** Makes room for a change that makes more. */
  readonly onFull?: (() => void) | undefined;
};

type Unit<Tx> = {
  readonly work: (tx: Tx) => Promise<unknown>;
  readonly isUnseen: boolean;
  /** True until it has been. */
  mayBeTriedAgain: boolean;
  settle(outcome: Outcome): void;
};
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
    run: <T>(work: (tx: Tx) => Promise<T>, { evenIfFull = false, isUnseen = false }: UnitOptions = {}) =>
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
        waiting.push({ work, isUnseen, mayBeTriedAgain: evenIfFull, settle });
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
    // Without the lock, all who waited for it have waited long enough.
    if (units.length === 0) units = waiting.splice(0);
    settleOrRepeat(options, waiting, units, () => failure);
    return;
  }
  const none: Outcome = { ok: false, error: new Error("a unit of work has no outcome") };
  settleOrRepeat(options, waiting, units, (position) => outcomes[position] ?? none);
}

/** Outside of any transaction: units that found the disk full and may be tried again go to the front. */
function settleOrRepeat<Tx>(
  options: WriterOptions<Tx>,
  waiting: Unit<Tx>[],
  units: readonly Unit<Tx>[],
  outcomeOf: (position: number) => Outcome,
): void {
  const again: Unit<Tx>[] = [];
  for (const [position, unit] of units.entries()) {
    const outcome = outcomeOf(position);
    if (unit.mayBeTriedAgain && isFull(outcome)) again.push(unit);
    else unit.settle(outcome);
  }
  if (again.length === 0) return;
  for (const unit of again) unit.mayBeTriedAgain = false;
  options.onFull?.();
  waiting.unshift(...again);
}

function isFull(outcome: Outcome): boolean {
  return !outcome.ok && outcome.error instanceof AppError && outcome.error.code === "no-space";
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
    const value = await runUnit(options, unit);
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

/** The transaction refuses to be used when this has ended, whoever still holds it. */
async function runUnit<Tx>({ transactionOf }: WriterOptions<Tx>, unit: Unit<Tx>): Promise<unknown> {
  let isOpen = true;
  try {
    return await unit.work(transactionOf(() => isOpen));
  } finally {
    isOpen = false;
  }
}

function rollback(connection: Connection): void {
  try {
    if (connection.inTransaction) connection.run("ROLLBACK");
  } catch {
    // A connection that has been closed meanwhile has rolled back already; the first error is the one to tell.
  }
}
