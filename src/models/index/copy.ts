// Whole scopes of derived databases, copied from one file to another and compared, each by SQLite itself.

import { Database as Connection, type SQLQueryBindings } from "bun:sqlite";
import { existsSync } from "node:fs";
import { isDatabaseBusy, toAppError } from "../sqlite/errors.ts";
import { bindingsOf, SCOPE, type IndexScope } from "./scope.ts";
import { retireEntries } from "./shards.ts";
import { inTransaction, type SkippedRecord } from "./db.ts";

/** What a file of derived data is; `foreign` is of another release. */
export type DerivedFileKind = "ours" | "absent" | "foreign" | "damaged";

/** How many parts of a scope are not the same in two files. */
export type ScopeDifference = {
  readonly segments: number;
  /** Counted where both files have the blocks, as blocks are made when they are first needed. */
  readonly bzip2Blocks: number;
  readonly entries: number;
  readonly skipped: number;
};

const KEY = "channel_id, view, section, layout";
const KEPT = ["state", "entry", "skipped"];

export function kindOfDerived(path: string, codec: string): DerivedFileKind {
  if (!existsSync(path)) return "absent";
  try {
    return withConnection(path, "read", (db) => {
      const known = db.query<{ id: string }, []>("SELECT id FROM codec").get()?.id;
      if (known !== codec) return "foreign";
      const check = db.query<{ quick_check: string }, []>("PRAGMA quick_check(1)").get()?.quick_check;
      return check === "ok" ? "ours" : "damaged";
    });
  } catch (error) {
    if (isDatabaseBusy(error)) throw toAppError(error);
    return "damaged";
  }
}

/** The records that documents leave out; none when there is no derived data that can be read. */
export function listAside(path: string): (SkippedRecord & { readonly channelId: number })[] {
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

/** Puts scopes of one file into another, for whatever that has of them, in one transaction. */
export function copyScopes(files: { readonly from: string; readonly to: string }, scopes: readonly IndexScope[]): void {
  withConnection(files.to, "write", (db) =>
    withAttached(db, files.from, () => inTransaction(db, () => scopes.forEach((scope) => copyScope(db, scope)))),
  );
}

/** What `copy` has otherwise than `original`. */
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

/** Counts what the first file has otherwise than the second, or has alone. */
function differing(table: string, key: string, ...values: readonly string[]): string {
  const isOther = values.map((value) => `a.${value} IS NOT b.${value}`).join(" OR ");
  return `SELECT count(*) AS parts FROM main.${table} a LEFT JOIN other.${table} b USING (${KEY}, ${key})
    WHERE ${SCOPE} AND (${isOther})`;
}

/** Counts what only the second has. */
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
  // Catalogues that are replaced may have been answered.
  db.query(retireEntries("main", SCOPE)).run(values);
  for (const table of KEPT) {
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
