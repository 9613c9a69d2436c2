// Ranges over the wire: every kind of body is sent alike, from memory or from a file.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { bytesOf } from "../support/answers.ts";
import { basic, PASSWORD } from "../support/app.ts";
import { shardHashes, shardIndexOf } from "../support/documents.ts";
import { isOnSqlite } from "../support/engines.ts";
import { listen, type Listening } from "../support/listening.ts";
import { noise } from "../support/noise.ts";
import { buildPackage } from "../support/package-builder.ts";

const KIB = 1024;
/** From below the limit of tiny content to above the size from which the kernel sends the file. */
const PACKAGE_SIZES = [20 * KIB, 200 * KIB, 1100 * KIB, 2600 * KIB];

let server: Listening;
const paths = new Map<string, string>();
beforeAll(async () => {
  server = await listen();
  await server.addUser("alice");
  const publish = async (description: Parameters<typeof buildPackage>[0]): Promise<string> => {
    const built = buildPackage(description);
    expect((await server.publish("alice", "/api/packages/alice/conda/main", built)).status).toBe(201);
    return `/alice/main/${description.subdir ?? "noarch"}/${built.fileName}`;
  };
  for (const [at, size] of PACKAGE_SIZES.entries()) {
    const files = { "share/data": noise(size) };
    paths.set(`package of ${size / KIB} KiB`, await publish({ name: `sized-${at}`, version: "1", files }));
  }
  for (let version = 0; version < 16; version += 1) {
    const notes = Buffer.from(noise(128 * KIB))
      .toString("base64")
      .match(/.{1,4000}/g);
    await publish({ name: "large", version: `${version}`, subdir: "linux-64", notes });
  }
  for (const subdir of ["noarch", "linux-64"]) {
    for (const name of ["repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst", "run_exports.json"])
      paths.set(`${name} of ${subdir}`, `/alice/main/${subdir}/${name}`);
    const index = await fetch(`${server.url}/alice/main/${subdir}/repodata_shards.msgpack.zst`);
    const [shard = ""] = Object.values(shardHashes(shardIndexOf(await bytesOf(index))));
    paths.set(`shard of ${subdir}`, `/alice/main/${subdir}/shards/${shard}.msgpack.zst`);
  }
  for (const name of ["channeldata.json", "rss.xml"]) paths.set(name, `/alice/main/${name}`);
  const generic = "/api/packages/alice/generic/some/1/file.bin";
  const body = noise(1500 * KIB);
  await fetch(server.url + generic, { method: "PUT", headers: basic("alice", PASSWORD), body: body.slice() });
  paths.set("generic file", generic);
});
afterAll(() => server.stop());

type Headers_ = Readonly<Record<string, string>>;
type Whole = { readonly bytes: Buffer; readonly headers: Headers };
/** The expected part, both ends inclusive. */
type Part = readonly [start: number, end: number];
type Asked = { readonly size: number; readonly etag: string; readonly date: string };
type Expected = { readonly status: 200 | 304 | 416 } | { readonly status: 206; readonly part: Part };

const FULL: Expected = { status: 200 };
const BEYOND: Expected = { status: 416 };
const partOf = (start: number, end: number): Expected => ({ status: 206, part: [start, end] });

