// Changes to a data folder behind the server's back: `verify` finds and names each, and changes nothing.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { lstat, mkdir, mkdtemp, open, readdir, rename, rm, symlink, truncate, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { partsOfFolder } from "../../../src/models/data-folder.ts";
import { openDatabase } from "../../../src/models/open-database.ts";
import { systemClock } from "../../../src/modules/clock.ts";
import type { BlobKey } from "../../../src/modules/storage/blob-store.ts";
import { createDiskStore } from "../../../src/modules/storage/disk.ts";
import { PACKAGE_TYPES } from "../../../src/package-types.ts";
import { INVARIANTS } from "../../../src/services/storage/invariants.ts";
import { createVerify, type Problem } from "../../../src/services/storage/verify.ts";
import { startTestApp } from "../../support/app.ts";
import { copyClosedFolder } from "../../support/copy-folder.ts";
import { buildPackage } from "../../support/package-builder.ts";
import { runHere } from "../../support/run-here.ts";
import { blobKey } from "../../../src/modules/storage/keys.ts";
import { contentFile, isOnSqlite } from "../../support/engines.ts";
import { openTables, runOn } from "../../support/rows.ts";

const DAY_MS = 24 * 60 * 60 * 1000;

let template: string;
let folder: string;
const packages = ["one", "two", "six"].map((name) => buildPackage({ name, version: "1" }));

beforeAll(async () => {
  template = await mkdtemp(join(tmpdir(), "condarium-verify-"));
  const server = await startTestApp({ folder: template });
  const alice = await server.addUser("alice");
  for (const built of packages) {
    for (const channel of ["main", "copy"]) {
      expect((await alice.put(`/api/packages/alice/conda/${channel}/${built.fileName}`, built.bytes)).status).toBe(201);
    }
  }
  await server.close();
});
afterAll(() => rm(template, { recursive: true, force: true }));

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "condarium-verify-"));
  await copyClosedFolder(template, folder);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function blobOf(at: number): string {
  const hash = packages[at]?.sha256 ?? "";
  return contentFile(folder, blobKey(hash));
}

/** Runs the command, and checks that the folder is unchanged afterwards. */
async function verify(...flags: string[]): Promise<{ code: number; problems: Problem[]; summary: string }> {
  const before = await inventory();
  const [out, notes]: [string[], string[]] = [[], []];
  const output = {
    line: (text: string) => void out.push(text),
    note: (text: string) => void notes.push(text),
    rows() {},
  };
  const code = await runHere(["verify", "--json", ...flags, "--data", folder], output);
  expect(await inventory()).toEqual(before);
  return { code, problems: out.map((line) => JSON.parse(line)), summary: notes.join("\n") };
}

