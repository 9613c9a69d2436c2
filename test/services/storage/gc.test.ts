// What the collector deletes, what it keeps, and that a dry run announces the same.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Database as Connection } from "bun:sqlite";
import { rmSync } from "node:fs";
import { lstat, readdir, rm, utimes } from "node:fs/promises";
import { join } from "node:path";
import { machineStart } from "../../../src/modules/clock.ts";
import { sha256Hex } from "../../../src/modules/hash.ts";
import type { Collected } from "../../../src/services/storage/collect.ts";
import type { GcSummary } from "../../../src/services/storage/gc.ts";
import { bytesOf, jsonOf } from "../../support/answers.ts";
import { derivedDataIsLetGo, startTestApp, type Actor, type TestApp } from "../../support/app.ts";
import { noise } from "../../support/noise.ts";
import { buildPackage, type BuiltPackage } from "../../support/package-builder.ts";
import { problemsOf } from "../../support/problems.ts";
import { runHere } from "../../support/run-here.ts";
import { contentFile, isOnSqlite } from "../../support/engines.ts";
import { openTables, rowsIn, runOn } from "../../support/rows.ts";

const HOUR_MS = 60 * 60 * 1000;
const DAY_MS = 24 * HOUR_MS;

let server: TestApp;
let alice: Actor;
let ahead = 0;
const clock = { now: () => Date.now() + ahead, elapsed: () => performance.now() };

beforeEach(async () => {
  ahead = 0;
  server = await startTestApp({ clock });
  alice = await server.addUser("alice");
});
afterEach(() => server.close());

async function publish(channel: string, ...packages: readonly BuiltPackage[]): Promise<void> {
  for (const built of packages) {
    const path = `/api/packages/alice/conda/${channel}/${built.fileName}`;
    expect((await alice.put(path, built.bytes)).status).toBe(201);
  }
}

async function remove(channel: string, ...packages: readonly BuiltPackage[]): Promise<void> {
  for (const { fileName } of packages)
    expect((await alice.delete(`/alice/${channel}/noarch/${fileName}`)).status).toBe(204);
}

type GcOptions = { graceMs?: number; dryRun?: boolean; onProgress?: () => void };

async function gc(options: GcOptions = {}): Promise<GcSummary & { names: string[] }> {
  const names: string[] = [];
  const onCollected = ({ kind, name }: Collected): void => void names.push(`${kind} ${name}`);
  const summary = await server.app.gc({ graceMs: DAY_MS, onCollected, ...options });
  return { ...summary, names: names.sort() };
}

const problems = (): Promise<unknown[]> => problemsOf(server, "deep");

const [one, two] = [buildPackage({ name: "one", version: "1" }), buildPackage({ name: "two", version: "1" })];
const PROMOTED = { ...one, sha256: sha256Hex("promoted") };
const keysOf = ({ sha256 }: BuiltPackage): string[] =>
  ["blobs", "files"].map((folder) => `${folder}/${sha256.slice(0, 2)}/${sha256.slice(2, 4)}/${sha256}`);
const takenOf = (built: BuiltPackage): string[] => {
  const [blob, list] = keysOf(built);
  return [`blob ${blob}`, `file-list ${list}`];
};

