import { Database as Connection } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import init from "../../../drizzle/sqlite/0001_init.sql" with { type: "text" };
import { run } from "../../../src/cli/index.ts";
import { migrate, schemaNumber } from "../../../src/models/sqlite/migrations.ts";
import { startTestApp } from "../../support/app.ts";
import { condarium } from "../../support/server-process.ts";

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "condarium-migrations-"));
  path = join(folder, "condarium.db");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function inDatabase<T>(work: (connection: Connection) => T): T {
  const connection = new Connection(path, { create: true, readwrite: true });
  try {
    return work(connection);
  } finally {
    connection.close();
  }
}

/** The migrations of this binary. */
function newestSchema(): number {
  const connection = new Connection(":memory:");
  migrate(connection, 0);
  return schemaNumber(connection);
}

function tablesOf(connection: Connection): string[] {
  const rows = connection.query<{ name: string }, []>("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1");
  return rows.all().map(({ name }) => name);
}

describe("an empty database", () => {
  test("gets every migration exactly once", () => {
    const applied = (connection: Connection): unknown => connection.query("SELECT * FROM schema_migration").all();
    inDatabase((connection) => {
      migrate(connection, 1000);
      const first = applied(connection);
      expect(tablesOf(connection)).toContain("package_file");
      migrate(connection, 2000);
      expect(applied(connection)).toEqual(first);
      expect(schemaNumber(connection)).toBeGreaterThan(0);
    });
  });

  test("keeps nothing of a migration that fails halfway", () => {
    inDatabase((connection) => {
      // The name of a table that the first migration creates after others.
      connection.run("CREATE TABLE audit_event (x)");
      expect(() => migrate(connection, 1000)).toThrow("audit_event");
      expect(tablesOf(connection)).toEqual(["audit_event", "schema_migration"]);
      expect(schemaNumber(connection)).toBe(0);
      expect(connection.inTransaction).toBe(false);
      connection.run("DROP TABLE audit_event");
      migrate(connection, 2000);
      expect(tablesOf(connection)).toContain("package_file");
    });
  });

  test("that another process is writing to is left unchanged", () => {
    inDatabase((connection) => {
      inDatabase((other) => {
        other.run("BEGIN IMMEDIATE");
        expect(() => migrate(connection, 1000)).toThrow("locked");
        other.run("ROLLBACK");
      });
      migrate(connection, 1000);
      expect(tablesOf(connection)).toContain("package_file");
    });
  });
});

describe("a database that is up to date", () => {
  test("opens beside a writer that holds its lock", () => {
    inDatabase((connection) => {
      connection.run("PRAGMA journal_mode = WAL");
      migrate(connection, 1000);
      inDatabase((other) => {
        other.run("BEGIN IMMEDIATE");
        migrate(connection, 2000);
        other.run("ROLLBACK");
      });
    });
  });
});

