// The metrics as a scraper reads them: a strict exposition, bounded labels, exact totals, and who can read them.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { version } from "../../package.json";
import { findTokenByHash } from "../../src/models/access-token.ts";
import { openSnapshots } from "../../src/models/open-database.ts";
import { findUser } from "../../src/models/user.ts";
import { tokenLimits } from "../../src/services/token-limits.ts";
import { readExposition, type Exposition } from "../support/exposition.ts";
import { peerAt, startTestApp, type TestApp } from "../support/app.ts";
import { isOnSqlite } from "../support/engines.ts";
import { newToken } from "../support/manage.ts";
import { buildPackage } from "../support/package-builder.ts";
import { openTables, runOn, sourceOf } from "../support/rows.ts";
import { runHere } from "../support/run-here.ts";

let server: TestApp;
beforeAll(async () => {
  server = await startTestApp();
  await server.addUser("boss", { admin: true });
  await server.addUser("alice");
});
afterAll(() => server.close());

const scrape = async (app = server): Promise<Exposition> => readExposition(await app.app.metrics.render());
const built = buildPackage({ name: "counted", version: "1" });
const twin = buildPackage({ name: "twin", version: "1" });
const publish = (channel: string, one: typeof built) =>
  server.as("alice").put(`/api/packages/alice/conda/${channel}/${one.fileName}`, one.bytes);

const QUIET = { line: () => {}, note: () => {}, rows: () => {} };

describe("the metrics", () => {
  test("follow the exposition format and the naming conventions of Prometheus", async () => {
    expect((await scrape()).value("condarium_free_bytes")).not.toBe(0);
    expect((await server.anonymous.get("/health/ready")).status).toBe(200);
    const metrics = await scrape();
    for (const [name, { type, help }] of metrics.families) {
      expect([name, help.length > 10]).toEqual([name, true]);
      expect([name, /^(condarium|process)_[a-z0-9_]+$/.test(name)]).toEqual([name, true]);
      expect([name, name.endsWith("_total")]).toEqual([name, type === "counter"]);
      // Base units only.
      expect(name).not.toMatch(/_(ms|milliseconds|minutes|kb|mb|kib|mib|percent)(_|$)/);
    }
    expect(metrics.value("condarium_build_info", { version, bun: Bun.version })).toBe(1);
    const now = Date.now() / 1000;
    expect(metrics.value("process_start_time_seconds")).toBeWithin(now - 300, now + 1);
    expect(metrics.value("process_resident_memory_bytes")).toBeWithin(10 * 1024 ** 2, 8 * 1024 ** 3);
    expect(metrics.value("condarium_free_bytes")).toBeGreaterThan(0);
  });

  test("count each request once in the durations of its route, in seconds", async () => {
    const route = "/health/live";
    const before = await scrape();
    for (let times = 0; times < 3; times++) await server.anonymous.get(route);
    const after = await scrape();
    const grown = (name: string, labels: Record<string, string> = {}): number =>
      (after.value(name, { route, ...labels }) ?? 0) - (before.value(name, { route, ...labels }) ?? 0);
    expect(grown("condarium_request_duration_seconds_count")).toBe(3);
    expect(grown("condarium_request_duration_seconds_bucket", { le: "+Inf" })).toBe(3);
    expect(grown("condarium_request_duration_seconds_bucket", { le: "60" })).toBe(3);
    expect(grown("condarium_request_duration_seconds_sum")).toBeWithin(0, 3);
    const buckets = after.samples.filter(
      ({ name, labels }) => name === "condarium_request_duration_seconds_bucket" && labels.route === route,
    );
    expect(buckets.length).toBeWithin(4, 11);
  });

  test("have no more series, whatever strangers request", async () => {
    const request = async (method: string, path: string): Promise<void> => {
      const sent = new Request(`http://localhost${path}`, { method, headers: { "user-agent": `agent ${path}` } });
      await (await server.app.handle(sent, peerAt("192.0.2.7"))).arrayBuffer();
    };
    const strange = async (salt: string): Promise<void> => {
      for (const method of ["GET", "HEAD", "PUT", "DELETE", "POST", "PROPFIND", "MKCOL", `X${salt}`.toUpperCase()]) {
        for (const path of [
          `/${salt}`,
          `/${salt}/x/noarch/repodata.json`,
          `/alice/${salt}/noarch/repodata.json`,
          `/alice/main/${salt}/repodata.json`,
          `/alice/main/noarch/${salt}-1-0.conda`,
          `/api/packages/${salt}/conda/x/y`,
          `/api/packages/alice/generic/${salt}/1/x`,
          `/t/${salt}/alice/main/noarch/repodata.json`,
          `/get/${salt}/noarch/repodata.json`,
          `/metrics?${salt}`,
          `/%2e%2e/${salt}`,
        ])
          await request(method, path).catch(() => undefined);
      }
    };
    await strange("aaaa");
    const before = (await scrape()).series();
    for (let salt = 0; salt < 10; salt++) await strange(`canary${salt}`);
    const after = (await scrape()).series();
    expect(after).toEqual(before);
    expect(after.join("\n")).not.toMatch(/canary|aaaa|PROPFIND/i);
    const methods = new Set((await scrape()).samples.map(({ labels }) => labels.method ?? "GET"));
    expect([...methods].sort()).toEqual(["DELETE", "GET", "HEAD", "POST", "PUT", "other"]);
  });

  test("are rendered without the totals when the database cannot be read", async () => {
    const tables = openTables(server.folder);
    const rows = tables.all("SELECT id, files, blobs, bytes FROM stored_total");
    tables.run("DELETE FROM stored_total");
    const metrics = await scrape();
    expect(metrics.value("condarium_stored_bytes")).toBeUndefined();
    expect(metrics.value("condarium_writable")).toBe(1);
    const restored = "INSERT INTO stored_total VALUES (?, ?, ?, ?)";
    for (const row of rows) tables.run(restored, ...Object.values(row));
    tables.close();
    const bytes = rows.reduce((sum, row) => sum + Number(row.bytes), 0);
    expect((await scrape()).value("condarium_stored_bytes")).toBe(bytes);
  });
});

