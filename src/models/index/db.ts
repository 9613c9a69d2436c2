// index.db: the data that documents are built from. Derived from the main database, which always takes precedence.

import { Database as Connection, type SQLQueryBindings } from "bun:sqlite";
import { rmSync } from "node:fs";
import { isDatabaseBusy, isDatabaseDiskFailure, isDatabaseFull, toOpenError } from "../sqlite/errors.ts";
import { systemClock, type Clock } from "../../modules/clock.ts";
import { createEntries, type DerivedEntries } from "./entries.ts";
import { bindingsOf, DerivedBusy, SCOPE, type IndexScope, type ScopeBindings } from "./scope.ts";
import { createSegments, type DerivedSegments } from "./segments.ts";
import { createDerivedShards, retireEntries, SHARDS_SCHEMA, type DerivedShards } from "./shards.ts";
import { shrink } from "../sqlite/shrink.ts";

/** A revision of a channel with its random id, which differs in a restored database or a recreated channel. */
export type RevisionPoint = { readonly revision: number; readonly identity: string };

/** Progress of a scope: it is complete at `revision` once `cursor` is null. */
export type DerivedState = RevisionPoint & {
  /** Where an unfinished full build or update resumes. */
  readonly cursor: string | null;
  /** Newest revision any part was built from; steps of a full build can run ahead of `revision`. */
  readonly highWater: RevisionPoint;
};

export type Derived = DerivedSegments &
  DerivedEntries &
  DerivedShards & {
    state(scope: IndexScope): DerivedState | undefined;
    setState(scope: IndexScope, state: DerivedState): void;
    /** The channels that have derived data. */
    channelIds(): number[];
    /** All scopes that have derived data. */
    scopes(): IndexScope[];
    /** Deletes all derived data of a channel, or of one scope. */
    discard(scope: { readonly channelId: number } | IndexScope): void;
    skip(scope: IndexScope, record: SkippedRecord): void;
    /** Deletes the skip marks of a name, or only the mark of one file. */
    clearSkipped(scope: IndexScope, packageName: string, path?: string): void;
    isSkipped(scope: IndexScope, packageName: string, path?: string): boolean;
    /** Number of records that at least one document leaves out. */
    countSkipped(): number;
    /** Changes when another connection has written. */
    version(): number | undefined;
    /** Runs `work` in one transaction. Errors: `DerivedBusy`. */
    transact<T>(work: () => T): T;
    /** The same for asynchronous work: no other process writes until it ends, and a nested `transact` joins it. */
    exclusively<T>(work: () => Promise<T>): Promise<T>;
    /** Returns free pages to the file system, where that pays; returns the number of bytes. */
    shrink(): number;
    close(): void;
  };

/** A record that no document can represent. */
export type SkippedRecord = {
  readonly packageName: string;
  /** Section and file name. */
  readonly path: string;
  readonly reason: string;
};

const SCHEMA = `
CREATE TABLE IF NOT EXISTS codec (id TEXT NOT NULL, begun INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS state (
  channel_id INTEGER, view TEXT, section TEXT, layout TEXT, revision INTEGER NOT NULL, identity TEXT NOT NULL, cursor TEXT,
  high_water_revision INTEGER NOT NULL, high_water_identity TEXT NOT NULL,
  PRIMARY KEY (channel_id, view, section, layout)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS segment (
  id INTEGER PRIMARY KEY, channel_id INTEGER, view TEXT, section TEXT, layout TEXT, grp TEXT, start TEXT,
  hash TEXT NOT NULL, size INTEGER NOT NULL, window INTEGER NOT NULL,
  checksum INTEGER NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS segment_scope ON segment (channel_id, view, section, layout, grp, start);
CREATE TABLE IF NOT EXISTS segment_data (
  id INTEGER PRIMARY KEY, checksum INTEGER NOT NULL, blocks BLOB NOT NULL, bzip2_checksum INTEGER, bzip2 BLOB);
CREATE TABLE IF NOT EXISTS entry (
  channel_id INTEGER, view TEXT, section TEXT, layout TEXT, name TEXT, checksum INTEGER NOT NULL, value BLOB NOT NULL,
  PRIMARY KEY (channel_id, view, section, layout, name)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entry_end ON entry (channel_id, layout, substr(value, -32));
CREATE TABLE IF NOT EXISTS skipped (
  channel_id INTEGER, view TEXT, section TEXT, layout TEXT, package_name TEXT, path TEXT, reason TEXT NOT NULL,
  PRIMARY KEY (channel_id, view, section, layout, package_name, path)) WITHOUT ROWID;
${SHARDS_SCHEMA}`;

