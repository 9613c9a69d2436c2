// Disks, folders, databases and clocks that fail under a running server, or before its start.

import { Database as Connection } from "bun:sqlite";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import {
  appendFile,
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  rename,
  rm,
  stat,
  statfs,
  symlink,
  truncate,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { notReadyParts } from "./support/not-ready.ts";
import { jsonOf } from "./support/answers.ts";
import { basic, PASSWORD, startTestApp, type TestApp } from "./support/app.ts";
import { copyClosedFolder } from "./support/copy-folder.ts";
import { createLedger } from "./support/faulted/ledger.ts";
import { newItems, OWNER, prepare, runLoad } from "./support/faulted/load.ts";
import { readBack } from "./support/faulted/read-back.ts";
import { leaveOut } from "./support/left-out.ts";
import { documentPaths } from "./support/documents.ts";
import { listen, type Listening } from "./support/listening.ts";
import { newToken } from "./support/manage.ts";
import { noise } from "./support/noise.ts";
import { buildPackage, type BuiltPackage } from "./support/package-builder.ts";
import { problemsOf } from "./support/problems.ts";
import { condarium, serve, type ServerProcess } from "./support/server-process.ts";
import { canMountHere, runs } from "./support/system.ts";

const ROOT = "/api/packages/alice/conda/main";
const MIB = 1024 ** 2;

const canMount = await canMountHere();
if (!canMount) leaveOut("full disks", "this needs the right to mount a tmpfs");
const canTrace = runs("strace", "-qq", "-o", "/dev/null", "true");
if (!canTrace) leaveOut("failing fsync of the log", "this needs strace");

const folders: string[] = [];
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "condarium-faults-"));
  folders.push(folder);
  return folder;
}

let template: string;
beforeAll(async () => {
  template = await newFolder();
  const server = await startTestApp({ folder: template });
  const alice = await server.addUser("alice");
  const built = buildPackage({ name: "kept", version: "1" });
  expect((await alice.put(`${ROOT}/${built.fileName}`, built.bytes)).status).toBe(201);
  await server.close();
});

/** A data folder with the user alice and one package, whose server has ended. */
async function usedFolder(): Promise<string> {
  const folder = await newFolder();
  await copyClosedFolder(template, folder);
  return folder;
}