describe("the totals of stored packages", () => {
  const totals = async (app = server): Promise<(number | undefined)[]> => {
    const metrics = await scrape(app);
    return ["condarium_package_files", "condarium_stored_files", "condarium_stored_bytes"].map((name) =>
      metrics.value(name),
    );
  };

  test("follow publishes, refusals, deletions, garbage collection beside the server, and restarts", async () => {
    const size = built.bytes.length;
    expect(await totals()).toEqual([0, 0, 0]);
    expect((await publish("main", built)).status).toBe(201);
    expect((await publish("main", built)).status).toBe(409);
    expect(await totals()).toEqual([1, 1, size]);
    expect((await publish("other", built)).status).toBe(201);
    expect(await totals()).toEqual([2, 1, size]);
    expect((await publish("other", twin)).status).toBe(201);
    expect(await totals()).toEqual([3, 2, size + twin.bytes.length]);
    expect((await server.as("alice").delete(`/alice/other/noarch/${twin.fileName}`)).status).toBe(204);
    expect(await totals()).toEqual([2, 2, size + twin.bytes.length]);
    expect(await runHere(["gc", "--grace", "0s", "--data", server.folder], QUIET)).toBe(0);
    expect(await totals()).toEqual([2, 1, size]);
    const { folder } = server;
    await server.app.close();
    server = await startTestApp({ folder });
    expect(await totals()).toEqual([2, 1, size]);
  });

  // The first release with PostgreSQL counts them.
  test.skipIf(!isOnSqlite)("of a database that an older release filled are counted by the upgrade", async () => {
    const { folder } = server;
    await server.app.close();
    const tables = openTables(folder);
    for (const name of ["file_added", "file_removed", "blob_added", "blob_removed", "blob_resized"])
      tables.run(`DROP TRIGGER total_${name}`);
    tables.run("DROP TABLE stored_total");
    tables.run("DELETE FROM schema_migration WHERE number = 4");
    tables.close();
    server = await startTestApp({ folder });
    expect(await totals()).toEqual([2, 1, built.bytes.length]);
    expect((await publish("third", built)).status).toBe(201);
    expect(await totals()).toEqual([3, 1, built.bytes.length]);
  });

  test("are right after a restore", async () => {
    const [target, restored] = [`${server.folder}-backup`, `${server.folder}-restored`];
    expect(await runHere(["backup", target, "--data", server.folder], QUIET)).toBe(0);
    expect(await runHere(["restore", target, "--data", restored], QUIET)).toBe(0);
    const second = await startTestApp({ folder: restored });
    expect(await totals(second)).toEqual(await totals());
    await second.close();
    for (const folder of [target, restored]) await Bun.$`rm -rf ${folder}`.quiet();
  });
});

