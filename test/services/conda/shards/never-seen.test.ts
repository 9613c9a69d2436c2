// Requests for channels, subdirs and shards that never existed cost nothing: no thread works, nothing is stored.

import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { createEvents } from "../../../../src/events.ts";
import { openDerivedLookup } from "../../../../src/models/index/lookup.ts";
import { sha256Hex } from "../../../../src/modules/hash.ts";
import { createLogger } from "../../../../src/modules/log.ts";
import { createMetrics } from "../../../../src/modules/metrics.ts";
import { createDiskStore } from "../../../../src/modules/storage/disk.ts";
import { systemClock } from "../../../../src/modules/clock.ts";
import { shardKey } from "../../../../src/modules/storage/keys.ts";
import { createBodies } from "../../../../src/services/bodies.ts";
import { createShards } from "../../../../src/services/conda/shards/read.ts";
import { createTurns } from "../../../../src/services/index/steps/turns.ts";
import type { ShardJobs } from "../../../../src/services/index/worker.ts";
import { createWorkers } from "../../../../src/services/workers.ts";
import { bytesOf } from "../../../support/answers.ts";
import { startTestApp, type Actor, type TestApp } from "../../../support/app.ts";
import { documentPaths, shardHashes, shardIndexOf } from "../../../support/documents.ts";
import { buildPackage } from "../../../support/package-builder.ts";

setDefaultTimeout(60_000);

let server: TestApp;
let user: Actor;
beforeAll(async () => {
  server = await startTestApp();
  user = await server.addUser("user");
  const built = buildPackage({ name: "a", version: "1" });
  expect((await user.put(`/api/packages/user/conda/main/${built.fileName}`, built.bytes)).status).toBe(201);
  for (const path of documentPaths("noarch")) await server.anonymous.get(`/user/main/${path}`);
});
afterAll(() => server.close());

async function buildsOf(): Promise<string> {
  return (await server.app.metrics.render())
    .split("\n")
    .filter((line) => line.startsWith("condarium_document"))
    .join("\n");
}

function rowsOf(): unknown {
  const db = new Database(join(server.folder, "index.db"), { readonly: true });
  const count = (table: string): unknown => db.query(`SELECT count(*) AS rows FROM ${table}`).get();
  const rows = ["state", "segment", "entry", "skipped"].map(count);
  db.close();
  return rows;
}

async function ask(path: string, status: number): Promise<void> {
  for (const send of [server.anonymous.get, server.anonymous.head]) {
    const answer = await send(path);
    expect([path, answer.status]).toEqual([path, status]);
    await answer.arrayBuffer();
  }
}

test("requests for a thousand unknown subdirs, in every document, build and store nothing", async () => {
  const [builds, rows, files] = [await buildsOf(), rowsOf(), await server.storedFiles()];
  expect(builds).toContain("repodata.json");
  for (let at = 0; at < 1000; at += 1) {
    const section = `aaaa-${at}`;
    const paths = documentPaths(section).filter((path) => path.startsWith(section));
    const path = paths[at % paths.length] ?? "";
    await ask(`/user/main/${path}`, 200);
    if (at % 10 === 0) await ask(`/user/never/${path}`, 401);
    if (at % 10 === 0) await ask(`/nobody/main/${path}`, 401);
  }
  expect([await buildsOf(), rowsOf(), await server.storedFiles()]).toEqual([builds, rows, files]);
});

test("requests for a thousand unknown shards start no job, and only a deleted shard is rebuilt", async () => {
  const spawn = (): Worker => new Worker(new URL("../../../../src/worker.ts", import.meta.url).href);
  const workers = createWorkers<ShardJobs>({ spawn, size: 1, queue: 10 });
  const shardIndexes = openDerivedLookup(join(server.folder, "index.db"));
  const blobs = createDiskStore({ root: server.folder, reserve: 0 });
  let jobs = 0;
  const shards = createShards({
    blobs,
    bodies: createBodies(),
    shardIndexes,
    events: createEvents({ log: createLogger({ level: "error", write: () => {} }), metrics: createMetrics() }),
    workers: {
      ...workers,
      run: (...job) => {
        jobs += 1;
        return workers.run(...job);
      },
    },
    turns: createTurns({ ofOne: 10, ofAll: 10, now: systemClock.elapsed }),
    source: { dataFolder: server.folder, storage: { kind: "folder" } },
  });
  try {
    const [rows, files] = [rowsOf(), await server.storedFiles()];
    for (let at = 0; at < 1000; at += 1) expect(await shards.find(1, sha256Hex(`${at}`))).toBeUndefined();
    expect([jobs, rowsOf(), await server.storedFiles()]).toEqual([0, rows, files]);
    const index = await bytesOf(await server.anonymous.get("/user/main/noarch/repodata_shards.msgpack.zst"));
    const { a = "" } = shardHashes(shardIndexOf(index));
    await blobs.delete(shardKey(1, a));
    const found = await Promise.all([shards.find(1, a), shards.find(1, a), shards.find(2, a)]);
    expect(found.map((shard) => shard !== undefined)).toEqual([true, true, false]);
    expect(jobs).toBeGreaterThan(0);
  } finally {
    shardIndexes.close();
    workers.close();
  }
});

test("an unsupported document form is 404, in subdirs with and without packages", async () => {
  for (const section of ["noarch", "aaaa-1"]) await ask(`/user/main/${section}/current_repodata.json.bz2`, 404);
});
