// The engines that the tests run on: SQLite and a folder, or those of CONDARIUM_TEST_ENGINES: postgres, postgres+s3.

import { sharedPostgres } from "./postgres.ts";
import { sharedVersitygw } from "./versitygw.ts";

export type Engines = {
  readonly settings: Readonly<Record<string, string>>;
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
  if (CHOSEN !== "postgres" && CHOSEN !== "postgres+s3")
    throw new Error(`CONDARIUM_TEST_ENGINES is postgres, postgres+s3 or unset, not ${CHOSEN}`);
  const postgres = await sharedPostgres();
  const database = await postgres.createDatabase();
  const bucket = CHOSEN === "postgres+s3" ? await createBucket() : { settings: {}, environment: {} };
  return {
    settings: { database, ...bucket.settings },
    environment: { CONDARIUM_DATABASE: database, ...bucket.environment },
    drop: async () => {
      byFolder.delete(folder);
      const name = new URL(database).pathname.slice(1);
      await postgres.asSuperuser(postgres.url("postgres"), `DROP DATABASE ${name} WITH (FORCE)`);
    },
  };
}

export type Bucket = Pick<Engines, "settings" | "environment">;

/** A new bucket, which several servers can share. */
export async function createBucket(): Promise<Bucket> {
  const { endpoint, region, accessKey, secretKey, createBucket: bucketOf } = await sharedVersitygw();
  const place = new URLSearchParams({ endpoint, region, "path-style": "true" });
  const storage = `s3://${await bucketOf()}?${place.toString()}`;
  return {
    settings: { storage, "s3-access-key-id": accessKey, "s3-secret-access-key": secretKey },
    environment: { CONDARIUM_STORAGE: storage, AWS_ACCESS_KEY_ID: accessKey, AWS_SECRET_ACCESS_KEY: secretKey },
  };
}
