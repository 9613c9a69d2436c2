// Reads a complete backup: the manifest, every row and every byte. Builds a database from the rows, for a restore.

import { lstat } from "node:fs/promises";
import { z } from "zod";
import { malformed, usage } from "../../errors.ts";
import { SCHEMA_NUMBER } from "../../models/sqlite/migrations.ts";
import { createTableTarget, type TableTarget } from "../../models/sqlite/table-rows.ts";
import type { TableRow } from "../../models/table-rows.ts";
import { withReader } from "../../models/whole-database.ts";
import type { Clock } from "../../modules/clock.ts";
import { createSha256 } from "../../modules/hash.ts";
import type { Problem } from "./verify.ts";
import { findManifest, problemOf, rowPath, type Manifest } from "./backup-format.ts";
import { checkContents } from "./check-contents.ts";
import { readRowFile, type RowFile } from "./row-files.ts";

export type CheckParts = {
  readonly source: string;
  /** The path of the database to create; no file must exist there. */
  readonly database: string;
  readonly clock: Clock;
  readonly onProblem: (problem: Problem) => void;
  readonly onProgress: (done: number, total: number, what: string) => void;
};

export type CheckedRows = {
  readonly manifest: Manifest;
  readonly rows: number;
  /** Any of them makes the database unusable. */
  readonly problems: number;
};

/** Reads all of a backup, and returns the number of its problems. Errors: as below. */
export async function checkBackup(parts: CheckParts): Promise<number> {
  const contents = counted(parts.onProblem);
  const { manifest, problems, isListReadable } = await checkRows(parts);
  if (isListReadable)
    await withReader(parts.database, (reader) =>
      checkContents({ ...parts, reader, onProblem: contents.report }, manifest),
    );
  return problems + contents.count();
}

/** Builds the database from the rows. Errors: `usage` when there is no backup, or when a newer release wrote it. */
export async function checkRows(parts: CheckParts): Promise<CheckedRows & { readonly isListReadable: boolean }> {
  const manifest = await requireManifest(parts.source);
  const found = counted(parts.onProblem);
  const counting = { ...parts, onProblem: found.report };
  const rows = await loadTables(counting, manifest);
  const isListReadable = await checkRowFile(counting, manifest, "contents", manifest.contents);
  return { manifest, rows, problems: found.count(), isListReadable };
}

async function requireManifest(source: string): Promise<Manifest> {
  const manifest = await findManifest(source);
  if (!manifest) throw usage(`${source} contains no backup, or only an unfinished one.`);
  if (manifest.schema <= SCHEMA_NUMBER) return manifest;
  throw usage(
    `The backup in ${source} is of condarium ${manifest.condarium} and schema ${manifest.schema}; this condarium supports schema ${SCHEMA_NUMBER}. Use a newer condarium.`,
  );
}

/** Returns the number of rows. */
async function loadTables(parts: CheckParts, manifest: Manifest): Promise<number> {
  const target = createTableTarget(parts.database, manifest.schema, parts.clock.now());
  let rows = 0;
  try {
    for (const [at, table] of manifest.tables.entries()) {
      parts.onProgress(at, manifest.tables.length, "tables");
      if (await checkRowFile(parts, manifest, table.name, table))
        rows += await loadTable(parts, manifest, target, table);
      if (table.last_id !== null) target.setLastId(table.name, table.last_id);
    }
    for (const message of target.finish(parts.clock.now()))
      parts.onProblem({ invariant: "I-1", subject: manifest.rows, message });
  } finally {
    target.close();
  }
  return rows;
}

/** Whether the file is unchanged since the backup. */
async function checkRowFile(
  { source, onProblem }: CheckParts,
  manifest: Manifest,
  name: string,
  expected: RowFile,
): Promise<boolean> {
  const path = rowPath(source, manifest, name);
  const report = (message: string): false => {
    onProblem({ invariant: "I-19", subject: path.slice(source.length + 1), message });
    return false;
  };
  const info = await lstat(path).catch(() => undefined);
  if (info?.isFile() !== true) return report("it is missing");
  if (info.size !== expected.bytes) return report(`it has ${info.size} bytes, not ${expected.bytes}`);
  const hash = createSha256();
  for await (const chunk of Bun.file(path).stream()) hash.update(chunk);
  return hash.digest("hex") === expected.sha256 || report("its content has changed since the backup");
}

const row = z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]));

/** Returns the number of rows. */
async function loadTable(
  { source, onProblem }: CheckParts,
  manifest: Manifest,
  target: TableTarget,
  { name, rows: expected }: Manifest["tables"][number],
): Promise<number> {
  const path = rowPath(source, manifest, name);
  let rows = 0;
  try {
    const columns = target.columns(name);
    if (!columns) throw malformed(`This schema has no table ${name}.`);
    const sortedColumns = columns.toSorted().join(" ");
    for await (const lines of readRowFile(path)) {
      target.insert(
        name,
        lines.map((line) => parseRow(line, sortedColumns)),
      );
      rows += lines.length;
    }
    if (rows !== expected) throw malformed(`It has ${rows} rows, not ${expected}.`);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    onProblem({ invariant: "I-19", subject: path.slice(source.length + 1), message });
  }
  return rows;
}

function parseRow(line: unknown, expected: string): TableRow {
  const parsed = row.safeParse(line);
  if (!parsed.success) throw malformed(`A row is not valid: ${problemOf(parsed.error)}.`);
  const columns = Object.keys(parsed.data).toSorted().join(" ");
  if (columns !== expected) throw malformed(`A row has the columns ${columns}, not ${expected}.`);
  return parsed.data;
}

/** Counts the problems that it passes on. */
export function counted(report: (problem: Problem) => void) {
  let problems = 0;
  return {
    report: (problem: Problem): void => {
      problems += 1;
      report(problem);
    },
    count: () => problems,
  };
}
