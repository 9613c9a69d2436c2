// The errors of the main database, on either engine.

import * as postgres from "./postgres/errors.ts";
import { shownUrl } from "./postgres/url.ts";
import type { DatabaseSource } from "./database.ts";
import * as sqlite from "./sqlite/errors.ts";

export { isDatabaseDamaged, isDatabaseDiskFailure, isDatabaseFull } from "./sqlite/errors.ts";

/** Converts a database error to an error that clients can see; returns other errors unchanged. */
export function toAppError(error: unknown): unknown {
  return sqlite.toAppError(postgres.toAppError(error));
}

/** Converts an error to a complete one-line message for the operator. */
export function toOpenError(error: unknown, source: DatabaseSource): unknown {
  return source.engine === "sqlite"
    ? sqlite.toOpenError(error, source.path)
    : postgres.toOpenError(error, shownUrl(source.url));
}
