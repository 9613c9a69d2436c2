// PostgreSQL that is lost, slow, read-only, full or set back: nothing that was acknowledged is lost, and nothing hangs.

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { documentPaths } from "../support/documents.ts";
import { startPostgres, type Postgres } from "../support/postgres.ts";
import { freshPackage, startNode, type Answered, type Node } from "../support/postgres-node.ts";
import { freePort } from "../support/private-server.ts";
import { condarium } from "../support/server-process.ts";
import { says, startTcpProxy, type Fault, type TcpProxy } from "../support/tcp-proxy.ts";

let postgres: Postgres;
let proxy: TcpProxy;
let url: string;
let node: Node;

beforeAll(async () => {
  postgres = await startPostgres();
  proxy = await startTcpProxy({ port: postgres.port });
  url = await postgres.createDatabase();
  node = await startNode(proxy.through(url));
  await node.addUser();
  expect((await node.publish(freshPackage())).status).toBe(201);
});
afterAll(async () => {
  await node[Symbol.asyncDispose]();
  await proxy.close();
  await postgres.close();
});

afterEach(async () => {
  loading.abort();
  postgres.thaw();
  await postgres.start();
  await proxy.setFault({ kind: "none" });
});

const LONGEST_MS = 10_000;
const GONE = /cannot be reached|does not answer/;
let loading = new AbortController();
const READ = "/user/main/noarch/repodata.json";

/** Waits until a publish succeeds again, at most `ms`. */
async function worksWithin(ms: number): Promise<void> {
  const until = performance.now() + ms;
  for (;;) {
    const answer = await node.publish(freshPackage());
    if (answer.status === 201) break;
    if (performance.now() > until) throw new Error(`still ${answer.status}: ${answer.text}`);
    await Bun.sleep(100);
  }
  expect((await node.get(READ)).status).toBe(200);
  expect((await node.get("/health/ready")).status).toBe(200);
}

function expectRefused(answer: Answered): void {
  expect([answer.status, answer.text, Number(answer.retryAfter) > 0]).toEqual([503, answer.text, true]);
  expect(answer.ms).toBeLessThan(LONGEST_MS);
}

/** The publish is answered in time, and the documents agree with the answer. */
async function publishWith(fault: Fault): Promise<{ readonly status: number; readonly isListed: boolean }> {
  const built = freshPackage();
  await proxy.setFault(fault);
  const answer = await node.publish(built);
  await proxy.setFault({ kind: "none" });
  expect(answer.ms).toBeLessThan(LONGEST_MS);
  if (answer.status !== 201) expectRefused(answer);
  const isListed = (await node.listed()).includes(built.fileName);
  if (answer.status === 201) expect(isListed).toBe(true);
  const again = await node.publish(built);
  expect(again.status).toBe(isListed ? 409 : 201);
  if (isListed) expect(JSON.parse(again.text)).toMatchObject({ identical: true });
  const rows = await postgres.asSuperuser(
    url,
    `SELECT count(*)::int AS n FROM package_file WHERE file_name = '${built.fileName}'`,
  );
  expect(rows).toEqual([{ n: 1 }]);
  return { status: answer.status, isListed };
}

describe("a publish", () => {
  test("is acknowledged when only the answer of its commit is lost", async () => {
    const fault: Fault = { kind: "lose answer", matches: says("COMMIT"), end: "cut" };
    expect(await publishWith(fault)).toEqual({ status: 201, isListed: true });
  });

  test("is committed by a second attempt when the commit itself is lost", async () => {
    const fault: Fault = { kind: "lose request", matches: says("COMMIT"), end: "cut" };
    expect(await publishWith(fault)).toEqual({ status: 201, isListed: true });
  });

  test.each(["lose answer", "lose request"] as const)(
    "is answered in time when its commit meets silence (%s), and does not keep others from the channel",
    async (kind) => {
      const { isListed } = await publishWith({ kind, matches: says("COMMIT"), end: "silence" });
      expect(isListed).toBe(kind === "lose answer");
    },
  );

  test.each(["lose answer", "lose request"] as const)(
    "succeeds whichever of its messages is cut (%s)",
    async (kind) => {
      let hits = 0;
      for (let at = 1; at <= 40; at++) {
        let seen = 0;
        const { status } = await publishWith({ kind, matches: () => ++seen === at, end: "cut" });
        expect([kind, at, status]).toEqual([kind, at, 201]);
        if (seen < at) break;
        hits += 1;
      }
      expect(hits).toBeGreaterThan(5);
    },
  );
});

