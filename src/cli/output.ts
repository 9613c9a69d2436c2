// Output of the commands: tables for people, JSON for machines, errors in one line.

import { AppError, type ErrorCode } from "../errors.ts";
import type { Problem } from "../services/storage/verify.ts";

/** `failed`: an error, or a check that found problems. `usage`: wrong flags, arguments or settings. */
export const EXIT = { done: 0, failed: 1, usage: 2 } as const;

const WRONG_INPUT: readonly ErrorCode[] = ["usage", "invalid-argument", "weak-password"];

export type Output = {
  /** Prints a line of the result to standard output. */
  line(text: string): void;
  /** Prints a message to standard error. */
  note(text: string): void;
  /** Prints rows to standard output, as JSON or as a table. */
  rows(rows: readonly Readonly<Record<string, unknown>>[], json: boolean): void;
};

export const terminal: Output = {
  line: (text) => void process.stdout.write(`${text}\n`),
  note: (text) => void process.stderr.write(`${text}\n`),
  rows: (rows, json) => void process.stdout.write(json ? `${JSON.stringify(rows, null, 2)}\n` : table(rows)),
};

/** Prints an error in one line and returns its exit code. */
export function reportError(output: Output, error: unknown): number {
  if (error instanceof AppError) {
    output.note(`condarium: ${error.message.replaceAll(/\s*\n\s*/g, " ")}`);
    return WRONG_INPUT.includes(error.code) ? EXIT.usage : EXIT.failed;
  }
  const failure = systemFailure(error);
  if (failure !== undefined) {
    output.note(`condarium: ${failure}. Check its permissions and its disk.`);
    return EXIT.failed;
  }
  output.note(
    `condarium: unexpected error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
  );
  return EXIT.failed;
}

/** The message of a failed system call, such as opening a file; undefined for any other error. */
function systemFailure(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error) || !("syscall" in error)) return undefined;
  const path = "path" in error && typeof error.path === "string" ? `${error.path} cannot be used: ` : "";
  return `${path}${error.message}`;
}

/** A problem of stored data, as text for people or as a line of JSON. */
export function problemLine(problem: Problem, json: boolean): string {
  const { invariant, subject, message } = problem;
  return json ? JSON.stringify(problem) : `${invariant}  ${subject}: ${message}`;
}

/** ms UTC as ISO 8601, in UTC, without fractions; null for a time that does not exist, which tables show as `-`. */
export function when(ms: number): string;
export function when(ms: number | null): string | null;
export function when(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}

/** JSON has null for a text that is absent. */
export function orNull(text: string | undefined): string | null {
  return text === undefined || text === "" ? null : text;
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
  if (Array.isArray(value)) return value.map(cell).join(",") || "-";
  return typeof value === "string" ? value : JSON.stringify(value);
}
