// Documents as gzip: compressed once for all clients, in a worker thread, and then a file like the document itself.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, rmSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { startTestApp, type Actor, type TestApp } from "../support/app.ts";
import { bytesOf } from "../support/answers.ts";
import { buildPackage } from "../support/package-builder.ts";

const GZIP = { "accept-encoding": "gzip" };
const LARGE = "/alice/large/noarch/repodata.json";
const SMALL = "/alice/small/noarch/repodata.json";
const IDS = { large: 1, small: 2 };

let server: TestApp;
let alice: Actor;
beforeAll(async () => {
  server = await startTestApp();
  alice = await server.addUser("alice");
  // More than 64 KiB of text, which is stored in a file.
  for (let version = 0; version < 120; version += 1) await publish("large", version);
  await publish("small", 0);
});
afterAll(() => server.close());

async function publish(channel: string, version: number): Promise<void> {
  const built = buildPackage({ name: "pkg", version: `${version}`, license: "text ".repeat(200) });
  expect((await alice.put(`/api/packages/alice/conda/${channel}/${built.fileName}`, built.bytes)).status).toBe(201);
}

const folderOf = (channel: keyof typeof IDS): string =>
  join(server.folder, "derived", `${IDS[channel]}`, "noarch/main.repodata.json.gz");

function packedFiles(channel: keyof typeof IDS): { name: string; inode: number }[] {
  try {
    const folder = folderOf(channel);
    return readdirSync(folder).map((name) => ({ name, inode: statSync(join(folder, name)).ino }));
  } catch {
    return [];
  }
}

async function tags(path: string): Promise<{ plain: string; packed: string }> {
  const plain = (await server.anonymous.head(path)).headers.get("etag") ?? "";
  return { plain, packed: (await server.anonymous.head(path, GZIP)).headers.get("etag") ?? "" };
}

async function packings(): Promise<number> {
  const line = /^condarium_documents_packed_total (\d+)$/m.exec(await server.app.metrics.render());
  return Number(line?.[1] ?? 0);
}

test("HEAD and a 304 response gzip nothing", async () => {
  const whole = await server.anonymous.get(LARGE);
  const size = (await bytesOf(whole)).length;
  const head = await server.anonymous.head(LARGE, GZIP);
  expect([head.status, head.headers.get("content-encoding")]).toEqual([200, "gzip"]);
  expect(head.headers.get("content-length")).not.toBe(String(size));
  const { plain, packed } = await tags(LARGE);
  expect(packed).not.toBe(plain);
  const same = await server.anonymous.get(LARGE, { ...GZIP, "if-none-match": packed });
  expect([same.status, same.headers.get("etag"), same.headers.get("vary")]).toEqual([304, packed, "Accept-Encoding"]);
  expect([packedFiles("large"), await packings()]).toEqual([[], 0]);
  // A client with the other form does not have this one.
  expect((await server.anonymous.get(LARGE, { ...GZIP, "if-none-match": plain })).status).toBe(200);
  expect((await server.anonymous.get(LARGE, { "if-none-match": packed })).status).toBe(200);
});

test.each([
  ["large", LARGE],
  ["small", SMALL],
] as const)("a %s document is gzipped once for a hundred concurrent requests", async (channel, path) => {
  const before = await packings();
  if (channel === "large") rmSync(folderOf(channel), { recursive: true, force: true });
  const plain = await bytesOf(await server.anonymous.get(path));
  const answers = await Promise.all(
    Array.from({ length: 100 }, (_, at) => server.anonymous.get(path, { ...GZIP, "x-who": `${at}` })),
  );
  const [first] = answers;
  if (!first) throw new Error("there are no answers");
  for (const answer of answers) expect([...answer.headers.keys()]).toEqual([...first.headers.keys()]);
  const bodies = await Promise.all(answers.map(bytesOf));
  const [body = Buffer.alloc(0)] = bodies;
  expect(bodies.every((each) => each.equals(body))).toBe(true);
  expect(Buffer.compare(gunzipSync(body), plain)).toBe(0);
  const { headers } = first;
  const head = await server.anonymous.head(path, GZIP);
  for (const each of [headers, head.headers]) {
    expect(each.get("content-length")).toBe(String(body.length));
    expect([each.get("content-encoding"), each.get("vary")]).toEqual(["gzip", "Accept-Encoding"]);
    expect(each.get("etag")).toBe((await tags(path)).packed);
  }
  // A small one needs no file; the other's is written once, and not again for the next request.
  const files = packedFiles(channel);
  expect(files).toHaveLength(channel === "large" ? 1 : 0);
  await bytesOf(await server.anonymous.get(path, { ...GZIP, "x-who": "later" }));
  expect(packedFiles(channel)).toEqual(files);
  expect(await packings()).toBe(before + 1);
});

test("ranges are ranges of the document without gzip", async () => {
  const plain = await bytesOf(await server.anonymous.get(LARGE));
  const part = await server.anonymous.get(LARGE, { ...GZIP, range: "bytes=5-24" });
  expect([part.status, part.headers.get("content-encoding")]).toEqual([206, null]);
  expect(part.headers.get("etag")).toBe((await tags(LARGE)).plain);
  expect(await bytesOf(part)).toEqual(plain.subarray(5, 25));
});

test("a truncated or deleted gzip file is rebuilt", async () => {
  const { plain } = await tags(LARGE);
  const get = async (who: string): Promise<Buffer> =>
    gunzipSync(await bytesOf(await server.anonymous.get(LARGE, { ...GZIP, "x-who": who })));
  const wanted = await get("before");
  const [file] = packedFiles("large");
  truncateSync(join(folderOf("large"), file?.name ?? ""), 100);
  expect(await get("cut")).toEqual(wanted);
  rmSync(folderOf("large"), { recursive: true });
  expect(await get("gone")).toEqual(wanted);
  expect((await tags(LARGE)).plain).toBe(plain);
});

test("the gzip file is deleted with its document", async () => {
  const before = packedFiles("large");
  expect(before).toHaveLength(1);
  await publish("large", 500);
  const body = await bytesOf(await server.anonymous.get(LARGE, GZIP));
  expect(gunzipSync(body).toString()).toContain("pkg-500-0.conda");
  for (let waited = 0; packedFiles("large").length > 1 && waited < 500; waited += 1) await Bun.sleep(20);
  const after = packedFiles("large");
  expect(after).toHaveLength(1);
  expect(after).not.toEqual(before);
});

test("a document of a subdir without packages is sent without gzip and stores nothing", async () => {
  const answer = await server.anonymous.get("/alice/large/linux-64/repodata.json", GZIP);
  expect([answer.status, answer.headers.get("content-encoding")]).toEqual([200, null]);
  expect(answer.headers.get("vary")).toBe("Accept-Encoding");
  expect(readdirSync(join(server.folder, "derived", "1"))).toEqual(["noarch"]);
});
