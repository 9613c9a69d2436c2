import { afterAll, beforeAll, expect, test } from "bun:test";
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
  type Records,
} from "../support/documents.ts";
import { listen, type Listening } from "../support/listening.ts";
import { buildPackage, type BuiltPackage } from "../support/package-builder.ts";

const PACKAGES = 1000;
const NAMES = 100;
/** As many at a time as the server accepts from one account. */
const AT_ONCE = 64;
const INDEX = "noarch/repodata_shards.msgpack.zst";
/** Each is read continuously by one reader; another reader cycles through all documents. */
const WATCHED = ["noarch/repodata.json", "noarch/repodata.json.zst", INDEX, "noarch/current_repodata.json"];

let folder: string;
let server: Listening;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "condarium-wire-"));
  server = await listen({ folder });
  await server.addUser("alice");
  await server.manage.channels.create({ owner: "alice", channel: "busy" }, {});
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

test("responses of every kind and size have the length of their body", async () => {
  // A few kilobytes in one section, and more than the memory limit of a document in the other.
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

type Sent = BuiltPackage & { readonly name: string; readonly version: number };

const sent = Array.from({ length: PACKAGES }, (_, at): Sent => {
  const [name, version] = [`n${at % NAMES}`, Math.floor(at / NAMES)];
  return { ...buildPackage({ name, version: `${version}`, license: "text ".repeat(200) }), name, version };
});
const sentBy = new Map(sent.map((one) => [one.fileName, one]));

/** What a document lists: files, or names where it lists no files, or hashes by name. */
type Listed = { readonly files: ReadonlySet<string>; readonly shards: Readonly<Record<string, string>> };

/** Throws on a truncated body, and on one that lists something that was never published. */
function parse(path: string, body: Buffer): Listed {
  if (path === INDEX) return { files: new Set(), shards: shardHashes(shardIndexOf(body)) };
  if (path.endsWith(".xml")) {
    expect(textOf(path, body)).toEndWith("</channel></rss>\n");
    return { files: new Set(), shards: {} };
  }
  if (path === "channeldata.json") {
    const { packages } = JSON.parse(body.toString()) as { packages: object };
    return { files: new Set(Object.keys(packages)), shards: {} };
  }
  const repodata = repodataOf(path, body);
  checkRecords(path, repodata["packages.conda"]);
  return { files: new Set(filesIn(repodata)), shards: {} };
}

function checkRecords(path: string, records: Records): void {
  const wrong = Object.entries(records).filter(([fileName, { name, version, sha256, size }]) => {
    const one = sentBy.get(fileName);
    if (!one || path.includes("run_exports")) return one === undefined;
    const hash = sha256 instanceof Uint8Array ? Buffer.from(sha256).toString("hex") : sha256;
    const isSame = name === one.name && version === `${one.version}` && hash === one.sha256;
    return !isSame || size !== one.bytes.length;
  });
  expect([path, wrong]).toEqual([path, []]);
}

/** The files that a document should list and does not. */
function missing(path: string, { files, shards }: Listed, known: readonly Sent[]): string[] {
  if (path.endsWith(".xml")) return [];
  if (path === INDEX) return known.filter(({ name }) => shards[name] === undefined).map(({ name }) => name);
  if (path === "channeldata.json") return known.filter(({ name }) => !files.has(name)).map(({ name }) => name);
  if (!path.includes("current")) return known.filter(({ fileName }) => !files.has(fileName)).map((one) => one.fileName);
  // It has the newest of each name only.
  const newest = new Map<string, number>();
  for (const one of [...files].flatMap((file) => sentBy.get(file) ?? [])) {
    newest.set(one.name, Math.max(one.version, newest.get(one.name) ?? -1));
  }
  return known.filter((one) => (newest.get(one.name) ?? -1) < one.version).map((one) => one.fileName);
}

async function checkShard(hash: string, known: readonly Sent[]): Promise<void> {
  const bytes = await bytesOf(await fetch(`${server.url}/alice/busy/noarch/shards/${hash}.msgpack.zst`));
  expect(new Bun.CryptoHasher("sha256").update(bytes).digest("hex")).toBe(hash);
  const shard = shardOf(bytes);
  checkRecords("a shard", shard["packages.conda"]);
  const files = filesIn(shard);
  expect(known.filter(({ fileName }) => !files.includes(fileName))).toEqual([]);
}

type Check = (path: string, names: readonly string[]) => Promise<void>;

/** Reads a document, or the index with some shards, and looks for all packages acknowledged before it began. */
function createCheck(taken: readonly Sent[]): Check {
  const bodies = new Map<string, { readonly hash: bigint | number; readonly listed: Listed }>();
  return async (path, names) => {
    const known = [...taken];
    const answer = await fetch(`${server.url}/alice/busy/${path}`);
    expect([path, answer.status]).toEqual([path, 200]);
    const body = await bytesOf(answer);
    const [key, hash] = [`${path} ${answer.headers.get("etag")}`, Bun.hash(body)];
    const seen = bodies.get(key) ?? { hash, listed: parse(path, body) };
    // One tag, one sequence of bytes: a client with the tag holds exactly these.
    expect([path, seen.hash]).toEqual([path, hash]);
    bodies.set(key, seen);
    expect([path, missing(path, seen.listed, known)]).toEqual([path, []]);
    for (const name of names) {
      const shard = seen.listed.shards[name];
      const files = known.filter((one) => one.name === name);
      if (shard !== undefined) await checkShard(shard, files);
    }
  };
}

test("during 1,000 concurrent publishes every document is complete, and one requested after a 201 lists that package", async () => {
  const taken: Sent[] = [];
  const check = createCheck(taken);
  const waiting = [...sent];
  const end = new AbortController();
  const watch = async (paths: readonly string[]): Promise<number> => {
    let reads = 0;
    for (; !end.signal.aborted; reads++) await check(paths[reads % paths.length] ?? "", [`n${reads % NAMES}`]);
    return reads;
  };
  const publish = async (): Promise<void> => {
    for (let one = waiting.pop(); one; one = waiting.pop()) {
      expect((await server.publish("alice", "/api/packages/alice/conda/busy", one)).status).toBe(201);
      taken.push(one);
      const at = waiting.length;
      await check(WATCHED[at % WATCHED.length] ?? "", [one.name]);
      // Fewer bzip2 documents are read, because they are slow to build and to read.
      if (at % 100 === 0) await check("noarch/repodata.json.bz2", []);
    }
  };

  const readers = [...WATCHED.map((path) => watch([path])), watch(documentPaths("noarch"))];
  const ended = Promise.allSettled(readers);
  const published = await Promise.allSettled(Array.from({ length: AT_ONCE }, publish));
  end.abort();
  expect([...published, ...(await ended)].filter(({ status }) => status === "rejected")).toEqual([]);
  expect(Math.min(...(await Promise.all(readers)))).toBeGreaterThan(5);
  expect(taken).toHaveLength(PACKAGES);
  expect(server.log()).not.toContain("internal-error");
  const names = Array.from({ length: NAMES }, (_, at) => `n${at}`);
  for (const path of documentPaths("noarch")) await check(path, names);
});