describe.skipIf(!canMount)("a full disk", () => {
  let folder: string;
  let server: Listening;
  const first = buildPackage({ name: "first", version: "1" });
  const get = (path: string, headers: Record<string, string> = {}) => fetch(`${server.url}${path}`, { headers });
  const put = (built: BuiltPackage) => server.publish("alice", ROOT, built);
  const filler = (): string => join(folder, "filler");

  beforeAll(async () => {
    folder = await newFolder();
    expect(runs("mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder)).toBe(true);
    server = await listen({ folder, settings: { "min-free-space": "64KiB" } });
    await server.addUser("alice");
    expect((await put(first)).status).toBe(201);
    expect((await get("/alice/main/noarch/repodata.json")).status).toBe(200);
  });
  afterAll(async () => {
    await server.stop();
    // A worker thread's open file can hold the mount for a short time.
    runs("umount", "-l", folder);
  });
  afterEach(() => rm(filler(), { force: true }));

  const fill = (leave = 0): Promise<void> => fillUp(folder, leave);

  test("refuses uploads with 507 and is not ready, serves reads, and recovers once there is space", async () => {
    const token = await newToken(server.manage, { user: "alice", name: "never used" });
    await fill();
    const next = buildPackage({ name: "next", version: "1" });
    const refused = await put(next);
    expect([refused.status, refused.headers.get("content-type")]).toEqual([507, "application/problem+json"]);
    expect(await refused.text()).not.toContain("ENOSPC");
    expect(await server.staged()).toEqual([]);
    expect((await get("/health/ready")).status).toBe(503);
    expect(await notReadyParts(server.url)).toEqual([
      ["disk", "The disk of the data folder is full: free some space."],
    ]);
    expect((await get("/health/live")).status).toBe(200);
    for (const path of [`/alice/main/noarch/${first.fileName}`, "/alice/main/noarch/repodata.json"]) {
      // The use of a token cannot be recorded here, which is no reason to refuse the token.
      for (const headers of [{}, { authorization: `Bearer ${token}` }, basic("alice", PASSWORD)]) {
        expect([path, (await get(path, headers)).status]).toEqual([path, 200]);
      }
    }
    // The log names the full disk for the administrator.
    expect(server.log()).toContain(`the disk of ${folder} is full`);
    await rm(filler());
    expect((await get("/health/ready")).status).toBe(200);
    for (const event of ["trouble", "trouble-ended"]) {
      expect(server.log().match(new RegExp(`"event":"${event}","kind":"disk"`, "g"))).toHaveLength(1);
    }
    expect((await put(next)).status).toBe(201);
    expect(await listed(server)).toEqual(["first-1-0.conda", "next-1-0.conda"]);
  });

  test("during an upload leaves nothing of the upload", async () => {
    await fill(3 * MIB);
    const large = buildPackage({ name: "large", version: "1", files: { "share/noise": noise(4 * MIB) } });
    expect((await put(large)).status).toBe(507);
    expect(await server.staged()).toEqual([]);
    expect(await listed(server)).toEqual(["first-1-0.conda", "next-1-0.conda"]);
    await rm(filler());
    expect((await put(large)).status).toBe(201);
  });

  test("refuses a document that it has no room to build, and says so", async () => {
    for (const name of ["a", "b", "c"]) {
      const built = buildPackage({ name, version: "1" });
      expect((await server.publish("alice", ROOT.replace("main", "unread"), built)).status).toBe(201);
    }
    await fill();
    const paths = documentPaths("noarch").map((name) => `/alice/unread/${name}`);
    const answers = await Promise.all(paths.map((path) => get(path)));
    const refused = answers.filter(({ status }) => status !== 200);
    expect(refused.length).toBeGreaterThan(0);
    for (const answer of refused) {
      expect([answer.status, answer.headers.get("content-type")]).toEqual([507, "application/problem+json"]);
      const text = await answer.text();
      expect(text).toContain("The server's disk is full");
      expect(text).not.toContain(folder);
    }
    await rm(filler());
    for (const path of paths) expect([path, (await get(path)).status]).toEqual([path, 200]);
  });

  test("leaves a data folder in which verify finds nothing", async () => {
    expect(await problemsOf(server, "full")).toEqual([]);
  });
});

describe.skipIf(!canMount)("a disk full to the last byte", () => {
  let folder: string;
  const packages = Array.from({ length: 60 }, (_, at) =>
    buildPackage({ name: `p${at}`, version: "1", files: { "share/noise": noise(100 * 1024) } }),
  );
  beforeEach(async () => {
    folder = await newFolder();
    expect(runs("mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", folder)).toBe(true);
  });
  afterEach(() => void runs("umount", "-l", folder));

  const free = async (): Promise<number> => {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  };

  async function publishAll(server: ServerProcess, count = packages.length): Promise<void> {
    for (const { fileName, bytes } of packages.slice(0, count)) {
      const answer = await fetch(`${server.url}${ROOT}/${fileName}`, {
        method: "PUT",
        headers: basic("alice", PASSWORD),
        body: bytes.slice(),
      });
      expect(answer.status).toBe(201);
    }
    expect((await fetch(`${server.url}/alice/main/noarch/repodata.json`)).status).toBe(200);
  }

  async function removeAll(server: ServerProcess): Promise<void> {
    for (const { fileName } of packages) {
      const file = `${server.url}/alice/main/noarch/${fileName}`;
      const answer = await fetch(file, { method: "DELETE", headers: basic("alice", PASSWORD) });
      expect([fileName, answer.status, await answer.text()]).toEqual([fileName, 204, ""]);
    }
  }

  async function begin(): Promise<ServerProcess> {
    const server = await serve(folder, ["--min-free-space", "64KiB"]);
    expect(
      (await condarium(["user", "create", "alice", "--data", folder, "--password-stdin"], {}, { input: PASSWORD }))
        .code,
    ).toBe(0);
    await publishAll(server);
    return server;
  }

  test("is emptied by deleting and gc, beside the server", async () => {
    const server = await begin();
    await fillUp(folder);
    expect(await free()).toBe(0);
    await removeAll(server);
    const collected = await condarium(["gc", "--grace", "0", "--data", folder]);
    expect([collected.code, collected.stdout.includes("blob       60")]).toEqual([0, true]);
    expect(await free()).toBeGreaterThan(60 * 100 * 1024);
    // The same steps will help the next time.
    expect((await stat(join(folder, "condarium.db.reserve"))).size).toBeGreaterThan(0);
    // The rows of what was deleted stay in the history, so not quite all have room again.
    await publishAll(server, packages.length - 5);
    expect((await server.end("SIGTERM")).code).toBe(0);
    expect((await condarium(["verify", "--deep", "--data", folder])).code).toBe(0);
  }, 60_000);

  test("lets the server start, and gc run without a server", async () => {
    const first = await begin();
    await removeAll(first);
    await first.end("SIGTERM");
    await fillUp(folder);
    const second = await serve(folder, ["--min-free-space", "64KiB"]);
    expect((await fetch(`${second.url}/alice/main/noarch/repodata.json`)).status).toBe(200);
    await second.end("SIGTERM");
    await fillUp(folder);
    expect(await free()).toBe(0);
    const collected = await condarium(["gc", "--grace", "0", "--data", folder]);
    expect([collected.code, collected.stderr]).toEqual([0, expect.stringContaining("were freed")]);
    expect(await free()).toBeGreaterThan(60 * 100 * 1024);
  }, 60_000);
});

describe.skipIf(!canMount)("a disk that fills up under load", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await newFolder();
    expect(runs("mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", folder)).toBe(true);
  });
  afterEach(() => void runs("umount", "-l", folder));

  test("refuses changes with 507 or 503, serves packages, loses nothing, and goes on by itself once there is space", async () => {
    const token = await prepare(folder);
    const server = await serve(folder, ["--min-free-space", "64KiB"]);
    const ledger = createLedger(newItems());
    const end = new AbortController();
    const working = runLoad({ url: server.url, token, ledger, seed: 1, signal: end.signal, cuts: false });
    const count = (answer: string): number => ledger.answers.get(answer) ?? 0;
    const more = async (answers: readonly string[], least: number): Promise<number> => {
      const total = (): number => answers.reduce((sum, answer) => sum + count(answer), 0);
      const before = total();
      for (let waited = 0; waited < 10_000 && total() - before < least; waited += 20) await Bun.sleep(20);
      return total() - before;
    };
    for (let round = 0; round < 3; round++) {
      expect(await more(["publish 201"], 10)).toBeGreaterThanOrEqual(10);
      await fillUp(folder);
      expect(await more(["publish 507", "publish 503"], 10)).toBeGreaterThanOrEqual(10);
      expect(await more(["download 200"], 3)).toBeGreaterThanOrEqual(3);
      const document = await fetch(`${server.url}/alice/main/noarch/repodata.json`);
      // A channel that changed just before can have no new document now; an old one would be wrong.
      expect(document.status).toBeOneOf([200, 503, 507]);
      await document.bytes();
      await rm(join(folder, "filler"));
    }
    expect(await more(["publish 201"], 10)).toBeGreaterThanOrEqual(10);
    end.abort();
    await working;
    await readBack(server.url, OWNER, ledger);
    expect(ledger.problems).toEqual([]);
    // The load names every failure; only those of a full disk are allowed.
    const failures = [...ledger.answers.keys()].filter(
      (answer) => / 5\d\d$/.test(answer) && !/ (507|503)$/.test(answer),
    );
    expect(failures).toEqual([]);
    expect((await server.end("SIGTERM")).code).toBe(0);
    expect((await condarium(["verify", "--deep", "--data", folder])).code).toBe(0);
  }, 90_000);
});

