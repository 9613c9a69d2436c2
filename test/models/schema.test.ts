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
  expect(made.sort()).toEqual(wanted.sort());
});

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
