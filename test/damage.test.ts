// Damage to every file and folder of a data folder: a command names it in one sentence, says what to do, and leaves it
// unchanged. The nightly run tests all commands with all kinds of damage (`nightly/damage.nightly.ts`).

import { Database as Connection } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, chown, mkdtemp, open, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { blobKey } from "../src/modules/storage/keys.ts";
import { notReadyParts } from "./support/not-ready.ts";
import { startTestApp } from "./support/app.ts";
import { CASES, damageRoom, leftOutDamages, type DamageRoom } from "./support/damage.ts";
import { leaveOut } from "./support/left-out.ts";
import { listen } from "./support/listening.ts";
import { buildPackage } from "./support/package-builder.ts";
import { condarium } from "./support/server-process.ts";

for (const damage of leftOutDamages) leaveOut(`data folders that are ${damage}`, "this needs root, mount and setpriv");

const typical = CASES.filter(({ entry, damage }) =>
  entry === "condarium.db" ? damage !== "a link" : damage === "garbage" || damage === "unreadable",
);

let room: DamageRoom;
beforeAll(async () => {
  room = await damageRoom();
});
afterAll(() => room.close());

test.each([["serve"], ["user list"]])(
  "%s refuses in one sentence every damaged file it cannot use, and rebuilds every file it can",
  async (command) => expect(await room.judge(typical, command.split(" "))).toEqual([]),
  60_000,
);

describe("a damaged database", () => {
  let folder: string;
  let database: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "condarium-damaged-"));
    database = join(folder, "condarium.db");
    const app = await startTestApp({ folder });
    await app.addUser("alice");
    await app.close();
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** All but its first page, which identifies it as a database. */
  async function spoil(): Promise<void> {
    const { size } = await stat(database);
    const file = await open(database, "r+");
    await file.write(Buffer.alloc(size - 4096, "not what it was. "), 0, size - 4096, 4096);
    await file.sync();
    await file.close();
  }

  test("is answered with 503 and no internals while the server runs, and is logged once", async () => {
    const server = await listen({ folder });
    await spoil();
    const built = buildPackage({ name: "late", version: "1" });
    for (const answer of [
      await fetch(`${server.url}/alice/noarch/repodata.json`),
      await server.publish("alice", "/api/packages/alice/conda/main", built),
    ]) {
      const text = await answer.text();
      expect([answer.status, answer.headers.get("content-type")]).toEqual([503, "application/problem+json"]);
      expect(text).toContain("The database is damaged");
      expect(text).not.toMatch(/SQL|condarium\.db|malformed/);
    }
    expect((await fetch(`${server.url}/health/ready`)).status).toBe(503);
    expect(await notReadyParts(server.url)).toEqual([
      ["database", "The database is damaged: stop the server and restore the database from a backup."],
    ]);
    expect((await fetch(`${server.url}/health/live`)).status).toBe(200);
    const troubles = server
      .log()
      .split("\n")
      .filter((line) => line.includes('"event":"trouble"'));
    expect(troubles).toHaveLength(1);
    expect(troubles[0]).toContain(`${database} is damaged`);
    await server.stop();
  });

  test.each(["serve --listen 127.0.0.1:0", "user list", "user create bob", "reindex"])(
    "is named in one sentence by %s",
    async (command) => {
      await spoil();
      const ended = await condarium([...command.split(" "), "--data", folder]);
      expect([ended.code, ended.stdout]).toEqual([1, ""]);
      expect(ended.stderr).toBe(
        `condarium: ${database} is damaged, or not a database: restore it from a backup. Nothing was changed.\n`,
      );
    },
  );

  test("is named by a command as soon as the command reads the damaged users table", async () => {
    const copy = join(folder, "copy");
    const app = await startTestApp({ folder: copy });
    await app.addUser("alice");
    await app.close();
    const path = join(copy, "condarium.db");
    const db = new Connection(path);
    const page = db.query<{ page: number }, []>("SELECT rootpage AS page FROM sqlite_schema WHERE name = 'user'").get();
    db.close();
    const file = await open(path, "r+");
    await file.write(Buffer.alloc(4096, "not users. "), 0, 4096, ((page?.page ?? 0) - 1) * 4096);
    await file.close();
    for (const command of ["user list", "user create bob", "token list alice", "serve --listen 127.0.0.1:0"]) {
      const ended = await condarium([...command.split(" "), "--data", copy]);
      expect([command, ended.code, ended.stdout]).toEqual([command, 1, ""]);
      expect(ended.stderr.split("\n").at(-2)).toBe(
        `condarium: ${path} is damaged, or not a database: restore it from a backup. Nothing was changed.`,
      );
    }
  });

  test("is reported by verify", async () => {
    await spoil();
    const ended = await condarium(["verify", "--data", folder]);
    expect(ended.code).toBe(1);
    expect(ended.stderr).toMatch(/^condarium: [^\n]+\n$/);
    expect(ended.stderr).toContain(database);
  });
});

