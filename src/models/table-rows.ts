// Complete tables as rows that no engine has a share in: how they leave one database and enter another.

import { getTableConfig, SQLiteTable } from "drizzle-orm/sqlite-core";
import type { Reader } from "./database.ts";
import * as schema from "./schema/sqlite.ts";

/** Values by column name: text, integers, booleans and null. */
export type TableRow = Readonly<Record<string, string | number | boolean | null>>;

export type TableSource = {
  readonly schema: number;
  /** The tables to back up, sorted by name. */
  readonly tables: readonly string[];
  /** The rows of a table, ordered by primary key. */
  rows(table: string): Iterable<TableRow> | AsyncIterable<TableRow>;
  /** The greatest id ever assigned, even if its row was deleted; undefined when the table has assigned none. */
  lastId(table: string): number | undefined | Promise<number | undefined>;
};

/** One unchanging state of a database: for queries, and table by table. */
export type Moment = { readonly reader: Reader; readonly source: TableSource };

export type Table = {
  readonly columns: readonly string[];
  readonly booleans: ReadonlySet<string>;
  readonly integers: ReadonlySet<string>;
  readonly key: readonly string[];
  /** The tables that its foreign keys refer to. */
  readonly parents: readonly string[];
};

/**
 * A lease has expired by the time a backup is restored, and no publish from before a deletion is in progress; triggers
 * count the totals of the restored rows; the database gets the identity of its new storage.
 */
const EXCLUDED = new Set(["lease", "blob_deletion", "stored_total", "store"]);

/** By name. Both engines have the same tables: a test compares the schemas. */
export const TABLES: ReadonlyMap<string, Table> = new Map(
  Object.values(schema)
    .filter((table) => table instanceof SQLiteTable)
    .map((table) => getTableConfig(table))
    .filter(({ name }) => !EXCLUDED.has(name))
    .map(({ name, columns, primaryKeys, foreignKeys }) => [
      name,
      {
        columns: columns.map((column) => column.name),
        booleans: new Set(columns.filter(({ dataType }) => dataType === "boolean").map((column) => column.name)),
        integers: new Set(columns.filter(({ dataType }) => dataType === "number").map((column) => column.name)),
        key: [...columns.filter(({ primary }) => primary), ...primaryKeys.flatMap((key) => key.columns)].map(
          (column) => column.name,
        ),
        parents: foreignKeys.map((key) => getTableConfig(key.reference().foreignTable).name),
      },
    ]),
);

export function theTable(name: string): Table {
  const table = TABLES.get(name);
  if (!table) throw new Error(`there is no table ${name}`);
  return table;
}

/** Every table after those that it refers to. */
export function tablesInOrder(): readonly string[] {
  const ordered = new Set<string>();
  const add = (name: string): void => {
    for (const parent of theTable(name).parents) if (!ordered.has(parent)) add(parent);
    ordered.add(name);
  };
  for (const name of TABLES.keys()) add(name);
  return [...ordered];
}

/** An identifier in SQL of both engines. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
