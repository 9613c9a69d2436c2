// Reads complete tables of a database copy as engine-neutral rows, and inserts such rows into a new database.

import { Database as Connection, type SQLQueryBindings } from "bun:sqlite";
import { AppError, malformed } from "../../errors.ts";
import { quoted, TABLES, theTable, type Moment, type Table, type TableRow, type TableSource } from "../table-rows.ts";
import { openSqliteSnapshots } from "./database.ts";
import { isDatabaseFull, toAppError } from "./errors.ts";
import { migrate, schemaNumber } from "./migrations.ts";

export type TableTarget = {
  /** The columns of a table; undefined when there is no such table. */
  columns(table: string): readonly string[] | undefined;
  insert(table: string, rows: readonly TableRow[]): void;
  setLastId(table: string, id: number): void;
  /** Migrates the database to this binary's schema; returns the problems that SQLite finds. */
  finish(now: number): string[];
  close(): void;
};

/**
 * Copies a consistent snapshot of the database, in one read transaction that does not block writers.
 * Errors: `no-space`, `unavailable`.
 */
function copyDatabase(from: string, to: string): void {
  const connection = new Connection(from, { readwrite: true, create: false });
  try {
    connection.run("PRAGMA busy_timeout = 5000");
    // The copy is temporary: it need not survive a power cut.
    connection.run("PRAGMA synchronous = OFF");
    connection.run("VACUUM INTO ?", [to]);
  } catch (error) {
    if (!isDatabaseFull(error)) throw toAppError(error);
    throw new AppError("no-space", `The disk of ${to} is full: free some space there, then run this again.`, {
      cause: error,
    });
  } finally {
    connection.close();
  }
}

/** Copies the database to `copy`, a new file, and runs `work` on it. Errors: `no-space`, `unavailable`. */
export async function sqliteMoment<T>(path: string, copy: string, work: (moment: Moment) => Promise<T>): Promise<T> {
  copyDatabase(path, copy);
  await using opened = new AsyncDisposableStack();
  const snapshots = opened.adopt(openSqliteSnapshots(copy), ({ close }) => close());
  const source = opened.adopt(openTableSource(copy), ({ close }) => close());
  return await snapshots.snapshot((reader) => work({ reader, source }));
}

export function openTableSource(path: string): TableSource & { close(): void } {
  const db = new Connection(path, { readwrite: true, create: false, strict: true });
  const sequence = db.query<{ seq: number }, [string]>("SELECT seq FROM sqlite_sequence WHERE name = ?");
  return {
    schema: schemaNumber(db),
    tables: [...TABLES.keys()].sort(),
    rows: function* (name) {
      const table = theTable(name);
      const query = `SELECT ${table.columns.map(quoted).join(", ")} FROM ${quoted(name)} ORDER BY ${table.key.map(quoted).join(", ")}`;
      for (const row of db.query<Record<string, string | number | null>, []>(query).iterate()) yield toRow(table, row);
    },
    lastId: (name) => {
      const { seq = 0 } = sequence.get(name) ?? {};
      // A migration can leave a 0 behind.
      return seq > 0 ? seq : undefined;
    },
    close: () => db.close(),
  };
}

/** Creates a database with the tables of a schema number, which can be older than this binary's. */
export function createTableTarget(path: string, number: number, now: number): TableTarget {
  const db = new Connection(path, { readwrite: true, create: true, strict: true });
  // The file is read only once it is complete, and the caller then syncs it.
  db.run("PRAGMA journal_mode = OFF");
  db.run("PRAGMA synchronous = OFF");
  db.run("PRAGMA foreign_keys = OFF");
  migrate(db, now, number);
  const columns = (table: string): readonly string[] | undefined => {
    const rows = db.query<{ name: string }, [string]>("SELECT name FROM pragma_table_info(?)").all(table);
    return TABLES.has(table) && rows.length > 0 ? rows.map(({ name }) => name) : undefined;
  };
  return {
    columns,
    insert: (table, rows) => insertRows(db, table, columns(table) ?? [], rows),
    setLastId: (table, id) => {
      db.query("DELETE FROM sqlite_sequence WHERE name = $table").run({ table });
      db.query("INSERT INTO sqlite_sequence (name, seq) VALUES ($table, $id)").run({ table, id });
    },
    finish: (at) => {
      migrate(db, at);
      const integrity = db.query<{ integrity_check: string }, []>("PRAGMA integrity_check").all();
      const foreign = db.query<{ table: string; rowid: number; parent: string }, []>("PRAGMA foreign_key_check").all();
      return [
        ...integrity.map((row) => row.integrity_check).filter((result) => result !== "ok"),
        ...foreign.map(({ table, rowid, parent }) => `row ${rowid} of ${table} references a missing row of ${parent}`),
      ];
    },
    close: () => db.close(),
  };
}

/** Errors: `malformed` when the rows do not fit the table. */
function insertRows(db: Connection, table: string, columns: readonly string[], rows: readonly TableRow[]): void {
  const names = columns.map(quoted).join(", ");
  const values = columns.map(() => "?").join(", ");
  const insert = db.query<null, SQLQueryBindings[]>(`INSERT INTO ${quoted(table)} (${names}) VALUES (${values})`);
  db.run("BEGIN");
  try {
    for (const row of rows) insert.run(...columns.map((column) => toValue(row[column] ?? null)));
  } catch (error) {
    throw malformed(`A row does not fit into ${table}: ${error instanceof Error ? error.message : String(error)}.`);
  } finally {
    db.run("COMMIT");
  }
}

function toRow({ booleans }: Table, row: Record<string, string | number | null>): TableRow {
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => [name, booleans.has(name) && value !== null ? value !== 0 : value]),
  );
}

function toValue(value: string | number | boolean | null): string | number | null {
  return typeof value === "boolean" ? Number(value) : value;
}
