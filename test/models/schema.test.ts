// Both engines have the same tables: the queries are written once.

import { expect, test } from "bun:test";
import { getTableConfig as postgresConfig, PgTable } from "drizzle-orm/pg-core";
import { getTableConfig as sqliteConfig, SQLiteTable } from "drizzle-orm/sqlite-core";
import * as postgres from "../../src/models/schema/postgres.ts";
import * as sqlite from "../../src/models/schema/sqlite.ts";

type Described = {
  readonly columns: readonly unknown[];
  readonly keys: readonly unknown[];
  readonly indexes: readonly unknown[];
};

/** Text of PostgreSQL has its own column type, which adds the collation. */
const KINDS: Readonly<Record<string, string>> = { custom: "string" };

test("the tables of SQLite and PostgreSQL have the same names, columns, defaults, keys and indexes", () => {
  const [ofSqlite, ofPostgres] = [describeSqlite(), describePostgres()];
  expect(Object.keys(ofPostgres).sort()).toEqual(Object.keys(ofSqlite).sort());
  expect(Object.keys(ofSqlite).length).toBeGreaterThan(15);
  for (const [name, table] of Object.entries(ofSqlite)) expect([name, ofPostgres[name]]).toEqual([name, table]);
});

function describeSqlite(): Record<string, Described> {
  return Object.fromEntries(
    Object.entries(sqlite).flatMap(([name, table]) => {
      if (!(table instanceof SQLiteTable)) return [];
      const config = sqliteConfig(table);
      return [[`${name} ${config.name}`, described(config)]];
    }),
  );
}

function describePostgres(): Record<string, Described> {
  return Object.fromEntries(
    Object.entries(postgres).flatMap(([name, table]) => {
      if (!(table instanceof PgTable)) return [];
      const config = postgresConfig(table);
      return [[`${name} ${config.name}`, described(config)]];
    }),
  );
}

type Column = {
  readonly name: string;
  readonly dataType: string;
  readonly notNull: boolean;
  readonly primary: boolean;
  readonly default: unknown;
};
type Config = {
  readonly columns: readonly Column[];
  readonly primaryKeys: readonly { readonly columns: readonly Column[] }[];
  readonly indexes: readonly {
    readonly config: { readonly name?: string; readonly unique?: boolean; readonly columns: readonly object[] };
  }[];
  readonly foreignKeys: readonly {
    readonly onDelete: unknown;
    reference(): { readonly columns: readonly Column[]; readonly foreignColumns: readonly Column[] };
  }[];
};

function described({ columns, primaryKeys, indexes, foreignKeys }: Config): Described {
  return {
    columns: columns.map(({ name, dataType, notNull, primary, default: value }) => [
      name,
      KINDS[dataType] ?? dataType,
      notNull,
      primary,
      value,
    ]),
    keys: [
      ...primaryKeys.map((key) => key.columns.map(({ name }) => name)),
      ...foreignKeys.map((key) => {
        const { columns: from, foreignColumns: to } = key.reference();
        return [key.onDelete ?? "no action", from.map(({ name }) => name), to.map(({ name }) => name)];
      }),
    ],
    indexes: indexes.map(({ config }) => [
      config.name,
      config.unique ?? false,
      config.columns.map((column) => ("name" in column ? column.name : undefined)),
    ]),
  };
}
