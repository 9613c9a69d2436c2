// Helpers for reading the rows of a query.

/** The first row. Errors: the query returned no row. */
export function requireRow<T>(rows: readonly T[]): T {
  const row = rows[0];
  if (row === undefined) throw new Error("the database returned no row");
  return row;
}

/**
 * All values that `next` returns, starting after `""` and passing each value to find its successor. For few values in
 * many rows this reads few rows, where `DISTINCT` reads all of them.
 */
export async function eachInTurn(next: (after: string) => Promise<string | undefined>): Promise<string[]> {
  const found: string[] = [];
  for (let value = await next(""); value !== undefined; value = await next(value)) found.push(value);
  return found;
}
