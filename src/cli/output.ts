// How commands speak: tables for people, JSON for machines, errors in one line.

import { AppError } from "../errors.ts";
import type { Problem } from "../services/storage/verify.ts";

/** Done; failed or with findings; wrong usage or configuration. */
export const EXIT = { done: 0, failed: 1, usage: 2 } as const;

export type Output = {
  /** One line of the command's own answer, to standard output. */
  line(text: string): void;
  /** Something to know, to standard error. */
  note(text: string): void;
  /** `--json` prints the rows as they are, otherwise a table. */
  rows(rows: readonly Readonly<Record<string, unknown>>[], json: boolean): void;
};

export const terminal: Output = {
  line: (text) => void process.stdout.write(`${text}\n`),
  note: (text) => void process.stderr.write(`${text}\n`),
  rows: (rows, json) => void process.stdout.write(json ? `${JSON.stringify(rows, null, 2)}\n` : table(rows)),
};

/** The exit code for an error, after saying it in one line. */
export function reportError(output: Output, error: unknown): number {
  if (error instanceof AppError) {
    output.note(`condarium: ${error.message.replaceAll(/\s*\n\s*/g, " ")}`);
    return error.code === "usage" || error.code === "invalid-argument" ? EXIT.usage : EXIT.failed;
  }
  const failure = systemFailure(error);
  if (failure !== undefined) {
    output.note(`condarium: ${failure}. Look at its rights and its disk.`);
    return EXIT.failed;
  }
  output.note(
    `condarium: unexpected error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
  );
  return EXIT.failed;
}

/** What the system did not do, such as opening a file, and why; a fault of ours has no such reason. */
function systemFailure(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error) || !("syscall" in error)) return undefined;
  const path = "path" in error && typeof error.path === "string" ? `${error.path} cannot be used: ` : "";
  return `${path}${error.message}`;
}

/** What is wrong with something stored, for a person or for a machine. */
export function problemLine(problem: Problem, json: boolean): string {
  const { invariant, subject, message } = problem;
  return json ? JSON.stringify(problem) : `${invariant}  ${subject}: ${message}`;
}

/** ms UTC as people read it. */
export function when(ms: number | null): string {
  return ms === null ? "never" : new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}

function table(rows: readonly Readonly<Record<string, unknown>>[]): string {
  const first = rows[0];
  if (!first) return "(none)\n";
  const columns = Object.keys(first);
  const lines = [
    columns.map((column) => column.toUpperCase()),
    ...rows.map((row) => columns.map((key) => cell(row[key]))),
  ];
  const widths = columns.map((_, at) => Math.max(...lines.map((line) => line[at]?.length ?? 0)));
  return lines
    .map(
      (line) =>
        `${line
          .map((text, at) => text.padEnd(widths[at] ?? 0))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}

function cell(value: unknown): string {
  if (value === null || value === undefined || value === "") return "-";
  if (Array.isArray(value)) return value.map(cell).join(",");
  return typeof value === "string" ? value : JSON.stringify(value);
}
