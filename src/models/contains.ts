// Searches for a part of a text, where `%`, `_` and `\` stand for themselves.

import { or, sql, type SQL, type SQLWrapper } from "drizzle-orm";

/** Whether one of the columns contains the text, in any case; undefined finds every row. */
export function contains(text: string | undefined, ...columns: readonly SQLWrapper[]): SQL | undefined {
  if (text === undefined) return undefined;
  const part = `%${text.toLowerCase().replaceAll(/[\\%_]/g, String.raw`\$&`)}%`;
  return or(...columns.map((column) => sql`lower(${column}) LIKE ${part} ESCAPE ${"\\"}`));
}
