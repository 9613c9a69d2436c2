// The engines that the tests run on: SQLite and a folder, or those of CONDARIUM_TEST_ENGINES: postgres, postgres+s3.

import { rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { sharedPostgres } from "./postgres.ts";
import { sharedVersitygw } from "./versitygw.ts";

export type Engines = {
  readonly settings: Readonly<Record<string, string>>;
  /** The same, for another process. */
  readonly environment: Readonly<Record<string, string>>;
  /** The folder with the contents of packages and shards, each in the file of its key; undefined: the data folder. */
  readonly contents: string | undefined;
  /** Keeps the state of the database while no server runs; the result sets the database back to it. */
  save(): Promise<() => Promise<void>>;
  /** Deletes what the engine stores for the folder. */
  drop(): Promise<void>;
};

const CHOSEN = process.env["CONDARIUM_TEST_ENGINES"] ?? "sqlite";

export const isOnSqlite = CHOSEN === "sqlite";
export const isInBucket = CHOSEN === "postgres+s3";
const byFolder = new Map<string, Promise<Engines>>();
const opened = new Map<string, Engines>();

/** The settings of the registry whose node has this data folder: the same at each start. */
export function enginesOf(folder: string): Promise<Engines> {
  const known = byFolder.get(folder) ?? remember(folder, create(folder));
  byFolder.set(folder, known);
  return known;
}

/** Those of a folder whose server or command has been started. */
export function openedEngines(folder: string): Engines {
  const engines = CHOSEN === "sqlite" ? sqlite(folder) : opened.get(folder);
  if (!engines) throw new Error(`nothing was started on ${folder}`);
  return engines;
}

async function remember(folder: string, creating: Promise<Engines>): Promise<Engines> {
  const engines = await creating;
  opened.set(folder, engines);
  return engines;
}

/** The registry of this folder has its rows in the folder, whatever the tests run on. */
export function keepOnSqlite(folder: string): void {
  byFolder.set(folder, remember(folder, Promise.resolve(sqlite(folder))));
}

/** The file of a blob or a shard of the node with this folder, for a test to look at or to damage. */
export function contentFile(folder: string, key: string): string {
  return join(openedEngines(folder).contents ?? folder, key);
}

/** Gives `to`, a copy of the data folder of a node that has ended, copies of what the engine stores for `from`. */
export async function copyEngines(from: string, to: string): Promise<void> {
  const original = byFolder.get(from);
  if (CHOSEN === "sqlite" || original === undefined) return;
  const copy = remember(to, create(to, await original));
  byFolder.set(to, copy);
  await copy;
}

async function create(folder: string, original?: Engines): Promise<Engines> {
  if (CHOSEN === "sqlite") return sqlite(folder);
  if (CHOSEN !== "postgres" && CHOSEN !== "postgres+s3")
    throw new Error(`CONDARIUM_TEST_ENGINES is postgres, postgres+s3 or unset, not ${CHOSEN}`);
  const postgres = await sharedPostgres();
  const database = await postgres.createDatabase(original?.settings["database"]);
  const bucket = CHOSEN === "postgres+s3" ? await createBucket(original?.contents) : undefined;
  return {
    settings: { database, ...bucket?.settings },
    environment: { CONDARIUM_DATABASE: database, ...bucket?.environment },
    contents: bucket?.contents,
    save: async () => {
      const saved = await postgres.createDatabase(database);
      return () => postgres.replaceDatabase(database, saved);
    },
    drop: async () => {
      byFolder.delete(folder);
      opened.delete(folder);
      const name = new URL(database).pathname.slice(1);
      await postgres.asSuperuser(postgres.url("postgres"), `DROP DATABASE ${name} WITH (FORCE)`);
    },
  };
}

function sqlite(folder: string): Engines {
  const path = join(folder, "condarium.db");
  return {
    settings: {},
    environment: {},
    contents: undefined,
    save: async () => {
      const saved = await Bun.file(path).bytes();
      return async () => {
        for (const suffix of ["-wal", "-shm"]) await rm(path + suffix, { force: true });
        await Bun.write(path, saved);
      };
    },
    drop: async () => undefined,
  };
}

export type Bucket = Pick<Engines, "settings" | "environment"> & { readonly contents: string };

/** A new bucket, which several servers can share: empty, or a copy of the one whose contents are given. */
export async function createBucket(original?: string): Promise<Bucket> {
  const service = await sharedVersitygw();
  const { endpoint, region, accessKey, secretKey } = service;
  const place = new URLSearchParams({ endpoint, region, "path-style": "true" });
  const bucket = await service.createBucket(original === undefined ? undefined : basename(original));
  const storage = `s3://${bucket}?${place.toString()}`;
  return {
    contents: join(service.folder, bucket),
    settings: { storage, "s3-access-key-id": accessKey, "s3-secret-access-key": secretKey },
    environment: { CONDARIUM_STORAGE: storage, AWS_ACCESS_KEY_ID: accessKey, AWS_SECRET_ACCESS_KEY: secretKey },
  };
}
