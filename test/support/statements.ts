// SQL on the database of a test app, on a connection of its own, on either engine.

import { Database as Connection } from "bun:sqlite";
import { join } from "node:path";
import { enginesOf } from "./engines.ts";
import { sharedPostgres } from "./postgres.ts";

export type Statements = {
  /** Integers can be texts. */
  all(sql: string): Promise<Record<string, unknown>[]>;
  count(sql: string): Promise<number>;
  /** Every row of what changes write, as one text: equal texts mean that nothing changed. */
  dump(): Promise<string>;
  /** Makes insertions into the audit trail fail, all or some, until the returned function is called. */
  refuseAudit(condition?: string): Promise<() => Promise<void>>;
};

const TABLES = [
  ...(["owner", "principal", "user", "channel", "channel_revision", "package", "package_version"] as const),
  ...(["package_blob", "package_file", "package_property", "index_part", "file_name_history"] as const),
  ...(["access_token", "grant", "team", "team_member", "second_factor", "recovery_code"] as const),
  ...(["channel_offer", "former_address", "held_name", "audit_event"] as const),
];

const REFUSALS = {
  sqlite: [
    "CREATE TRIGGER no_audit BEFORE INSERT ON audit_event WHEN CONDITION BEGIN SELECT RAISE(ABORT, 'no audit'); END",
    "DROP TRIGGER no_audit",
  ],
  postgres: [
    `CREATE FUNCTION no_audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no audit'; END $$;
     CREATE TRIGGER no_audit BEFORE INSERT ON audit_event FOR EACH ROW WHEN (CONDITION) EXECUTE FUNCTION no_audit()`,
    "DROP TRIGGER no_audit ON audit_event; DROP FUNCTION no_audit",
  ],
} as const;

export async function statementsOf({ folder }: { readonly folder: string }): Promise<Statements> {
  const { settings } = await enginesOf(folder);
  const url = settings.database;
  const all = async (sql: string): Promise<Record<string, unknown>[]> => {
    if (url !== undefined) return await (await sharedPostgres()).asSuperuser(url, sql);
    const connection = new Connection(join(folder, "condarium.db"), { readwrite: true, create: false });
    connection.run("PRAGMA busy_timeout = 5000");
    try {
      return connection.query<Record<string, unknown>, []>(sql).all();
    } finally {
      connection.close();
    }
  };
  return {
    all,
    count: async (sql) => Number(Object.values((await all(sql))[0] ?? {})[0]),
    dump: async () => {
      const texts: string[] = [];
      for (const table of TABLES) {
        // Refusals and the use of a token are recorded later, whatever the outcome of the request.
        const only = table === "audit_event" ? "WHERE refusal IS NULL" : "";
        const rows = (await all(`SELECT * FROM "${table}" ${only}`)).map((row) =>
          JSON.stringify({ ...row, last_used: undefined }),
        );
        texts.push(`${table}: ${rows.sort().join("\n")}`);
      }
      return texts.join("\n");
    },
    refuseAudit: async (condition = "true") => {
      const [create, drop] = REFUSALS[url === undefined ? "sqlite" : "postgres"];
      await all(create.replace("CONDITION", condition));
      return async () => void (await all(drop));
    },
  };
}
