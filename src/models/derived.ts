// index.db: what documents are made of, derived from the main database and never trusted over it.

import { Database as Connection, type SQLQueryBindings } from "bun:sqlite";
import { rmSync } from "node:fs";
import { isDatabaseBusy } from "./database-errors.ts";

/** One (channel, section, family) whose parts are kept at a revision of the channel. */
export type DerivedPlace = { readonly channelId: number; readonly section: string; readonly family: string };

/** How far a place has been brought: its parts are those of `revision`, once `cursor` is null. */
export type DerivedState = {
  readonly revision: number;
  /** The random id of that revision: a restored database, or a channel made anew, has another. */
  readonly identity: string;
  /** While a build from nothing is under way: the key up to which it has come. */
  readonly cursor: string | null;
};

/** A stretch of a document, compressed alone. `start` is the key after which it begins. */
export type SegmentRow = {
  readonly start: string;
  /** Whether `start` is a natural boundary, which depends on the records next to it only. */
  readonly natural: boolean;
  /** The sha256 of the text. */
  readonly hash: string;
  /** Bytes of the text. */
  readonly size: number;
  readonly window: number;
  readonly blocks: Uint8Array;
};
export type SegmentSummary = Omit<SegmentRow, "blocks">;
export type SegmentPlace = DerivedPlace & { readonly group: string };

/** A small named text or entry of a place, such as a name's line of `channeldata.json`. */
export type EntryRow = { readonly name: string; readonly value: Uint8Array };

export type Derived = {
  state(place: DerivedPlace): DerivedState | undefined;
  setState(place: DerivedPlace, state: DerivedState): void;
  /** Forgets everything of a channel, or of one place. */
  discard(place: { readonly channelId: number } | DerivedPlace): void;
  segments(place: SegmentPlace): SegmentSummary[];
  /** The greatest natural start below `key`, `""` when there is none. */
  naturalStartBefore(place: SegmentPlace, key: string): string;
  /** The least natural start above `key`; undefined at the end. */
  naturalStartAfter(place: SegmentPlace, key: string): string | undefined;
  segmentsIn(place: SegmentPlace, after: string, until: string | undefined): SegmentRow[];
  /** Those that could hold entries with keys between the two. */
  segmentsAround(place: SegmentPlace, from: string, until: string): SegmentRow[];
  replaceSegments(place: SegmentPlace, range: KeyRange, rows: readonly SegmentRow[]): void;
  /** The blocks of all segments in their order, one at a time. */
  blocks(place: SegmentPlace): Iterable<Uint8Array>;
  bzip2(place: SegmentPlace, start: string): Uint8Array | undefined;
  setBzip2(place: SegmentPlace, start: string, piece: Uint8Array): void;
  entries(place: DerivedPlace): EntryRow[];
  setEntry(place: DerivedPlace, name: string, value: Uint8Array | undefined): void;
  /** Where the value of an entry, in any section, ends in these 32 bytes. */
  entryEndingIn(place: Omit<DerivedPlace, "section">, end: Uint8Array): { section: string; name: string } | undefined;
  setAside(place: DerivedPlace, record: AsideRecord): void;
  /** Forgets that records of a name were set aside, or only that of one file. */
  clearAside(place: DerivedPlace, packageName: string, path?: string): void;
  isAside(place: DerivedPlace, packageName: string, path?: string): boolean;
  /** How many records are left out of one document or more. */
  countAside(): number;
  /** From here on `transact` throws `DerivedChanged` once another process has written to the file. */
  watch(): void;
  /** Whether another process has written since `watch`. */
  hasChanged(): boolean;
  transact<T>(work: () => T): T;
  close(): void;
};

/** What was read may no longer be what is there: the work has to begin again. */
export class DerivedChanged extends Error {
  override readonly name = "DerivedChanged";
}

/** A record that no document can hold. */
export type AsideRecord = {
  readonly packageName: string;
  /** Section and file name. */
  readonly path: string;
  readonly reason: string;
};

/** Starts whose key lies in [from, until); without `until`, to the end. */
export type KeyRange = { readonly from: string; readonly until: string | undefined };

