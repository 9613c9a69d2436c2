import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { bytesOf, jsonOf } from "../support/answers.ts";
import { startTestApp, type Actor, type TestApp } from "../support/app.ts";
import {
  documentPaths,
  filesIn,
  repodataOf,
  shardHashes,
  shardIndexOf,
  shardOf,
  textOf,
  type Shard,
} from "../support/documents.ts";
import { buildPackage } from "../support/package-builder.ts";
import { setState } from "../support/state.ts";

const REPODATA = ["repodata.json", "repodata.json.zst", "repodata.json.bz2", "repodata_from_packages.json"];
const YANKED = "tool-2-0.conda";

let server: TestApp;
let alice: Actor;
let original: Map<string, string>;
const yanked = buildPackage({ name: "tool", version: "2", info: { "run_exports.json": { weak: ["tool >=2"] } } });

beforeAll(async () => {
  server = await startTestApp();
  alice = await server.addUser("alice");
  const others = [
    buildPackage({ name: "tool", version: "1" }),
    buildPackage({ name: "tool", version: "1", format: "tar.bz2" }),
    buildPackage({ name: "other", version: "1" }),
  ];
  for (const { fileName, bytes } of [yanked, ...others]) {
    expect((await alice.put(`/api/packages/alice/conda/main/${fileName}`, bytes)).status).toBe(201);
  }
  original = await tags();
  await setState(server, `alice/main/noarch/${YANKED}`, "yanked");
});
afterAll(() => server.close());

/** The tag and the bytes of every document. */
async function tags(): Promise<Map<string, string>> {
  const all = new Map<string, string>();
  for (const path of documentPaths("noarch")) {
    const answer = await server.anonymous.get(`/alice/main/${path}`);
    all.set(path, `${answer.headers.get("etag")} ${Bun.hash(await bytesOf(answer))}`);
  }
  return all;
}

async function read(name: string): Promise<Buffer> {
  const answer = await server.anonymous.get(`/alice/main/${name}`);
  expect(answer.status).toBe(200);
  return await bytesOf(answer);
}

async function shardHash(name: string): Promise<string> {
  return shardHashes(shardIndexOf(await read("noarch/repodata_shards.msgpack.zst")))[name] ?? "none";
}

async function shard(name: string): Promise<Shard> {
  return shardOf(await read(`noarch/shards/${await shardHash(name)}.msgpack.zst`));
}

describe("a yanked file", () => {
  test("is listed as removed and has no entry, in every form of repodata and in its shard", async () => {
    for (const name of REPODATA) {
      const repodata = repodataOf(name, await read(`noarch/${name}`));
      expect([name, filesIn(repodata)]).toEqual([name, ["other-1-0.conda", "tool-1-0.conda", "tool-1-0.tar.bz2"]]);
      expect([name, repodata.removed]).toEqual([name, [YANKED]]);
    }
    const tool = await shard("tool");
    expect([filesIn(tool), tool.removed]).toEqual([["tool-1-0.conda", "tool-1-0.tar.bz2"], [YANKED]]);
    expect((await shard("other")).removed).toEqual([]);
  });

  test("is absent from every other document", async () => {
    const others = documentPaths("noarch").filter((path) => !/noarch\/repodata/.test(path));
    expect(others).toHaveLength(6);
    for (const path of others) expect([path, textOf(path, await read(path))]).not.toContain(YANKED);
    const { packages } = await jsonOf<{ packages: object }>(await server.anonymous.get("/alice/main/channeldata.json"));
    expect(packages).toMatchObject({ tool: { version: "1" }, other: { version: "1" } });
    for (const path of others) expect(textOf(path, await read(path))).not.toContain(YANKED);
  });

  test("is still downloaded by clients that need it, with a warning", async () => {
    const path = `/alice/main/noarch/${YANKED}`;
    const whole = await server.anonymous.get(path);
    const answers = [
      whole,
      await server.anonymous.head(path),
      await server.anonymous.get(path, { range: "bytes=0-9" }),
      await server.anonymous.get(path, { "if-none-match": `"${yanked.sha256}"` }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 206, 304]);
    for (const { headers } of answers) {
      expect(headers.get("warning")).toMatch(/^299 condarium "[^"]*yanked[^"]*"$/);
    }
    expect(await bytesOf(whole)).toEqual(Buffer.from(yanked.bytes));
    expect((await server.anonymous.get("/alice/main/noarch/tool-1-0.conda")).headers.get("warning")).toBeNull();
  });

  test("keeps its name, so that no other file can take it", async () => {
    const other = buildPackage({ name: "tool", version: "2", files: { other: "content" } });
    expect((await alice.put(`/api/packages/alice/conda/main/${YANKED}`, other.bytes)).status).toBe(409);
  });

  test("that was the last of its name leaves a shard that lists it as removed", async () => {
    await setState(server, "alice/main/noarch/other-1-0.conda", "yanked");
    const other = await shard("other");
    expect([filesIn(other), other.removed]).toEqual([[], ["other-1-0.conda"]]);
    expect(repodataOf("json", await read("noarch/repodata.json")).removed).toEqual(["other-1-0.conda", YANKED]);
    expect(textOf("json", await read("channeldata.json"))).not.toContain("other");
    await setState(server, "alice/main/noarch/other-1-0.conda", "active");
  });

  test("is in every document again after the yank is undone, byte for byte", async () => {
    await setState(server, `alice/main/noarch/${YANKED}`, "active");
    expect(await tags()).toEqual(original);
    expect((await server.anonymous.get(`/alice/main/noarch/${YANKED}`)).headers.get("warning")).toBeNull();
  });
});

test("a quarantined file is listed and served nowhere until it is released", async () => {
  await setState(server, `alice/main/noarch/${YANKED}`, "quarantined");
  for (const path of documentPaths("noarch").filter((each) => !each.includes("shards"))) {
    expect([path, textOf(path, await read(path)).includes(YANKED)]).toEqual([path, false]);
  }
  const tool = await shard("tool");
  expect([filesIn(tool), tool.removed]).toEqual([["tool-1-0.conda", "tool-1-0.tar.bz2"], []]);
  expect((await alice.get(`/alice/main/noarch/${YANKED}`)).status).toBe(403);
  expect((await alice.head(`/alice/main/noarch/${YANKED}`)).status).toBe(403);
  await setState(server, `alice/main/noarch/${YANKED}`, "active");
  expect(await tags()).toEqual(original);
});