/** Leaves this many bytes. */
async function fillUp(folder: string, leave = 0): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  // The last pages go to the first process that allocates them, so the file is as large as possible.
  for (let left = bavail * bsize - leave; left > 0; left -= MIB) {
    await appendFile(join(folder, "filler"), new Uint8Array(Math.min(left, MIB))).catch(() => undefined);
  }
}

test("a disk with less free space than its reserve refuses uploads before their bodies are sent, and is ready for reads", async () => {
  const folder = await usedFolder();
  const server = await startTestApp({ folder, settings: { "min-free-space": "4000TiB" } });
  let pulled = 0;
  const body = new ReadableStream<Uint8Array>(
    { pull: (controller) => (pulled++, controller.enqueue(new Uint8Array(1024))) },
    { highWaterMark: 0 },
  );
  expect((await server.as("alice").put(`${ROOT}/x-1-0.conda`, body)).status).toBe(507);
  expect(pulled).toBe(0);
  expect((await server.anonymous.get("/health/ready")).status).toBe(200);
  expect(server.log().match(/"kind":"space"/g)).toHaveLength(1);
  for (const path of ["/alice/main/noarch/kept-1-0.conda", "/alice/main/noarch/repodata.json"]) {
    expect((await server.anonymous.get(path)).status).toBe(200);
  }
  expect((await server.as("alice").delete("/alice/main/noarch/kept-1-0.conda")).status).toBe(204);
  await server.close();
});

