// The tables of a running app, read and changed on a separate connection.

import { Database as Connection } from "bun:sqlite";
import { join } from "node:path";

export type Row = Record<string, string | number | null>;

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

export type Tables = {
  all(sql: string, ...values: (string | number)[]): Row[];
  run(sql: string, ...values: (string | number)[]): void;
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
  const tables = openTables(folder);
  tables.run("UPDATE lease SET until = 0");
  tables.close();
}

export function openTables(folder: string): Tables {
  const connection = new Connection(join(folder, "condarium.db"), { readwrite: true, create: false });
  connection.run("PRAGMA busy_timeout = 5000");
  connection.run("PRAGMA foreign_keys = ON");
  const all = (sql: string, ...values: (string | number)[]): Row[] =>
    connection.query<Row, (string | number)[]>(sql).all(...values);
  const names = all("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY 1");
  // The use of a token and of a password, and refusals, are recorded later, whatever the outcome of the request.
  const columns = (name: string): string =>
    all(`SELECT name FROM pragma_table_info('${name}') WHERE name <> 'last_used'`)
      .map((row) => `"${row.name}"`)
      .join();
  const counted = (name: string): string => {
    if (name === "audit_event") return "WHERE refusal IS NULL";
    return name === "login_failure" ? "WHERE bucket NOT LIKE 'known:%'" : "";
  };
  const dumps = names.map(({ name }) =>
    connection.query<Row, []>(`SELECT ${columns(String(name))} FROM "${name}" ${counted(String(name))}`),
  );
  return {
    all,
    run: (sql, ...values) => void connection.run(sql, values),
    shiftIds: () => {
      connection.run(
        "INSERT INTO owner (kind, name, visibility, created) VALUES ('organization', 'nobodys', 'public', 0)",
      );
      connection.run("INSERT INTO principal (id, kind) VALUES (100, 'user')");
      connection.run("DELETE FROM principal WHERE id = 100");
    },
    audit: () => connection.query<AuditRow, []>("SELECT * FROM audit_event WHERE refusal IS NULL ORDER BY id").all(),
    dump: () => dumps.map((query) => JSON.stringify(query.values())).join("\n"),
    close: () => connection.close(),
  };
}
