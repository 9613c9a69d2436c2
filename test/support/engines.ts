// The engine that the tests run on: SQLite, or PostgreSQL with CONDARIUM_TEST_ENGINES=postgres.

import { sharedPostgres } from "./postgres.ts";

export type Engines = {
  readonly settings: { readonly database?: string };
  /** The same, for another process. */
  readonly environment: Readonly<Record<string, string>>;
  /** Deletes what the engine stores for the folder. */
  drop(): Promise<void>;
};

const CHOSEN = process.env["CONDARIUM_TEST_ENGINES"] ?? "sqlite";
const SQLITE: Engines = { settings: {}, environment: {}, drop: async () => undefined };
const byFolder = new Map<string, Promise<Engines>>();

/** The settings of the registry whose node has this data folder: the same at each start. */
export function enginesOf(folder: string): Promise<Engines> {
  const known = byFolder.get(folder) ?? create(folder);
  byFolder.set(folder, known);
  return known;
}

/** The registry of this folder has its rows in the folder, whatever the tests run on. */
export function keepOnSqlite(folder: string): void {
  byFolder.set(folder, Promise.resolve(SQLITE));
}

async function create(folder: string): Promise<Engines> {
  if (CHOSEN === "sqlite") return SQLITE;
  if (CHOSEN !== "postgres") throw new Error(`CONDARIUM_TEST_ENGINES is postgres or unset, not ${CHOSEN}`);
  const postgres = await sharedPostgres();
  const database = await postgres.createDatabase();
  return {
    settings: { database },
    environment: { CONDARIUM_DATABASE: database },
    drop: async () => {
      byFolder.delete(folder);
      const name = new URL(database).pathname.slice(1);
      await postgres.asSuperuser(postgres.url("postgres"), `DROP DATABASE ${name} WITH (FORCE)`);
    },
  };
}