describe("a data folder", () => {
  test("is made private with all its contents", async () => {
    const folder = join(await newFolder(), "data");
    await mkdir(folder, { mode: 0o755 });
    await chmod(folder, 0o755);
    const server = await serve(folder);
    const password = /password: (\S+)/.exec(server.stdout())?.[1] ?? "";
    const built = buildPackage({ name: "private", version: "1" });
    const answer = await fetch(`${server.url}/api/packages/admin/conda/main/${built.fileName}`, {
      method: "PUT",
      headers: basic("admin", password),
      body: built.bytes.slice(),
    });
    expect(answer.status).toBe(201);
    expect((await fetch(`${server.url}/admin/main/noarch/repodata.json`)).status).toBe(200);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    const names = await readdir(folder, { recursive: true });
    expect(names.length).toBeGreaterThan(10);
    for (const name of names) expect([name, (await stat(join(folder, name))).mode & 0o077]).toEqual([name, 0]);
    await server.end("SIGTERM");
  });

  const wrong: [string, (folder: string) => Promise<string>, string][] = [
    ["is a link to nothing", async (folder) => await linkTo(join(folder, "none")), "is a link that leads to no folder"],
    ["is a link to a file", async (folder) => await linkTo(join(folder, "layout")), "cannot be created"],
    ["is a file", async (folder) => (await Bun.write(`${folder}/file`, "x"), `${folder}/file`), "cannot be created"],
    ["cannot be made", () => Promise.resolve("/proc/condarium"), "cannot be created"],
    ["has a link for its tmp", async (folder) => (await swap(folder, "tmp"), folder), "must be a folder, not a link"],
    ["has a link for its blobs", async (folder) => (await swap(folder, "blobs"), folder), "must be a folder"],
    ["has a link for its database", async (folder) => (await swap(folder, "condarium.db"), folder), "must be a file"],
    ["is of a newer layout", async (folder) => (await Bun.write(`${folder}/layout`, "2\n"), folder), "has layout 2"],
    ["has a damaged layout", async (folder) => (await Bun.write(`${folder}/layout`, "??"), folder), "is damaged"],
    ["lost its database", async (folder) => (await rm(`${folder}/condarium.db`), folder), "is missing or empty"],
    [
      "has an emptied database",
      async (folder) => (await truncate(`${folder}/condarium.db`), folder),
      "missing or empty",
    ],
  ];
  test.each(wrong)("that %s is refused in one line with exit code 2, and not touched", async (_, spoil, message) => {
    const folder = await usedFolder();
    const spoiled = await spoil(folder);
    const before = (await readdir(folder, { recursive: true })).sort();
    const ended = await condarium(["serve", "--data", spoiled, "--listen", "127.0.0.1:0"]);
    expect([ended.code, ended.stdout]).toEqual([2, ""]);
    expect(ended.stderr).toMatch(/^condarium: [^\n]+\n$/);
    expect(ended.stderr).toContain(message);
    const after = (await readdir(folder, { recursive: true })).sort();
    // The files that SQLite creates to open a database are harmless.
    expect(after.filter((name) => !before.includes(name) && !/^(lock|condarium\.db)-/.test(name))).toEqual([]);
  });

  test("with a garbage database is refused in one line, and the garbage is kept for a person to examine", async () => {
    const folder = await usedFolder();
    const garbage = "this was a database once. ".repeat(400);
    await Bun.write(join(folder, "condarium.db"), garbage);
    for (const args of [["serve", "--listen", "127.0.0.1:0"], ["user", "list"], ["verify"]]) {
      const ended = await condarium([...args, "--data", folder]);
      expect([args[0], ended.code, ended.stdout]).toEqual([args[0], 1, ""]);
      expect(ended.stderr).toMatch(/^condarium: \S+condarium\.db is damaged, or not a database: restore it [^\n]+\n$/);
    }
    expect(await Bun.file(join(folder, "condarium.db")).text()).toBe(garbage);
  });

  test("is used by one server at a time: a second one is refused, commands work, and a killed one leaves no lock", async () => {
    const folder = await usedFolder();
    const server = await serve(folder);
    const second = await condarium(["serve", "--data", folder, "--listen", "127.0.0.1:0"]);
    expect([second.code, second.stdout]).toEqual([2, ""]);
    expect(second.stderr).toMatch(/^condarium: Another condarium server is using this data folder [^\n]+\n$/);
    expect((await condarium(["user", "create", "bob", "--data", folder])).code).toBe(0);
    expect((await condarium(["verify", "--full", "--data", folder])).code).toBe(0);
    expect((await fetch(`${server.url}/bob/noarch/repodata.json`)).status).toBe(200);
    await server.end("SIGKILL");
    const next = await serve(folder);
    expect((await fetch(`${next.url}/alice/main/noarch/kept-1-0.conda`)).status).toBe(200);
    expect((await next.end("SIGTERM")).code).toBe(0);
  });
});