describe("a package blob", () => {
  test("is deleted a grace time after its last file, with its file list and their folders", async () => {
    await publish("main", one, two);
    await publish("copy", one);
    await remove("main", one);
    ahead = 2 * DAY_MS;
    expect((await gc()).names).toEqual([]);
    await remove("copy", one);
    ahead = 3 * DAY_MS - HOUR_MS;
    expect((await gc()).names).toEqual([]);
    ahead = 3 * DAY_MS;
    const dry = await gc({ dryRun: true });
    expect(await server.storedFiles()).toContain(keysOf(one)[0] ?? "");
    const real = await gc();
    expect([dry.names, real.names]).toEqual([takenOf(one), takenOf(one)]);
    expect(dry.bytes).toBe(real.bytes);
    expect(real.totals.find(({ kind }) => kind === "blob")).toEqual({
      kind: "blob",
      count: 1,
      bytes: one.bytes.byteLength,
    });
    expect((await server.storedFiles()).filter((name) => /^(blobs|files)/.test(name)).sort()).toEqual(
      keysOf(two).sort(),
    );
    const folders = await readdir(contentFile(server.folder, "blobs"));
    expect(folders).toEqual([two.sha256.slice(0, 2)]);
    expect((await gc()).names).toEqual([]);
    expect(await problems()).toEqual([]);
    expect((await alice.get(`/alice/main/noarch/${two.fileName}`)).status).toBe(200);
  });

  test("of a republished package is in use again, and its grace time restarts", async () => {
    await publish("main", one);
    await remove("main", one);
    ahead = DAY_MS - HOUR_MS;
    await publish("main", one);
    expect(rowsIn(server.folder, "SELECT unreferenced_at FROM package_blob")).toEqual([{ unreferenced_at: null }]);
    ahead = 5 * DAY_MS;
    expect((await gc()).names).toEqual([]);
    await remove("main", one);
    ahead = 6 * DAY_MS - HOUR_MS;
    expect((await gc()).names).toEqual([]);
    ahead = 6 * DAY_MS;
    expect((await gc()).names).toEqual(takenOf(one));
    await publish("main", one);
    expect((await alice.get(`/alice/main/noarch/${one.fileName}`)).status).toBe(200);
    expect(await problems()).toEqual([]);
  });

  test("deleted before deletion times were recorded counts from when it is first found", async () => {
    await publish("main", one);
    await remove("main", one);
    change("UPDATE package_blob SET unreferenced_at = NULL");
    ahead = 5 * DAY_MS;
    expect((await gc({ dryRun: true })).names).toEqual([]);
    expect((await gc()).names).toEqual([]);
    ahead = 6 * DAY_MS - HOUR_MS;
    expect((await gc()).names).toEqual([]);
    ahead = 6 * DAY_MS;
    expect((await gc()).names).toEqual(takenOf(one));
  });

  test("in use stays, whatever an earlier release recorded", async () => {
    await publish("main", one);
    change("UPDATE package_blob SET unreferenced_at = 1");
    expect((await gc({ graceMs: 0 })).names).toEqual([]);
    await remove("main", one);
    expect((await gc()).names).toEqual([]);
    expect((await gc({ graceMs: 0 })).names).toEqual(takenOf(one));
  });

  const KEPT = ["package", "package_version", "package_file"];
  // What another publish has put in place and not committed yet.
  test.each([
    ["again", KEPT.map((table) => `INSERT INTO ${table} SELECT * FROM kept_${table}`), one],
    [
      "for the first time",
      [`INSERT INTO package_blob (sha256, md5, size, created) VALUES ('${PROMOTED.sha256}', '', 1, 1)`],
      PROMOTED,
    ],
  ])("stays when it is published %s while the collector waits for its turn", async (_, statements, built) => {
    await publish("main", one);
    using tables = openTables(server.folder);
    for (const table of KEPT) tables.run(`CREATE TEMP TABLE kept_${table} AS SELECT * FROM ${table}`);
    if (built === one) await remove("main", one);
    else for (const key of keysOf(built)) await Bun.write(contentFile(server.folder, key), "about to be committed");
    const begun = Promise.withResolvers<void>();
    let hasBegun = false;
    const begin = (): void => {
      if (hasBegun) return;
      hasBegun = true;
      void tables.lock();
      for (const sql of statements) tables.run(sql);
      begun.resolve();
    };
    const collecting = gc({ graceMs: 0, onProgress: begin });
    await begun.promise;
    await Bun.sleep(200);
    tables.unlock();
    expect((await collecting).names).toEqual([]);
    expect(await server.storedFiles()).toContain(keysOf(built)[0] ?? "");
  });

  test("is not deleted early when the clock was set back", async () => {
    await publish("main", one);
    ahead = 10 * DAY_MS;
    await remove("main", one);
    ahead = 0;
    expect((await gc()).names).toEqual([]);
    expect((await gc({ graceMs: 0 })).names).toEqual([]);
  });
});

test("a blob that a collector deletes amid its publish, and dies before its commit, is stored again", async () => {
  const [blob = ""] = keysOf(one);
  let deleted = 0;
  const failpoint = (name: string): void => {
    if (!["p5.dir_fsynced", "p4.stored"].includes(name) || deleted > 0) return;
    deleted += 1;
    runOn(crossed.folder, "INSERT INTO blob_deletion (sha256, at) VALUES (?, ?)", one.sha256, Date.now());
    rmSync(contentFile(crossed.folder, blob));
  };
  const crossed = await startTestApp({ failpoint });
  try {
    const bob = await crossed.addUser("bob");
    expect((await bob.put(`/api/packages/bob/conda/main/${one.fileName}`, one.bytes)).status).toBe(201);
    expect(deleted).toBe(1);
    const answer = await bob.get(`/bob/main/noarch/${one.fileName}`);
    expect([answer.status, await bytesOf(answer)]).toEqual([200, Buffer.from(one.bytes)]);
    expect(rowsIn(crossed.folder, "SELECT * FROM blob_deletion")).toEqual([]);
  } finally {
    await crossed.close();
  }
});

