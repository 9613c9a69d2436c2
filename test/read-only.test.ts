// A disk that turns read-only, completely or in part, while the server runs.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { notReadyParts } from "./support/not-ready.ts";
import { basic, PASSWORD, startTestApp } from "./support/app.ts";
import { copyClosedFolder } from "./support/copy-folder.ts";
import { leaveOut } from "./support/left-out.ts";
import { listen, type Listening } from "./support/listening.ts";
import { buildPackage } from "./support/package-builder.ts";
import { canMountHere, runs } from "./support/system.ts";

const ROOT = "/api/packages/alice/conda/main";
const DOCUMENT = "/alice/main/noarch/repodata.json";
const NOT_MADE = "/alice/main/channeldata.json";
const kept = buildPackage({ name: "kept", version: "1" });

const canMount = await canMountHere();
if (!canMount) leaveOut("read-only disks", "this needs the right to mount a folder");

let root: string;
let folder: string;
let server: Listening;
let round = 0;
const mounted: string[] = [];
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "condarium-read-only-"));
  const app = await startTestApp({ folder: join(root, "template") });
  const alice = await app.addUser("alice");
  expect((await alice.put(`${ROOT}/${kept.fileName}`, kept.bytes)).status).toBe(201);
  await app.close();
});
afterAll(() => rm(root, { recursive: true, force: true }));

beforeEach(async () => {
  folder = join(root, `data-${(round += 1)}`);
  await copyClosedFolder(join(root, "template"), folder);
  for (const name of ["files", "shards", "derived"]) await mkdir(join(folder, name), { recursive: true });
  server = await listen({ folder });
  expect(await statusOf(DOCUMENT)).toBe(200);
});
afterEach(async () => {
  while (mounted.length > 0) unlock();
  await server.stop();
});

const statusOf = async (path: string): Promise<number> => (await fetch(`${server.url}${path}`)).status;
const publish = (name: string): Promise<Response> =>
  server.publish("alice", ROOT, buildPackage({ name, version: "1" }));
const lines = (event: string): string[] =>
  server
    .log()
    .split("\n")
    .filter((line) => line.includes(`"event":"${event}","kind":"disk"`));

/** Files opened from here on are read-only, as after an error of the file system. */
function lock(path: string): void {
  expect(runs("mount", "--bind", path, path)).toBe(true);
  mounted.push(path);
  expect(runs("mount", "-o", "remount,bind,ro", path)).toBe(true);
}

function unlock(): void {
  runs("umount", "-l", mounted.pop() ?? "");
}

describe.skipIf(!canMount)("a data folder that becomes read-only", () => {
  test.each(["", "blobs", "files", "tmp", "shards", "derived", "condarium.db", "index.db"])(
    "in %p is reported by readiness, log and metrics, stays readable, and is written again once possible",
    async (name) => {
      const path = join(folder, name);
      lock(path);
      expect(await statusOf("/health/ready")).toBe(503);
      expect(await notReadyParts(server.url)).toEqual([
        ["disk", "The disk of the data folder is read-only: make it writable."],
      ]);
      expect(await statusOf("/health/live")).toBe(200);
      for (const read of [DOCUMENT, `/alice/main/noarch/${kept.fileName}`])
        for (const headers of [{}, basic("alice", PASSWORD)])
          expect((await fetch(`${server.url}${read}`, { headers })).status).toBe(200);
      expect(lines("trouble")).toHaveLength(1);
      expect(lines("trouble")[0]).toMatch(/EROFS|EACCES/);
      expect(lines("trouble")[0]).toContain(path);
      expect(await server.app.metrics.render()).toContain("condarium_writable 0");
      unlock();
      expect(await statusOf("/health/ready")).toBe(200);
      expect((await publish("next")).status).toBe(201);
      expect(await (await fetch(`${server.url}${DOCUMENT}`)).text()).toContain("next-1-0.conda");
      expect([lines("trouble").length, lines("trouble-ended").length]).toEqual([1, 1]);
      expect(await server.app.metrics.render()).toContain("condarium_writable 1");
    },
  );

  test("is reported although no request arrives", async () => {
    lock(folder);
    for (let waited = 0; waited < 250 && lines("trouble").length === 0; waited++) await Bun.sleep(20);
    expect(lines("trouble")).toHaveLength(1);
    unlock();
    for (let waited = 0; waited < 500 && lines("trouble-ended").length === 0; waited++) await Bun.sleep(20);
    expect(lines("trouble-ended")).toHaveLength(1);
  });

  test("refuses a publish with 503 and no internals, and keeps nothing of it", async () => {
    lock(folder);
    const refused = await publish("refused");
    const text = await refused.text();
    expect([refused.status, refused.headers.get("content-type")]).toEqual([503, "application/problem+json"]);
    expect(text).toContain("cannot use its disk");
    expect(text).not.toContain(folder);
    expect(lines("trouble")).toHaveLength(1);
    unlock();
    expect(await statusOf("/alice/main/noarch/refused-1-0.conda")).toBe(404);
    expect(await server.staged()).toEqual([]);
    // One success does not prove that the disk is writable again.
    expect(await statusOf("/health/ready")).toBe(503);
    for (let waited = 0; waited < 500 && (await statusOf("/health/ready")) !== 200; waited++) await Bun.sleep(20);
    expect((await publish("refused")).status).toBe(201);
  }, 20_000);

  test("responds with 503 for an unbuilt document, serves built ones, and builds it once the folder is writable", async () => {
    await server.stop();
    server = await listen({ folder });
    const { ino } = await stat(join(folder, "index.db"));
    lock(folder);
    const answer = await fetch(`${server.url}${NOT_MADE}`);
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([503, "5"]);
    expect(server.log()).toContain(`${join(folder, "index.db")} cannot be opened`);
    unlock();
    expect(await statusOf(NOT_MADE)).toBe(200);
    expect((await stat(join(folder, "index.db"))).ino).toBe(ino);
    expect(server.log()).not.toContain("derived-mended");
  });
});

test("a reserve that is used up is logged once, and does not make the server unready", async () => {
  const low = await startTestApp({ settings: { "min-free-space": "4000TiB" } });
  for (let times = 0; times < 3; times++) expect((await low.anonymous.get("/health/ready")).status).toBe(200);
  expect(low.log().match(/"event":"trouble","kind":"space"/g)).toHaveLength(1);
  expect(await low.app.metrics.render()).toContain("condarium_writable 1");
  expect(await low.app.metrics.render()).toMatch(/condarium_free_bytes [1-9]/);
  await low.close();
});
