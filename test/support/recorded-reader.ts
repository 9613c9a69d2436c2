// A reader of the main database that reports each query, on the engine that the tests run on.

import { Database as Connection } from "bun:sqlite";
import { drizzle } from "drizzle-orm/bun-sqlite";
import type { DatabaseSource, Reader } from "../../src/models/database.ts";
import { createPool } from "../../src/models/postgres/client.ts";
import { readerOf } from "../../src/models/postgres/database.ts";
import * as schema from "../../src/models/schema/sqlite.ts";
import { openPostgresTables } from "./postgres-rows.ts";

export type RecordedReader = {
  readonly reader: Reader;
  /** How the database runs the query, as lines; a scan of a table is `SCAN` or `Seq Scan`. */
  plan(sql: string): string[];
  close(): Promise<void>;
};

export function recordedReader(source: DatabaseSource, onQuery: (sql: string) => void): RecordedReader {
  return source.engine === "sqlite" ? onSqlite(source.path, onQuery) : onPostgres(source.url, onQuery);
}

function onSqlite(path: string, onQuery: (sql: string) => void): RecordedReader {
  const connection = new Connection(path, { readwrite: true, create: false, strict: true });
  return {
    reader: drizzle(connection, { schema, logger: { logQuery: onQuery } }),
    plan: (sql) =>
      connection
        .query<{ detail: string }, []>(`EXPLAIN QUERY PLAN ${sql.replaceAll("?", "1")}`)
        .all()
        .map(({ detail }) => detail),
    close: async () => connection.close(),
  };
}

function onPostgres(url: string, onQuery: (sql: string) => void): RecordedReader {
  const pool = createPool({ url, connections: 1 });
  return {
    reader: readerOf({
      unsafe: (sql, values) => {
        onQuery(sql);
        return pool.unsafe(sql, values);
      },
    }),
    plan: (sql) => {
      const tables = openPostgresTables(url);
      // Small tables are scanned even if there is an index, unless that is forbidden.
      tables.run("SET enable_seqscan = off");
      const plan = tables.explain(sql.replaceAll(/\$\d+/g, "1"));
      tables.close();
      return plan;
    },
    close: () => pool.close(),
  };
}
