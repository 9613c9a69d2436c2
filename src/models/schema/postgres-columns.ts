// What columns of tables in PostgreSQL have in common.

import { bigint, boolean, customType } from "drizzle-orm/pg-core";

export const id = () => integer("id").primaryKey().generatedByDefaultAsIdentity();
export const integer = (name: string) => bigint(name, { mode: "number" });
export const flag = (name: string) => boolean(name);
/** Compared by bytes, whatever the locale of the server is. */
export const text = customType<{ data: string }>({ dataType: () => 'text COLLATE "C"' });