const SCHEMA = `
CREATE TABLE IF NOT EXISTS codec (id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS state (
  channel_id INTEGER, section TEXT, family TEXT, revision INTEGER NOT NULL, identity TEXT NOT NULL, cursor TEXT,
  PRIMARY KEY (channel_id, section, family)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS segment (
  id INTEGER PRIMARY KEY, channel_id INTEGER, section TEXT, family TEXT, grp TEXT, start TEXT,
  is_natural INTEGER NOT NULL, hash TEXT NOT NULL, size INTEGER NOT NULL, window INTEGER NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS segment_place ON segment (channel_id, section, family, grp, start);
CREATE TABLE IF NOT EXISTS segment_data (id INTEGER PRIMARY KEY, blocks BLOB NOT NULL, bzip2 BLOB);
CREATE TABLE IF NOT EXISTS entry (
  channel_id INTEGER, section TEXT, family TEXT, name TEXT, value BLOB NOT NULL,
  PRIMARY KEY (channel_id, section, family, name)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entry_end ON entry (channel_id, family, substr(value, -32));
CREATE TABLE IF NOT EXISTS aside (
  channel_id INTEGER, section TEXT, family TEXT, package_name TEXT, path TEXT, reason TEXT NOT NULL,
  PRIMARY KEY (channel_id, section, family, package_name, path)) WITHOUT ROWID;
`;

/** Opens the file; one that is damaged or of another codec is deleted and begun anew. */
export function openDerived(path: string, codec: string): Derived {
  try {
    return open(path, codec);
  } catch (error) {
    if (isDatabaseBusy(error)) throw error;
    for (const suffix of ["", "-wal", "-shm"]) rmSync(path + suffix, { force: true });
    return open(path, codec);
  }
}

function open(path: string, codec: string): Derived {
  const db = new Connection(path, { create: true, readwrite: true, strict: true });
  try {
    db.run("PRAGMA busy_timeout = 5000");
    db.run("PRAGMA journal_mode = WAL");
    // Losing the newest writes costs a rebuild of them, never an answer.
    db.run("PRAGMA synchronous = OFF");
    db.run(SCHEMA);
    const known = db.query<{ id: string }, []>("SELECT id FROM codec").get()?.id;
    if (known !== undefined && known !== codec) throw new Error("the derived data is of another codec");
    if (known === undefined) db.run("INSERT INTO codec VALUES (?)", [codec]);
    const check = db.query<{ quick_check: string }, []>("PRAGMA quick_check(1)").get()?.quick_check;
    if (check !== "ok") throw new Error("the derived data is damaged");
  } catch (error) {
    db.close();
    throw error;
  }
  const guard = createGuard(db);
  const transact = <T>(work: () => T): T =>
    inTransaction(db, () => {
      if (guard.hasChanged()) throw new DerivedChanged("another process has written");
      return work();
    });
  return {
    ...guard,
    ...stateQueries(db),
    ...segmentQueries(db),
    ...segmentWrites(db),
    ...bzip2Queries(db, transact),
    ...entryQueries(db),
    ...asideQueries(db),
    transact,
    close: () => db.close(),
  };
}

/** SQLite's own count of what other connections have committed. */
function createGuard(db: Connection): Pick<Derived, "watch" | "hasChanged"> {
  const query = db.query<{ data_version: number }, []>("PRAGMA data_version");
  let seen: number | undefined;
  return {
    watch: () => {
      seen = query.get()?.data_version;
    },
    hasChanged: () => seen !== undefined && query.get()?.data_version !== seen,
  };
}

type PlaceBindings = { channelId: number; section: string; family: string };
const PLACE = "channel_id = $channelId AND section = $section AND family = $family";
const GROUP = `${PLACE} AND grp = $group`;
const IN_RANGE = "start >= $from AND ($until IS NULL OR start < $until)";
/** A statement that is left in the middle would hold on to an old state of the file, and no write could follow. */
const BLOCKS_AT_ONCE = 64;

