// Writes to PostgreSQL: units of work that change the same channel share a transaction, and channels do not wait for
// each other.

import { z } from "zod";
import { unavailable } from "../../errors.ts";
import { systemClock } from "../../modules/clock.ts";
import { patienceOfCaller, withPatience, type Patience } from "../../modules/patience.ts";
import { requireRow } from "../rows.ts";
import type { UnitOptions } from "../unit.ts";
import { rollback, type Connection, type Pool } from "./client.ts";
import { CHECK, commit } from "./commit.ts";
import { isConnectionLost, isRepeatable, toAppError } from "./errors.ts";
import { LOCKS } from "./locks.ts";

export type Writer<Tx> = { run<T>(work: (tx: Tx) => Promise<T>, options?: UnitOptions): Promise<T> };

/** A place for one transaction at a time; statements are prepared once per slot. */
export type Slot<Tx> = {
  use(connection: Connection): void;
  transactionOf(isOpen: () => boolean): Tx;
};

export type WriterOptions<Tx> = {
  readonly pool: Pool;
  readonly slots: readonly Slot<Tx>[];
  readonly failpoint?: ((name: string) => void) | undefined;
  /** Throws when a commit would be lost: called before it, and again before it is acknowledged. */
  readonly requireFiles?: (() => void) | undefined;
};

type Unit<Tx> = {
  readonly work: (tx: Tx) => Promise<unknown>;
  readonly confirm: (() => Promise<void>) | undefined;
  readonly isUnseen: boolean;
  readonly since: number;
  /** Of the request that waits for the unit. */
  readonly patience: Patience | undefined;
  /** Its wait has ended. */
  begin(): void;
  settle(outcome: Outcome): void;
};
type Outcome = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: unknown };

/** Units in the order of their arrival, with the statements that lock what they change. */
type Lane<Tx> = { readonly locks: string; readonly units: Unit<Tx>[]; isScheduled: boolean };

const UNITS_PER_COMMIT = 64;
const UNITS_WAITING = 10_000;
/** ms until a unit must have begun. */
const WAIT_MS = 3_000;
/** ms that a unit needs at least; and a commit, as one whose outcome is unknown is worse than a refused unit. */
const LEAST_MS = 1_000;
const ATTEMPTS = 5;
/** ms until the last attempt begins, so that its answer is in time. */
const RETRY_MS = 3_000;

export function createWriter<Tx>(options: WriterOptions<Tx>): Writer<Tx> {
  const lanes = new Map<string, Lane<Tx>>();
  const ready: string[] = [];
  const free = [...options.slots];
  let waiting = 0;

  function schedule(key: string, lane: Lane<Tx>): void {
    if (lane.isScheduled) return;
    lane.isScheduled = true;
    ready.push(key);
    dispatch();
  }

  function dispatch(): void {
    while (free.length > 0 && ready.length > 0) {
      const [slot, key] = [free.pop(), ready.shift()];
      if (slot && key !== undefined) void serve(slot, key);
    }
  }

  async function serve(slot: Slot<Tx>, key: string): Promise<void> {
    const lane = lanes.get(key);
    if (lane) {
      // Waits one turn of the event loop, so that units which become ready in it join the commit.
      await new Promise((resolve) => setImmediate(resolve));
      const units = lane.units.splice(0, UNITS_PER_COMMIT);
      waiting -= units.length;
      for (const unit of units) unit.begin();
      await commitInTime(options, slot, lane.locks, units);
      lane.isScheduled = false;
      if (lane.units.length > 0) schedule(key, lane);
      else lanes.delete(key);
    }
    free.push(slot);
    dispatch();
  }

  return {
    run: <T>(work: (tx: Tx) => Promise<T>, unit: UnitOptions = {}) =>
      new Promise<T>((resolve, reject) => {
        if (waiting >= UNITS_WAITING) {
          reject(unavailable("Too many changes are waiting for the database. Retry later.", 5));
          return;
        }
        const { key, locks } = laneOf(unit);
        const lane = lanes.get(key) ?? { locks, units: [], isScheduled: false };
        lanes.set(key, lane);
        const settle = (outcome: Outcome): void => {
          // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the value that `work` returned
          if (outcome.ok) resolve(outcome.value as T);
          else reject(outcome.error);
        };
        const added = unitOf(work, unit, settle, () => {
          lane.units.splice(lane.units.indexOf(added), 1);
          waiting -= 1;
        });
        lane.units.push(added);
        waiting += 1;
        schedule(key, lane);
      }),
  };
}

