// A data folder that is moved, replaced or emptied under a running server: nothing stored elsewhere is acknowledged.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { cp, mkdir, mkdtemp, readdir, rename, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { notReadyParts } from "./support/not-ready.ts";
import { basic, PASSWORD, startTestApp } from "./support/app.ts";
import { copyClosedFolder } from "./support/copy-folder.ts";
import { listen, type Listening } from "./support/listening.ts";
import { buildPackage, type BuiltPackage } from "./support/package-builder.ts";

const ROOT = "/api/packages/alice/conda/main";
const kept = buildPackage({ name: "kept", version: "1" });
const DOCUMENT = "/alice/main/noarch/repodata.json";
const FILE = `/alice/main/noarch/${kept.fileName}`;

let root: string;
let folder: string;
let away: string;
let server: Listening;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "condarium-moved-"));
  const app = await startTestApp({ folder: join(root, "template") });
  const alice = await app.addUser("alice");
  expect((await alice.put(`${ROOT}/${kept.fileName}`, kept.bytes)).status).toBe(201);
  await app.close();
});
afterAll(() => rm(root, { recursive: true, force: true }));

let round = 0;
beforeEach(async () => {
  round += 1;
  folder = join(root, `data-${round}`);
  away = join(root, `away-${round}`);
  await copyClosedFolder(join(root, "template"), folder);
  server = await listen({ folder });
  for (const path of [DOCUMENT, FILE]) expect(await statusOf(path)).toBe(200);
});
afterEach(() => server.stop());

const statusOf = async (path: string): Promise<number> => (await fetch(`${server.url}${path}`)).status;
const publish = (built: BuiltPackage): Promise<Response> => server.publish("alice", ROOT, built);
const troubles = (event: string): string[] =>
  server
    .log()
    .split("\n")
    .filter((line) => line.includes(`"event":"${event}"`));

async function fresh(): Promise<void> {
  await rename(folder, away);
  await mkdir(folder);
}

const part = (name: string): string => join(folder, name);
const moves: [string, string, () => Promise<void>, (() => Promise<void>) | undefined][] = [
  ["a folder that is moved away", "", () => rename(folder, away), () => rename(away, folder)],
  ["a folder in whose place there is another", "", fresh, () => rename(away, folder)],
  ["a folder that is deleted", "", () => rm(folder, { recursive: true }), undefined],
  ["a lock that is deleted", "lock", () => rm(part("lock")), undefined],
  ["a lock that is moved away", "lock", () => rename(part("lock"), away), () => rename(away, part("lock"))],
  ["a database that is moved away", "condarium.db", () => rename(part("condarium.db"), away), moveBack],
  ["a database that is restored over", "condarium.db", restoreOver, undefined],
  ["a database that is emptied", "condarium.db", () => truncate(part("condarium.db")), undefined],
  ["a log of the database that is deleted", "condarium.db-wal", () => rm(part("condarium.db-wal")), undefined],
  ["locks of the database that are deleted", "condarium.db-shm", () => rm(part("condarium.db-shm")), undefined],
  ["a folder of packages that is moved away", "blobs", () => rename(part("blobs"), away), moveBlobsBack],
];

async function moveBack(): Promise<void> {
  await rename(away, part("condarium.db"));
}

async function moveBlobsBack(): Promise<void> {
  await rename(away, part("blobs"));
}

async function restoreOver(): Promise<void> {
  await cp(join(root, "template", "condarium.db"), part("backup.db"));
  await rename(part("backup.db"), part("condarium.db"));
}

describe("the server stores and serves nothing, turns unready at once and logs once", () => {
  test.each(moves)("for %s", async (_, name, move, back) => {
    await move();
    const next = buildPackage({ name: "next", version: "1" });
    const refused = await publish(next);
    expect(refused.status).toBe(503);
    expect(await refused.text()).toContain("was moved or replaced");
    expect(await statusOf("/health/ready")).toBe(503);
    expect(await notReadyParts(server.url)).toEqual([
      ["folder", "The data folder was moved or replaced under the running server: put it back, or restart the server."],
    ]);
    expect(await statusOf("/health/live")).toBe(200);
    for (const path of [DOCUMENT, FILE]) expect([path, await statusOf(path)]).toEqual([path, 503]);
    const deletion = { method: "DELETE", headers: basic("alice", PASSWORD) };
    expect((await fetch(`${server.url}${FILE}`, deletion)).status).toBe(503);
    expect(troubles("trouble")).toHaveLength(1);
    expect(troubles("trouble")[0]).toContain(join(folder, name));
    if (!back) return;

    if (name === "") await rm(folder, { recursive: true, force: true });
    await back();
    expect(await statusOf("/health/ready")).toBe(200);
    expect((await publish(next)).status).toBe(201);
    const text = await (await fetch(`${server.url}${DOCUMENT}`)).text();
    expect([text.includes("kept-1-0.conda"), text.includes("next-1-0.conda")]).toEqual([true, true]);
    expect([troubles("trouble").length, troubles("trouble-ended").length]).toEqual([1, 1]);
  });
});

