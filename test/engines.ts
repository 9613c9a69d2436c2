// `bun test/engines.ts postgres [WORD]...`: the tests of PostgreSQL, and those that must pass on it as they do on SQLite.
// `bun test/engines.ts postgres+s3 [WORD]...`: the same with the packages in a bucket. They need a process of their own,
// as a process has one engine. Words select some by name.

import { join, relative } from "node:path";
import { hasPostgres } from "./support/postgres.ts";
import { hasVersitygw } from "./support/versitygw.ts";

/** Those that open condarium.db themselves, or test what only SQLite has, are in neither list. */
const ON_POSTGRES = [
  "cli/audit",
  "cli/health",
  "routers/api/audit",
  "routers/api/quarantine",
  "routers/publish",
  "routers/shards",
  "services/audited",
  "services/label-patterns",
  "services/quarantine-rights",
  "services/refusals",
  "services/storage/collect-audit",
  "services/storage/gc-beside",
];
/** Those that look at the files of the data folder are not here. */
const ON_POSTGRES_AND_S3 = [
  "routers/addresses",
  "routers/documents",
  "routers/gzip",
  "routers/response-cache",
  "routers/run-exports",
  "routers/throttle",
  "routers/upload-digests",
  "routers/yanked",
];

const [engines = "postgres", ...words] = process.argv.slice(2);
const own = [...new Bun.Glob("postgres/*.postgres.ts").scanSync({ cwd: import.meta.dir, absolute: true })].toSorted();

// Servers that share a database share a bucket too.
const isHere = [hasPostgres(`the tests on ${engines}`), hasVersitygw(`the tests on ${engines}`)].every(Boolean);
if (isHere) await run(engines === "postgres" ? [...own, ...pathsOf(ON_POSTGRES)] : pathsOf(ON_POSTGRES_AND_S3));

function pathsOf(names: readonly string[]): string[] {
  return names.map((name) => join(import.meta.dir, `${name}.test.ts`));
}

async function run(paths: readonly string[]): Promise<void> {
  const files = paths.map((path) => `./${relative(process.cwd(), path)}`);
  const wanted = files.filter((file) => words.length === 0 || words.some((word) => file.includes(word)));
  if (wanted.length === 0) return;
  const child = Bun.spawn([process.execPath, "test", ...wanted], {
    env: { ...process.env, CONDARIUM_TEST_ENGINES: engines },
    stdio: ["ignore", "inherit", "inherit"],
  });
  process.exitCode = await child.exited;
}