test("a database locked by another process delays no read, and a publish is told to retry", async () => {
  const server = await listen();
  await server.addUser("alice");
  const built = buildPackage({ name: "locked", version: "1" });
  const headers = { authorization: `Bearer ${await newToken(server.manage, { user: "alice", name: "never used" })}` };
  const other = new Connection(join(server.folder, "condarium.db"));
  other.run("BEGIN IMMEDIATE");
  const started = performance.now();
  const ended = new AbortController();
  const publish = server.publish("alice", ROOT, built).finally(() => ended.abort());
  const times: number[] = [];
  while (!ended.signal.aborted) {
    const before = performance.now();
    // A read does not wait for the record that its token was used either.
    expect((await fetch(`${server.url}/alice/noarch/repodata.json`, { headers })).status).toBe(200);
    times.push(performance.now() - before);
    await Bun.sleep(5);
  }
  const refused = await publish;
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"]);
  expect(performance.now() - started).toBeWithin(4000, 9000);
  times.sort((a, b) => a - b);
  expect(times[Math.floor(times.length * 0.99)]).toBeLessThan(100);
  other.run("ROLLBACK");
  other.close();
  expect((await server.publish("alice", ROOT, built)).status).toBe(201);
  await server.stop();
}, 30_000);

test.skipIf(!canTrace)(
  "a database log that cannot be made durable ends the server with 1, and nothing in it is acknowledged",
  async () => {
    const folder = await usedFolder();
    const calls = ["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"];
    const log = ["-P", join(folder, "condarium.db-wal")];
    const server = await serve(
      folder,
      [],
      ["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", ...log, ...calls],
    );
    const built = buildPackage({ name: "doubtful", version: "1" });
    const answer = await fetch(`${server.url}${ROOT}/${built.fileName}`, {
      method: "PUT",
      headers: basic("alice", PASSWORD),
      body: built.bytes.slice(),
    });
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "10"]);
    expect(await server.child.exited).toBe(1);
    expect(server.stderr()).toContain('"event":"fatal"');
    expect((await condarium(["verify", "--full", "--data", folder])).code).toBe(0);
  },
);