// On PostgreSQL a lease ends by the clock of the database: test/nodes.test.ts.
test.skipIf(!isOnSqlite)(
  "while blobs are being copied the collector deletes none and all else, and the lease of a dead process expires",
  async () => {
    await publish("main", one);
    await remove("main", one);
    await Bun.write(join(server.folder, "tmp/old"), "half");
    await age("tmp/old", 3);
    change(`INSERT INTO lease VALUES ('blobs', 'a backup', ${clock.now() + HOUR_MS})`);
    const summary = await gc({ graceMs: 0 });
    expect([summary.names, summary.left]).toEqual([["temporary tmp/old"], ["packages, because a backup is running"]]);
    ahead = 2 * HOUR_MS;
    expect((await gc({ graceMs: 0 })).names).toEqual(takenOf(one));
  },
);

describe("with another collector at work", () => {
  const other = (ms: number): void => change(`INSERT INTO lease VALUES ('collector', 'another', ${clock.now() + ms})`);
  const BUSY = "packages and shards, because another collector is running";

  test.skipIf(!isOnSqlite)(
    "the collector deletes only files of its own node, until the lease of the other has expired",
    async () => {
      await publish("main", one);
      await remove("main", one);
      await Bun.write(join(server.folder, "tmp/old"), "half");
      await age("tmp/old", 3);
      other(HOUR_MS);
      expect((await gc({ graceMs: 0, dryRun: true })).names).toEqual([...takenOf(one), "temporary tmp/old"]);
      const summary = await gc({ graceMs: 0 });
      expect([summary.names, summary.left]).toEqual([["temporary tmp/old"], [BUSY]]);
      ahead = HOUR_MS + 1;
      expect((await gc({ graceMs: 0 })).names).toEqual(takenOf(one));
    },
  );

  test("two collectors that start together delete everything once, and free their lease", async () => {
    await publish("main", one);
    await remove("main", one);
    const both = await Promise.all([gc({ graceMs: 0 }), gc({ graceMs: 0 })]);
    expect(both.flatMap(({ names }) => names)).toEqual(takenOf(one));
    expect(both.map(({ left }) => left).sort()).toEqual([[], [BUSY]]);
    expect((await gc({ graceMs: 0 })).left).toEqual([]);
  });

  test("a collector whose lease was lost deletes nothing more, and leaves the lease of the other", async () => {
    await publish("main", one);
    await remove("main", one);
    const lose = (): void => {
      change("DELETE FROM lease");
      other(HOUR_MS);
    };
    const summary = await gc({ graceMs: 0, onProgress: lose });
    const left = ["the rest, because this collector was suspended for too long"];
    expect([summary.names, summary.left]).toEqual([[], left]);
    expect(await server.storedFiles()).toContain(keysOf(one)[0] ?? "");
    expect((await gc({ graceMs: 0 })).left).toEqual([BUSY]);
  });
});

test("blobs and file lists without a row are deleted by the age of their files, and foreign files stay", async () => {
  await publish("main", one);
  const [old, young] = [sha256Hex("old"), sha256Hex("young")];
  for (const hash of [old, young]) {
    for (const key of keysOf({ ...one, sha256: hash })) await Bun.write(pathOf(key), "nobody's");
  }
  for (const key of keysOf({ ...one, sha256: old })) await age(key, 25);
  await Bun.write(pathOf("blobs/notes.txt"), "a person's");
  await age("blobs/notes.txt", 100);
  expect((await gc()).names).toEqual(takenOf({ ...one, sha256: old }));
  expect((await gc({ graceMs: 0 })).names).toEqual(takenOf({ ...one, sha256: young }));
  expect(await Bun.file(pathOf("blobs/notes.txt")).text()).toBe("a person's");
  // For publishes that stored the same content and have not committed: for a day.
  const noted = (): unknown[] => rowsIn(server.folder, "SELECT sha256 FROM blob_deletion").map(({ sha256 }) => sha256);
  expect(noted().sort()).toEqual([old, young].sort());
  ahead += DAY_MS + 1;
  await gc();
  expect(noted()).toEqual([]);
});

