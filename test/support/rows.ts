// The tables of a running app, read and changed on a separate connection, on the engine that the tests run on.

import { Database as Connection } from "bun:sqlite";
import { join } from "node:path";
import type { DatabaseSource } from "../../src/models/database.ts";
import { databaseOf } from "../../src/models/open-database.ts";
import { enginesOf, openedEngines } from "./engines.ts";
import { openPostgresTables } from "./postgres-rows.ts";

/** Flags are 0 and 1 on both engines. */
export type Row = Record<string, string | number | null>;
export type Value = string | number | null;

export type AuditRow = {
  readonly actor: string;
  readonly actor_id: number | null;
  readonly token_id: number | null;
  readonly action: string;
  readonly owner_id: number | null;
  readonly channel_id: number | null;
  readonly target: string;
  readonly subject: string;
  readonly outcome: string;
  readonly detail: string;
  readonly request_id: string | null;
  readonly address: string | null;
  readonly at: number;
};

/** SQL that both engines understand: `"user"` and `"grant"` in quotes, flags as `true` and `false`, `?` for a value. */
export type Tables = Disposable & {
  all(sql: string, ...values: Value[]): Row[];
  run(sql: string, ...values: Value[]): void;
  /**
   * When it resolves, nobody else can write, until `unlock` commits what `run` has changed in between. Without another
   * writer it has locked when it returns.
   */
  lock(): Promise<void>;
  unlock(): void;
  /** Makes the ids of the next owner, user and principal differ, so that tests notice when one is used for another. */
  shiftIds(): void;
  /** The changes of the audit trail, oldest first. */
  audit(): AuditRow[];
  /** Every row of every table as one text: equal texts mean that nothing changed. */
  dump(): string;
  close(): void;
};

/** As if the minutes had passed after which the lease of a killed backup or collector stops no other. */
export function endLeases(folder: string): void {
  runOn(folder, "UPDATE lease SET until = 0");
}

/** One statement. */
export function runOn(folder: string, sql: string, ...values: Value[]): void {
  using tables = openTables(folder);
  tables.run(sql, ...values);
}

/** The rows of one query. */
export function rowsIn(folder: string, sql: string, ...values: Value[]): Row[] {
  using tables = openTables(folder);
  return tables.all(sql, ...values);
}

/** Where the rows of the node with this folder are; its server or a command has been started once. */
export function sourceOf(folder: string): DatabaseSource {
  return databaseOf(join(folder, "condarium.db"), openedEngines(folder).settings["database"]);
}

/** Where the rows of a node with this folder will be: its database is empty. */
export async function newSource(folder: string): Promise<DatabaseSource> {
  await enginesOf(folder);
  return sourceOf(folder);
}

/** Synchronous on both engines: a failpoint changes rows between two steps of the server. */
export function openTables(folder: string): Tables {
  const source = sourceOf(folder);
  return source.engine === "sqlite" ? openSqliteTables(source.path) : openPostgresTables(source.url);
}

const ADD_NOBODYS =
  "INSERT INTO owner (kind, name, visibility, created) VALUES ('organization', 'nobodys', 'public', 0)";

function openSqliteTables(path: string): Tables {
  const connection = new Connection(path, { readwrite: true, create: false });
  connection.run("PRAGMA busy_timeout = 5000");
  connection.run("PRAGMA foreign_keys = ON");
  const all = (sql: string, ...values: Value[]): Row[] => connection.query<Row, Value[]>(sql).all(...values);
  const names = all("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY 1");
  // The use of a token and of a password, and refusals, are recorded later, whatever the outcome of the request.
  const columns = (name: string): string =>
    all(`SELECT name FROM pragma_table_info('${name}') WHERE name <> 'last_used'`)
      .map((row) => `"${row["name"]}"`)
      .join();
  const counted = (name: string): string => {
    if (name === "audit_event") return "WHERE refusal IS NULL";
    return name === "login_failure" ? "WHERE bucket NOT LIKE 'known:%'" : "";
  };
  // A refused publish deletes the file that it has stored, and notes that.
  const dumps = names
    .filter(({ name }) => name !== "blob_deletion")
    .map(({ name }) =>
      connection.query<Row, []>(`SELECT ${columns(String(name))} FROM "${name}" ${counted(String(name))}`),
    );
  return {
    all,
    run: (sql, ...values) => void connection.run(sql, values),
    lock: async () => void connection.run("BEGIN IMMEDIATE"),
    unlock: () => void connection.run("COMMIT"),
    shiftIds: () => {
      connection.run(ADD_NOBODYS);
      connection.run("INSERT INTO principal (id, kind) VALUES (100, 'user')");
      connection.run("DELETE FROM principal WHERE id = 100");
    },
    audit: () => connection.query<AuditRow, []>("SELECT * FROM audit_event WHERE refusal IS NULL ORDER BY id").all(),
    dump: () => dumps.map((query) => JSON.stringify(query.values())).join("\n"),
    close: () => connection.close(),
    [Symbol.dispose]: () => connection.close(),
  };
}
