// Stored responses are replayed for identical requests, and never to a client without the right to them.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { loadConfig } from "../../src/config.ts";
import { COMMAND_LINE } from "../../src/services/actor.ts";
import { openManagement } from "../../src/app.ts";
import { createResponseCache } from "../../src/routers/response-cache.ts";
import { startTestApp, type Actor, type TestApp } from "../support/app.ts";
import { bytesOf } from "../support/answers.ts";
import { filesIn, repodataOf } from "../support/documents.ts";
import { enginesOf } from "../support/engines.ts";
import { newToken } from "../support/manage.ts";
import { buildPackage } from "../support/package-builder.ts";
import { setState } from "../support/state.ts";

let server: TestApp;
let alice: Actor;
let token: string;

beforeAll(async () => {
  server = await startTestApp();
  alice = await server.addUser("alice");
  token = await newToken(server.manage, { user: "alice", name: "all", scopes: ["all"] });
  await server.manage.channels.change({ owner: "alice", channel: undefined }, { visibility: "public" });
  for (const channel of ["main", "other"]) for (const version of ["1", "2"]) await publish(channel, version);
});
afterAll(() => server.close());

async function publish(channel: string, version: string): Promise<void> {
  const built = buildPackage({ name: "pkg", version });
  const { status } = await alice.put(`/api/packages/alice/conda/${channel}/${built.fileName}`, built.bytes);
  expect(status).toBe(201);
}

async function repeats(): Promise<number> {
  const line = /^condarium_answers_repeated_total (\d+)$/m.exec(await server.app.metrics.render());
  return Number(line?.[1] ?? 0);
}

type Answer = { status: number; headers: [string, string][]; id: string | null; body: string };

async function read(
  path: string,
  headers: Record<string, string> = {},
  { actor = server.anonymous, method = "GET" } = {},
): Promise<Answer> {
  const answer = await actor.send(method, path, headers);
  const id = answer.headers.get("x-request-id");
  const others = [...answer.headers].filter(([name]) => name !== "x-request-id");
  return { status: answer.status, headers: others, id, body: (await bytesOf(answer)).toString("base64") };
}

/** Repeats a request until the second of two equal responses was replayed from memory. */
async function remember(path: string, headers: Record<string, string> = {}, method = "GET"): Promise<Answer> {
  const first = await read(path, headers, { method });
  const before = await repeats();
  const second = await read(path, headers, { method });
  expect([path, await repeats()]).toEqual([path, before + 1]);
  expect(second.id).not.toBe(first.id);
  expect({ ...second, id: "" }).toEqual({ ...first, id: "" });
  return second;
}

test("a request that could differ between callers is never replayed, and no replayed response is outdated", () => {
  let version = 1;
  const cache = createResponseCache({ version: () => version });
  const ask = (path: string, headers: Record<string, string> = {}, method = "GET") => {
    const key = cache.keyOf(new Request(`http://localhost${path}`, { method, headers }));
    if (key instanceof Promise) throw new Error("the version is a number here");
    return key;
  };
  for (const name of ["authorization", "x-api-key", "cookie", "proxy-authorization"])
    expect([name, ask("/alice/main/noarch/x", { [name]: "anything" })]).toEqual([name, undefined]);
  for (const path of ["/t/token/alice/main/x", "/alice/main/x?token=1"])
    expect([path, ask(path)]).toEqual([path, undefined]);
  for (const method of ["PUT", "DELETE", "POST", "OPTIONS"]) expect(ask("/alice/main/x", {}, method)).toBeUndefined();
  expect(ask("/alice/main/x", { "user-agent": "x".repeat(5000) })).toBeUndefined();

  const key = ask("/alice/main/x", { accept: "*/*" });
  if (!key) throw new Error("a plain request is not remembered");
  const answer = {
    content: () => null,
    heldBytes: 0,
    status: 304,
    headers: new Headers(),
    route: "/:owner/*",
    path: "/alice/main/x",
  };
  expect(cache.get(key)).toBeUndefined();
  version = 2;
  cache.set(key, answer);
  version = 1;
  expect(cache.get(key)).toBeUndefined();
  cache.set(key, answer);
  expect(cache.get(key)).toBe(answer);
  expect(cache.get({ ...key, text: ask("/alice/main/x", { accept: "text/html" })?.text ?? "" })).toBeUndefined();
});

