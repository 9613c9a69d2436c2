// The rules that no compiler checks: who imports whom, which file owns what, the length of files and functions.

import { expect, test } from "bun:test";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, normalize } from "node:path";

const ROOT = join(import.meta.dir, "..");
const MAX_FILE_LINES = 400;
const MAX_FUNCTION_LINES = 70;

/** Low to high; a file imports its own rank or lower. The first matching pattern decides. */
const RANKS: readonly (readonly [RegExp, string])[] = [
  [/^errors\.ts$/, "errors"],
  [/^modules\//, "modules"],
  [/^events\.ts$/, "events"],
  [/^models\//, "models"],
  [/^services\//, "services"],
  [/^routers\//, "routers"],
  [/^(settings|config|package-types|stores|threads|sharing|preparing|management|app)\.ts$/, "app"],
  [/^(cli\/|worker\.ts$)/, "cli"],
  [/^main\.ts$/, "main"],
];

/** Inside `modules/`: a module imports no other module except these. */
const MODULE_FRIENDS: Readonly<Record<string, readonly string[]>> = {
  conda: ["archive", "hash.ts", "streams.ts", "msgpack.ts", "stored-budget.ts"],
  archive: ["conda/findings.ts", "conda/archive.ts"],
  storage: ["hash.ts", "streams.ts", "ids.ts", "mutex.ts", "clock.ts"],
  generic: ["fold-case.ts"],
  "passwords.ts": ["clock.ts", "common-passwords.ts", "fair-turns.ts"],
  "patience.ts": ["clock.ts"],
};

/** Low to high inside `services/`; a folder without a rank is a package type. */
const SERVICE_RANKS: readonly (readonly [RegExp, string])[] = [
  [
    /^(actor|changed-names|channel-ref|channel-policy|token-limits|throttle|login-limits|admission|bodies|health|troubles|remote-parts|server-metrics|hash-worker|nodes|two-factor-policy)\.ts$/,
    "values",
  ],
  [
    /^(identities|logins|login-codes|token-state|token-uses|access|access-rules|roles|audit|audit-trail|refusals)\.ts$/,
    "access",
  ],
  [/^package-type\.ts$/, "package-type"],
  [
    /^(users|user-change|user-removal|profiles|two-factor|tokens|leaked-tokens|label-patterns|channels|channel-sizes|channel-removal|grants|organizations|teams|robots|memberships|owner-names|transfers)\.ts$/,
    "management",
  ],
  [
    /^(workers|worker-failures|file-hashes|staging|name-weights|existing-file|file-quarantine|packages|versions)\.ts$/,
    "packages",
  ],
  [/^(publishing|similar-channels|removing|quarantine)\.ts$/, "publishing"],
  [/^index\//, "index"],
  [/^(?!index|sources|storage)[^/]+\//, "package types"],
  [/^sources\//, "sources"],
  [/^storage\//, "storage"],
];

type Source = { readonly path: string; readonly text: string; readonly imports: readonly string[] };

const sources = await readSources();

test("every file of src has a rank", () => {
  expect(sources.filter(({ path }) => rankOf(path) < 0).map(({ path }) => path)).toEqual([]);
  expect(sources.length).toBeGreaterThan(50);
});

test("a file imports only its own rank or lower, types included", () => {
  const upward = sources.flatMap(({ path, imports }) =>
    imports.filter((target) => rankOf(target) > rankOf(path)).map((target) => `${path} imports ${target}`),
  );
  expect(upward).toEqual([]);
});

test("no import cycle exists, types included", () => {
  const byPath = new Map(sources.map((source) => [source.path, source]));
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): string[] => {
    if (trail.includes(path)) return [[...trail.slice(trail.indexOf(path)), path].join(" > ")];
    if (done.has(path)) return [];
    const found = (byPath.get(path)?.imports ?? []).flatMap((target) => visit(target, [...trail, path]));
    done.add(path);
    return found;
  };
  expect(sources.flatMap(({ path }) => visit(path, []))).toEqual([]);
});

test("inside services a file imports only its own folder's rank or lower", () => {
  const services = sources.filter(({ path }) => path.startsWith("services/"));
  expect(services.filter(({ path }) => serviceRankOf(path) < 0).map(({ path }) => path)).toEqual([]);
  const upward = services.flatMap(({ path, imports }) =>
    imports
      .filter((target) => target.startsWith("services/"))
      .filter((target) => serviceRankOf(target) > serviceRankOf(path))
      .map((target) => `${path} imports ${target}`),
  );
  expect(upward).toEqual([]);
});

test.each([
  ["routers go through services, not to tables", /^routers\//, /^models\//],
  ["the index knows no format of a package type", /^(services|models)\/index\//, /^(modules|services)\/conda\//],
  [
    "garbage collection, backup and checks know no package type",
    /^services\/storage\//,
    /^(modules|services)\/conda\//,
  ],
])("%s", (_, room, forbidden) => {
  const strangers = sources
    .filter(({ path }) => room.test(path))
    .flatMap(({ path, imports }) =>
      imports.filter((target) => forbidden.test(target)).map((target) => `${path} imports ${target}`),
    );
  expect(strangers).toEqual([]);
  expect(sources.some(({ path }) => room.test(path))).toBe(true);
});

test("a module imports no other module except its listed friends", () => {
  const strangers = sources.flatMap(({ path, imports }) => {
    const room = roomOf(path);
    if (room === undefined) return [];
    return imports
      .filter((target) => target.startsWith("modules/") && roomOf(target) !== room)
      .filter((target) => !isFriend(room, target))
      .map((target) => `${path} imports ${target}`);
  });
  expect(strangers).toEqual([]);
});

test.each([
  ["drizzle and bun:sqlite", /from "(drizzle-orm|bun:sqlite)/, /^models\//],
  ["elysia", /from "elysia/, /^routers\//],
  ["the environment", /process\.env|Bun\.env|import\.meta\.env/, /^(config|models\/schema\/engine)\.ts$/],
  ["the time", /Date\.now\(|new Date\(\)|performance\.now\(/, /^modules\/clock\.ts$/],
  [
    "the reading of records for documents",
    /\b(pagesOfSection|pagesOfName|newestFiles|indexedFile|yankedFiles)\(/,
    /^(models\/indexed-file|services\/index\/records)\.ts$/,
  ],
  [
    "the names of the database files",
    /"(condarium|index)\.db"/,
    /^(models\/data-folder|modules\/storage\/leftovers|cli\/\w+)\.ts$/,
  ],
  [
    "the opening of transactions",
    /\.transaction\(|BEGIN IMMEDIATE/,
    /^models\/(lock|sqlite\/(writer|migrations)|index\/db)\.ts$/,
  ],
  ["the use of SQLite's own features", /"PRAGMA |data_version: /, /^models\/(sqlite\/|index\/|lock\.ts)/],
])("one owner alone is responsible for %s", (_, pattern, owner) => {
  const users = sources.filter(({ text }) => pattern.test(text)).map(({ path }) => path);
  expect(users.filter((path) => !owner.test(path))).toEqual([]);
  expect(users.length).toBeGreaterThan(0);
});

test("every file stays within the size budget", () => {
  const lengths = sources.map(({ path, text }) => ({ path, lines: text.split("\n").length }));
  expect(lengths.filter(({ lines }) => lines > MAX_FILE_LINES)).toEqual([]);
});

test("every function stays within the size budget", async () => {
  const folder = await mkdtemp(join(tmpdir(), "condarium-size-"));
  const rule = ["error", { max: MAX_FUNCTION_LINES, skipBlankLines: false, skipComments: false }];
  await Bun.write(join(folder, "size.json"), JSON.stringify({ rules: { "max-lines-per-function": rule } }));
  const long = Array.from({ length: MAX_FUNCTION_LINES }, (_, at) => `  call(${at});`).join("\n");
  await Bun.write(join(folder, "long.ts"), `export function tooLong() {\n${long}\n}\n`);
  const measure = async (place: string): Promise<string[]> => {
    const command = [process.execPath, "x", "oxlint", "-c", join(folder, "size.json"), "-f", "unix", place];
    const text = await new Response(Bun.spawn(command, { cwd: ROOT }).stdout).text();
    return text.split("\n").filter((line) => line.includes("max-lines-per-function"));
  };
  // The first measurement shows that the check finds a function that is too long.
  expect(await measure(folder)).toHaveLength(1);
  expect(await measure("src")).toEqual([]);
});

async function readSources(): Promise<Source[]> {
  const found: Source[] = [];
  for await (const path of new Bun.Glob("**/*.ts").scan(join(ROOT, "src"))) {
    if (path.endsWith(".d.ts")) continue;
    const text = await Bun.file(join(ROOT, "src", path)).text();
    // Matches text, because the transpiler's own scan leaves type imports out.
    const imports = [...text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+\.ts)"/g)].map((match) =>
      normalize(join(dirname(path), match[1] ?? "")),
    );
    found.push({ path, text, imports });
  }
  return found;
}

function rankOf(path: string): number {
  return RANKS.findIndex(([pattern]) => pattern.test(path));
}

function serviceRankOf(path: string): number {
  const file = path.slice("services/".length);
  return SERVICE_RANKS.findIndex(([pattern]) => pattern.test(file));
}

/** `modules/conda/info/index.ts` belongs to `conda`; `modules/hash.ts` belongs to itself only. */
function roomOf(path: string): string | undefined {
  return /^modules\/([^/]+)/.exec(path)?.[1];
}

function isFriend(room: string, target: string): boolean {
  const place = target.slice("modules/".length);
  return (MODULE_FRIENDS[room] ?? []).some((friend) => place === friend || place.startsWith(`${friend}/`));
}
