import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { gunzipSync } from "node:zlib";
import { bytesOf } from "../support/answers.ts";
import { startTestApp, type Actor, type TestApp } from "../support/app.ts";
import {
  documentPaths,
  repodataOf,
  SECTION_DOCUMENTS,
  shardHashes,
  shardIndexOf,
  textOf,
} from "../support/documents.ts";
import { newToken } from "../support/manage.ts";
import { buildPackage, type BuiltPackage, type PackageDescription } from "../support/package-builder.ts";

const DOCUMENTS = documentPaths("noarch");
const GZIP = { "accept-encoding": "deflate, gzip" };
const TYPES: Readonly<Record<string, string>> = {
  json: "application/json",
  zst: "application/zstd",
  bz2: "application/x-bzip2",
  xml: "application/rss+xml",
};

let server: TestApp;
let alice: Actor;

beforeAll(async () => {
  server = await startTestApp();
  alice = await server.addUser("alice");
  await publish("main", { name: "first", version: "1" }, { name: "second", version: "1", format: "tar.bz2" });
});
afterAll(() => server.close());

async function publish(channel: string, ...packages: readonly PackageDescription[]): Promise<void> {
  for (const one of packages) {
    const { fileName, bytes } = buildPackage(one);
    expect((await alice.put(`/api/packages/alice/conda/${channel}/${fileName}`, bytes)).status).toBe(201);
  }
}

/** The number of builds of each document so far, from the metrics and the log, which always agree. */
async function builds(): Promise<number> {
  const text = await server.app.metrics.render();
  const counts = [...text.matchAll(/^condarium_documents_built_total\{[^}]*\} (\d+)$/gm)];
  const counted = counts.reduce((sum, [, count]) => sum + Number(count), 0);
  expect(server.log().split('"event":"document"')).toHaveLength(counted + 1);
  return counted;
}