test("a data folder moved during an upload gets nothing of the upload, and neither does the folder in its place", async () => {
  const built = buildPackage({ name: "halved", version: "1" });
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      controller.enqueue(built.bytes.slice(0, 100));
      for (let waited = 0; waited < 250 && (await server.staged()).length === 0; waited++) await Bun.sleep(20);
      await rename(folder, away);
      await mkdir(join(folder, "tmp"), { recursive: true });
      controller.enqueue(built.bytes.slice(100));
      controller.close();
    },
  });
  const headers = basic("alice", PASSWORD);
  const answer = await fetch(`${server.url}${ROOT}/${built.fileName}`, { method: "PUT", headers, body });
  expect(answer.status).toBe(503);
  expect(await readdir(folder, { recursive: true })).toEqual(["tmp"]);
});

test("a second server can start on a new folder of the same name, and the first server leaves the new folder alone", async () => {
  await rename(folder, away);
  const second = await listen({ folder });
  await second.addUser("alice");
  const built = buildPackage({ name: "second", version: "1" });
  expect((await publish(built)).status).toBe(503);
  expect((await second.publish("alice", ROOT, built)).status).toBe(201);
  expect(await second.stored()).toHaveLength(6);
  expect(await statusOf(DOCUMENT)).toBe(503);
  await server.stop();
  // The first server released files of its own folder, not of the second one's.
  expect((await second.publish("alice", ROOT, kept)).status).toBe(201);
  expect((await fetch(`${second.url}/health/ready`)).status).toBe(200);
  await second.stop();
  server = await listen({ folder: away });
  expect(await statusOf(FILE)).toBe(200);
});

test("a document is never built from another folder's packages, even before the move is noticed", async () => {
  const other = await startTestApp({ folder: join(root, "other") });
  const alice = await other.addUser("alice");
  const built = buildPackage({ name: "other", version: "1" });
  expect((await alice.put(`${ROOT}/${built.fileName}`, built.bytes)).status).toBe(201);
  await other.close();
  await server.stop();
  server = await listen({ folder });
  expect(await statusOf("/health/ready")).toBe(200);
  await rename(folder, away);
  await rename(join(root, "other"), folder);
  // Nothing has been written since, so that only the check every second could notice.
  const answer = await fetch(`${server.url}${DOCUMENT}`);
  expect(await answer.text()).not.toContain("other");
  expect(answer.status).toBe(503);
});

test("a data folder moved during a commit acknowledges nothing, and the client can retry", async () => {
  for (const point of ["p6.in_tx", "p7.committed"]) {
    const [here, there] = [join(root, `at-${point}`), join(root, `gone-${point}`)];
    await copyClosedFolder(join(root, "template"), here);
    let armed = true;
    const failpoint = (name: string): void => {
      if (name !== point || !armed) return;
      armed = false;
      Bun.spawnSync(["mv", here, there]);
    };
    const app = await startTestApp({ folder: here, failpoint });
    const built = buildPackage({ name: "late", version: "1" });
    const put = async (): Promise<number> =>
      (await app.as("alice").put(`${ROOT}/${built.fileName}`, built.bytes)).status;
    expect([point, await put()]).toEqual([point, 503]);
    await rename(there, here);
    expect([201, 409]).toContain(await put());
    await app.close();
  }
});

test("nothing is acknowledged while a data folder is moved back and forth", async () => {
  const packages = Array.from({ length: 40 }, (_, at) => buildPackage({ name: `p${at}`, version: "1" }));
  const acknowledged: string[] = [];
  const sending = Promise.all(
    [0, 1, 2, 3].map(async (lane) => {
      for (const built of packages.filter((_, at) => at % 4 === lane)) {
        if ((await publish(built)).status === 201) acknowledged.push(built.fileName);
      }
    }),
  );
  for (let turn = 0; turn < 10; turn++) {
    await Bun.sleep(20);
    await rename(folder, away);
    await Bun.sleep(10);
    await rename(away, folder);
  }
  await sending;
  await server.stop();
  server = await listen({ folder });
  const text = await (await fetch(`${server.url}${DOCUMENT}`)).text();
  expect(acknowledged.filter((name) => !text.includes(`"${name}"`))).toEqual([]);
  for (const name of acknowledged) expect([name, await statusOf(`/alice/main/noarch/${name}`)]).toEqual([name, 200]);
});

test("the temporary folder can be deleted while the server runs", async () => {
  await rm(part("tmp"), { recursive: true });
  expect(await statusOf("/health/ready")).toBe(200);
  expect((await publish(buildPackage({ name: "after", version: "1" }))).status).toBe(201);
});

test("derived data can be deleted while the server runs, and is rebuilt in place", async () => {
  for (const name of ["index.db", "index.db-wal", "index.db-shm", "derived", "shards"])
    await rm(part(name), { recursive: true, force: true });
  const built = buildPackage({ name: "after", version: "1" });
  expect((await publish(built)).status).toBe(201);
  const text = await (await fetch(`${server.url}${DOCUMENT}`)).text();
  expect([text.includes(kept.fileName), text.includes(built.fileName)]).toEqual([true, true]);
  expect(await readdir(folder)).toContain("index.db");
});