/** Every file of the server's own with its size and time, and every row of the database. */
async function inventory(): Promise<unknown> {
  const names = (await readdir(folder, { recursive: true })).filter((name) => /^(blobs|files|tmp)\//.test(name));
  const files = await Promise.all(
    names.sort().map(async (name) => {
      const { size, mtimeMs, ino } = await lstat(join(folder, name));
      return [name, size, mtimeMs, ino];
    }),
  );
  using tables = openTables(folder);
  return { files, rows: tables.dump() };
}

function invariants(problems: readonly Problem[]): string[] {
  return problems.map(({ invariant }) => invariant).sort();
}

async function rewrite(path: string, change: (bytes: Uint8Array) => void): Promise<void> {
  const bytes = await Bun.file(path).bytes();
  change(bytes);
  await Bun.write(path, bytes);
}

function changeFile(change: string): void {
  runOn(folder, `UPDATE package_file SET ${change} WHERE id = 1`);
}

async function age(path: string, days: number): Promise<void> {
  const time = new Date(Date.now() - days * DAY_MS);
  await utimes(path, time, time);
}

test("verify of an intact folder has no problems and exit code 0", async () => {
  for (const flags of [[], ["--full"]]) {
    expect(await verify(...flags)).toEqual({ code: 0, problems: [], summary: "6 files, 3 blobs, 0 problems." });
  }
});

describe("verify", () => {
  test("finds a missing blob for each file it belongs to (I-2)", async () => {
    await rm(blobOf(0));
    const { code, problems, summary } = await verify();
    expect([code, invariants(problems), summary]).toEqual([1, ["I-2", "I-2"], "6 files, 3 blobs, 2 problems."]);
    expect(problems[0]?.subject).toContain("noarch/one-1-0.conda");
    expect(problems[0]?.message).toContain(`${packages[0]?.sha256} is missing`);
  });

  test("finds a truncated blob by its size (I-2)", async () => {
    await truncate(blobOf(1), 10);
    const { code, problems } = await verify();
    expect([code, invariants(problems)]).toEqual([1, ["I-2", "I-2"]]);
    expect(problems[0]?.message).toContain(`has 10 bytes, not ${packages[1]?.bytes.length}`);
  });

  test.each([
    ["the section", "section = 'Linux'", 'no conda package has the section "Linux"'],
    ["the section of another type", "section = 'one/1.0'", 'no conda package has the section "one/1.0"'],
    ["the metadata", "metadata = '{}'", "its stored metadata is invalid"],
    ["the metadata, which is not JSON,", "metadata = '{'", "its stored metadata is invalid"],
  ])("finds a file when %s cannot come from its package type (I-10)", async (_what, change, message) => {
    changeFile(change);
    const { code, problems } = await verify();
    expect([code, invariants(problems), problems[0]?.message]).toEqual([1, ["I-10"], message]);
  });

  test("finds a file of a package type that the server does not have (I-10)", async () => {
    runOn(folder, "UPDATE channel SET type = 'debian' WHERE name = 'copy'");
    const { problems } = await verify();
    expect(problems.map(({ message }) => message)).toEqual(
      packages.map(() => "its channel has the unknown package type debian"),
    );
  });

  test("finds a blob with one flipped bit by its hash (I-3), which only --full reads", async () => {
    await rewrite(blobOf(2), (bytes) => (bytes[100] = (bytes[100] ?? 0) ^ 1));
    expect((await verify()).code).toBe(0);
    const { code, problems } = await verify("--full");
    expect([code, invariants(problems), problems[0]?.subject]).toEqual([1, ["I-3"], packages[2]?.sha256 ?? ""]);
  });

  test("finds a blob that was swapped with another, or filled with zeros (I-3)", async () => {
    const skipped = join(folder, "skipped");
    await rename(blobOf(0), skipped);
    await rename(blobOf(1), blobOf(0));
    await rename(skipped, blobOf(1));
    await rewrite(blobOf(2), (bytes) => bytes.fill(0));
    const { code, problems } = await verify("--full");
    const hashes = packages.map(({ sha256 }) => sha256).sort();
    expect([
      code,
      problems
        .filter(({ invariant }) => invariant === "I-3")
        .map(({ subject }) => subject)
        .sort(),
    ]).toEqual([1, hashes]);
  });

  // A bucket has no links, no folders and no names that are not its keys.
  test.skipIf(!isOnSqlite)(
    "counts a blob that is a link or a folder as missing (I-2), and the server never serves it",
    async () => {
      await rename(blobOf(0), join(folder, "elsewhere"));
      await symlink(join(folder, "elsewhere"), blobOf(0));
      await rm(blobOf(1));
      await mkdir(blobOf(1));
      const { code, problems } = await verify();
      expect([code, invariants(problems)]).toEqual([1, ["I-2", "I-2", "I-2", "I-2"]]);
      const server = await startTestApp({ folder });
      for (const built of packages.slice(0, 2)) {
        expect((await server.anonymous.get(`/alice/main/noarch/${built.fileName}`)).status).toBe(503);
      }
      expect((await server.anonymous.get(`/alice/main/noarch/${packages[2]?.fileName}`)).status).toBe(200);
      await server.close();
    },
  );

  test("finds a blob without a file as an orphan once it is older than a day (I-4)", async () => {
    const [young, old] = ["ab".repeat(32), "cd".repeat(32)].map((hash) => contentFile(folder, blobKey(hash)));
    for (const path of [young, old]) await Bun.write(path ?? "", "nobody's");
    expect((await verify()).code).toBe(0);
    await age(young ?? "", 0.9);
    await age(old ?? "", 1.1);
    const { code, problems } = await verify();
    expect([code, invariants(problems)]).toEqual([1, ["I-4"]]);
    expect(problems[0]?.subject).toContain("cd".repeat(32));
  });

  test.skipIf(!isOnSqlite)("reports a blob whose name is no hash as a foreign file (I-4)", async () => {
    await Bun.write(join(folder, "blobs/notes.txt"), "a person's");
    const { code, problems } = await verify();
    expect([code, problems]).toEqual([1, [expect.objectContaining({ invariant: "I-4", subject: "blobs/notes.txt" })]]);
  });

  test("leaves the blob of a deleted file to the collector, and reports no problem while it is young", async () => {
    const server = await startTestApp({ folder });
    for (const channel of ["main", "copy"]) {
      expect((await server.as("alice").delete(`/alice/${channel}/noarch/one-1-0.conda`)).status).toBe(204);
    }
    await server.close();
    expect((await verify("--full")).code).toBe(0);
  });
});

test("verify finds the leftovers of an upload after two hours (I-5)", async () => {
  const [young, old] = [join(folder, "tmp/young"), join(folder, "tmp/old")];
  for (const path of [young, old]) await Bun.write(path, "half");
  await age(young, 1 / 24);
  await age(old, 3 / 24);
  const { code, problems } = await verify();
  expect([code, problems]).toEqual([1, [expect.objectContaining({ invariant: "I-5", subject: "tmp/old" })]]);
});

// PostgreSQL enforces references, and checks its pages itself.
test.skipIf(!isOnSqlite)("verify finds a row with a missing reference (I-1)", async () => {
  const database = new Database(join(folder, "condarium.db"));
  database.run("PRAGMA foreign_keys = OFF");
  database.run("DELETE FROM package_version WHERE id = 1");
  database.close();
  const { code, problems } = await verify();
  expect([code, invariants(problems)]).toEqual([1, ["I-1"]]);
  expect(problems[0]?.message).toContain("package_file");
});

test.skipIf(!isOnSqlite)("verify finds a damaged page of the database (I-1)", async () => {
  const path = join(folder, "condarium.db");
  const database = new Database(path);
  database.run("PRAGMA wal_checkpoint(TRUNCATE)");
  const index = database.query<{ rootpage: number }, []>(
    "SELECT rootpage FROM sqlite_schema WHERE name = 'package_file_published'",
  );
  const page = index.get()?.rootpage ?? 0;
  database.close();
  expect(page).toBeGreaterThan(1);
  // Behind the page header.
  const file = await open(path, "r+");
  await file.write(new Uint8Array(2000), 0, 2000, (page - 1) * 4096 + 8);
  await file.close();
  const { code, problems } = await verify();
  expect([code, new Set(invariants(problems))]).toEqual([1, new Set(["I-1"])]);
});

test("verify reports every problem on its own line, and as a table without --json", async () => {
  await rm(blobOf(0));
  await rewrite(blobOf(1), (bytes) => (bytes[0] = 0));
  await Bun.write(join(folder, "tmp/old"), "half");
  await age(join(folder, "tmp/old"), 2);
  const { code, problems } = await verify("--full");
  expect([code, invariants(problems)]).toEqual([1, ["I-2", "I-2", "I-3", "I-5"]]);
  const [lines, notes]: [string[], string[]] = [[], []];
  const output = {
    line: (text: string) => void lines.push(text),
    note: (text: string) => void notes.push(text),
    rows() {},
  };
  expect(await runHere(["verify", "--full", "--data", folder], output)).toBe(1);
  expect(lines).toHaveLength(4);
  expect(lines).toContainEqual(
    expect.stringMatching(/^I-5 {2}tmp\/old: it is left over from an upload: condarium gc deletes it$/),
  );
  expect(notes).toEqual([
    "Violated invariants:",
    ...["I-2", "I-3", "I-5"].map((id) => `  ${id}  ${INVARIANTS[id]}`),
    "6 files, 3 blobs, 4 problems.",
  ]);
});

test("every code of a finding has an explanation", async () => {
  const codes = new Set<string>();
  const root = join(import.meta.dir, "../../../src");
  for await (const path of new Bun.Glob("**/*.ts").scan(root)) {
    for (const [, code = ""] of (await Bun.file(join(root, path)).text()).matchAll(/"(I-\d+)"/g)) codes.add(code);
  }
  expect(Object.keys(INVARIANTS).sort()).toEqual([...codes].sort());
});

test.skipIf(!isOnSqlite)("asks a bucket about many packages at the same time, and not about all", async () => {
  const database = await openDatabase(
    { engine: "sqlite", path: join(folder, "condarium.db") },
    { clock: systemClock, create: false },
  );
  const blobs = createDiskStore({ root: folder, reserve: 0 });
  let [running, most, asked] = [0, 0, 0];
  const stat = async (key: BlobKey) => {
    asked += 1;
    most = Math.max(most, (running += 1));
    await Bun.sleep(20);
    running -= 1;
    return await blobs.stat(key);
  };
  const columns =
    "version_id, channel_id, blob_id, section, package_name, state, record, metadata, publisher_id, published_by, published_at";
  const rows = new Database(join(folder, "condarium.db"));
  for (let at = 0; at < 40; at++)
    rows.run(
      `INSERT INTO package_file (file_name, file_name_folded, ${columns}) SELECT 'more-${at}', 'more-${at}', ${columns} FROM package_file WHERE id = 1`,
    );
  rows.close();
  const problems: string[] = [];
  const parts = { database, clock: systemClock, types: PACKAGE_TYPES, graceMs: DAY_MS, folder: partsOfFolder(folder) };
  const check = createVerify({ ...parts, blobs: { ...blobs, stat }, deep: async () => undefined });
  await rm(blobOf(0));
  await check({ level: "quick", onProblem: ({ invariant, subject }) => void problems.push(`${invariant} ${subject}`) });
  await database.close();
  expect([asked, running]).toEqual([46, 0]);
  expect(most).toBe(16);
  // Those of the first package in both channels, and the copies of the first of them, in the order of the rows.
  expect(problems).toHaveLength(42);
  expect(problems.slice(2)).toEqual(Array.from({ length: 40 }, (_, at) => `I-2 channel 1 noarch/more-${at}`));
});