test.skipIf(!canTrace)(
  "a blob folder that cannot be made durable refuses packages, and the server is not ready until it restarts",
  async () => {
    const folder = await usedFolder();
    const built = buildPackage({ name: "doubtful", version: "1" });
    const place = join(folder, "blobs", built.sha256.slice(0, 2), built.sha256.slice(2, 4));
    await mkdir(place, { recursive: true });
    const calls = ["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"];
    const server = await serve(
      folder,
      [],
      ["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-P", place, ...calls],
    );
    const headers = basic("alice", PASSWORD);
    for (let times = 0; times < 2; times++) {
      const body = built.bytes.slice();
      const answer = await fetch(`${server.url}${ROOT}/${built.fileName}`, { method: "PUT", headers, body });
      expect(answer.status).toBe(503);
      expect((await fetch(`${server.url}/health/ready`)).status).toBe(503);
    }
    expect(await notReadyParts(server.url)).toEqual([
      ["disk", "The disk of the data folder lost writes: repair the disk, then restart the server."],
    ]);
    expect((await fetch(`${server.url}/alice/main/noarch/kept-1-0.conda`)).status).toBe(200);
    expect(server.stderr().match(/"event":"trouble".*fsync.*restart the server/g)).toHaveLength(1);
    for (const pid of childrenOf(server.child.pid)) process.kill(pid, "SIGTERM");
    expect(await server.child.exited).toBe(0);
    expect((await condarium(["verify", "--full", "--data", folder])).code).toBe(0);
  },
  30_000,
);

describe("a clock that was set back by a day", () => {
  const DAY_MS = 24 * 60 * 60 * 1000;
  let now = Date.UTC(2030, 5, 15);
  let server: TestApp;
  beforeAll(async () => {
    server = await startTestApp({ clock: { now: () => now, elapsed: () => performance.now() } });
    await server.addUser("alice");
  });
  afterAll(() => server.close());

  test("makes no document older, and none that clients would not request again", async () => {
    const documents = ["noarch/repodata.json", "noarch/repodata.json.zst", "channeldata.json"];
    const modified = async (): Promise<number[]> => {
      const answers = await Promise.all(documents.map((name) => server.anonymous.get(`/alice/main/${name}`)));
      return answers.map(({ headers }) => Date.parse(headers.get("last-modified") ?? ""));
    };
    const publish = async (name: string): Promise<void> => {
      const built = buildPackage({ name, version: "1" });
      expect((await server.as("alice").put(`${ROOT}/${built.fileName}`, built.bytes)).status).toBe(201);
    };
    await publish("before");
    expect(await modified()).toEqual(documents.map(() => now));
    const latest = now;
    now -= DAY_MS;
    await publish("after");
    expect(await modified()).toEqual(documents.map(() => latest));
    const text = await (await server.anonymous.get("/alice/main/noarch/repodata.json")).text();
    expect(text).toContain("after-1-0.conda");
    now += DAY_MS;
  });

  test("reactivates what expires at a stored time, and nothing that was revoked", async () => {
    const create = (name: string) => newToken(server.manage, { user: "alice", name, lifetime: 60_000 });
    const [short, revoked] = [await create("short"), await create("revoked")];
    await server.manage.tokens.revoke("alice", "revoked");
    const statuses = () =>
      Promise.all(
        [short, revoked].map(
          async (token) => (await server.withToken(token).get("/alice/noarch/repodata.json")).status,
        ),
      );
    expect(await statuses()).toEqual([200, 401]);
    now += DAY_MS;
    expect(await statuses()).toEqual([401, 401]);
    now -= DAY_MS;
    expect(await statuses()).toEqual([200, 401]);
  });

  test("locks nobody out for a day", async () => {
    const database = new Connection(join(server.folder, "condarium.db"));
    database.run("INSERT INTO login_failure VALUES ('address:192.0.2.1', ?, 30)", [now]);
    database.close();
    const login = async (password: string) =>
      (await server.anonymous.get("/alice/noarch/repodata.json", basic("alice", password))).status;
    expect(await login("a-wrong-password")).toBe(429);
    now -= DAY_MS;
    // The window starts again, and counts again.
    expect(await login("a-wrong-password")).toBe(401);
    const counted = new Connection(join(server.folder, "condarium.db"), { readonly: true });
    const row = counted
      .query("SELECT window_start, failures FROM login_failure WHERE bucket = 'address:192.0.2.1'")
      .get();
    counted.close();
    expect(row).toEqual({ window_start: now, failures: 1 });
    now += DAY_MS;
  });

  test("makes no orphan of young files", async () => {
    now -= DAY_MS;
    expect(await problemsOf(server, "full")).toEqual([]);
    now += DAY_MS;
  });
});

async function listed(server: Listening): Promise<string[]> {
  const answer = await fetch(`${server.url}/alice/main/noarch/repodata.json`);
  return Object.keys((await jsonOf<{ "packages.conda": object }>(answer))["packages.conda"]);
}

