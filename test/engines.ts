// `bun test/engines.ts [WORD]...`: the tests of PostgreSQL, and the tests that must pass on it as they do on SQLite.
// They need a process of their own, as a process has one engine. Words select some by name.

import { join, relative } from "node:path";
import { hasPostgres } from "./support/postgres.ts";

/** Those that open condarium.db themselves, or test what only SQLite has, are not here. */
const ON_BOTH = [
  "cli/health",
  "routers/access-log",
  "routers/addresses",
  "routers/damaged",
  "routers/documents",
  "routers/gitea",
  "routers/gzip",
  "routers/path",
  "routers/publish",
  "routers/ranges",
  "routers/read",
  "routers/response-cache",
  "routers/run-exports",
  "routers/shards",
  "routers/throttle",
  "routers/upload-digests",
  "routers/yanked",
  "services/label-patterns",
  "services/storage/gc-beside",
].map((name) => join(import.meta.dir, `${name}.test.ts`));

const own = [...new Bun.Glob("postgres/*.postgres.ts").scanSync({ cwd: import.meta.dir, absolute: true })].toSorted();
const words = process.argv.slice(2);
const files = [...own, ...ON_BOTH].map((path) => `./${relative(process.cwd(), path)}`);
const wanted = files.filter((file) => words.length === 0 || words.some((word) => file.includes(word)));

if (hasPostgres("the tests on PostgreSQL")) {
  const child = Bun.spawn([process.execPath, "test", ...wanted], {
    env: { ...process.env, CONDARIUM_TEST_ENGINES: "postgres" },
    stdio: ["ignore", "inherit", "inherit"],
  });
  process.exitCode = await child.exited;
}
