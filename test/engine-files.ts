// Which test files run once more on PostgreSQL and a bucket, and when. A test requires a place for each file.

import { join, relative } from "node:path";

/** Every test of these folders is about parts that know no database. */
const WITHOUT_DATABASE = ["modules/", "support/", "e2e/"];

/** In `check`: what differs most between the engines, in little time. */
export const IN_CHECK = [
  "cli/audit",
  "cli/health",
  "cli/json",
  "models/login-failure",
  "routers/addresses",
  "routers/api/audit",
  "routers/api/audit-organizations",
  "routers/api/channels",
  "routers/api/grant-packages",
  "routers/api/organizations",
  "routers/api/packages",
  "routers/api/quarantine",
  "routers/api/tokens",
  "routers/api/two-factor-tokens",
  "routers/api/users",
  "routers/documents",
  "routers/existing",
  "routers/generic",
  "routers/gzip",
  "routers/metrics",
  "routers/publish",
  "routers/read",
  "routers/response-cache",
  "routers/run-exports",
  "routers/two-factor",
  "routers/upload-digests",
  "routers/yanked",
  "services/access",
  "services/audited",
  "services/identities",
  "services/label-patterns",
  "services/logins",
  "services/names",
  "services/organisations",
  "services/quarantine-rights",
  "services/refusals",
  "services/robots",
  "services/storage/collect-audit",
  "services/storage/verify",
  "services/teams",
  "services/transfers",
];

/** In `nightly`, with those of `check`: the slow ones, and those that measure times, which two files at once disturb. */
export const AT_NIGHT = [
  "cli/cli",
  "cli/completion",
  "cli/first-start",
  "cli/listener",
  "cli/local-url",
  "cli/org",
  "cli/token-find",
  "config",
  "crash",
  "floods",
  "handles",
  "models/data-folder",
  "models/folder-guard",
  "models/index/scope",
  "models/lock",
  "models/schema",
  "processes",
  "routers/access",
  "routers/access-log",
  "routers/api/room",
  "routers/damaged",
  "routers/gitea",
  "routers/http/request-body",
  "routers/matrix",
  "routers/other-protocols",
  "routers/path",
  "routers/ranges",
  "routers/refusals",
  "routers/rights",
  "routers/shards",
  "routers/sign-in",
  "routers/throttle",
  "routers/wire",
  "services/admission",
  "services/bodies",
  "services/channel-removal",
  "services/conda/check/documents",
  "services/conda/inspect",
  "services/conda/shards/never-seen",
  "services/file-hashes",
  "services/index/damage",
  "services/index/files/document-files",
  "services/index/histories",
  "services/index/repair/reindex",
  "services/index/repair/verify",
  "services/index/responsive",
  "services/index/segments/build",
  "services/index/segments/chunking",
  "services/index/segments/entries",
  "services/index/segments/long-name",
  "services/index/segments/rewrite",
  "services/index/steps/holds",
  "services/index/steps/turns",
  "services/index/stored-limits",
  "services/index/two-builders",
  "services/management",
  "services/name-weights",
  "services/nodes",
  "services/remote-parts",
  "services/staging",
  "services/storage/collector-lease",
  "services/storage/gc",
  "services/storage/gc-beside",
  "services/storage/store-identity",
  "services/storage/verify-rows",
  "services/two-factor",
  "services/worker-failures",
  "services/workers",
  "shutdown",
  "start",
  "transport",
  "validator-words",
];

/** Never, by the reason. */
export const LEFT_OUT: Readonly<Record<string, readonly string[]>> = {
  "damages, moves, fills or locks the file of SQLite, or the data folder with the packages": [
    "app",
    "damage",
    "folder-moved",
    "models/database",
    "models/second-factor",
    "models/sqlite/migrations",
    "models/sqlite/writer",
    "read-only",
    "services/health",
    "services/storage/backup",
    "storage-faults",
  ],
  "takes the disk or the system calls away that SQLite and the folder stand on": ["failing-calls", "power-cuts"],
  "restores into new files under kills; test/nodes.test.ts kills the nodes of one database and one bucket": ["kills"],
  "starts PostgreSQL, a bucket, or both by itself": [
    "deploy",
    "models/postgres/whole-database",
    "move",
    "nodes",
    "readme",
    "s3",
    "services/storage/moving",
  ],
  "runs the lines of a page, which are for a data folder": ["people"],
  "reads no database": ["architecture", "engines"],
};

/** The tests that only PostgreSQL has. */
export function postgresFiles(): string[] {
  return scan("postgres/*.postgres.ts");
}

/** The files of these names. */
export function pathsOf(names: readonly string[]): string[] {
  return names.map((name) => join(import.meta.dir, `${name}.test.ts`));
}

/** The names of all test files that need a place. */
export function namesOfTests(): string[] {
  const names = scan("**/*.test.ts").map((path) => relative(import.meta.dir, path).slice(0, -".test.ts".length));
  return names.filter((name) => !WITHOUT_DATABASE.some((folder) => name.startsWith(folder)));
}

function scan(pattern: string): string[] {
  return [...new Bun.Glob(pattern).scanSync({ cwd: import.meta.dir, absolute: true })].toSorted();
}
