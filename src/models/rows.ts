// Small help for reading what a query returned.

/** The row that a `returning()` must give. */
export function theRow<T>(rows: readonly T[]): T {
  const row = rows[0];
  if (row === undefined) throw new Error("the database returned no row");
  return row;
}