describe("a start", () => {
  const start = async (database: string) => {
    const folder = await mkdtemp(join(tmpdir(), "condarium-start-"));
    const started = performance.now();
    const ended = await condarium(["serve", "--data", folder, "--listen", "127.0.0.1:0", "--database", database], {});
    await rm(folder, { recursive: true, force: true });
    return { ...ended, ms: performance.now() - started };
  };

  test("without a database fails at once, and names the address without the password", async () => {
    const port = await freePort();
    const ended = await start(`postgres://condarium:secret@127.0.0.1:${port}/registry`);
    expect(ended.code).toBe(1);
    expect(ended.ms).toBeLessThan(LONGEST_MS);
    expect(ended.stderr).toContain(`postgres://127.0.0.1:${port}/registry`);
    expect(ended.stderr).toContain("Check that PostgreSQL runs there");
    expect(ended.stderr + ended.stdout).not.toContain("secret");
    expect(ended.stderr.trim().split("\n")).toHaveLength(1);
  });

  test("on a database that does not answer fails in time", async () => {
    await proxy.setFault({ kind: "hang" });
    const ended = await start(proxy.through(url));
    await proxy.setFault({ kind: "none" });
    expect([ended.code, ended.ms < LONGEST_MS + 2000]).toEqual([1, true]);
    expect(ended.stderr).toContain("cannot be opened");
    await worksWithin(10_000);
  });

  test("on a database that does not exist, or as a stranger, says so", async () => {
    const missing = await start(postgres.url("missing"));
    expect([missing.code, missing.stderr]).toEqual([1, expect.stringContaining('database "missing" does not exist')]);
    const stranger = await start(url.replace("condarium@", "stranger@"));
    expect([stranger.code, stranger.stderr]).toEqual([1, expect.stringContaining('role "stranger" does not exist')]);
  });
});

/** Publishes and reads without a pause until it is stopped. */
function startLoad() {
  const acknowledged: string[] = [];
  const answers: Answered[] = [];
  loading = new AbortController();
  const { signal } = loading;
  const writer = async (channel: string): Promise<void> => {
    while (!signal.aborted) {
      const built = freshPackage();
      const answer = await node.publish(built, channel);
      answers.push(answer);
      if (answer.status === 201) acknowledged.push(`${channel}/${built.fileName}`);
      else await Bun.sleep(20);
    }
  };
  const reader = async (): Promise<void> => {
    while (!signal.aborted) {
      answers.push(await node.get(READ));
      await Bun.sleep(20);
    }
  };
  const running = Promise.all([writer("main"), writer("main"), writer("other"), writer("third"), reader()]);
  return {
    answers,
    stop: async (): Promise<void> => {
      loading.abort();
      await running;
      await worksWithin(10_000);
      const channels = ["main", "other", "third"];
      const listed = await Promise.all(
        channels.map(async (channel) => (await node.listed(channel)).map((name) => `${channel}/${name}`)),
      );
      const all = new Set(listed.flat());
      expect(acknowledged.filter((path) => !all.has(path))).toEqual([]);
      expect(acknowledged.length).toBeGreaterThan(5);
      for (const answer of answers) {
        expect([200, 201, 503]).toContain(answer.status);
        if (answer.status === 503) expectRefused(answer);
      }
    },
  };
}

/** While the database is gone: alive, and not ready for a reason that names it. */
async function expectNotReady(reason: RegExp): Promise<void> {
  expect((await node.get("/health/live")).status).toBe(200);
  const ready = await node.get("/health/ready");
  expect([ready.status, ready.text]).toEqual([503, expect.stringMatching(reason)]);
  expect(ready.text).toContain('"part":"database"');
  expect(ready.ms).toBeLessThan(LONGEST_MS);
}

describe("under load", () => {
  test("a database that stops, crashes or is killed costs 503 only, and all goes on by itself", async () => {
    const load = startLoad();
    const troubles = () =>
      ["trouble", "trouble-ended"].map(
        (event) => node.process.stderr().split(`"event":"${event}","kind":"database-server"`).length - 1,
      );
    const before = troubles();
    await Bun.sleep(500);
    for (const stop of [() => postgres.stop("fast"), () => postgres.stop("immediate"), () => postgres.kill()]) {
      await Promise.all([stop(), proxy.setFault({ kind: "refuse" })]);
      await expectNotReady(GONE);
      expectRefused(await node.publish(freshPackage()));
      expectRefused(await node.get(READ, { "cache-control": crypto.randomUUID() }));
      await Promise.all([postgres.start(), proxy.setFault({ kind: "none" })]);
      await worksWithin(10_000);
    }
    await load.stop();
    // A line for each trouble and one for its end, not one for each request.
    expect(troubles()).toEqual(before.map((count) => count + 3));
    expect(node.process.stderr()).toMatch(/"kind":"database-server","seconds":\d/);
  });

  test("connections that are ended again and again lose nothing", async () => {
    const load = startLoad();
    for (let round = 0; round < 4; round++) {
      await Bun.sleep(150);
      await postgres.terminateConnections(url);
    }
    await load.stop();
  });

  test("a database that is frozen keeps no request longer than ten seconds", async () => {
    const load = startLoad();
    await Bun.sleep(500);
    postgres.freeze();
    await Bun.sleep(1000);
    const late = await Promise.all([
      node.get(READ, { "cache-control": crypto.randomUUID() }),
      node.publish(freshPackage()),
      node.publish(freshPackage(), "frozen"),
    ]);
    for (const answer of late) expectRefused(answer);
    await expectNotReady(GONE);
    postgres.thaw();
    await load.stop();
  });
});