const CASES: Readonly<Record<string, (asked: Asked) => readonly [Headers_, Expected]>> = {
  "no range": () => [{}, FULL],
  "the first byte": () => [{ range: "bytes=0-0" }, partOf(0, 0)],
  "some bytes": () => [{ range: "bytes=5-44" }, partOf(5, 44)],
  everything: ({ size }) => [{ range: "bytes=0-" }, partOf(0, size - 1)],
  "all but the first byte": ({ size }) => [{ range: "bytes=1-" }, partOf(1, size - 1)],
  "all but the last byte": ({ size }) => [{ range: `bytes=0-${size - 2}` }, partOf(0, size - 2)],
  "the last byte": ({ size }) => [{ range: `bytes=${size - 1}-` }, partOf(size - 1, size - 1)],
  "a range across the end": ({ size }) => [{ range: `bytes=9-${size + 99}` }, partOf(9, size - 1)],
  "a range from the end": ({ size }) => [{ range: `bytes=${size}-` }, BEYOND],
  "a range beyond the end": ({ size }) => [{ range: `bytes=${size + 5}-${size + 9}` }, BEYOND],
  "a range beyond every file": () => [{ range: "bytes=18446744073709551616-" }, BEYOND],
  "a suffix": ({ size }) => [{ range: "bytes=-7" }, partOf(size - 7, size - 1)],
  "a suffix of its length": ({ size }) => [{ range: `bytes=-${size}` }, partOf(0, size - 1)],
  "a longer suffix": ({ size }) => [{ range: `bytes=-${size + 1}` }, partOf(0, size - 1)],
  "the longest suffix": ({ size }) => [{ range: "bytes=-99999999999999999999" }, partOf(0, size - 1)],
  "an empty suffix": () => [{ range: "bytes=-0" }, BEYOND],
  "a reversed range": () => [{ range: "bytes=9-5" }, FULL],
  "two ranges": () => [{ range: "bytes=0-1,4-5" }, FULL],
  "two ranges, one beyond the end": ({ size }) => [{ range: `bytes=0-1,${size}-` }, FULL],
  "another unit": () => [{ range: "items=0-1" }, FULL],
  "a malformed range": () => [{ range: "bytes=a-b" }, FULL],
  "its tag in If-Range": ({ etag }) => [{ range: "bytes=0-9", "if-range": etag }, partOf(0, 9)],
  "its tag in If-Range and a suffix": ({ etag, size }) => [
    { range: "bytes=-99999999", "if-range": etag },
    partOf(0, size - 1),
  ],
  "its tag in If-Range and a range beyond the end": ({ etag, size }) => [
    { range: `bytes=${size}-`, "if-range": etag },
    BEYOND,
  ],
  "its weak tag in If-Range": ({ etag }) => [{ range: "bytes=0-9", "if-range": `W/${etag}` }, FULL],
  "another tag in If-Range": () => [{ range: "bytes=0-9", "if-range": '"another"' }, FULL],
  "its date in If-Range": ({ date }) => [{ range: "bytes=0-9", "if-range": date }, FULL],
  "another date in If-Range": () => [{ range: "bytes=0-9", "if-range": "Tue, 15 Nov 1994 12:45:26 GMT" }, FULL],
  "another tag in If-Range and a range beyond the end": ({ size }) => [
    { range: `bytes=${size}-`, "if-range": '"another"' },
    FULL,
  ],
  "its tag in If-Range without a range": ({ etag }) => [{ "if-range": etag }, FULL],
  "its tag in If-None-Match and a range": ({ etag }) => [
    { range: "bytes=0-9", "if-none-match": etag },
    { status: 304 },
  ],
  "another tag in If-None-Match and a range": () => [
    { range: "bytes=0-9", "if-none-match": '"another"' },
    partOf(0, 9),
  ],
};

/** Headers that Bun reads less strictly than the server: it would apply some of these ranges to a file by itself. */
const UNUSUAL: Readonly<Record<string, (asked: Asked) => readonly [string, Expected]>> = {
  "spaces in a range": () => ["Range: bytes= 0 - 9", FULL],
  "a space before the equals sign": () => ["Range: bytes =0-9", FULL],
  "two Range headers": () => ["Range: bytes=0-9\r\nRange: bytes=5-6", FULL],
  "an empty If-Range": () => ["Range: bytes=0-9\r\nIf-Range: ", FULL],
  "two If-Range headers": ({ etag }) => [`Range: bytes=0-9\r\nIf-Range: ${etag}\r\nIf-Range: "another"`, FULL],
  "a list of tags in If-Range": ({ etag }) => [`Range: bytes=0-9\r\nIf-Range: ${etag}, "another"`, FULL],
  "its date in If-Range in an old form": ({ date }) => [`Range: bytes=0-9\r\nIf-Range: ${inOldForm(date)}`, FULL],
};

