import { Database as Connection } from "bun:sqlite";
import { expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");

test("the migrations make exactly the tables that the code knows", async () => {
  const exported = Bun.spawn(
    [process.execPath, "x", "drizzle-kit", "export", "--dialect", "sqlite", "--schema", "src/models/schema/sqlite.ts"],
    { cwd: ROOT, stderr: "ignore" },
  );
  const wanted = statementsOf(await new Response(exported.stdout).text());
  const folder = join(ROOT, "drizzle/sqlite");
  const files = (await readdir(folder)).filter((name) => name.endsWith(".sql")).sort();
  const made = (await Promise.all(files.map((name) => Bun.file(join(folder, name)).text()))).flatMap(statementsOf);
  expect(wanted.length).toBeGreaterThan(30);
  const tables = tablesMadeBy(made);
  expect(Object.keys(tables).length).toBeGreaterThan(10);
  expect(tables).toEqual(tablesMadeBy(wanted));
});

/** A table may be made at once or column by column: what counts is what SQLite says that it has. */
function tablesMadeBy(statements: readonly string[]): Record<string, unknown> {
  const db = new Connection(":memory:");
  for (const statement of statements) db.run(statement);
  const ask = (pragma: string, name: string): unknown => db.query(`SELECT * FROM ${pragma}(?)`).all(name);
  const tables = db.query<{ name: string; sql: string }, []>(
    "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
  );
  const entries = tables.all().map(({ name, sql }) => {
    const keys = { isAutoincrement: sql.includes("AUTOINCREMENT"), foreign: ask("pragma_foreign_key_list", name) };
    const indexes = db.query("SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? ORDER BY 1");
    return [name, { columns: ask("pragma_table_xinfo", name), keys, indexes: indexes.all(name) }] as const;
  });
  db.close();
  return Object.fromEntries(entries);
}

/** One line each, whatever the layout. */
function statementsOf(sql: string): string[] {
  return sql
    .replaceAll("--> statement-breakpoint", "")
    .split("\n")
    .filter((line) => !line.startsWith("--"))
    .join("\n")
    .split(";")
    .map((statement) => statement.replace(/\s+/g, " ").trim())
    .filter((statement) => statement !== "");
}