/** `drop` takes the unit out of its lane, when it has waited too long: then its client has given up. */
function unitOf<Tx>(
  work: Unit<Tx>["work"],
  { confirm, isUnseen = false }: UnitOptions,
  settle: Unit<Tx>["settle"],
  drop: () => void,
): Unit<Tx> {
  const since = systemClock.elapsed();
  const patience = patienceOfCaller();
  const refuse = (): void => {
    drop();
    settle({ ok: false, error: busy() });
  };
  const impatience = setTimeout(refuse, Math.min(WAIT_MS, leftOf(patience) - LEAST_MS));
  const begin = (): void => {
    clearTimeout(impatience);
    patience?.spend(systemClock.elapsed() - since);
  };
  return { work, confirm, isUnseen, since, patience, begin, settle };
}

/** Channels are locked in the order of their ids, so that two transactions never wait for each other. */
function laneOf({ channels = [], isUnseen = false }: UnitOptions): { key: string; locks: string } {
  if (channels.length > 0) {
    const ids = [...new Set(channels)].sort((a, b) => a - b).join(", ");
    return { key: ids, locks: `SELECT id FROM channel WHERE id IN (${ids}) ORDER BY id FOR NO KEY UPDATE` };
  }
  if (isUnseen) return { key: "unseen", locks: "" };
  return { key: "management", locks: `SELECT pg_advisory_xact_lock(${LOCKS.management})` };
}

/** The units wait no longer for the database together than the one with the least patience can. */
async function commitInTime<Tx>(
  options: WriterOptions<Tx>,
  slot: Slot<Tx>,
  locks: string,
  units: readonly Unit<Tx>[],
): Promise<void> {
  const least = Math.min(...units.map(({ patience }) => leftOf(patience)));
  await withPatience(least, () => commitTogether(options, slot, locks, units));
}

function leftOf(patience: Patience | undefined): number {
  return patience?.left() ?? Infinity;
}

function busy(): Error {
  return unavailable("The database is busy. Retry in a moment.", 1);
}

async function commitTogether<Tx>(
  options: WriterOptions<Tx>,
  slot: Slot<Tx>,
  locks: string,
  units: readonly Unit<Tx>[],
): Promise<void> {
  let left = units;
  while (left.length > 0) {
    const [tried, refused] = [left, new Map<Unit<Tx>, unknown>()];
    const until = Math.min(...tried.map(({ since }) => since)) + RETRY_MS;
    const outcomes = await withAttempts(until, (isLast) =>
      attempt(options, slot, { locks, units: tried, isLast, refused }),
    ).catch((error: unknown) => tried.map((): Outcome => ({ ok: false, error: toAppError(error) })));
    // A refused unit has undone the whole transaction: the others run again without it.
    left = refused.size === 0 ? [] : tried.filter((unit) => !refused.has(unit));
    for (const [position, unit] of tried.entries()) {
      if (refused.has(unit)) finishUnit(unit, { ok: false, error: toAppError(refused.get(unit)) });
      else if (refused.size === 0) finishUnit(unit, outcomes[position] ?? NO_OUTCOME);
    }
  }
}

function finishUnit<Tx>(unit: Unit<Tx>, outcome: Outcome): void {
  unit.patience?.spend(patienceOfCaller()?.spent() ?? 0);
  unit.settle(outcome);
}

const NO_OUTCOME: Outcome = { ok: false, error: new Error("a unit of work has no outcome") };

/** Repeats what another transaction or a lost connection has prevented; nothing of it was committed. */
async function withAttempts<T>(until: number, run: (isLast: boolean) => Promise<T>): Promise<T> {
  for (let made = 1; ; made += 1) {
    const isLate = () => systemClock.elapsed() >= until;
    const isLast = made >= ATTEMPTS || isLate();
    try {
      return await run(isLast);
    } catch (error) {
      if (isLast || !mustRepeat(error) || (isConnectionLost(error) && isLate())) throw error;
      await Bun.sleep(Math.random() * 20 * 2 ** made);
    }
  }
}

