// A worker thread runs the full build of a large channel: other requests do not wait for it, and its output does not
// pass through the thread that responds to requests.

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { condaIndex } from "../../../src/services/conda/index-format.ts";
import { PLAIN_VIEW } from "../../../src/services/index/documents.ts";
import { documentsOf } from "../../../src/services/index/repair/rebuild.ts";
import { percentile } from "../../bench/report.ts";
import { seedChannel } from "../../bench/channel-seed.ts";
import { bytesOf } from "../../support/answers.ts";
import { derivedDataIsLetGo, startTestApp, type Actor, type TestApp } from "../../support/app.ts";
import { builderInThread } from "../../support/index-builders.ts";
import { buildPackage } from "../../support/package-builder.ts";

setDefaultTimeout(120_000);

const LARGE = ["linux-64/repodata.json.zst", "linux-64/repodata_shards.msgpack.zst", "channeldata.json"];
/** Larger documents are stored in a file. */
const SMALL_BYTES = 64 * 1024;

let folder: string;
let server: TestApp;
let user: Actor;
let published = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "condarium-responsive-"));
  await seedChannel(folder, 5000);
  server = await startTestApp({ folder });
  user = await server.addUser("user");
  await publish();
});
afterAll(async () => {
  await server.close();
  await derivedDataIsLetGo(folder);
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

async function publish(): Promise<void> {
  const built = buildPackage({ name: "small", version: `${(published += 1)}` });
  const { status } = await user.put(`/api/packages/user/conda/small/${built.fileName}`, built.bytes);
  expect(status).toBe(201);
}

async function head(path: string): Promise<void> {
  expect([path, (await server.anonymous.head(path)).status]).toEqual([path, 200]);
}

async function read(path: string): Promise<void> {
  const answer = await server.anonymous.get(path);
  expect([path, answer.status]).toEqual([path, 200]);
  expect((await bytesOf(answer)).length).toBeGreaterThan(0);
}

type Other = {
  readonly what: string;
  send(): Promise<void>;
  /** ms between two requests, which are sent whether or not earlier ones have a response. */
  readonly pace: number;
  /** This percentage of requests takes less than this part of the build time; on the building thread: half or more. */
  readonly percent: number;
  readonly part: number;
};

const OTHERS: readonly Other[] = [
  {
    what: "GET of a document",
    send: () => read("/user/still/noarch/repodata.json"),
    pace: 10,
    percent: 99,
    part: 1 / 5,
  },
  { what: "HEAD of what is built", send: () => head(`/admin/main/${LARGE[0]}`), pace: 10, percent: 99, part: 1 / 5 },
  // These wait for the disk and for threads as well.
  { what: "publish", send: publish, pace: 50, percent: 95, part: 1 / 3 },
  {
    what: "GET of what has changed",
    send: () => read("/user/small/noarch/repodata.json"),
    pace: 100,
    percent: 95,
    part: 1 / 3,
  },
];

test("other requests stay fast while documents of 5,000 records are built from scratch", async () => {
  const still = buildPackage({ name: "still", version: "1" });
  expect((await user.put(`/api/packages/user/conda/still/${still.fileName}`, still.bytes)).status).toBe(201);
  // Several at once, so that no thread has to start later.
  await Promise.all(OTHERS.flatMap(({ send }) => [send(), send(), send()]));
  const end = new AbortController();
  const others = OTHERS.map((other) => ({ ...other, times: sendAtPace(other, end.signal) }));
  const started = performance.now();
  for (const path of LARGE) await read(`/admin/main/${path}`);
  const building = performance.now() - started;
  end.abort();
  for (const { what, percent, part, times } of others) {
    const slowest = percentile(await times, percent);
    expect([what, slowest, slowest < building * part]).toEqual([what, slowest, true]);
  }
});

/** The time of each from when it was due: a blocked thread delays all requests that were due meanwhile. */
async function sendAtPace({ send, pace }: Other, signal: AbortSignal): Promise<number[]> {
  const answers: Promise<number>[] = [];
  for (let due = performance.now(); !signal.aborted; due += pace) {
    await Bun.sleep(Math.max(0, due - performance.now()));
    answers.push(send().then(() => performance.now() - due));
  }
  return await Promise.all(answers);
}

test("a large document never enters the thread that responds to requests", async () => {
  const builder = builderInThread(folder);
  const sizes: number[] = [];
  // bzip2 documents take the same path, and seconds to build.
  for (const name of documentsOf(condaIndex, "linux-64").filter((each) => !each.endsWith(".bz2"))) {
    const address = { title: "admin/main", url: "https://conda.example/admin/main" };
    const request = { channelId: 1, view: PLAIN_VIEW, section: "linux-64", name, address };
    let reply = await builder.build(request);
    while (reply.kind === "more") reply = await builder.build(request);
    if (reply.kind !== "built") throw new Error(`${name} is ${reply.kind}`);
    expect([name, reply.size, (reply.bytes?.length ?? 0) <= SMALL_BYTES]).toEqual([name, reply.size, true]);
    sizes.push(reply.size);
  }
  await builder.close();
  expect(Math.max(...sizes)).toBeGreaterThan(10 * SMALL_BYTES);
});
