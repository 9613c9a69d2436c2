import { Database as Connection } from "bun:sqlite";
import { expect, test } from "bun:test";
import { join } from "node:path";
import { migrate } from "../../src/models/sqlite/migrations.ts";

const ROOT = join(import.meta.dir, "../..");

test("the migrations create exactly the tables that the code declares", async () => {
  const exported = Bun.spawn(
    [process.execPath, "x", "drizzle-kit", "export", "--dialect", "sqlite", "--schema", "src/models/schema/sqlite.ts"],
    { cwd: ROOT, stderr: "ignore" },
  );
  const sql = await new Response(exported.stdout).text();
  const [wanted, made] = [new Connection(":memory:"), new Connection(":memory:")];
  wanted.run(sql);
  migrate(made, 0);
  made.run("DROP TABLE schema_migration");
  const structure = structureOf(wanted);
  expect(structure.length).toBeGreaterThan(100);
  expect(structureOf(made)).toEqual(structure);
});

/** A line for each column, foreign key and index, sorted: a later migration adds a column at the end. */
function structureOf(connection: Connection): string[] {
  const lines: string[] = [];
  for (const { name } of rowsOf(
    connection,
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
  )) {
    lines.push(`${name}`);
    for (const { cid: _, ...column } of rowsOf(connection, `PRAGMA table_info("${name}")`)) {
      lines.push(`${name} ${JSON.stringify(column)}`);
    }
    for (const { id: _, ...key } of rowsOf(connection, `PRAGMA foreign_key_list("${name}")`)) {
      lines.push(`${name} ${JSON.stringify(key)}`);
    }
    for (const { name: index, unique } of rowsOf(connection, `PRAGMA index_list("${name}")`)) {
      const columns = rowsOf(connection, `PRAGMA index_info("${index}")`).map((column) => column.name);
      lines.push(`${name} ${index} ${unique} ${columns.join()}`);
    }
  }
  return lines.sort();
}

function rowsOf(connection: Connection, sql: string): Record<string, string | number | null>[] {
  return connection.query<Record<string, string | number | null>, []>(sql).all();
}