/** Of RFC 850, which Bun reads too. */
function inOldForm(date: string): string {
  const [, weekday = "", day, month, year = "", time] = /^(\w+), (\d+) (\w+) (\d+) (\S+) GMT$/.exec(date) ?? [];
  const names = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
  const name = names.find((one) => one.startsWith(weekday)) ?? "";
  return `${name}, ${day}-${month}-${year.slice(2)} ${time} GMT`;
}

const SAME = ["etag", "last-modified", "content-type", "vary", "accept-ranges", "access-control-allow-origin"];

async function get(path: string, headers: Headers_, method = "GET"): Promise<Response> {
  return await fetch(server.url + path, {
    method,
    headers: { "accept-encoding": "identity", ...headers },
    decompress: false,
  });
}

async function wholeOf(path: string, headers: Headers_ = {}): Promise<Whole> {
  const answer = await get(path, headers);
  expect([path, answer.status]).toEqual([path, 200]);
  return { bytes: await bytesOf(answer), headers: answer.headers };
}

function askedOf({ bytes, headers }: Whole): Asked {
  return { size: bytes.length, etag: headers.get("etag") ?? "", date: headers.get("last-modified") ?? "no date" };
}

/** Compares status, headers and body; a response to a date in If-Range has none, or Bun would apply the range. */
async function differences(answer: Response, whole: Whole, expected: Expected, hasDate = true): Promise<string[]> {
  const found: string[] = [];
  const compare = (what: string, actual: unknown, wanted: unknown): void => {
    if (actual !== wanted) found.push(`${what} is ${String(actual)}, not ${String(wanted)}`);
  };
  const { bytes, headers } = whole;
  const [start, end] = expected.status === 206 ? expected.part : [0, bytes.length - 1];
  const body = await bytesOf(answer);
  const hasBody = expected.status === 200 || expected.status === 206;
  compare("status", answer.status, expected.status);
  for (const name of SAME) {
    if (name === "accept-ranges" && expected.status === 304) continue;
    if (name === "last-modified" && !hasDate) compare(name, answer.headers.get(name), null);
    else compare(name, answer.headers.get(name), headers.get(name));
  }
  const window = expected.status === 206 ? `bytes ${start}-${end}/${bytes.length}` : null;
  compare(
    "content-range",
    answer.headers.get("content-range"),
    expected.status === 416 ? `bytes */${bytes.length}` : window,
  );
  const caching = expected.status === 416 ? "no-store" : headers.get("cache-control");
  compare("cache-control", answer.headers.get("cache-control"), caching);
  if (hasBody) {
    const length = answer.headers.get("content-length");
    // Bun sends a stream in chunks, without its length: what a bucket has is read while it is sent.
    if (isOnSqlite || length !== null) compare("content-length", length, String(end + 1 - start));
    compare("content-encoding", answer.headers.get("content-encoding"), headers.get("content-encoding"));
    compare("body", Buffer.compare(body, bytes.subarray(start, end + 1)), 0);
  } else compare("body length", body.length, 0);
  return found;
}