test("temporary files are deleted once no upload can own them, and folders by the newest file in them", async () => {
  for (const name of ["young", "old", "made/part", "left/part"]) {
    await Bun.write(join(server.folder, "tmp", name), "half");
    await age(`tmp/${name}`, name === "young" || name === "made/part" ? 1.9 : 2.1);
  }
  for (const name of ["made", "left"]) await age(`tmp/${name}`, 3);
  expect((await gc()).names).toEqual(["temporary tmp/left", "temporary tmp/old"]);
  expect((await readdir(join(server.folder, "tmp"))).sort()).toEqual(["made", "young"]);
});

test("temporary files of one of several processes are deleted one by one, and its folder stays", async () => {
  await Bun.write(join(server.folder, "tmp", "process-2", "old"), "half");
  await Bun.write(join(server.folder, "tmp", "process-2", "young"), "half");
  await age("tmp/process-2/old", 2.1);
  await age("tmp/process-2", 3);
  expect((await gc()).names).toEqual(["temporary tmp/process-2/old"]);
  await age("tmp/process-2/young", 2.1);
  expect((await gc()).names).toEqual(["temporary tmp/process-2/young"]);
  await age("tmp/process-2", 3);
  expect((await gc()).names).toEqual([]);
  expect(await readdir(join(server.folder, "tmp"))).toEqual(["process-2"]);
});

describe("outdated documents", () => {
  test("are deleted when nobody requested them for long, and the next request gets a new one", async () => {
    const summary = "long ".repeat(400);
    const packages = Array.from({ length: 40 }, (_, at) => buildPackage({ name: `p${at}`, version: "1", summary }));
    await publish("main", ...packages);
    const path = "/alice/main/noarch/repodata.json";
    const before = await (await alice.get(path)).text();
    expect(before.length).toBeGreaterThan(64 * 1024);
    const documents = async (): Promise<string[]> =>
      (await server.storedFiles()).filter((name) => name.startsWith("derived/"));
    expect(await documents()).toHaveLength(1);
    ahead = 10 * DAY_MS;
    expect((await gc()).names).toEqual([]);
    await publish("main", one);
    ahead = 11 * DAY_MS - HOUR_MS;
    expect((await gc()).names).toEqual([]);
    ahead = 11 * DAY_MS;
    const [behind = ""] = await documents();
    expect(behind).toStartWith("derived/1/noarch/main.repodata.json/");
    expect((await gc()).names).toEqual([`document ${behind}`]);
    expect(await documents()).toEqual([]);
    const after = await jsonOf<{ "packages.conda": object }>(await alice.get(path));
    expect(Object.keys(after["packages.conda"])).toHaveLength(41);
    expect(await problems()).toEqual([]);
  });
});

