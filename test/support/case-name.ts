const MOST = 80;

/** The value of a parameterized test as it appears in the test's name: on one line, and shortened when it is long. */
export function caseName(value: unknown): string {
  const text = typeof value === "string" ? JSON.stringify(value) : Bun.inspect(value, { depth: 3 });
  const line = text.replaceAll(/\s+/g, " ");
  return line.length <= MOST ? line : `${line.slice(0, MOST / 2)}… (${text.length} characters)`;
}

/** The values for `test.each`, each behind its name. */
export function named<T>(values: readonly T[]): [name: string, value: T][] {
  return values.map((value) => [caseName(value), value]);
}

/** The rows for `test.each`, each behind the name of its first column. */
export function namedRows<Row extends readonly unknown[]>(rows: readonly Row[]): [name: string, ...row: Row][] {
  return rows.map((row) => [caseName(row[0]), ...row]);
}