function stateQueries(db: Connection): Pick<Derived, "state" | "setState" | "discard"> {
  const find = db.query<DerivedState, PlaceBindings>(`SELECT revision, identity, cursor FROM state WHERE ${PLACE}`);
  const put = db.query<null, SQLQueryBindings>(
    "INSERT OR REPLACE INTO state VALUES ($channelId, $section, $family, $revision, $identity, $cursor)",
  );
  return {
    state: (place) => find.get(bindings(place)) ?? undefined,
    setState: (place, state) => void put.run({ ...bindings(place), ...state }),
    discard: (place) => {
      const where = "section" in place ? PLACE : "channel_id = $channelId";
      const values = "section" in place ? bindings(place) : { channelId: place.channelId };
      db.query(`DELETE FROM segment_data WHERE id IN (SELECT id FROM segment WHERE ${where})`).run(values);
      for (const table of ["segment", "entry", "aside", "state"])
        db.query(`DELETE FROM ${table} WHERE ${where}`).run(values);
    },
  };
}

type SummaryRow = { start: string; is_natural: number; hash: string; size: number; window: number };

function segmentQueries(
  db: Connection,
): Pick<Derived, "segmentsAround" | "segments" | "naturalStartBefore" | "naturalStartAfter" | "segmentsIn" | "blocks"> {
  const summary = "start, is_natural, hash, size, window";
  const all = db.query<SummaryRow, SQLQueryBindings>(`SELECT ${summary} FROM segment WHERE ${GROUP} ORDER BY start`);
  const startBelow = db.query<{ start: string }, SQLQueryBindings>(
    `SELECT start FROM segment WHERE ${GROUP} AND start <= $key ORDER BY start DESC LIMIT 1`,
  );
  const edge = (comparison: string, order: string) =>
    db.query<{ start: string }, SQLQueryBindings>(
      `SELECT start FROM segment WHERE ${GROUP} AND is_natural = 1 AND start ${comparison} $key ORDER BY start ${order} LIMIT 1`,
    );
  const [before, after] = [edge("<", "DESC"), edge(">", "ASC")];
  const page = db.query<{ start: string; blocks: Uint8Array }, SQLQueryBindings>(
    `SELECT start, blocks FROM segment JOIN segment_data USING (id) WHERE ${GROUP} AND start >= $from
     ORDER BY start LIMIT ${BLOCKS_AT_ONCE}`,
  );
  const some = db.query<SummaryRow & { blocks: Uint8Array }, SQLQueryBindings>(
    `SELECT ${summary}, blocks FROM segment JOIN segment_data USING (id) WHERE ${GROUP} AND ${IN_RANGE} ORDER BY start`,
  );
  const rowsBetween = (place: SegmentPlace, from: string, until: string | undefined): SegmentRow[] =>
    some
      .all({ ...bindings(place), group: place.group, from, until: until ?? null })
      .map((row) => ({ ...toSummary(row), blocks: row.blocks }));
  return {
    segments: (place) => all.all({ ...bindings(place), group: place.group }).map(toSummary),
    naturalStartBefore: (place, key) => before.get({ ...bindings(place), group: place.group, key })?.start ?? "",
    naturalStartAfter: (place, key) => after.get({ ...bindings(place), group: place.group, key })?.start,
    segmentsIn: (place, from, until) => rowsBetween(place, from, until),
    segmentsAround: (place, from, until) => {
      const first = startBelow.get({ ...bindings(place), group: place.group, key: from })?.start ?? "";
      return rowsBetween(place, first, until);
    },
    blocks: function* (place) {
      let last: string | undefined;
      for (;;) {
        const rows = page.all({ ...bindings(place), group: place.group, from: last ?? "" });
        for (const { blocks } of last === undefined ? rows : rows.slice(1)) yield blocks;
        if (rows.length < BLOCKS_AT_ONCE) return;
        last = rows.at(-1)?.start;
      }
    },
  };
}

function segmentWrites(db: Connection): Pick<Derived, "replaceSegments"> {
  const dropData = db.query(
    `DELETE FROM segment_data WHERE id IN (SELECT id FROM segment WHERE ${GROUP} AND ${IN_RANGE})`,
  );
  const drop = db.query(`DELETE FROM segment WHERE ${GROUP} AND ${IN_RANGE}`);
  const add = db.query<{ id: number }, SQLQueryBindings>(
    `INSERT INTO segment (channel_id, section, family, grp, start, is_natural, hash, size, window)
     VALUES ($channelId, $section, $family, $group, $start, $natural, $hash, $size, $window) RETURNING id`,
  );
  const addData = db.query("INSERT INTO segment_data (id, blocks) VALUES ($id, $blocks)");
  return {
    replaceSegments: (place, range, rows) => {
      const values = { ...bindings(place), group: place.group };
      const span = { from: range.from, until: range.until ?? null };
      dropData.run({ ...values, ...span });
      drop.run({ ...values, ...span });
      for (const { blocks, natural, ...row } of rows) {
        const id = add.get({ ...values, ...row, natural: Number(natural) })?.id ?? 0;
        addData.run({ id, blocks });
      }
    },
  };
}