/**
 * Opens the file. A file that is damaged or has another codec is deleted and recreated; `onRecreated` receives the reason.
 * Errors: `unavailable` or `no-space` when the disk fails. The file is not deleted then: a disk error proves no damage.
 */
export function openDerived(
  path: string,
  codec: string,
  options: { readonly onRecreated?: ((why: string) => void) | undefined; readonly clock?: Clock | undefined } = {},
): Derived {
  const { onRecreated, clock = systemClock } = options;
  try {
    return open(path, codec, clock);
  } catch (error) {
    if (isDatabaseBusy(error)) throw error;
    if (isDatabaseDiskFailure(error) || isDatabaseFull(error)) throw toOpenError(error, path);
    onRecreated?.(`${path} is recreated: ${error instanceof Error ? error.message : String(error)}`);
    for (const suffix of ["", "-wal", "-shm"]) rmSync(path + suffix, { force: true });
    return open(path, codec, clock);
  }
}

function open(path: string, codec: string, clock: Clock): Derived {
  const db = new Connection(path, { create: true, readwrite: true, strict: true });
  try {
    db.run("PRAGMA busy_timeout = 5000");
    db.run("PRAGMA journal_mode = WAL");
    // NORMAL can lose the newest commits, which only have to be rebuilt, but never an older commit alone, as OFF could.
    db.run("PRAGMA synchronous = NORMAL");
    db.run("PRAGMA wal_autocheckpoint = 2000");
    db.run(SCHEMA);
    const storedCodec = db.query<{ id: string }, []>("SELECT id FROM codec").get()?.id;
    if (storedCodec !== undefined && storedCodec !== codec) throw new Error("the derived data has another codec");
    if (storedCodec === undefined) db.run("INSERT INTO codec VALUES (?, ?)", [codec, clock.now()]);
    const check = db.query<{ quick_check: string }, []>("PRAGMA quick_check(1)").get()?.quick_check;
    if (check !== "ok") throw new Error("the derived data is damaged");
    // Waiting blocks the thread, and the caller can retry.
    db.run("PRAGMA busy_timeout = 100");
  } catch (error) {
    db.close();
    throw error;
  }
  const dataVersion = db.query<{ data_version: number }, []>("PRAGMA data_version");
  const version = (): number | undefined => dataVersion.get()?.data_version;
  const { forget, ...entries } = createEntries({ db, version });
  const { discard, ...states } = stateQueries(db);
  const transact = <T>(work: () => T): T => {
    if (db.inTransaction) return work();
    try {
      return inTransaction(db, work);
    } catch (error) {
      forget();
      throw error;
    }
  };
  return {
    ...states,
    discard: (scope) => {
      forget();
      discard(scope);
    },
    ...createSegments(db, transact),
    ...entries,
    ...skippedQueries(db),
    ...createDerivedShards(db),
    version,
    transact,
    exclusively: async (work) => {
      begin(db);
      try {
        const value = await work();
        db.run("COMMIT");
        return value;
      } catch (error) {
        if (db.inTransaction) db.run("ROLLBACK");
        forget();
        throw error;
      }
    },
    shrink: () => shrink(db),
    close: () => db.close(),
  };
}

