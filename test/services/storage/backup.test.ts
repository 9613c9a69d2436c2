// Backups: taken beside a busy server, complete or not at all, and restored to exactly the same documents.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { Database as Connection } from "bun:sqlite";
import { lstat, mkdir, mkdtemp, readdir, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { SCHEMA_NUMBER } from "../../../src/models/sqlite/migrations.ts";
import { sha256Hex } from "../../../src/modules/hash.ts";
import { jsonOf } from "../../support/answers.ts";
import { startTestApp, type Actor, type TestApp } from "../../support/app.ts";
import { copyClosedFolder } from "../../support/copy-folder.ts";
import { spawnCrashing } from "../../support/crashing.ts";
import { leaveOut } from "../../support/left-out.ts";
import { listen } from "../../support/listening.ts";
import { NEWER_TABLES } from "../../support/moving-registry.ts";
import { noise } from "../../support/noise.ts";
import { buildPackage, type BuiltPackage } from "../../support/package-builder.ts";
import { problemsOf } from "../../support/problems.ts";
import { canMountHere, runs } from "../../support/system.ts";
import { runHere } from "../../support/run-here.ts";

const DOCUMENTS = [
  "noarch/repodata.json",
  "noarch/repodata.json.zst",
  "noarch/repodata_shards.msgpack.zst",
  "noarch/run_exports.json",
  "noarch/current_repodata.json",
  "channeldata.json",
  "rss.xml",
];

const canMount = await canMountHere();
if (!canMount) leaveOut("a backup to a full disk", "this needs the right to mount a tmpfs");

let room: string;
beforeEach(async () => {
  room = await mkdtemp(join(tmpdir(), "condarium-backup-"));
});
afterEach(() => rm(room, { recursive: true, force: true }));

type Ran = { readonly code: number; readonly lines: string[]; readonly notes: string[] };

async function command(...args: string[]): Promise<Ran> {
  const [lines, notes]: [string[], string[]] = [[], []];
  const output = {
    line: (text: string) => void lines.push(text),
    note: (text: string) => void notes.push(text),
    rows() {},
  };
  return { code: await runHere(args, output), lines, notes };
}

const packages = Array.from({ length: 5 }, (_, at) => buildPackage({ name: `p${at}`, version: "1" }));
const pathOf = ({ sha256 }: BuiltPackage, folder = "blobs"): string =>
  `${folder}/${sha256.slice(0, 2)}/${sha256.slice(2, 4)}/${sha256}`;
const theFirst = packages[0] ?? buildPackage({ name: "none", version: "1" });
const theSecond = packages[1] ?? theFirst;

async function put(actor: Actor, built: BuiltPackage): Promise<number> {
  const answer = await actor.put(`/api/packages/alice/conda/main/${built.fileName}`, built.bytes);
  expect(answer.status).toBe(201);
  return (await jsonOf<{ revision: number }>(answer)).revision;
}

async function etagsOf(server: TestApp): Promise<Record<string, string | null>> {
  const tags = DOCUMENTS.map(async (name) => {
    const answer = await server.as("alice").get(`/alice/main/${name}`);
    return [name, `${answer.status} ${answer.headers.get("etag")} ${answer.headers.get("last-modified")}`] as const;
  });
  return Object.fromEntries(await Promise.all(tags));
}

/** Every stored row, and the ids that were assigned. */
function rowsOf(folder: string): Record<string, string[]> {
  const database = new Connection(join(folder, "condarium.db"), { readonly: true });
  const tables = database.query<{ name: string }, []>(
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('lease', 'schema_migration') ORDER BY name",
  );
  const rows = tables.all().map(({ name }) => {
    const lines = database
      .query(`SELECT * FROM "${name}"`)
      .all()
      .map((row) => JSON.stringify(row));
    return [name, lines.sort()] as const;
  });
  database.close();
  return Object.fromEntries(rows);
}

test("a backup during publishes restores to the documents of its snapshot, byte by byte, and to every row", async () => {
  const server = await startTestApp({ folder: join(room, "data") });
  const alice = await server.addUser("alice");
  const seen = new Map<number, Record<string, string | null>>();
  const ending = new AbortController();
  const publishing = (async () => {
    for (let at = 0; !ending.signal.aborted && at < 400; at += 1) {
      const revision = await put(alice, buildPackage({ name: `busy${at % 7}`, version: String(at) }));
      seen.set(revision, await etagsOf(server));
    }
  })();
  while (seen.size < 5) await Bun.sleep(5);
  await server.manage.channels.create({ owner: "alice", channel: "gone" }, {});
  await server.manage.channels.remove({ owner: "alice", channel: "gone" });
  const first = await command("backup", join(room, "backup"), "--data", server.folder, "--json");
  const second = await command("backup", join(room, "backup"), "--data", server.folder, "--json");
  ending.abort();
  await publishing;
  expect([first.code, second.code]).toEqual([0, 0]);
  const [one, two] = [first, second].map(({ lines }) => JSON.parse(lines.at(-1) ?? "{}"));
  // Each package and its list; the second time only the new ones.
  expect(one.copiedFiles).toBe(2 * one.packages);
  expect(two.copiedFiles).toBe(2 * (two.packages - one.packages));
  const restored = await command("restore", join(room, "backup"), "--data", join(room, "restored"));
  expect([restored.code, restored.lines]).toEqual([0, []]);
  const rows = rowsOf(join(room, "restored"));
  const revision = rows.channel_revision?.length ?? 0;
  const again = await startTestApp({ folder: join(room, "restored") });
  expect(await etagsOf(again)).toEqual(seen.get(revision) ?? {});
  for (let at = 0; at < two.packages; at += 1) {
    const { fileName, bytes } = buildPackage({ name: `busy${at % 7}`, version: String(at) });
    const answer = await again.as("alice").get(`/alice/main/noarch/${fileName}`);
    expect(await answer.bytes()).toEqual(new Uint8Array(bytes));
  }
  expect(await problemsOf(again, "deep")).toEqual([]);
  // Both continue from there: assigned ids are never assigned again.
  const sequence = new Connection(join(room, "restored", "condarium.db"), { readonly: true });
  expect(sequence.query("SELECT seq FROM sqlite_sequence WHERE name = 'channel'").get()).toEqual({ seq: 2 });
  sequence.close();
  await again.close();
  await server.close();
  await command("backup", join(room, "backup"), "--data", join(room, "data"));
  await command("restore", join(room, "backup"), "--data", join(room, "still"));
  expect(rowsOf(join(room, "still"))).toEqual(rowsOf(join(room, "data")));
}, 120_000);

describe("a backup beside a collector", () => {
  async function crossed(
    point: string,
    work: (folder: string) => void,
  ): Promise<{ ran: Promise<unknown>; server: TestApp }> {
    const folder = join(room, "data");
    let isArmed = false;
    const failpoint = (name: string): void => {
      if (name !== point || !isArmed) return;
      isArmed = false;
      work(folder);
    };
    const server = await startTestApp({ folder, failpoint });
    const alice = await server.addUser("alice");
    for (const built of packages) await put(alice, built);
    isArmed = true;
    const problems: unknown[] = [];
    const ran = server.app
      .backup({ target: join(room, "backup"), onProblem: (problem) => void problems.push(problem) })
      .then(() => problems);
    return { ran, server };
  }

  test("contains every package that its rows name when the collector runs during the copy", async () => {
    const { ran, server } = await crossed("b1.rows_written", (folder) => {
      change(folder, "DELETE FROM package_file");
      change(folder, "UPDATE package_blob SET unreferenced_at = 1");
      const args = [
        process.execPath,
        join(import.meta.dir, "../../../src/main.ts"),
        "gc",
        "--grace",
        "0",
        "--data",
        folder,
      ];
      const collected = Bun.spawnSync(args, { env: {} });
      expect(collected.stderr.toString()).toContain("packages, because a backup is running");
    });
    expect(await ran).toEqual([]);
    expect((await command("verify", "--backup", join(room, "backup"))).code).toBe(0);
    // It sends no more requests.
    expect((await server.app.gc({ graceMs: 0 })).totals.find(({ kind }) => kind === "blob")?.count).toBe(
      packages.length,
    );
    await server.close();
  });

  test("fails once the collector no longer waits for it, and leaves the backup before it in place", async () => {
    const { ran, server } = await crossed("b2.contents_copied", (folder) => change(folder, "DELETE FROM lease"));
    expect(ran).rejects.toThrow("Run it again");
    await ran.catch(() => undefined);
    expect((await command("verify", "--backup", join(room, "backup"))).notes.join()).toContain("contains no backup");
    await server.close();
  });
});

function change(folder: string, sql: string): void {
  const database = new Connection(join(folder, "condarium.db"));
  database.run(sql);
  database.close();
}

describe("a backup of a server at rest", () => {
  let template: string;
  let data: string;
  let target: string;
  beforeAll(async () => {
    template = await mkdtemp(join(tmpdir(), "condarium-backup-"));
    const server = await startTestApp({ folder: join(template, "data") });
    const alice = await server.addUser("alice");
    for (const built of packages) await put(alice, built);
    await server.close();
    expect((await command("backup", join(template, "backup"), "--data", join(template, "data"))).code).toBe(0);
  });
  afterAll(() => rm(template, { recursive: true, force: true }));
  beforeEach(async () => {
    for (const name of ["data", "backup"]) await copyClosedFolder(join(template, name), join(room, name));
    [data, target] = [join(room, "data"), join(room, "backup")];
  });

  const backup = (): Promise<Ran> => command("backup", target, "--data", data, "--json");
  const check = (): Promise<Ran> => command("verify", "--backup", target, "--json");
  const restore = (...flags: string[]): Promise<Ran> =>
    command("restore", target, "--data", join(room, "restored"), "--json", ...flags);
  const subjectsOf = ({ lines }: Ran): string[] => lines.map((line) => JSON.parse(line).subject).filter(Boolean);
  const rowFile = async (name: string): Promise<string> =>
    join(target, "rows", (await readdir(join(target, "rows")))[0] ?? "", `${name}.jsonl.zst`);

  test("is private, stores blobs by hash, and lists its files in a manifest", async () => {
    const names = await readdir(target, { recursive: true });
    expect(names).toContain(pathOf(theFirst));
    // The process has the test's umask, so that SQLite creates its own file with its defaults.
    for (const name of ["", ...names].filter((one) => one !== "lock")) {
      const info = await lstat(join(target, name));
      expect([name, info.mode & 0o777]).toEqual([name, info.isDirectory() ? 0o700 : 0o600]);
    }
    const manifest = await Bun.file(join(target, "backup.json")).json();
    expect(manifest).toMatchObject({ format: 1, schema: SCHEMA_NUMBER });
    const files = manifest.tables.find(({ name }: { name: string }) => name === "package_file");
    const bytes = await Bun.file(await rowFile("package_file")).bytes();
    expect(files).toMatchObject({ rows: packages.length, bytes: bytes.byteLength, sha256: sha256Hex(bytes) });
    const [line = ""] = zstdDecompressSync(bytes).toString().split("\n");
    expect(JSON.parse(line)).toMatchObject({ id: 1, section: "noarch", file_name: theFirst.fileName, state: "active" });
    const users = zstdDecompressSync(await Bun.file(await rowFile("user")).bytes()).toString();
    expect(JSON.parse(users)).toMatchObject({ is_admin: false, must_change_password: false });
  });

  test("copies nothing when nothing changed, and drops unreferenced files only once the new backup is complete", async () => {
    expect(JSON.parse((await backup()).lines[0] ?? "")).toMatchObject({ copiedFiles: 0, removedFiles: 0 });
    const server = await startTestApp({ folder: data });
    expect((await server.as("alice").delete(`/alice/main/noarch/${theFirst.fileName}`)).status).toBe(204);
    await server.app.gc({ graceMs: 0 });
    await server.close();
    expect(JSON.parse((await backup()).lines[0] ?? "")).toMatchObject({ copiedFiles: 0, removedFiles: 2 });
    expect(await readdir(target, { recursive: true })).not.toContain(pathOf(theFirst));
    expect(await readdir(join(target, "rows"))).toHaveLength(1);
    expect((await check()).code).toBe(0);
  });

  test("names each package that is damaged or missing at its source, copies the rest, and keeps the files it has", async () => {
    target = join(room, "fresh");
    await flip(join(data, pathOf(theFirst)));
    await rm(join(data, pathOf(theSecond)));
    const fresh = await backup();
    expect([fresh.code, subjectsOf(fresh).sort()]).toEqual([1, [pathOf(theFirst), pathOf(theSecond)].sort()]);
    const found = await check();
    expect([found.code, subjectsOf(found).sort()]).toEqual([1, [pathOf(theFirst), pathOf(theSecond)].sort()]);
    expect((await restore()).code).toBe(1);
    expect(await readdir(room)).not.toContain("restored");
    expect((await restore("--incomplete")).code).toBe(1);
    expect(rowsOf(join(room, "restored"))).toEqual(rowsOf(data));
    target = join(room, "backup");
    expect((await backup()).code).toBe(0);
    expect((await check()).code).toBe(0);
  });

  const damages: [string, () => Promise<string | undefined>][] = [
    ["a package with one bit flipped", async () => (await flip(join(target, pathOf(theFirst))), pathOf(theFirst))],
    ["a package cut short", async () => (await truncate(join(target, pathOf(theFirst)), 10), pathOf(theFirst))],
    ["a package that is missing", async () => (await rm(join(target, pathOf(theFirst))), pathOf(theFirst))],
    [
      "a file list with one bit flipped",
      async () => (await flip(join(target, pathOf(theFirst, "files"))), pathOf(theFirst, "files")),
    ],
    [
      "a file list that is missing",
      async () => (await rm(join(target, pathOf(theFirst, "files"))), pathOf(theFirst, "files")),
    ],
    ["rows with one bit flipped", async () => (await flip(await rowFile("package_file")), undefined)],
    ["rows that are missing", async () => (await rm(await rowFile("user")), undefined)],
    ["contents with one bit flipped", async () => (await flip(await rowFile("contents")), undefined)],
    [
      "a row that refers to nothing",
      async () => (await rewriteRows("package_file", (row) => ({ ...row, version_id: 99 })), undefined),
    ],
    ["a row that says less", async () => (await rewriteRows("package", (row) => without(row, "name")), undefined)],
    ["a row that says more", async () => (await rewriteRows("package", (row) => ({ ...row, more: 1 })), undefined)],
    [
      "rows that were changed later",
      async () => (
        await rewriteRows("owner", (row) => ({ ...row, display_name: "else" }), { isForged: false }),
        undefined
      ),
    ],
    [
      "contents of another package",
      async () => (
        await rewriteRows("contents", (row) =>
          row.sha256 === theFirst.sha256 ? { ...row, sha256: sha256Hex("x") } : row,
        ),
        undefined
      ),
    ],
    [
      "one row less",
      async () => (await rewriteRows("package_property", (row) => (row.id === 1 ? undefined : row)), undefined),
    ],
    [
      "one package less in its contents",
      async () => (
        await rewriteRows("contents", (row) => (row.sha256 === theFirst.sha256 ? undefined : row)),
        undefined
      ),
    ],
  ];
  test.each(damages)("with %s is detected, and not restored", async (_, spoil) => {
    const subject = await spoil();
    const found = await check();
    expect(found.code).toBe(1);
    if (subject !== undefined) expect(subjectsOf(found)).toEqual([subject]);
    expect((await restore()).code).toBe(1);
    expect(await readdir(room)).not.toContain("restored");
  });

  /** Rows of a forger, who adjusts the manifest, except for the number of rows. */
  async function rewriteRows(
    name: string,
    alter: (row: Record<string, unknown>) => Record<string, unknown> | undefined,
    { isForged = true } = {},
  ): Promise<void> {
    const path = await rowFile(name);
    const lines = zstdDecompressSync(await Bun.file(path).bytes())
      .toString()
      .trimEnd()
      .split("\n");
    const rows = lines.map((line) => alter(JSON.parse(line))).filter((row) => row !== undefined);
    const bytes = zstdCompressSync(rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    await Bun.write(path, bytes);
    await changeManifest((manifest) => {
      const said = name === "contents" ? manifest.contents : manifest.tables.find((table) => table.name === name);
      if (said) Object.assign(said, { bytes: bytes.byteLength, ...(isForged ? { sha256: sha256Hex(bytes) } : {}) });
    });
  }

  type ManifestText = { schema: number; format: number; contents: object; tables: { name: string }[] };
  async function changeManifest(alter: (manifest: ManifestText) => void): Promise<void> {
    const manifest: ManifestText = await Bun.file(join(target, "backup.json")).json();
    alter(manifest);
    await Bun.write(join(target, "backup.json"), JSON.stringify(manifest));
  }

  test("of an older schema is migrated, and one of a newer schema or format is refused", async () => {
    const newer: Readonly<Record<string, readonly string[]>> = {
      package_blob: ["unreferenced_at"],
      user: ["principal_id", "organization_id"],
      owner: ["hidden", "description"],
      package_file: ["published_by", "quarantine"],
      audit_event: ["actor", "owner_id", "target", "outcome", "times", "refusal"],
    };
    for (const [name, columns] of Object.entries(newer)) {
      await rewriteRows(name, (row) => columns.reduce((left, column) => without(left, column), row));
    }
    await changeManifest((manifest) => {
      const tables = manifest.tables.filter(({ name }) => !NEWER_TABLES.includes(name));
      Object.assign(manifest, { schema: 1, tables });
    });
    expect((await restore()).code).toBe(0);
    const [restored, whole] = [rowsOf(join(room, "restored")), rowsOf(data)];
    // That schema did not record who published and who acted.
    for (const name of ["package_file", "audit_event"]) {
      expect(restored[name]?.length).toBe(whole[name]?.length ?? 0);
      delete restored[name];
      delete whole[name];
    }
    expect(restored).toEqual(whole);
    await rm(join(room, "restored"), { recursive: true });
    for (const newest of [{ schema: 99 }, { schema: 3, format: 99 }]) {
      await changeManifest((manifest) => void Object.assign(manifest, newest));
      const refused = await restore();
      expect([refused.code, refused.notes.join()]).toEqual([2, expect.stringContaining("Use a newer condarium.")]);
      expect(await readdir(room)).not.toContain("restored");
    }
  });

  test("is refused inside the data folder, into a folder with other files, and beside another backup", async () => {
    await mkdir(join(room, "busy"));
    await Bun.write(join(room, "busy/letter.txt"), "a person's");
    for (const wrong of [data, join(data, "backup"), room, join(room, "busy"), join(room, "busy/letter.txt")]) {
      target = wrong;
      expect([wrong, (await backup()).code]).toEqual([wrong, 2]);
    }
    expect(await readdir(join(room, "busy"))).toEqual(["letter.txt"]);
    expect(await readdir(data)).not.toContain("unfinished");
  });

  test.skipIf(!canMount)(
    "that finds no space says so in one line, and leaves the backup before it in place",
    async () => {
      const small = join(room, "small");
      await mkdir(small);
      expect(runs("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small)).toBe(true);
      try {
        target = join(small, "backup");
        expect((await backup()).code).toBe(0);
        const server = await startTestApp({ folder: data });
        const files = { "share/noise": noise(1024 ** 2) };
        for (const name of ["large", "larger"])
          await put(server.as("alice"), buildPackage({ name, version: "1", files }));
        await server.close();
        const full = await backup();
        expect([full.code, full.notes.join()]).toEqual([1, expect.stringMatching(/^condarium: [^\n]* is full[^\n]*$/)]);
        expect((await check()).code).toBe(0);
      } finally {
        runs("umount", "-l", small);
      }
    },
  );

  test("is restored into an empty folder only, and not while a server uses the folder", async () => {
    const refused = await command("restore", target, "--data", data);
    expect([refused.code, refused.notes.join()]).toEqual([2, expect.stringContaining("is not empty")]);
    const server = await listen({ folder: data });
    const running = await command("restore", target, "--data", data);
    expect([running.code, running.notes.join()]).toEqual([2, expect.stringContaining("Another condarium server")]);
    await server.stop();
    expect((await command("restore", room, "--data", join(room, "restored"))).code).toBe(2);
    expect(await readdir(room)).not.toContain("restored");
    await mkdir(join(room, "restored"));
    expect((await restore()).code).toBe(0);
    expect((await lstat(join(room, "restored"))).mode & 0o777).toBe(0o700);
  });

  test.each(["b1.rows_written", "b2.contents_copied", "b3.manifest_switched"])(
    "that is killed at %s leaves a complete backup, and the next one removes its leftovers",
    async (point) => {
      const server = await startTestApp({ folder: data });
      await put(server.as("alice"), buildPackage({ name: "more", version: "1" }));
      await server.close();
      const killed = spawnCrashing(["backup", target, "--data", data], `${point}=kill`);
      expect(await killed.exited).toBe(137);
      expect((await check()).code).toBe(0);
      // A package that was copied, and is deleted by the next backup.
      const stray = { ...theFirst, sha256: sha256Hex("stray") };
      await Bun.write(join(target, pathOf(stray)), "of a package that has gone");
      expect((await backup()).code).toBe(0);
      expect((await check()).code).toBe(0);
      const names = await readdir(target, { recursive: true });
      expect(names).not.toContain(pathOf(stray));
      expect(names.filter((name) => name.startsWith("tmp/") || name === "unfinished")).toEqual([]);
      expect(await readdir(join(target, "rows"))).toHaveLength(1);
    },
  );

  test.each(["r1.checked", "r2.contents_copied"])(
    "whose restore is killed at %s leaves a folder that no server starts on, and is restored the next time",
    async (point) => {
      const folder = join(room, "restored");
      const killed = spawnCrashing(["restore", target, "--data", folder], `${point}=kill`);
      expect(await killed.exited).toBe(137);
      expect((await command("verify", "--data", folder)).code).toBe(2);
      expect(startTestApp({ folder })).rejects.toThrow("is missing or empty");
      expect((await restore()).code).toBe(0);
      expect(rowsOf(folder)).toEqual(rowsOf(data));
      expect((await command("verify", "--full", "--data", folder)).code).toBe(0);
    },
  );
});

function without(row: Record<string, unknown>, column: string): Record<string, unknown> {
  return Object.fromEntries(Object.entries(row).filter(([name]) => name !== column));
}

async function flip(path: string): Promise<void> {
  const bytes = await Bun.file(path).bytes();
  const at = Math.floor(bytes.length / 2);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await Bun.write(path, bytes);
}