describe.each(DOCUMENTS)("%s", (name) => {
  const path = `/alice/main/${name}`;

  test("has its content type, and lists what was published", async () => {
    const answer = await server.anonymous.get(path);
    expect([answer.status, answer.headers.get("content-type")]).toEqual([
      200,
      TYPES[name.split(".").at(-1) ?? ""] ?? "",
    ]);
    expect(answer.headers.get("content-encoding")).toBeNull();
    const bytes = await bytesOf(answer);
    if (name.includes("shards")) expect(Object.keys(shardIndexOf(bytes).shards)).toEqual(["first", "second"]);
    else for (const one of ["first", "second"]) expect(textOf(name, bytes)).toContain(one);
  });

  test("has a strong tag, a date and its caching headers, and 304 repeats them", async () => {
    const first = await server.anonymous.get(path);
    const etag = first.headers.get("etag") ?? "";
    expect(etag).toMatch(/^"[0-9a-f]{64}"$/);
    expect(first.headers.get("cache-control")).toBe("public, max-age=0, must-revalidate");
    expect(first.headers.get("access-control-allow-origin")).toBe("*");
    const age = Date.now() - Date.parse(first.headers.get("last-modified") ?? "");
    expect(age).toBeWithin(0, 60_000);
    for (const value of [etag, `W/${etag}`, `"another", ${etag}`, "*"]) {
      const again = await server.anonymous.get(path, { "if-none-match": value });
      expect([value, again.status, await again.text()]).toEqual([value, 304, ""]);
      for (const header of ["etag", "last-modified", "cache-control", "vary", "access-control-allow-origin"]) {
        expect([header, again.headers.get(header)]).toEqual([header, first.headers.get(header)]);
      }
    }
  });

  test("is sent in full for any date, unless its exact tag is named", async () => {
    const first = await server.anonymous.get(path);
    const [etag, date] = [first.headers.get("etag") ?? "", first.headers.get("last-modified") ?? ""];
    const future = new Date(Date.now() + 86_400_000).toUTCString();
    const statusWith = async (headers: Record<string, string>) => (await server.anonymous.get(path, headers)).status;
    expect(await statusWith({ "if-modified-since": date })).toBe(200);
    expect(await statusWith({ "if-modified-since": future })).toBe(200);
    expect(await statusWith({ "if-none-match": '"another"', "if-modified-since": date })).toBe(200);
    expect(await statusWith({ "if-none-match": etag.slice(1, -1), "if-modified-since": date })).toBe(200);
    expect(await statusWith({ "if-none-match": etag, "if-modified-since": "Thu, 01 Jan 1970 00:00:00 GMT" })).toBe(304);
  });

  test("is not built by HEAD, which has length and tag from the first GET until the next publish", async () => {
    const channel = `head-${DOCUMENTS.indexOf(name)}`;
    await publish(channel, { name: "first", version: "1" });
    const head = async () => {
      const answer = await server.anonymous.head(`/alice/${channel}/${name}`);
      expect([answer.status, await answer.text()]).toEqual([200, ""]);
      const [type, caching] = [answer.headers.get("content-type"), answer.headers.get("cache-control")];
      expect([type, caching]).toEqual([
        TYPES[name.split(".").at(-1) ?? ""] ?? "",
        "public, max-age=0, must-revalidate",
      ]);
      return ["etag", "last-modified", "content-length"].map((header) => answer.headers.get(header));
    };
    const before = await builds();
    expect(await head()).toEqual([null, null, null]);
    expect(await builds()).toBe(before);
    const full = await server.anonymous.get(`/alice/${channel}/${name}`);
    expect(await builds()).toBe(before + 1);
    const { length } = await bytesOf(full);
    expect(await head()).toEqual([full.headers.get("etag"), full.headers.get("last-modified"), String(length)]);
    await publish(channel, { name: "first", version: "2" });
    expect(await head()).toEqual([null, null, null]);
    expect(await builds()).toBe(before + 1);
  });

  test("is logged and counted with the bytes that were sent, whether from memory, as a range or gzipped", async () => {
    const counted = async (): Promise<number> => {
      return Number(/^condarium_bytes_out_total (\d+)/m.exec(await server.app.metrics.render())?.[1] ?? 0);
    };
    const before = await counted();
    let sent = 0;
    for (const [headers, status] of [
      [{}, 200],
      [{}, 200],
      [{ range: "bytes=3-9" }, 206],
      [GZIP, 200],
    ] as const) {
      const answer = await server.anonymous.get(path, headers);
      const { length } = await bytesOf(answer);
      const line = server.log().trimEnd().split("\n").at(-1) ?? "";
      expect([status, JSON.parse(line)]).toEqual([answer.status, expect.objectContaining({ status, bytes: length })]);
      sent += length;
    }
    expect((await counted()) - before).toBe(sent);
  });

  test("gives one range of its bytes if If-Range matches", async () => {
    const first = await server.anonymous.get(path);
    const [etag, date] = [first.headers.get("etag") ?? "", first.headers.get("last-modified") ?? ""];
    const whole = await bytesOf(first);
    expect(first.headers.get("accept-ranges")).toBe("bytes");
    const { length } = whole;
    const parts = {
      "0-0": [0, 1],
      "5-9": [5, 10],
      "7-": [7, length],
      "-5": [length - 5, length],
      "0-999999999": [0, length],
    };
    for (const [range, [start = 0, end = 0]] of Object.entries({ ...parts, "-999999999": [0, length] })) {
      const headers = { ...GZIP, range: `bytes=${range}`, "if-range": etag };
      const answer = await server.anonymous.get(path, headers);
      const place = answer.headers.get("content-range");
      expect([range, answer.status, place]).toEqual([range, 206, `bytes ${start}-${end - 1}/${length}`]);
      expect(await bytesOf(answer)).toEqual(whole.subarray(start, end));
      expect(answer.headers.get("etag")).toBe(etag);
    }
    for (const headers of [{ "if-range": '"another"' }, { "if-range": date }, { "if-range": `W/${etag}` }]) {
      const answer = await server.anonymous.get(path, { ...headers, range: "bytes=0-0" });
      expect([headers, answer.status, await bytesOf(answer)]).toEqual([headers, 200, whole]);
    }
    const several = await server.anonymous.get(path, { range: "bytes=0-0,2-3" });
    expect([several.status, await bytesOf(several)]).toEqual([200, whole]);
  });

  test("responds with 416, which is not cached, to a range past its end", async () => {
    const { length } = await bytesOf(await server.anonymous.get(path));
    const answer = await server.anonymous.get(path, { range: `bytes=${length}-` });
    expect([answer.status, answer.headers.get("content-range")]).toEqual([416, `bytes */${length}`]);
    expect([await answer.text(), answer.headers.get("cache-control")]).toEqual(["", "no-store"]);
  });

  test("is sent with gzip only when it is JSON and the client accepts gzip", async () => {
    const plain = await server.anonymous.get(path);
    const bytes = await bytesOf(plain);
    const isJson = name.endsWith(".json");
    const vary = plain.headers.get("vary") ?? "";
    expect(vary).toBe(isJson ? "Accept-Encoding" : name.includes("shards") ? "User-Agent" : "");
    for (const accept of ["gzip", "deflate, gzip;q=1.0, *;q=0.5", "br, GZIP ; q=0.1"]) {
      const packed = await server.anonymous.get(path, { "accept-encoding": accept });
      expect([accept, packed.headers.get("content-encoding")]).toEqual([accept, isJson ? "gzip" : null]);
      expect(packed.headers.get("vary") ?? "").toBe(vary);
      const body = await bytesOf(packed);
      expect(isJson ? gunzipSync(body) : body).toEqual(bytes);
      const etag = packed.headers.get("etag") ?? "";
      expect(etag !== plain.headers.get("etag")).toBe(isJson);
      expect(etag).not.toStartWith("W/");
      const head = await server.anonymous.head(path, { "accept-encoding": accept });
      expect([head.headers.get("etag"), head.headers.get("vary") ?? ""]).toEqual([etag, vary]);
      const again = await server.anonymous.get(path, { "accept-encoding": accept, "if-none-match": etag });
      expect([again.status, again.headers.get("etag")]).toEqual([304, etag]);
      // Without gzip the bytes would differ.
      expect((await server.anonymous.get(path, { "if-none-match": etag })).status).toBe(isJson ? 200 : 304);
    }
    for (const accept of ["gzip;q=0", "gzip; q=0.000, identity", "identity", "br, zstd", "*", ""]) {
      const answer = await server.anonymous.get(path, { "accept-encoding": accept });
      expect([accept, answer.headers.get("content-encoding")]).toEqual([accept, null]);
      expect([answer.headers.get("etag"), await bytesOf(answer)]).toEqual([plain.headers.get("etag"), bytes]);
    }
  });

  test("exists for an empty channel, and equals the document after all files were deleted", async () => {
    const channel = `empty-${DOCUMENTS.indexOf(name)}`;
    await server.manage.channels.create({ owner: "alice", channel }, {});
    const never = await server.anonymous.get(`/alice/${channel}/${name}`);
    expect(never.status).toBe(200);
    await publish(channel, { name: "gone", version: "1" }, { name: "gone", version: "1", format: "tar.bz2" });
    const held = await server.anonymous.get(`/alice/${channel}/${name}`);
    expect(held.headers.get("etag")).not.toBe(never.headers.get("etag"));
    for (const fileName of ["gone-1-0.conda", "gone-1-0.tar.bz2"]) {
      expect((await alice.delete(`/alice/${channel}/noarch/${fileName}`)).status).toBe(204);
    }
    const again = await server.anonymous.get(`/alice/${channel}/${name}`);
    expect(again.headers.get("etag")).toBe(never.headers.get("etag"));
    expect(await bytesOf(again)).toEqual(await bytesOf(never));
  });
});

