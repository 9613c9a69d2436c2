// Small help for reading what a query returned.

/** The row that a `returning()` must give. */
export function requireRow<T>(rows: readonly T[]): T {
  const row = rows[0];
  if (row === undefined) throw new Error("the database returned no row");
  return row;
}

/**
 * All that `next` finds, each by the one before, from `""` on: of few values in many rows this looks at few of the rows,
 * where `DISTINCT` looks at all of them.
 */
export async function eachInTurn(next: (after: string) => Promise<string | undefined>): Promise<string[]> {
  const found: string[] = [];
  for (let one = await next(""); one !== undefined; one = await next(one)) found.push(one);
  return found;
}