const MAIN = "/alice/main/noarch";
const READ = ["repodata.json.zst", "repodata_shards.msgpack.zst", "pkg-1-0.conda", "current_repodata.json"];

test.each(READ)("%s is replayed unchanged: in full, by HEAD, and as 304", async (name) => {
  const full = await remember(`${MAIN}/${name}`);
  expect(full.status).toBe(200);
  const head = await remember(`${MAIN}/${name}`, {}, "HEAD");
  expect(head.body).toBe("");
  const etag = full.headers.find(([header]) => header === "etag")?.[1] ?? "";
  expect((await remember(`${MAIN}/${name}`, { "if-none-match": etag })).status).toBe(304);
  expect((await read(`${MAIN}/${name}`, { "if-none-match": '"other"' })).status).toBe(200);
});

test("gzip is replayed unchanged: in full, by HEAD, and as 304", async () => {
  const gzip = { "accept-encoding": "gzip" };
  const full = await remember(`${MAIN}/repodata.json`, gzip);
  expect(full.headers).toContainEqual(["content-encoding", "gzip"]);
  expect((await remember(`${MAIN}/repodata.json`, gzip, "HEAD")).body).toBe("");
  const etag = full.headers.find(([header]) => header === "etag")?.[1] ?? "";
  expect((await remember(`${MAIN}/repodata.json`, { ...gzip, "if-none-match": etag })).status).toBe(304);
  const plain = await read(`${MAIN}/repodata.json`);
  expect(plain.headers.map(([header]) => header)).not.toContain("content-encoding");
});

test("a failed login and the use of a token leave the stored responses in place, and change nothing else", async () => {
  const unused = await newToken(server.manage, { user: "alice", name: "unused", scopes: ["all"] });
  await remember(`${MAIN}/pkg-1-0.conda`);
  const before = await repeats();
  const wrong = { authorization: `Basic ${Buffer.from("alice:a wrong password").toString("base64")}` };
  expect((await read(`${MAIN}/pkg-1-0.conda`, wrong)).status).toBe(401);
  expect((await server.withToken(unused).get(`${MAIN}/pkg-1-0.conda`)).status).toBe(200);
  const lastUse = async (): Promise<number | null | undefined> =>
    (await server.manage.tokens.list("alice")).find(({ name }) => name === "unused")?.lastUsed;
  while (((await lastUse()) ?? null) === null) await Bun.sleep(5);
  expect((await read(`${MAIN}/pkg-1-0.conda`)).status).toBe(200);
  expect(await repeats()).toBe(before + 1);
});

test("each replayed response has its own request id and its own log line", async () => {
  const { id } = await remember(`${MAIN}/pkg-2-0.conda`);
  const lines = server
    .log()
    .split("\n")
    .filter((line) => line.includes(String(id)));
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({ event: "request", path: `${MAIN}/pkg-2-0.conda`, status: 200 });
});

test("a response that depends on headers is not replayed for other headers", async () => {
  await remember(`${MAIN}/repodata_shards.msgpack.zst`, { "user-agent": "mamba/2.5.0" });
  expect((await read(`${MAIN}/repodata_shards.msgpack.zst`, { "user-agent": "mamba/2.6.0" })).status).toBe(404);
  const plain = await remember(`${MAIN}/pkg-1-0.conda`);
  const part = await read(`${MAIN}/pkg-1-0.conda`, { range: "bytes=0-9" });
  expect([part.status, part.body]).toEqual([206, Buffer.from(plain.body, "base64").subarray(0, 10).toString("base64")]);
  await remember(`${MAIN}/repodata.json`);
  const packed = await read(`${MAIN}/repodata.json`, { "accept-encoding": "gzip" });
  expect(packed.headers).toContainEqual(["content-encoding", "gzip"]);
});

test("a publish, a yank and a delete are visible in the next response", async () => {
  const path = `${MAIN}/repodata.json`;
  await remember(path);
  await publish("main", "3");
  const listed = async (): Promise<string[]> =>
    filesIn(repodataOf("repodata.json", Buffer.from((await read(path)).body, "base64")));
  expect(await listed()).toContain("pkg-3-0.conda");
  await remember(`${MAIN}/pkg-3-0.conda`);
  await setState(server, "alice/main/noarch/pkg-3-0.conda", "yanked");
  expect((await read(`${MAIN}/pkg-3-0.conda`)).headers.map(([name]) => name)).toContain("warning");
  await remember(path);
  expect((await alice.delete(`${MAIN}/pkg-3-0.conda`)).status).toBe(204);
  expect((await read(`${MAIN}/pkg-3-0.conda`)).status).toBe(404);
  expect(await listed()).not.toContain("pkg-3-0.conda");
});