describe("a shard", () => {
  const index = "/alice/main/noarch/repodata_shards.msgpack.zst";
  const shards = async (): Promise<string[]> =>
    (await server.storedFiles())
      .filter((name) => name.startsWith("shards/"))
      .map((name) => name.slice("shards/1/".length));
  const read = async (hash: string): Promise<number> =>
    (await alice.get(`/alice/main/noarch/shards/${hash}.msgpack.zst`)).status;

  /** Publishes another version of the same name, reads the shard index, and returns the new shard. */
  async function next(version: number): Promise<string> {
    const before = new Set(await shards());
    await publish("main", buildPackage({ name: "one", version: String(version) }));
    expect((await alice.get(index)).status).toBe(200);
    const [fresh = ""] = (await shards()).filter((hash) => !before.has(hash));
    return fresh;
  }

  test("that was replaced can be read for seven days, and is then deleted", async () => {
    const [first, second] = [await next(1), await next(2)];
    expect((await gc({ graceMs: 0 })).names).toEqual([]);
    ahead = 7 * DAY_MS - HOUR_MS;
    expect((await gc({ graceMs: 0 })).names).toEqual([]);
    expect(await read(first)).toBe(200);
    ahead = 7 * DAY_MS;
    expect((await gc({ dryRun: true })).names).toEqual([`shard shards/1/${first}`]);
    expect((await gc()).names).toEqual([`shard shards/1/${first}`]);
    expect(await shards()).toEqual([second]);
    expect(await problems()).toEqual([]);
  });

  test("that is listed again restarts its seven days when it is replaced again", async () => {
    const first = await next(1);
    const version2 = buildPackage({ name: "one", version: "2" });
    await next(2);
    await gc();
    ahead = 6 * DAY_MS;
    await remove("main", version2);
    await alice.get(index);
    await gc();
    ahead = 12 * DAY_MS;
    await next(3);
    await gc();
    ahead = 19 * DAY_MS - HOUR_MS;
    await gc();
    expect(await shards()).toContain(first);
    ahead = 19 * DAY_MS;
    await gc();
    expect(await shards()).not.toContain(first);
  });

  // Where there can be other nodes, a shard that this one has not named waits: test/nodes.test.ts.
  test.skipIf(!isOnSqlite)(
    "that no served shard index listed is deleted at once, one from before a new index.db after seven days",
    async () => {
      const [first, second] = [await next(1), await next(2)];
      const stray = sha256Hex("stray");
      await Bun.write(contentFile(server.folder, `shards/1/${stray}`), "left by a crash");
      expect((await gc({ dryRun: true })).names).toEqual([`shard shards/1/${stray}`]);
      expect((await gc()).names).toEqual([`shard shards/1/${stray}`]);
      const { folder } = server;
      const kept = await startAgainWithoutIndex();
      // No request yet, so that no shard is named: the served index stays.
      expect((await gc({ graceMs: 0 })).names).toEqual([]);
      expect((await alice.get(index)).status).toBe(200);
      ahead += 7 * DAY_MS - HOUR_MS;
      expect((await gc({ graceMs: 0 })).names).toEqual([]);
      expect([await read(first), await read(second)]).toEqual([200, 200]);
      ahead += 2 * HOUR_MS;
      expect((await gc()).names).toEqual([`shard shards/1/${first}`]);
      expect(await read(second)).toBe(200);
      await kept.close();
      await rm(folder, { recursive: true });
    },
  );

  test.skipIf(!isOnSqlite)("that may have been served before a power failure stays", async () => {
    await next(1);
    const stray = sha256Hex("stray");
    await Bun.write(contentFile(server.folder, `shards/1/${stray}`), "named by what index.db has lost");
    const hours = (Date.now() - machineStart()) / HOUR_MS;
    await age(`shards/1/${stray}`, hours + 1);
    const derived = new Connection(join(server.folder, "index.db"));
    derived.run("UPDATE codec SET begun = 0");
    derived.close();
    expect((await gc()).names).toEqual([]);
    await age(`shards/1/${stray}`, hours / 2);
    expect((await gc()).names).toEqual([`shard shards/1/${stray}`]);
  });

  test("of a deleted channel is deleted at once, with everything else of the channel", async () => {
    await next(1);
    await remove("main", buildPackage({ name: "one", version: "1" }));
    expect(await runHere(["channel", "delete", "alice/main", "--data", server.folder])).toBe(0);
    expect((await gc({ graceMs: 0 })).names.map((name) => name.replace(/[0-9a-f/]+$/, ""))).toEqual([
      "blob blobs",
      "file-list files",
      "shard shards",
    ]);
    expect(await server.storedFiles()).toEqual(["index.db", "index.db-shm", "index.db-wal"]);
  });
});

test("verify finds what the collector should have deleted, and nothing that the collector will delete in time", async () => {
  await publish("main", one);
  await remove("main", one);
  const idle = async (): Promise<unknown[]> => {
    const found: unknown[] = [];
    await server.app.verify({
      level: "quick",
      onProblem: ({ invariant, subject }) => void found.push([invariant, subject]),
    });
    return found;
  };
  ahead = 3 * DAY_MS - HOUR_MS;
  expect(await idle()).toEqual([]);
  ahead = 3 * DAY_MS + HOUR_MS;
  expect(await idle()).toEqual([["I-4", keysOf(one)[0]]]);
  await gc();
  expect(await idle()).toEqual([]);
  const list = keysOf(two)[1] ?? "";
  await Bun.write(pathOf(list), "of no package");
  await age(list, -71);
  expect(await idle()).toEqual([]);
  await age(list, 0);
  expect(await idle()).toEqual([["I-4", list]]);
});