type Batch<Tx> = {
  readonly locks: string;
  readonly units: readonly Unit<Tx>[];
  /** In the last attempt a unit that should be repeated fails, and only that. */
  readonly isLast: boolean;
  /** Receives the units whose `confirm` fails, with their errors: then nothing is committed. */
  readonly refused: Map<Unit<Tx>, unknown>;
};

async function attempt<Tx>(
  options: WriterOptions<Tx>,
  slot: Slot<Tx>,
  { locks, units, isLast, refused }: Batch<Tx>,
): Promise<readonly Outcome[]> {
  options.requireFiles?.();
  const connection = await options.pool.reserve();
  slot.use(connection);
  try {
    const id = await beginTransaction(connection, locks);
    const outcomes = await runUnits(slot, connection, { units, isLast });
    await confirmAll(units, outcomes, refused);
    if (refused.size > 0) {
      await rollback(connection);
      return outcomes;
    }
    options.failpoint?.("p6.in_tx");
    await finish(options.pool, { connection, id }, units, outcomes);
    options.failpoint?.("p7.committed");
    options.requireFiles?.();
    return outcomes;
  } catch (error) {
    await rollback(connection);
    throw error;
  } finally {
    connection.release();
  }
}

async function confirmAll<Tx>(
  units: readonly Unit<Tx>[],
  outcomes: readonly Outcome[],
  refused: Map<Unit<Tx>, unknown>,
): Promise<void> {
  await Promise.all(
    units.map(async (unit, position) => {
      if (!unit.confirm || outcomes[position]?.ok !== true) return;
      await unit.confirm().catch((error: unknown) => refused.set(unit, error));
    }),
  );
}

/** Begins a transaction with its locks, and returns its id, in one round trip. */
async function beginTransaction(connection: Connection, locks: string): Promise<string> {
  const results: unknown = await connection.unsafe(`BEGIN; ${locks}; SELECT pg_current_xact_id()::text`).values();
  return requireRow(requireRow(resultsShape.parse(results).at(-1) ?? []));
}

/** The rows of each statement; only the last one's matter. */
const resultsShape = z.array(z.array(z.array(z.coerce.string())));

/** Counts a commit that a response can show. */
const COUNT = "UPDATE commit_count SET commits = commits + 1 WHERE slot = pg_backend_pid() % 64";

type Begun = { readonly connection: Connection; readonly id: string };

async function finish<Tx>(
  pool: Pool,
  { connection, id }: Begun,
  units: readonly Unit<Tx>[],
  outcomes: readonly Outcome[],
): Promise<void> {
  if (!outcomes.some(({ ok }) => ok)) return await rollback(connection);
  const isSeen = units.some((unit, position) => !unit.isUnseen && outcomes[position]?.ok === true);
  if (leftOf(patienceOfCaller()) < LEAST_MS) throw busy();
  await commit(pool, connection, { id, last: isSeen ? COUNT : CHECK });
}

/** Each unit of several runs in a savepoint, so that a failing unit undoes only itself. */
async function runUnits<Tx>(
  slot: Slot<Tx>,
  connection: Connection,
  { units, isLast }: Pick<Batch<Tx>, "units" | "isLast">,
): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = [];
  const isShared = units.length > 1;
  if (isShared) await connection.unsafe("SAVEPOINT unit");
  for (const unit of units) {
    const outcome = await runUnit(slot, unit);
    if (!outcome.ok && !isLast && mustRepeat(outcome.error)) throw outcome.error;
    // Both leave a savepoint for the next unit.
    if (isShared)
      await connection.unsafe(outcome.ok ? "RELEASE SAVEPOINT unit; SAVEPOINT unit" : "ROLLBACK TO SAVEPOINT unit");
    outcomes.push(outcome.ok ? outcome : { ok: false, error: toAppError(outcome.error) });
  }
  return outcomes;
}

function mustRepeat(error: unknown): boolean {
  return isRepeatable(error) || isConnectionLost(error);
}

/** The transaction refuses use after this returns, even in code that still has a reference to it. */
async function runUnit<Tx>(slot: Slot<Tx>, unit: Unit<Tx>): Promise<Outcome> {
  let isOpen = true;
  try {
    return { ok: true, value: await unit.work(slot.transactionOf(() => isOpen)) };
  } catch (error) {
    return { ok: false, error };
  } finally {
    isOpen = false;
  }
}