test("a channel that becomes private is private for the next request, whoever changed it", async () => {
  const paths = ["pkg-1-0.conda", "repodata.json", "repodata_shards.msgpack.zst"].map(
    (name) => `/alice/other/noarch/${name}`,
  );
  const { settings } = await enginesOf(server.folder);
  const { config } = loadConfig({ flags: { data: server.folder, ...settings }, environment: {} });
  for (const change of [{ visibility: "private" }, { visibility: "internal" }] as const) {
    await server.manage.channels.change({ owner: "alice", channel: "other" }, { visibility: "public" });
    for (const path of paths) await remember(path);
    const elsewhere = await openManagement(config);
    await elsewhere.channels.change(COMMAND_LINE, { owner: "alice", channel: "other" }, change);
    await elsewhere.close();
    for (const path of paths) expect([path, (await read(path)).status]).toEqual([path, 401]);
    for (const path of paths) expect([path, (await read(path, {}, { method: "HEAD" })).status]).toEqual([path, 401]);
  }
  await server.manage.channels.change({ owner: "alice", channel: "other" }, { visibility: "public" });
});

test("responses to requests with credentials are never replayed to others", async () => {
  await server.manage.channels.change({ owner: "alice", channel: "other" }, { visibility: "private" });
  const path = "/alice/other/noarch/pkg-1-0.conda";
  const before = await repeats();
  const credentials = [
    { authorization: `Bearer ${token}` },
    { authorization: `Basic ${Buffer.from(`alice:${token}`).toString("base64")}` },
    { "x-api-key": token },
  ];
  for (const headers of [...credentials, ...credentials]) expect((await read(path, headers)).status).toBe(200);
  for (let time = 0; time < 2; time += 1) expect((await read(`/t/${token}${path}`)).status).toBe(200);
  expect(await repeats()).toBe(before);
  expect((await read(path)).status).toBe(401);
  for (const headers of [{ authorization: "Bearer cdr-wrong" }, { "x-api-key": "cdr-wrong" }])
    expect((await read(`${MAIN}/pkg-1-0.conda`, headers)).status).toBe(401);
  await remember(`${MAIN}/pkg-1-0.conda`);
  for (const headers of [{ authorization: "Bearer cdr-wrong" }, { "x-api-key": "cdr-wrong" }])
    expect((await read(`${MAIN}/pkg-1-0.conda`, headers)).status).toBe(401);
  expect((await read(`/t/cdr-wrong${MAIN}/pkg-1-0.conda`)).status).toBe(401);
  await server.manage.channels.change({ owner: "alice", channel: "other" }, { visibility: "public" });
});

test("refusals and responses about unbuilt documents are not stored", async () => {
  const before = await repeats();
  for (let time = 0; time < 3; time += 1) expect((await read(`${MAIN}/nothing-1-0.conda`)).status).toBe(404);
  await publish("fresh", "1");
  const path = "/alice/fresh/noarch/repodata.json.zst";
  for (let time = 0; time < 3; time += 1) {
    const head = await read(path, {}, { method: "HEAD" });
    expect([head.status, head.headers.some(([name]) => name === "etag")]).toEqual([200, false]);
  }
  expect(await repeats()).toBe(before);
  await read(path);
  expect((await read(path, {}, { method: "HEAD" })).headers.map(([name]) => name)).toContain("etag");
});

test("a document whose file was deleted by hand is rebuilt", async () => {
  const depends = Array.from({ length: 1000 }, (_, at) => `a-dependency-with-number-${at} >=1`);
  for (const version of ["1", "2", "3"]) {
    const built = buildPackage({ name: "large", version, depends });
    expect((await alice.put(`/api/packages/alice/conda/main/${built.fileName}`, built.bytes)).status).toBe(201);
  }
  const path = `${MAIN}/repodata.json`;
  const answer = await remember(path);
  expect(await server.storedFiles()).toContainEqual(
    expect.stringMatching(/^derived\/\d+\/noarch\/main.repodata.json\//),
  );
  rmSync(join(server.folder, "derived"), { recursive: true, force: true });
  expect(await read(path).then(({ status, body }) => [status, body])).toEqual([200, answer.body]);
});