describe("one request waits less than ten seconds in total", () => {
  test("for a document whose build waits behind those of others when the database is frozen", async () => {
    const channels = ["wide-0", "wide-1", "wide-2", "wide-3"];
    for (const channel of channels) expect((await node.publish(freshPackage(), channel)).status).toBe(201);
    const paths = channels.flatMap((channel) => documentPaths("noarch").map((name) => `/user/${channel}/${name}`));
    const reading = paths.map((path) => node.get(path));
    await Promise.race(reading);
    postgres.freeze();
    const answers = await Promise.all(reading);
    const refused = answers.filter(({ status }) => status !== 200);
    expect(refused.length).toBeGreaterThan(3);
    for (const answer of refused) {
      expectRefused(answer);
      expect(answer.text).toMatch(GONE);
    }
    postgres.thaw();
    await worksWithin(10_000);
    for (const path of paths) expect([path, (await node.get(path)).status]).toEqual([path, 200]);
  });

  test("for many answers of a slow database, each of which is in time", async () => {
    await proxy.setFault({ kind: "delay", ms: 700 });
    const [late, ...others] = [freshPackage(), freshPackage(), freshPackage()];
    const first = node.publish(late);
    const answers = await Promise.all([
      first,
      ...others.map((built) => node.publish(built, "slow")),
      node.get("/user/main/noarch/repodata.json.zst", { "cache-control": crypto.randomUUID() }),
      node.get("/health/ready"),
    ]);
    for (const { status, text, ms } of answers) expect([status, text, ms < LONGEST_MS]).toEqual([status, text, true]);
    expectRefused(await first);
    await proxy.setFault({ kind: "none" });
    await worksWithin(10_000);
    expect(await node.listed()).not.toContain(late.fileName);
    expect((await node.publish(late)).status).toBe(201);
  });
});

test("a standby, or a server that was made read-only, refuses changes and serves reads", async () => {
  await postgres.setReadOnly(url, true);
  const answer = await node.publish(freshPackage());
  expectRefused(answer);
  expect(answer.text).toContain("read-only");
  expect((await node.get(READ)).status).toBe(200);
  await expectNotReady(/read-only/);
  await postgres.setReadOnly(url, false);
  await worksWithin(10_000);
});

test("a server without a free connection costs 503, and all goes on when there is one", async () => {
  await postgres.asSuperuser(url, "ALTER ROLE condarium CONNECTION LIMIT 0");
  await postgres.terminateConnections(url);
  expectRefused(await node.publish(freshPackage()));
  expectRefused(await node.get(READ, { "cache-control": crypto.randomUUID() }));
  await postgres.asSuperuser(url, "ALTER ROLE condarium CONNECTION LIMIT -1");
  await worksWithin(10_000);
});

test("a database that is set back under a running server shows its own state, and no tag of the lost one", async () => {
  const name = new URL(url).pathname.slice(1);
  const admin = (statement: string) => postgres.asSuperuser(postgres.url("postgres"), statement);
  const [kept, lost, next] = [freshPackage(), freshPackage(), freshPackage()];
  expect((await node.publish(kept, "back")).status).toBe(201);
  await proxy.setFault({ kind: "refuse" });
  await postgres.terminateConnections(url);
  const copy = await postgres.createDatabase(url);
  await proxy.setFault({ kind: "none" });
  await worksWithin(10_000);
  expect((await node.publish(lost, "back")).status).toBe(201);
  const paths = ["repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst"].map(
    (document) => `/user/back/noarch/${document}`,
  );
  const tags = await Promise.all(paths.map(async (path) => (await node.get(path)).etag));
  expect(await node.listed("back")).toEqual([kept.fileName, lost.fileName].sort());

  await proxy.setFault({ kind: "refuse" });
  await postgres.terminateConnections(url);
  await admin(`DROP DATABASE ${name} WITH (FORCE)`);
  await admin(`ALTER DATABASE ${new URL(copy).pathname.slice(1)} RENAME TO ${name}`);
  await proxy.setFault({ kind: "none" });

  for (const [at, path] of paths.entries()) {
    const answer = await node.get(path, { "if-none-match": tags[at] ?? "" });
    expect([path, answer.status]).toEqual([path, 200]);
  }
  expect(await node.listed("back")).toEqual([kept.fileName]);
  expect((await node.publish(next, "back")).status).toBe(201);
  for (const [at, path] of paths.entries())
    expect([path, (await node.get(path, { "if-none-match": tags[at] ?? "" })).status]).toEqual([path, 200]);
  expect(await node.listed("back")).toEqual([kept.fileName, next.fileName].sort());
  await worksWithin(10_000);
});
