import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bytesOf } from "../support/answers.ts";
import {
  documentPaths,
  filesIn,
  repodataOf,
  shardHashes,
  shardIndexOf,
  shardOf,
  textOf,
} from "../support/documents.ts";
import { listen, type Listening } from "../support/listening.ts";
import { buildPackage } from "../support/package-builder.ts";

setDefaultTimeout(60_000);

const PACKAGES = 200;
const NAMES = 50;
const READERS = 4;

let folder: string;
let server: Listening;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "condarium-wire-"));
  server = await listen({ folder, settings: { "uploads-per-account": String(PACKAGES) } });
  await server.addUser("alice");
  await server.app.channels.create({ owner: "alice", channel: "busy" }, {});
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

/** Which files a body tells of, or just those of one package; throws on one that is not whole. */
async function filesOf(path: string, body: Buffer, only?: string): Promise<string[]> {
  if (path.includes("repodata_shards")) {
    const hashes = Object.entries(shardHashes(shardIndexOf(body))).filter(([name]) => name === (only ?? name));
    return (await Promise.all(hashes.map(([, hash]) => filesOfShard(hash)))).flat();
  }
  if (path === "channeldata.json") return Object.keys(JSON.parse(body.toString()).packages as object);
  if (!path.endsWith(".xml")) return filesIn(repodataOf(path, body));
  expect(textOf(path, body)).toEndWith("</channel></rss>\n");
  return [];
}

async function filesOfShard(hash: string): Promise<string[]> {
  const bytes = await bytesOf(await fetch(`${server.url}/alice/busy/noarch/shards/${hash}.msgpack.zst`));
  expect(new Bun.CryptoHasher("sha256").update(bytes).digest("hex")).toBe(hash);
  return filesIn(shardOf(bytes));
}

test("answers of every kind and size have the length of their body", async () => {
  // Of a few kilobytes in one section, and of more than is kept in memory in the other.
  const many = Array.from({ length: 160 }, (_, at) => ({ name: `many-${at}`, version: "1", subdir: "linux-64" }));
  for (const one of [{ name: "small", version: "1" }, ...many.map((each) => ({ ...each, license: "x".repeat(900) }))]) {
    expect((await server.publish("alice", "/api/packages/alice/conda/main", buildPackage(one))).status).toBe(201);
  }
  for (const path of [...documentPaths("noarch"), ...documentPaths("linux-64")]) {
    const get = (headers: Record<string, string>, method = "GET") =>
      fetch(`${server.url}/alice/main/${path}`, { method, headers: { "accept-encoding": "identity", ...headers } });
    const whole = await get({});
    const bytes = await bytesOf(whole);
    expect([path, whole.status, whole.headers.get("content-length")]).toEqual([path, 200, String(bytes.length)]);
    const head = await get({}, "HEAD");
    expect([path, head.headers.get("content-length")]).toEqual([path, String(bytes.length)]);
    const part = await get({ range: "bytes=3-12" });
    expect([path, part.status, part.headers.get("content-length")]).toEqual([path, 206, "10"]);
    expect(part.headers.get("content-range")).toBe(`bytes 3-12/${bytes.length}`);
    expect(await bytesOf(part)).toEqual(bytes.subarray(3, 13));
    const suffix = await get({ range: "bytes=-99999999" });
    expect([suffix.status, suffix.headers.get("content-length")]).toEqual([206, String(bytes.length)]);
    expect(await bytesOf(suffix)).toEqual(bytes);
    const beyond = await get({ range: "bytes=99999999-" });
    expect([path, beyond.status, beyond.headers.get("content-length")]).toEqual([path, 416, "0"]);
    const same = await get({ "if-none-match": whole.headers.get("etag") ?? "" });
    expect([path, same.status, same.headers.get("etag")]).toEqual([path, 304, whole.headers.get("etag")]);
  }
  const packed = await fetch(`${server.url}/alice/main/linux-64/repodata.json`, {
    headers: { "accept-encoding": "gzip" },
    decompress: false,
  });
  expect(packed.headers.get("content-length")).toBe(String((await bytesOf(packed)).length));
});

test("with 200 publishes at once, no reader sees a half-made document, and each that starts after a 201 sees its package", async () => {
  const bodies = new Map<string, bigint | number>();
  const read = async (path: string, only?: string): Promise<string[]> => {
    const answer = await fetch(`${server.url}/alice/busy/${path}`);
    expect([path, answer.status]).toEqual([path, 200]);
    const etag = answer.headers.get("etag") ?? "";
    const body = await bytesOf(answer);
    const hash = Bun.hash(body);
    // One tag, one sequence of bytes: whoever asks with the tag holds exactly these.
    expect([path, bodies.get(etag) ?? hash]).toEqual([path, hash]);
    bodies.set(etag, hash);
    return await filesOf(path, body, only);
  };

  const end = new AbortController();
  const watch = async (first: number): Promise<number> => {
    const before = new Map<string, readonly string[]>();
    const paths = documentPaths("noarch");
    let reads = 0;
    for (let at = first; !end.signal.aborted; at++, reads++) {
      const path = paths[at % paths.length] ?? "";
      const files = await read(path);
      // Which packages current_repodata leaves out depends on the others; elsewhere what was seen stays.
      const lost = path.includes("current") ? [] : (before.get(path) ?? []).filter((file) => !files.includes(file));
      expect([path, lost]).toEqual([path, []]);
      before.set(path, files);
    }
    return reads;
  };
  const publish = async (at: number): Promise<void> => {
    const name = `n${at % NAMES}`;
    const built = buildPackage({ name, version: `${Math.floor(at / NAMES)}` });
    expect((await server.publish("alice", "/api/packages/alice/conda/busy", built)).status).toBe(201);
    const forms = ["repodata.json", "repodata.json.zst", "repodata.json.bz2", "repodata_shards.msgpack.zst"];
    await Promise.all(
      forms.map(async (form) => {
        const files = await read(`noarch/${form}`, name);
        expect([form, files.includes(built.fileName)]).toEqual([form, true]);
      }),
    );
  };

  const readers = Array.from({ length: READERS }, (_, at) => watch(at * 3));
  const publishers = Array.from({ length: PACKAGES }, (_, at) => publish(at));
  const published = await Promise.allSettled(publishers);
  end.abort();
  expect(published.filter(({ status }) => status === "rejected")).toEqual([]);
  const reads = await Promise.all(readers);
  expect(Math.min(...reads)).toBeGreaterThan(0);
  expect(server.log()).not.toContain("internal-error");
  for (const form of ["repodata.json.zst", "repodata_shards.msgpack.zst"]) {
    expect(await read(`noarch/${form}`)).toHaveLength(PACKAGES);
  }
});