describe("a response is the same for every kind of body", () => {
  test.each(Object.keys(CASES))("to %s", async (name) => {
    const found: string[] = [];
    for (const [what, path] of paths) {
      const whole = await wholeOf(path);
      const [headers, expected] = CASES[name]?.(askedOf(whole)) ?? [{}, FULL];
      const hasDate = !/date/.test(name);
      for (const difference of await differences(await get(path, headers), whole, expected, hasDate))
        found.push(`${what}: ${difference}`);
    }
    expect(found).toEqual([]);
  });

  test.each(Object.keys(UNUSUAL))("to %s", async (name) => {
    for (const [what, path] of paths) {
      const whole = await wholeOf(path);
      const [lines, { status }] = UNUSUAL[name]?.(askedOf(whole)) ?? ["", FULL];
      const answer = await raw(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${lines}\r\n\r\n`);
      expect([what, answer.status, answer.contentRange]).toEqual([what, status, undefined]);
      expect([what, Buffer.compare(answer.body, whole.bytes)]).toEqual([what, 0]);
    }
  });

  test("to HEAD with any of these headers", async () => {
    for (const [what, path] of paths) {
      const whole = await wholeOf(path);
      for (const [name, headersOf] of Object.entries(CASES)) {
        const [headers, { status }] = headersOf(askedOf(whole));
        const head = await get(path, headers, "HEAD");
        const wanted = [status === 304 ? 304 : 200, null];
        expect([what, name, head.status, head.headers.get("content-range")]).toEqual([what, name, ...wanted]);
        if (status !== 304) expect(head.headers.get("content-length")).toBe(String(whole.bytes.length));
      }
    }
  });
});

/** Sends bytes as they are, and reads the response until the connection closes. */
async function raw(request: string): Promise<{ status: number; contentRange: string | undefined; body: Buffer }> {
  const chunks: Buffer[] = [];
  const socket = connect(server.port, "127.0.0.1");
  socket.write(request);
  for await (const chunk of socket) chunks.push(Buffer.from(chunk));
  const bytes = Buffer.concat(chunks);
  const end = bytes.indexOf("\r\n\r\n");
  const head = bytes.subarray(0, end).toString("latin1");
  const body = bytes.subarray(end + 4);
  return {
    status: Number(head.slice(9, 12)),
    contentRange: /^content-range: (.*)$/im.exec(head)?.[1],
    body: /^transfer-encoding: chunked/im.test(head) ? joined(body) : body,
  };
}

/** The content of a chunked body. */
function joined(body: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; ;) {
    const line = body.indexOf("\r\n", at);
    const size = Number.parseInt(body.subarray(at, line).toString("latin1"), 16);
    if (!(size > 0)) return Buffer.concat(parts);
    parts.push(body.subarray(line + 2, line + 2 + size));
    at = line + 2 + size + 2;
  }
}

describe("a document in its gzip form", () => {
  const gzip = { "accept-encoding": "gzip" };
  const documents = ["repodata.json of noarch", "repodata.json of linux-64", "channeldata.json"];

  test.each(Object.keys(CASES))(
    "is sent in full or in part like any other to %s, with its tag in If-Range",
    async (name) => {
      for (const what of documents) {
        const path = paths.get(what) ?? "";
        const whole = await wholeOf(path, gzip);
        expect([what, whole.headers.get("content-encoding")]).toEqual([what, "gzip"]);
        const [headers, expected] = CASES[name]?.(askedOf(whole)) ?? [{}, FULL];
        const asked = { ...gzip, "if-range": whole.headers.get("etag") ?? "", ...headers };
        if (asked["if-range"] !== whole.headers.get("etag")) continue;
        expect([what, await differences(await get(path, asked), whole, expected)]).toEqual([what, []]);
      }
    },
  );

  test("is not sent in part to a client that can have only the plain form", async () => {
    for (const what of documents) {
      const path = paths.get(what) ?? "";
      const [plain, packed] = [await wholeOf(path), await wholeOf(path, gzip)];
      const [tag, packedTag] = [plain.headers.get("etag") ?? "", packed.headers.get("etag") ?? ""];
      const cases: [Headers_, Expected][] = [
        [{}, partOf(0, 9)],
        [{ "if-range": tag }, partOf(0, 9)],
        [{ "if-range": `W/${packedTag}` }, FULL],
        [{ "if-range": '"another"' }, FULL],
      ];
      for (const [headers, expected] of cases) {
        const answer = await get(path, { ...gzip, range: "bytes=0-9", ...headers });
        expect([what, await differences(answer, plain, expected)]).toEqual([what, []]);
      }
      const unpacked = await get(path, { range: "bytes=0-9", "if-range": packedTag });
      expect(await differences(unpacked, plain, FULL)).toEqual([]);
    }
  });
});