test("documents of any well-formed subdir exist and name the subdir", async () => {
  const before = await builds();
  for (const subdir of ["linux-64", "osx-arm64", "zos-z", "weird-99"]) {
    for (const name of SECTION_DOCUMENTS) {
      const answer = await server.anonymous.get(`/alice/main/${subdir}/${name}`);
      expect([name, answer.status]).toEqual([name, 200]);
      const bytes = await bytesOf(answer);
      const { info, ...rest } = name.includes("shards") ? shardIndexOf(bytes) : repodataOf(name, bytes);
      expect(info).toMatchObject({ subdir });
      expect(rest).toMatchObject(
        name.includes("shards") ? { version: 1, shards: {} } : { packages: {}, "packages.conda": {} },
      );
    }
  }
  // Any other address belongs to a channel that does not exist.
  for (const subdir of ["Linux-64", "linux_64", "linux"]) {
    for (const name of SECTION_DOCUMENTS) expect((await alice.get(`/alice/main/${subdir}/${name}`)).status).toBe(403);
  }
  // Arbitrary names requested by strangers cost nothing.
  expect(await builds()).toBe(before);
});

test("each form of a document has its own tag, and each address of a form has the same tag", async () => {
  const tags = new Map<string, string[]>();
  for (const name of DOCUMENTS) {
    for (const encoding of name.endsWith(".json") ? ["identity", "gzip"] : ["identity"]) {
      const answer = await server.anonymous.get(`/alice/main/${name}`, { "accept-encoding": encoding });
      const tag = answer.headers.get("etag") ?? "";
      tags.set(tag, [...(tags.get(tag) ?? []), `${name} ${encoding}`]);
      const other = await server.anonymous.get(`/api/packages/alice/conda/main/${name}`, {
        "accept-encoding": encoding,
      });
      expect(other.headers.get("etag")).toBe(tag);
    }
  }
  const shared = [...tags.values()].filter((names) => names.length > 1);
  // No revision was patched, so these two are the same bytes.
  expect(shared).toEqual([
    ["noarch/repodata.json identity", "noarch/repodata_from_packages.json identity"],
    ["noarch/repodata.json gzip", "noarch/repodata_from_packages.json gzip"],
    ["noarch/repodata.json.zst identity", "noarch/repodata_from_packages.json.zst identity"],
  ]);
});

