// `bun test/engines.ts postgres [WORD]...`: the tests of PostgreSQL, and those that must pass on it as they do on SQLite.
// `bun test/engines.ts postgres+s3 [WORD]...`: the same with the packages in a bucket. They need processes of their own,
// as a process has one engine. Without a word: those of `check`; words select some of all by name.

import { relative } from "node:path";
import { AT_NIGHT, IN_CHECK, pathsOf, postgresFiles } from "./engine-files.ts";
import { hasPostgres } from "./support/postgres.ts";
import { startSharedServers } from "./support/shared-servers.ts";
import { hasVersitygw } from "./support/versitygw.ts";

const [engines = "postgres", ...words] = process.argv.slice(2);
const names = words.length === 0 ? IN_CHECK : [...IN_CHECK, ...AT_NIGHT];
const files = [...postgresFiles(), ...pathsOf(names)].map((path) => `./${relative(process.cwd(), path)}`);
const wanted = files.filter((file) => words.length === 0 || words.some((word) => file.includes(word)));

// Servers that share a database share a bucket too.
const isHere = [hasPostgres(`the tests on ${engines}`), hasVersitygw(`the tests on ${engines}`)].every(Boolean);
if (isHere && wanted.length > 0) {
  // Two at a time: a test waits for the database and the bucket, which are other processes.
  const child = Bun.spawn([process.execPath, "test", "--parallel=2", ...wanted], {
    env: await startSharedServers(engines),
    stdio: ["ignore", "inherit", "inherit"],
  });
  // The servers end with this process.
  process.exit(await child.exited);
}
