// Statements prepared once per connection: building and compiling a query costs more than running it.

import { sql, type Placeholder } from "drizzle-orm";
import { preparedFor, type Reader } from "./transaction.ts";

/** A query that has not been executed. */
type Preparable<Statement> = { prepare(name?: string): Statement };

/**
 * Returns a function that prepares the statement once per connection. `name` is for engines whose prepared statements
 * have names. Errors: a transaction whose unit has ended.
 */
export function prepared<Statement>(
  name: string,
  build: (reader: Reader) => Preparable<Statement>,
): (reader: Reader) => Statement {
  const statements = new WeakMap<Reader, Statement>();
  return (readerOrTx) => {
    const reader = preparedFor(readerOrTx);
    const existing = statements.get(reader);
    if (existing !== undefined) return existing;
    const statement = build(reader).prepare(name);
    statements.set(reader, statement);
    return statement;
  };
}

/** A placeholder for a value that is bound when the statement runs. */
export function param<Name extends string>(name: Name): Placeholder<Name> {
  return sql.placeholder(name);
}

/** A row of placeholders for an insert into these columns. */
export function placeholders<Column extends string>(
  ...columns: readonly Column[]
): Record<Column, Placeholder<Column>> {
  const row: Partial<Record<Column, Placeholder<Column>>> = {};
  for (const column of columns) row[column] = param(column);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- each column has just been set
  return row as Record<Column, Placeholder<Column>>;
}