type StateRow = RevisionPoint & { cursor: string | null; high_water_revision: number; high_water_identity: string };

function stateQueries(db: Connection): Pick<Derived, "state" | "setState" | "channelIds" | "scopes" | "discard"> {
  const find = db.query<StateRow, ScopeBindings>(
    `SELECT revision, identity, cursor, high_water_revision, high_water_identity FROM state WHERE ${SCOPE}`,
  );
  const channels = db.query<{ channel_id: number }, []>("SELECT DISTINCT channel_id FROM state");
  const scopes = db.query<IndexScope, []>("SELECT channel_id AS channelId, view, section, layout FROM state");
  const put = db.query<null, SQLQueryBindings>(
    `INSERT OR REPLACE INTO state
     VALUES ($channelId, $view, $section, $layout, $revision, $identity, $cursor, $highWaterRevision, $highWaterIdentity)`,
  );
  return {
    state: (scope) => {
      const row = find.get(bindingsOf(scope));
      if (!row) return undefined;
      const { revision, identity, cursor } = row;
      return {
        revision,
        identity,
        cursor,
        highWater: { revision: row.high_water_revision, identity: row.high_water_identity },
      };
    },
    setState: (scope, { revision, identity, cursor, highWater }) => {
      const newest = { highWaterRevision: highWater.revision, highWaterIdentity: highWater.identity };
      put.run({ ...bindingsOf(scope), revision, identity, cursor, ...newest });
    },
    channelIds: () => channels.all().map(({ channel_id: id }) => id),
    scopes: () => scopes.all(),
    discard: (scope) => {
      const where = "section" in scope ? SCOPE : "channel_id = $channelId";
      const values = "section" in scope ? bindingsOf(scope) : { channelId: scope.channelId };
      db.query(retireEntries("main", where)).run(values);
      db.query(`DELETE FROM segment_data WHERE id IN (SELECT id FROM segment WHERE ${where})`).run(values);
      for (const table of ["segment", "entry", "skipped", "state"])
        db.query(`DELETE FROM ${table} WHERE ${where}`).run(values);
    },
  };
}

function skippedQueries(db: Connection): Pick<Derived, "skip" | "clearSkipped" | "isSkipped" | "countSkipped"> {
  const put = db.query(
    "INSERT OR REPLACE INTO skipped VALUES ($channelId, $view, $section, $layout, $packageName, $path, $reason)",
  );
  const where = `${SCOPE} AND package_name = $packageName AND ($path IS NULL OR path = $path)`;
  const drop = db.query(`DELETE FROM skipped WHERE ${where}`);
  const find = db.query(`SELECT 1 FROM skipped WHERE ${where} LIMIT 1`);
  const count = db.query<{ records: number }, []>(
    "SELECT count(*) AS records FROM (SELECT DISTINCT channel_id, path FROM skipped)",
  );
  return {
    skip: (scope, record) => void put.run({ ...bindingsOf(scope), ...record }),
    clearSkipped: (scope, packageName, path) =>
      void drop.run({ ...bindingsOf(scope), packageName, path: path ?? null }),
    isSkipped: (scope, packageName, path) =>
      find.get({ ...bindingsOf(scope), packageName, path: path ?? null }) !== null,
    countSkipped: () => count.get()?.records ?? 0,
  };
}

/** Errors: `DerivedBusy`. */
export function inTransaction<T>(db: Connection, work: () => T): T {
  begin(db);
  try {
    const value = work();
    db.run("COMMIT");
    return value;
  } catch (error) {
    if (db.inTransaction) db.run("ROLLBACK");
    throw error;
  }
}

function begin(db: Connection): void {
  try {
    db.run("BEGIN IMMEDIATE");
  } catch (error) {
    if (isDatabaseBusy(error)) throw new DerivedBusy("another process has locked the derived data");
    throw isDatabaseDiskFailure(error) || isDatabaseFull(error) ? toOpenError(error, db.filename) : error;
  }
}