test("a document depends on no request header that a proxy ignores", async () => {
  const odd = {
    host: "evil.example",
    "x-forwarded-host": "evil.example",
    "x-forwarded-proto": "gopher",
    accept: "text/html",
    "accept-language": "fr",
    origin: "https://evil.example",
    cookie: "session=1",
  };
  for (const name of DOCUMENTS) {
    const [plain, other] = [
      await server.anonymous.get(`/alice/main/${name}`),
      await server.anonymous.get(`/alice/main/${name}?subdir=linux-64&cachebust=1`, odd),
    ];
    const headers = ({ headers: all }: Response) => [...all].filter(([key]) => key !== "x-request-id");
    expect([name, headers(other)]).toEqual([name, headers(plain)]);
    expect(await bytesOf(other)).toEqual(await bytesOf(plain));
  }
});

test("JSON of 4 MB and more is never sent with gzip", async () => {
  const depends = Array.from({ length: 1000 }, (_, at) => `dependency-${at} >=1.0,<2.0a0,!=${"1.".repeat(100)}${at}`);
  await publish("huge", ...Array.from({ length: 20 }, (_, at) => ({ name: `huge-${at}`, version: "1", depends })));
  const answer = await server.anonymous.get("/alice/huge/noarch/repodata.json", GZIP);
  const bytes = await bytesOf(answer);
  expect(bytes.length).toBeGreaterThan(4 * 1024 ** 2);
  expect(answer.headers.get("content-encoding")).toBeNull();
  expect(Object.keys(repodataOf("json", bytes)["packages.conda"])).toHaveLength(20);
  const small = await server.anonymous.get("/alice/huge/noarch/run_exports.json", GZIP);
  expect(small.headers.get("content-encoding")).toBe("gzip");
});

