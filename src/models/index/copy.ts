// Copies complete scopes from one derived database to another, and compares them, within SQLite.

import { Database as Connection, type SQLQueryBindings } from "bun:sqlite";
import { existsSync } from "node:fs";
import { isDatabaseBusy, toAppError } from "../sqlite/errors.ts";
import { bindingsOf, SCOPE, type IndexScope } from "./scope.ts";
import { retireEntries } from "./shards.ts";
import { inTransaction, type SkippedRecord } from "./db.ts";

/** State of a file of derived data; `foreign` was written by another release. */
export type DerivedFileKind = "ours" | "absent" | "foreign" | "damaged";

/** How many rows of a scope differ between two files. */
export type ScopeDifference = {
  readonly segments: number;
  /** Counted only where both files have bzip2 blocks, because these are built on first use. */
  readonly bzip2Blocks: number;
  readonly entries: number;
  readonly skipped: number;
};

const KEY = "channel_id, view, section, layout";
const COPIED_TABLES = ["state", "entry", "skipped"];

export function kindOfDerived(path: string, codec: string): DerivedFileKind {
  if (!existsSync(path)) return "absent";
  try {
    return withConnection(path, "read", (db) => {
      const storedCodec = db.query<{ id: string }, []>("SELECT id FROM codec").get()?.id;
      if (storedCodec !== codec) return "foreign";
      const check = db.query<{ quick_check: string }, []>("PRAGMA quick_check(1)").get()?.quick_check;
      return check === "ok" ? "ours" : "damaged";
    });
  } catch (error) {
    if (isDatabaseBusy(error)) throw toAppError(error);
    return "damaged";
  }
}

/** The skipped records of all channels; empty when the file is absent or unreadable. */
export function listSkipped(path: string): (SkippedRecord & { readonly channelId: number })[] {
  if (!existsSync(path)) return [];
  const columns = "channel_id AS channelId, package_name AS packageName, path, min(reason) AS reason";
  try {
    return withConnection(path, "read", (db) =>
      db
        .query<SkippedRecord & { channelId: number }, []>(
          `SELECT ${columns} FROM skipped GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`,
        )
        .all(),
    );
  } catch {
    return [];
  }
}

/** Replaces scopes in one file by those of another, in one transaction. */
export function copyScopes(files: { readonly from: string; readonly to: string }, scopes: readonly IndexScope[]): void {
  withConnection(files.to, "write", (db) =>
    withAttached(db, files.from, () => inTransaction(db, () => scopes.forEach((scope) => copyScope(db, scope)))),
  );
}

/** Counts the differences of a scope between `original` and `copy`. */
export function compareScope(original: string, copy: string, scope: IndexScope): ScopeDifference {
  return withConnection(original, "read", (db) =>
    withAttached(db, copy, () => {
      const values = bindingsOf(scope);
      const countOf = (sql: string): number =>
        db.query<{ parts: number }, SQLQueryBindings>(sql).get(values)?.parts ?? 0;
      return {
        segments: countOf(SEGMENTS) + countOf(missing("segment", "grp, start", "hash")),
        bzip2Blocks: countOf(BZIP2_BLOCKS),
        entries: countOf(differing("entry", "name", "value", "checksum")) + countOf(missing("entry", "name", "value")),
        skipped:
          countOf(differing("skipped", "package_name, path", "reason")) +
          countOf(missing("skipped", "package_name, path", "reason")),
      };
    }),
  );
}

const IN_BOTH = `SELECT count(*) AS parts FROM main.segment a LEFT JOIN other.segment b USING (${KEY}, grp, start)
  LEFT JOIN main.segment_data x ON x.id = a.id LEFT JOIN other.segment_data y ON y.id = b.id WHERE ${SCOPE}`;
const SEGMENTS = `${IN_BOTH} AND (a.hash IS NOT b.hash OR a.size IS NOT b.size
  OR a.window IS NOT b.window OR a.checksum IS NOT b.checksum OR x.checksum IS NOT y.checksum
  OR x.blocks IS NOT y.blocks)`;
const BZIP2_BLOCKS = `${IN_BOTH} AND (x.bzip2 <> y.bzip2 OR x.bzip2_checksum <> y.bzip2_checksum)`;

/** Counts the rows of the first file that differ in the second or are absent from it. */
function differing(table: string, key: string, ...values: readonly string[]): string {
  const differs = values.map((value) => `a.${value} IS NOT b.${value}`).join(" OR ");
  return `SELECT count(*) AS parts FROM main.${table} a LEFT JOIN other.${table} b USING (${KEY}, ${key})
    WHERE ${SCOPE} AND (${differs})`;
}

/** Counts the rows that only the second file has. */
function missing(table: string, key: string, value: string): string {
  return `SELECT count(*) AS parts FROM other.${table} b LEFT JOIN main.${table} a USING (${KEY}, ${key})
    WHERE ${SCOPE} AND a.${value} IS NULL`;
}

function copyScope(db: Connection, scope: IndexScope): void {
  const values = bindingsOf(scope);
  const columns = "channel_id, view, section, layout, grp, start, hash, size, window, checksum";
  db.query(`DELETE FROM main.segment_data WHERE id IN (SELECT id FROM main.segment WHERE ${SCOPE})`).run(values);
  db.query(`DELETE FROM main.segment WHERE ${SCOPE}`).run(values);
  db.query(
    `INSERT INTO main.segment (${columns}) SELECT ${columns} FROM other.segment WHERE ${SCOPE} ORDER BY grp, start`,
  ).run(values);
  db.query(
    `INSERT INTO main.segment_data (id, checksum, blocks, bzip2_checksum, bzip2)
     SELECT here.id, data.checksum, blocks, bzip2_checksum, bzip2 FROM main.segment here
     JOIN other.segment USING (channel_id, view, section, layout, grp, start) JOIN other.segment_data data ON data.id = segment.id
     WHERE ${SCOPE}`,
  ).run(values);
  // Clients can still hold the shard index that is replaced, so its shards are retired.
  db.query(retireEntries("main", SCOPE)).run(values);
  for (const table of COPIED_TABLES) {
    db.query(`DELETE FROM main.${table} WHERE ${SCOPE}`).run(values);
    db.query(`INSERT INTO main.${table} SELECT * FROM other.${table} WHERE ${SCOPE}`).run(values);
  }
}

function withConnection<T>(path: string, purpose: "read" | "write", work: (db: Connection) => T): T {
  const options = purpose === "read" ? { readonly: true } : { readwrite: true, create: false };
  const db = new Connection(path, { ...options, strict: true });
  try {
    db.run("PRAGMA busy_timeout = 5000");
    db.run("PRAGMA synchronous = OFF");
    return work(db);
  } finally {
    db.close();
  }
}

function withAttached<T>(db: Connection, path: string, work: () => T): T {
  db.run("ATTACH DATABASE ? AS other", [path]);
  try {
    return work();
  } finally {
    db.run("DETACH DATABASE other");
  }
}