// Elsewhere the rows and the packages are not in the folder.
test.skipIf(!isOnSqlite)(
  "a server from which everything was deleted keeps less than a twentieth of the space",
  async () => {
    const files = { "share/noise": noise(400 * 1024) };
    const packages = Array.from({ length: 60 }, (_, at) => buildPackage({ name: `p${at}`, version: "1", files }));
    await publish("main", ...packages);
    for (const name of ["repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst", "run_exports.json"])
      expect((await alice.get(`/alice/main/noarch/${name}`)).status).toBe(200);
    const before = await spaceOf(server.folder);
    await remove("main", ...packages);
    await gc({ graceMs: 0 });
    const after = await spaceOf(server.folder);
    expect([after, after / before < 0.05]).toEqual([after, true]);
    expect(await problems()).toEqual([]);
  },
);

test("the server collects by itself", async () => {
  const own = await startTestApp({ settings: { "gc-interval": "1s", "gc-grace": "0s" } });
  try {
    const bob = await own.addUser("bob");
    expect((await bob.put(`/api/packages/bob/conda/main/${one.fileName}`, one.bytes)).status).toBe(201);
    expect((await bob.put(`/api/packages/bob/conda/main/${two.fileName}`, two.bytes)).status).toBe(201);
    expect((await bob.delete(`/bob/main/noarch/${one.fileName}`)).status).toBe(204);
    const blobs = async () => (await own.storedFiles()).filter((name) => name.startsWith("blobs/"));
    const hasEnded = (): boolean => own.log().includes('"event":"gc","files":2,');
    for (let waited = 0; waited < 300 && !hasEnded(); waited += 1) await Bun.sleep(50);
    expect([hasEnded(), await blobs()]).toEqual([true, [keysOf(two)[0] ?? ""]]);
  } finally {
    await own.close();
  }
});

test("gc --grace and --dry-run work as documented on the command line, in text and as JSON", async () => {
  await publish("main", one);
  await remove("main", one);
  const command = async (...args: string[]) => {
    const [lines, rows]: [string[], unknown[]] = [[], []];
    const output = {
      line: (text: string) => void lines.push(text),
      note: (text: string) => void lines.push(text),
      rows: (more: readonly unknown[]) => void rows.push(...more),
    };
    return { code: await runHere(["gc", ...args, "--data", server.folder], output), lines, rows };
  };
  expect((await command("--grace", "1h")).rows).toContainEqual({ kind: "blob", count: 0, bytes: 0 });
  const dry = await command("--grace", "0", "--dry-run", "--json");
  const [blob = "", list = "", totals = "", note] = dry.lines;
  expect(JSON.parse(blob)).toEqual({ kind: "blob", name: keysOf(one)[0], bytes: one.bytes.byteLength });
  expect(JSON.parse(list)).toMatchObject({ kind: "file-list", name: keysOf(one)[1] });
  expect(JSON.parse(totals)).toMatchObject({ dryRun: true, left: [] });
  expect(note).toMatch(/^\d+ bytes would be freed\.$/);
  expect((await command("--grace", "0")).rows).toContainEqual({
    kind: "blob",
    count: 1,
    bytes: one.bytes.byteLength,
  });
  for (const wrong of ["soon", "-1", "9999d"]) expect((await command("--grace", wrong)).code).toBe(2);
});

/** Bytes on the disk, including folders. */
async function spaceOf(folder: string): Promise<number> {
  const names = ["", ...(await readdir(folder, { recursive: true }))];
  const sizes = await Promise.all(names.map(async (name) => (await lstat(join(folder, name))).blocks * 512));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** The server on the same folder, whose derived data were lost. */
async function startAgainWithoutIndex(): Promise<{ close(): Promise<void> }> {
  const { folder } = server;
  const old = server;
  await old.app.close();
  await derivedDataIsLetGo(folder);
  for (const name of ["index.db", "index.db-wal", "index.db-shm"]) await rm(join(folder, name), { force: true });
  server = await startTestApp({ clock, folder });
  alice = server.as("alice");
  return { close: async () => {} };
}

function change(sql: string): void {
  runOn(server.folder, sql);
}

function pathOf(name: string): string {
  return name.startsWith("tmp/") ? join(server.folder, name) : contentFile(server.folder, name);
}

async function age(name: string, hours: number): Promise<void> {
  const time = new Date(Date.now() - hours * HOUR_MS);
  await utimes(pathOf(name), time, time);
}