describe("a database of schema 1", () => {
  const rows = (connection: Connection, sql: string): unknown[] => connection.query(sql).all();

  function ofSchema1(connection: Connection): void {
    connection.run("PRAGMA foreign_keys = ON");
    for (const statement of init.split("--> statement-breakpoint")) connection.run(statement);
    connection.run(
      "CREATE TABLE schema_migration (number INTEGER PRIMARY KEY, min_reader INTEGER NOT NULL, applied_at INTEGER NOT NULL)",
    );
    connection.run("INSERT INTO schema_migration VALUES (1, 1, 0)");
    for (const [name, disabled] of [
      ["alice", 0],
      ["bob", 1],
      ["carol", 0],
    ] as const) {
      connection.run(
        "INSERT INTO owner (kind, name, visibility, disabled, created) VALUES ('user', ?, 'public', ?, 0)",
        [name, disabled],
      );
    }
    // The ids of users and owners differ, so that a test notices when one is used for the other.
    connection.run("INSERT INTO user (id, owner_id, password_hash) VALUES (11, 1, ''), (12, 2, ''), (13, 3, '')");
    connection.run("INSERT INTO channel (owner_id, type, name, created) VALUES (1, 'conda', 'main', 0)");
    connection.run("INSERT INTO `grant` (user_id, owner_id, role, created) VALUES (12, 1, 'reader', 0)");
    connection.run("INSERT INTO `grant` (user_id, channel_id, role, created) VALUES (13, 1, 'publisher', 0)");
  }

  test("keeps its roles after the upgrade, and hides what disabled users own", () => {
    inDatabase((connection) => {
      ofSchema1(connection);
      migrate(connection, 1000);
      const held =
        "SELECT owner.name, role, `grant`.owner_id AS o, channel_id AS c FROM `grant` JOIN user ON user.principal_id = `grant`.principal_id JOIN owner ON owner.id = user.owner_id ORDER BY 1";
      expect(rows(connection, held)).toEqual([
        { name: "bob", role: "reader", o: 1, c: null },
        { name: "carol", role: "publisher", o: null, c: 1 },
      ]);
      expect(rows(connection, "SELECT name, disabled, hidden FROM owner ORDER BY 1")).toEqual([
        { name: "alice", disabled: 0, hidden: 0 },
        { name: "bob", disabled: 1, hidden: 1 },
        { name: "carol", disabled: 0, hidden: 0 },
      ]);
      expect(rows(connection, "SELECT max(min_reader) AS m FROM schema_migration")).toEqual([{ m: 1 }]);
      expect(rows(connection, "PRAGMA foreign_key_check")).toEqual([]);
    });
  });

  test("accepts writes of that old release after the upgrade, and roles granted there count after the next upgrade", () => {
    inDatabase((connection) => {
      ofSchema1(connection);
      migrate(connection, 1000);
      connection.run("INSERT INTO owner (kind, name, visibility, created) VALUES ('user', 'dave', 'public', 0)");
      connection.run("INSERT INTO user (owner_id, password_hash) SELECT id, '' FROM owner WHERE name = 'dave'");
      connection.run(
        "INSERT INTO `grant` (user_id, owner_id, role, created) SELECT id, 1, 'owner', 0 FROM user ORDER BY id DESC LIMIT 1",
      );
      connection.run("INSERT INTO audit_event (at, action, subject) VALUES (0, 'publish', 'noarch/x')");
      const principals = rows(
        connection,
        "SELECT principal_id AS p FROM user WHERE id > 13 UNION ALL SELECT principal_id FROM `grant` WHERE role = 'owner'",
      );
      expect(principals).toEqual([{ p: 14 }, { p: 14 }]);
      expect(rows(connection, "SELECT kind FROM principal WHERE id = 14")).toEqual([{ kind: "user" }]);
      connection.run("DELETE FROM user WHERE id > 13");
      expect(rows(connection, "SELECT count(*) AS n FROM `grant`")).toEqual([{ n: 2 }]);
    });
  });
});

describe("a database of a newer release", () => {
  async function made(minReader: number): Promise<void> {
    const server = await startTestApp({ folder });
    await server.addUser("alice");
    await server.close();
    inDatabase((connection) => {
      connection.run("INSERT INTO schema_migration VALUES (99, ?, 0)", [minReader]);
      connection.run("PRAGMA wal_checkpoint(TRUNCATE)");
    });
  }

  test("that this release still understands is used", async () => {
    await made(1);
    const server = await startTestApp({ folder });
    expect((await server.as("alice").get("/alice/noarch/repodata.json")).status).toBe(200);
    await server.close();
  });

  test("that this release does not understand is refused by the server and by commands, and not changed", async () => {
    await made(98);
    const before = await Bun.file(path).bytes();
    const served = await condarium(["serve", "--data", folder, "--listen", "127.0.0.1:0"]);
    const line = `condarium: The database needs a newer condarium: it requires schema 98, this binary supports ${newestSchema()}. Nothing was changed.`;
    expect(served).toEqual({ code: 1, stdout: "", stderr: `${line}\n` });
    const notes: string[] = [];
    const output = { line: () => {}, note: (text: string) => void notes.push(text), rows: () => {} };
    for (const command of [["user", "list"], ["verify"], ["user", "create", "bob"]]) {
      expect(await run([...command, "--data", folder], output)).toBe(1);
    }
    expect(notes).toEqual([line, line, line]);
    expect(await Bun.file(path).bytes()).toEqual(before);
    expect(inDatabase((connection) => connection.query("SELECT name FROM owner").all())).toEqual([{ name: "alice" }]);
  });
});
