import { Database as Connection } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../../src/cli/index.ts";
import { migrate, schemaNumber } from "../../src/models/migrations.ts";
import { startTestApp } from "../support/app.ts";
import { condarium } from "../support/server-process.ts";

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

function tablesOf(connection: Connection): string[] {
  const rows = connection.query<{ name: string }, []>("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1");
  return rows.all().map(({ name }) => name);
}

describe("an empty database", () => {
  test("gets every migration, and each only once", () => {
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

  test("keeps nothing of a migration that fails in its middle", () => {
    inDatabase((connection) => {
      // The name of a table that the first migration makes after others.
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

  test("that another process is writing to is not touched", () => {
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

  test("that this one still understands is used", async () => {
    await made(1);
    const server = await startTestApp({ folder });
    expect((await server.as("alice").get("/alice/noarch/repodata.json")).status).toBe(200);
    await server.close();
  });

  test("that this one does not understand is refused by the server and by commands, and not changed", async () => {
    await made(98);
    const before = await Bun.file(path).bytes();
    const served = await condarium(["serve", "--data", folder, "--listen", "127.0.0.1:0"]);
    const line = `condarium: The database needs a newer condarium: it asks for schema 98, this binary knows 2. Nothing was changed.`;
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