describe("a token with the scope read:metrics", () => {
  const tokenOf = (user: string, scopes: string[] = ["read:metrics"]) =>
    newToken(server.manage, { user, name: `token ${Bun.randomUUIDv7()}`, scopes });

  // The roles are those that the user of the token has on alice/main and alice/closed.
  test.each([
    ["an administrator", { admin: true }, undefined, 200],
    ["the owner", {}, "alice", 403],
    ["a maintainer", {}, "maintainer", 403],
    ["a publisher", {}, "publisher", 403],
    ["a reader", {}, "reader", 403],
    ["a stranger", {}, undefined, 403],
  ] as const)("of %s reads the metrics if its user may, and nothing else", async (who, options, role, status) => {
    const name = role === "alice" ? "alice" : who.replace(/^an? /, "m-");
    if (name !== "alice") await server.addUser(name, options);
    if (!(await server.manage.channels.list()).some(({ channel }) => channel === "alice/closed"))
      await server.manage.channels.create({ owner: "alice", channel: "closed" }, { visibility: "private" });
    for (const channel of ["main", "closed"])
      if (role !== undefined && role !== "alice")
        await server.manage.grants.set({ owner: "alice", channel }, name, role);
    const actor = server.withToken(await tokenOf(name));
    const answer = await actor.get("/metrics");
    expect(answer.status).toBe(status);
    expect((await actor.head("/metrics")).status).toBe(status);
    if (status === 200) readExposition(await answer.text());
    const reads = [
      "/alice/main/noarch/repodata.json",
      `/alice/main/noarch/${built.fileName}`,
      "/alice/closed/noarch/repodata.json",
      "/alice/missing/noarch/repodata.json",
      "/nobody/missing/noarch/repodata.json",
      "/api/packages/alice/generic/tool/1/x",
    ];
    const answers = await Promise.all(reads.map((path) => actor.get(path)));
    expect(answers.map((one) => one.status)).toEqual(reads.map(() => 403));
    // Which channels exist makes no difference.
    const details = await Promise.all(answers.map(async (one) => ((await one.json()) as { detail: string }).detail));
    expect(new Set(details.map((text) => text.replace(/ For .*$/s, ""))).size).toBe(1);
    const mine = buildPackage({ name: `by-${name}`, version: "1" });
    expect((await actor.put(`/api/packages/alice/conda/main/${mine.fileName}`, mine.bytes)).status).toBe(403);
    expect((await actor.delete(`/alice/main/noarch/${built.fileName}`)).status).toBe(403);
    expect((await server.anonymous.get(`/alice/main/noarch/${built.fileName}`)).status).toBe(200);
  });

  test("manages nothing and lists no channel, even an administrator's", async () => {
    const services = server.app;
    const actor = await asToken(await tokenOf("boss"));
    expect(await services.channels.list(actor)).toEqual([]);
    for (const work of [
      () => services.users.list(actor),
      () => services.tokens.list(actor, "boss"),
      () => services.channels.create(actor, { owner: "boss", channel: "x" }, {}),
      () => services.channels.show(actor, { owner: "alice", channel: "main" }),
      () => services.grants.list(actor, { owner: "alice", channel: "main" }),
    ])
      expect(await work().then(String, (error: { code: string }) => error.code)).toBe("forbidden");
  });

  test("reads packages too when it has that scope as well", async () => {
    const actor = server.withToken(await tokenOf("boss", ["read:metrics", "read:package"]));
    for (const path of ["/metrics", "/alice/main/noarch/repodata.json", "/alice/closed/noarch/repodata.json"])
      expect([path, (await actor.get(path)).status]).toEqual([path, 200]);
  });

  test("stops reading when its user is no administrator any more", async () => {
    await server.addUser("former", { admin: true });
    const actor = server.withToken(await tokenOf("former"));
    expect((await actor.get("/metrics")).status).toBe(200);
    const sql = `UPDATE "user" SET is_admin = false WHERE owner_id = (SELECT id FROM owner WHERE name = 'former')`;
    runOn(server.folder, sql);
    expect((await actor.get("/metrics")).status).toBe(403);
  });

  test.each([{ channels: ["alice/main"] }, { packages: ["x"] }, { scopes: ["read:metrics", "public-only"] }])(
    "is not created with a limit that would make it useless: %j",
    async (limits) => {
      const request = { user: "boss", name: "useless", scopes: ["read:metrics"], ...limits };
      const created = newToken(server.manage, request);
      expect(await created.catch((error: { code: string }) => error.code)).toBe("invalid-argument");
    },
  );

  test("is created by the command line, which warns when its user is no administrator", async () => {
    const create = async (user: string) => {
      const [out, notes]: [string[], string[]] = [[], []];
      const output = {
        ...QUIET,
        line: (text: string) => void out.push(text),
        note: (text: string) => void notes.push(text),
      };
      const args = ["token", "create", user, "--name", "scraper", "--scope", "read:metrics", "--data", server.folder];
      const code = await runHere(args, output);
      return { code, token: out.join(), notes };
    };
    const [boss, alice] = [await create("boss"), await create("alice")];
    expect([boss.code, boss.notes]).toEqual([0, []]);
    expect([alice.code, alice.notes]).toEqual([0, ["This token cannot read /metrics: alice is not an administrator."]]);
    expect((await server.withToken(boss.token).get("/metrics")).status).toBe(200);
    expect((await server.withToken(alice.token).get("/metrics")).status).toBe(403);
  });

  /** The token as an actor of the services that the command line uses. */
  async function asToken(token: string) {
    const snapshots = openSnapshots(sourceOf(server.folder));
    const [user, row] = await snapshots.snapshot(async (reader) => [
      await findUser(reader, "boss"),
      await findTokenByHash(reader, new Bun.CryptoHasher("sha256").update(token).digest("hex")),
    ]);
    await snapshots.close();
    if (!user || !row) throw new Error("there is no such token");
    const identity = { kind: "token", user, token: tokenLimits(row) } as const;
    return { kind: "request", identity, requestId: "r", address: "192.0.2.1", surface: "management" } as const;
  }
});
