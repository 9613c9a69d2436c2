// Statements that are prepared once for each connection: building and compiling a query costs more than running it.

import { sql, type Placeholder } from "drizzle-orm";
import { preparedFor, type Reader } from "./transaction.ts";

/** Gives the statement of a connection, made on its first use there. Errors: a transaction whose unit has ended. */
export function prepared<Query>(make: (reader: Reader) => Query): (reader: Reader) => Query {
  const made = new WeakMap<Reader, Query>();
  return (used) => {
    const reader = preparedFor(used);
    const known = made.get(reader);
    if (known !== undefined) return known;
    const query = make(reader);
    made.set(reader, query);
    return query;
  };
}

/** The placeholder of a value that is given when the statement runs. */
export function given<Name extends string>(name: Name): Placeholder<Name> {
  return sql.placeholder(name);
}

/** A row of placeholders for an insert of these columns. */
export function placeholders<Column extends string>(
  ...columns: readonly Column[]
): Record<Column, Placeholder<Column>> {
  const row: Partial<Record<Column, Placeholder<Column>>> = {};
  for (const column of columns) row[column] = given(column);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- each column has just been set
  return row as Record<Column, Placeholder<Column>>;
}
