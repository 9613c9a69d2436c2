// Nodes on one PostgreSQL database and one S3 bucket, both durable and on this machine.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { type Postgres, startPostgres } from "../support/postgres.ts";
import { startVersitygw, type Versitygw } from "../support/versitygw.ts";
import type { Bench } from "./bench.ts";
import { runScript } from "./processes.ts";
import type { SeedLoad } from "./seed-process.ts";
import { createToken, type MeasuredServer, newFolder, withServerOn } from "./server.ts";

export type Services = { readonly postgres: Postgres; readonly versitygw: Versitygw };

/** As an installation has them: the tests' own settings are faster than durable ones. */
const DURABLE = { fsync: "on", full_page_writes: "on", max_wal_size: "1GB" };
const SEED_MS = 25 * 60_000;

/** Runs `work` beside an own PostgreSQL and S3 service, then ends them. */
export async function withServices<T>(work: (services: Services) => Promise<T>): Promise<T> {
  const postgres = await startPostgres({ settings: DURABLE });
  try {
    const versitygw = await startVersitygw();
    try {
      return await work({ postgres, versitygw });
    } finally {
      await versitygw.close();
    }
  } finally {
    await postgres.close();
  }
}

/** Runs `work` beside two nodes on a new database, whose channel has this many records, and a new bucket. */
export async function withNodes<T>(
  bench: Bench,
  services: Services,
  records: number,
  work: (a: MeasuredServer, b: MeasuredServer) => Promise<T>,
): Promise<T> {
  const [first, second] = [await newFolder(bench), await newFolder(bench)];
  const { settings, database } = await newRegistry(first.folder, services);
  if (records > 0) {
    const load: SeedLoad = { dataDir: first.dataDir, records };
    await runScript(import.meta.resolve("./seed-process.ts"), load, SEED_MS, { CONDARIUM_DATABASE: database });
  }
  return await withServerOn(
    bench,
    first,
    async (a) => {
      const token = await createToken(bench, first.dataDir, settings);
      const both = async (b: Omit<MeasuredServer, "token">): Promise<T> => await work({ ...a, token }, { ...b, token });
      return await withServerOn(bench, second, both, settings);
    },
    settings,
  );
}

/** The arguments of every command of a new registry. */
async function newRegistry(folder: string, { postgres, versitygw }: Services) {
  const [database, bucket] = [await postgres.createDatabase(), await versitygw.createBucket()];
  const place = `endpoint=${encodeURIComponent(versitygw.endpoint)}&region=${versitygw.region}&path-style=true`;
  const file = join(folder, "settings.toml");
  const values = {
    database,
    storage: `s3://${bucket}/registry?${place}`,
    "s3-access-key-id": versitygw.accessKey,
    "s3-secret-access-key": versitygw.secretKey,
  };
  const lines = Object.entries(values).map(([name, value]) => `${name} = ${JSON.stringify(value)}\n`);
  await writeFile(file, lines.join(""), { mode: 0o600 });
  return { settings: ["--config", file], database };
}