test("packages and shards are never sent with gzip", async () => {
  const index = shardIndexOf(
    await bytesOf(await server.anonymous.get("/alice/main/noarch/repodata_shards.msgpack.zst")),
  );
  for (const path of [`shards/${shardHashes(index).first}.msgpack.zst`, "first-1-0.conda", "second-1-0.tar.bz2"]) {
    const answer = await server.anonymous.get(`/alice/main/noarch/${path}`, GZIP);
    expect([path, answer.status, answer.headers.get("content-encoding")]).toEqual([path, 200, null]);
  }
});

test("a channel's max-age is the max-age of its documents, and a private channel's documents are for private caches only", async () => {
  const token = await newToken(server.manage, { user: "alice", name: "reads" });
  for (const visibility of ["public", "internal", "private"] as const) {
    const channel = `kept-${visibility}`;
    await server.manage.channels.create({ owner: "alice", channel }, { visibility, policy: { maxAge: 60 } });
    await publish(channel, { name: "first", version: "1" });
    const index = await alice.get(`/alice/${channel}/noarch/repodata_shards.msgpack.zst`);
    const shard = `noarch/shards/${shardHashes(shardIndexOf(await bytesOf(index))).first}.msgpack.zst`;
    for (const prefix of ["", `/t/${token}`]) {
      const isPublic = visibility === "public" && prefix === "";
      const expected = (path: string): string => {
        if (path === shard) return `${isPublic ? "public" : "private"}, max-age=31536000, immutable`;
        return isPublic ? "public, max-age=60, must-revalidate" : "private, max-age=0";
      };
      for (const path of [...DOCUMENTS, shard]) {
        const reader = prefix === "" ? alice : server.anonymous;
        const answers = [
          await reader.get(`${prefix}/alice/${channel}/${path}`),
          await reader.head(`${prefix}/alice/${channel}/${path}`),
          await reader.get(`${prefix}/alice/${channel}/${path}`, { "if-none-match": "*" }),
          await reader.get(`${prefix}/alice/${channel}/${path}`, { range: "bytes=0-1" }),
        ];
        expect(answers.map(({ status }) => status)).toEqual([200, 200, 304, 206]);
        for (const { headers } of answers) {
          expect([path, headers.get("cache-control")]).toEqual([path, expected(path)]);
          expect([path, headers.get("access-control-allow-origin")]).toEqual([path, isPublic ? "*" : null]);
        }
      }
    }
  }
});

test("the date of a document never decreases, whatever the clock does, and increases only with its own section", async () => {
  let now = Date.UTC(2030, 0, 1);
  const app = await startTestApp({ clock: { now: () => now, elapsed: () => performance.now() } });
  try {
    const user = await app.addUser("user");
    const put = async ({ fileName, bytes }: BuiltPackage) =>
      expect((await user.put(`/api/packages/user/conda/main/${fileName}`, bytes)).status).toBe(201);
    const dates = async (): Promise<Record<string, number>> => {
      const read = async (path: string) => (await user.get(`/user/main/${path}`)).headers.get("last-modified") ?? "";
      const all = DOCUMENTS.map(async (path) => [path, Date.parse(await read(path))] as const);
      return Object.fromEntries(await Promise.all(all));
    };
    const all = (time: number) => Object.fromEntries(DOCUMENTS.map((path) => [path, time]));
    await put(buildPackage({ name: "a", version: "1" }));
    expect(await dates()).toEqual(all(now));
    now -= 3_600_000;
    await put(buildPackage({ name: "a", version: "2" }));
    expect(await dates()).toEqual(all(Date.UTC(2030, 0, 1)));
    expect((await user.delete("/user/main/noarch/a-1-0.conda")).status).toBe(204);
    expect(await dates()).toEqual(all(Date.UTC(2030, 0, 1)));
    now = Date.UTC(2030, 0, 2);
    await put(buildPackage({ name: "a", version: "3", subdir: "linux-64" }));
    const later = await dates();
    for (const [path, date] of Object.entries(later)) {
      expect([path, date]).toEqual([path, path.startsWith("noarch/") ? Date.UTC(2030, 0, 1) : now]);
    }
  } finally {
    await app.close();
  }
});