function bzip2Queries(db: Connection, transact: Derived["transact"]): Pick<Derived, "bzip2" | "setBzip2"> {
  const find = db.query<{ bzip2: Uint8Array | null }, SQLQueryBindings>(
    `SELECT bzip2 FROM segment JOIN segment_data USING (id) WHERE ${GROUP} AND start = $key`,
  );
  const put = db.query(
    `UPDATE segment_data SET bzip2 = $piece WHERE id = (SELECT id FROM segment WHERE ${GROUP} AND start = $key)`,
  );
  return {
    bzip2: (place, key) => find.get({ ...bindings(place), group: place.group, key })?.bzip2 ?? undefined,
    setBzip2: (place, key, piece) =>
      void transact(() => put.run({ ...bindings(place), group: place.group, key, piece })),
  };
}

function entryQueries(db: Connection): Pick<Derived, "entries" | "setEntry" | "entryEndingIn"> {
  const all = db.query<EntryRow, PlaceBindings>(`SELECT name, value FROM entry WHERE ${PLACE} ORDER BY name`);
  const put = db.query("INSERT OR REPLACE INTO entry VALUES ($channelId, $section, $family, $name, $value)");
  const drop = db.query(`DELETE FROM entry WHERE ${PLACE} AND name = $name`);
  const ending = db.query<{ section: string; name: string }, SQLQueryBindings>(
    "SELECT section, name FROM entry WHERE channel_id = $channelId AND family = $family AND substr(value, -32) = $end",
  );
  return {
    entries: (place) => all.all(bindings(place)),
    setEntry: (place, name, value) => {
      if (value === undefined) drop.run({ ...bindings(place), name });
      else put.run({ ...bindings(place), name, value });
    },
    entryEndingIn: ({ channelId, family }, end) => ending.get({ channelId, family, end }) ?? undefined,
  };
}

function asideQueries(db: Connection): Pick<Derived, "setAside" | "clearAside" | "isAside" | "countAside"> {
  const put = db.query(
    "INSERT OR REPLACE INTO aside VALUES ($channelId, $section, $family, $packageName, $path, $reason)",
  );
  const where = `${PLACE} AND package_name = $packageName AND ($path IS NULL OR path = $path)`;
  const drop = db.query(`DELETE FROM aside WHERE ${where}`);
  const find = db.query(`SELECT 1 FROM aside WHERE ${where} LIMIT 1`);
  const count = db.query<{ records: number }, []>(
    "SELECT count(*) AS records FROM (SELECT DISTINCT channel_id, path FROM aside)",
  );
  return {
    setAside: (place, record) => void put.run({ ...bindings(place), ...record }),
    clearAside: (place, packageName, path) => void drop.run({ ...bindings(place), packageName, path: path ?? null }),
    isAside: (place, packageName, path) => find.get({ ...bindings(place), packageName, path: path ?? null }) !== null,
    countAside: () => count.get()?.records ?? 0,
  };
}

/** Errors: `DerivedChanged` when another process keeps the file. */
export function inTransaction<T>(db: Connection, work: () => T): T {
  try {
    db.run("BEGIN IMMEDIATE");
  } catch (error) {
    throw isDatabaseBusy(error) ? new DerivedChanged("another process writes") : error;
  }
  try {
    const value = work();
    db.run("COMMIT");
    return value;
  } catch (error) {
    if (db.inTransaction) db.run("ROLLBACK");
    throw error;
  }
}

function bindings({ channelId, section, family }: DerivedPlace): PlaceBindings {
  return { channelId, section, family };
}

function toSummary({ start, is_natural, hash, size, window }: SummaryRow): SegmentSummary {
  return { start, natural: is_natural === 1, hash, size, window };
}