async function linkTo(folder: string): Promise<string> {
  const link = join(await newFolder(), "link");
  await symlink(folder, link);
  return link;
}

/** Moves a folder of the data elsewhere, and puts a link in its place. */
async function swap(folder: string, name: string): Promise<void> {
  const elsewhere = await newFolder();
  await rename(join(folder, name), join(elsewhere, name));
  await symlink(join(elsewhere, name), join(folder, name));
}

/** The tracer's child: the tracer forwards no signal. */
function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.trim().split(" ").map(Number);
}

describe("a data folder behind a link", () => {
  const built = buildPackage({ name: "linked", version: "1" });
  const FILE = "/alice/main/noarch/kept-1-0.conda";
  let folder: string;
  let link: string;
  let server: Listening;
  beforeEach(async () => {
    folder = await usedFolder();
    link = await linkTo(folder);
    server = await listen({ folder: link });
  });
  afterEach(() => server.stop());
  const statusOf = async (path: string): Promise<number> => (await fetch(`${server.url}${path}`)).status;

  test("is served, written and managed like the folder itself", async () => {
    expect([await statusOf(FILE), await statusOf("/health/ready")]).toEqual([200, 200]);
    expect((await server.publish("alice", ROOT, built)).status).toBe(201);
    expect(await listed(server)).toEqual(["kept-1-0.conda", "linked-1-0.conda"]);
    expect((await condarium(["verify", "--full", "--data", link])).code).toBe(0);
    for (const path of [folder, link]) {
      const second = await condarium(["serve", "--data", path, "--listen", "127.0.0.1:0"]);
      expect([second.code, second.stderr]).toEqual([2, expect.stringContaining("is using this data folder")]);
    }
  });

  test("is noticed when the folder is moved, and when it comes back", async () => {
    const away = join(await newFolder(), "away");
    await rename(folder, away);
    expect((await server.publish("alice", ROOT, built)).status).toBe(503);
    expect([await statusOf(FILE), await statusOf("/health/ready")]).toEqual([503, 503]);
    await rename(away, folder);
    expect([await statusOf("/health/ready"), await statusOf(FILE)]).toEqual([200, 200]);
    expect((await server.publish("alice", ROOT, built)).status).toBe(201);
  });

  test("stays the folder of the running server when the link is repointed: the other folder gets nothing", async () => {
    const other = await newFolder();
    await rm(link);
    await symlink(other, link);
    expect((await server.publish("alice", ROOT, built)).status).toBe(201);
    expect([await statusOf("/health/ready"), await statusOf(FILE)]).toEqual([200, 200]);
    expect(await listed(server)).toEqual(["kept-1-0.conda", "linked-1-0.conda"]);
    expect((await readdir(folder)).includes("condarium.db")).toBe(true);
    expect(await readdir(other)).toEqual([]);
  });

  test("is created below a link to a folder, and restored into through one", async () => {
    const parent = await newFolder();
    const toParent = await linkTo(parent);
    const created = await listen({ folder: join(toParent, "new", "data") });
    const other = await newFolder();
    await rm(toParent);
    await symlink(other, toParent);
    await created.addUser("alice");
    // Its document is so large that it is stored in a file.
    const constrains = Array.from({ length: 1000 }, (_, at) => `${"n".repeat(50)}${at} >=${"1".repeat(50)}`);
    const large = buildPackage({ name: "large", version: "1", constrains });
    expect((await created.publish("alice", ROOT, large)).status).toBe(201);
    expect(await listed(created)).toEqual(["large-1-0.conda"]);
    await created.stop();
    expect(await readdir(other)).toEqual([]);
    expect(await readdir(join(parent, "new", "data"))).toContain("condarium.db");

    const [backup, empty] = [await newFolder(), await newFolder()];
    expect((await condarium(["backup", backup, "--data", link])).code).toBe(0);
    const target = await linkTo(empty);
    expect((await condarium(["restore", backup, "--data", target])).code).toBe(0);
    expect(await readdir(empty)).toContain("condarium.db");
    const nowhere = await condarium(["restore", backup, "--data", await linkTo(join(empty, "none"))]);
    expect([nowhere.code, nowhere.stderr]).toEqual([2, expect.stringContaining("leads to no folder")]);
  });
});