describe("a database of another program", () => {
  test("is refused and gets none of the server's tables", async () => {
    const folder = await mkdtemp(join(tmpdir(), "condarium-foreign-"));
    const path = join(folder, "condarium.db");
    const other = new Connection(path);
    other.run("CREATE TABLE note (text TEXT)");
    other.close();
    const before = await Bun.file(path).bytes();
    const ended = await condarium(["serve", "--data", folder, "--listen", "127.0.0.1:0"]);
    expect([ended.code, ended.stderr]).toEqual([
      1,
      `condarium: ${path} is another program's database: put the condarium database back. Nothing was changed.\n`,
    ]);
    // Only the journal mode differs, because every program that opens a database must set it.
    expect((await Bun.file(path).bytes()).length).toBe(before.length);
    await rm(folder, { recursive: true });
  });
});

test("damaged derived data is rebuilt, and the log says so", async () => {
  const folder = await mkdtemp(join(tmpdir(), "condarium-derived-"));
  const app = await startTestApp({ folder });
  const alice = await app.addUser("alice");
  const built = buildPackage({ name: "kept", version: "1" });
  expect((await alice.put(`/api/packages/alice/conda/main/${built.fileName}`, built.bytes)).status).toBe(201);
  await Bun.write(join(folder, "index.db"), "no database. ".repeat(1000));
  expect((await alice.get("/alice/main/noarch/repodata.json")).status).toBe(200);
  const reported = app
    .log()
    .split("\n")
    .filter((line) => line.includes('"event":"derived-mended"'));
  expect(reported).toHaveLength(1);
  expect(reported[0]).toContain(join(folder, "index.db"));
  await app.close();
  await rm(folder, { recursive: true, force: true });
});

test.skipIf(leftOutDamages.includes("unreadable"))(
  "an unreadable package is one finding of verify, and verify continues with the other packages",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "condarium-unreadable-"));
    const app = await startTestApp({ folder });
    const alice = await app.addUser("alice");
    const [first, second] = ["first", "second"].map((name) => buildPackage({ name, version: "1" }));
    for (const built of [first, second])
      await alice.put(`/api/packages/alice/conda/main/${built?.fileName}`, built?.bytes ?? null);
    await app.close();
    const blob = join(folder, blobKey(first?.sha256 ?? ""));
    await chmod(blob, 0);
    for (const name of [".", ...(await readdir(folder, { recursive: true }))])
      await chown(join(folder, name), 65_534, 65_534);
    const asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    const ended = await condarium(["verify", "--full", "--data", folder], {}, { under: asNobody });
    expect(ended.code).toBe(1);
    expect(ended.stdout).toMatch(/^I-3 {2}[^\n]+ cannot be read: EACCES[^\n]+\n$/);
    expect(ended.stdout).toContain(blob);
    expect(ended.stderr).toBe(
      "Violated invariants:\n  I-3  Stored content is identical to what was published.\n2 files, 2 blobs, 1 problems.\n",
    );
    await rm(folder, { recursive: true, force: true });
  },
);

test("an unreadable settings file is named in one sentence", async () => {
  const folder = await mkdtemp(join(tmpdir(), "condarium-config-"));
  const garbage = join(folder, "garbage.toml");
  await Bun.write(garbage, Buffer.from(Array.from({ length: 400 }, (_, at) => (at * 37) % 256)));
  const lines = join(folder, "lines.toml");
  await Bun.write(lines, 'data = "x"\n[[[\n\n= 3\n');
  const unusable = [folder, garbage, lines, join(folder, "missing.toml"), "/proc/self/mem"];
  const cases = [...unusable.map((path) => ["config show", path]), ["serve", garbage], ["health", garbage]];
  for (const [command = "", path = ""] of cases) {
    const ended = await condarium([...command.split(" "), "--config", path]);
    expect([command, path, ended.code, ended.stdout]).toEqual([command, path, 2, ""]);
    expect(ended.stderr).toMatch(/^condarium: [^\n]+\n$/);
    expect(ended.stderr).toContain(path);
  }
  await rm(folder, { recursive: true, force: true });
});
