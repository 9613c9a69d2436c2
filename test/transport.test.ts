// What a hostile or broken client can do to a connection, on real sockets.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { basic, PASSWORD, peerAt } from "./support/app.ts";
import { listen, type Listening } from "./support/listening.ts";
import { newToken } from "./support/manage.ts";
import { buildPackage } from "./support/package-builder.ts";
import { exchange, openSocket, requestText, type RawSocket } from "./support/raw-socket.ts";
import { runOn } from "./support/rows.ts";

const LIMIT = 1024 ** 2;
const ROOT = "/api/packages/alice/conda/main";
const TARGET = `${ROOT}/x-1-0.conda`;
const ALICE = basic("alice", PASSWORD);
const built = buildPackage({ name: "there", version: "1" });
const FILE = `/alice/main/noarch/${built.fileName}`;
const DOCUMENT = "/alice/main/noarch/repodata.json";

let server: Listening;
beforeAll(async () => {
  server = await listen({ settings: { "max-upload-size": String(LIMIT), "uploads-per-account": "2" } });
  await server.addUser("alice");
  await server.addUser("bob");
  expect((await server.publish("alice", ROOT, built)).status).toBe(201);
});
afterAll(() => server.stop());

/** Starts an upload and waits until its first bytes are being written to the disk. */
async function beginUpload(headers: Record<string, string | number>, body = ""): Promise<RawSocket> {
  const before = (await server.staged()).length;
  const socket = await openSocket(server.port);
  await socket.send(requestText(`PUT ${TARGET}`, { ...ALICE, ...headers }, body));
  await until(async () => (await server.staged()).length > before);
  return socket;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let waited = 0; waited < 5000; waited += 5) {
    if (await condition()) return;
    await Bun.sleep(5);
  }
  throw new Error("it did not come to that");
}

/** A refused upload leaves nothing: no temporary file, no file in the channel, and a server that keeps running. */
async function expectNothingLeft(): Promise<void> {
  await until(async () => (await server.staged()).length === 0);
  expect(await statusOf("GET /health/ready")).toBe(200);
  const listed = (await exchange(server.port, requestText(`GET ${DOCUMENT}`)))?.body ?? "";
  expect(Object.keys(JSON.parse(listed)["packages.conda"])).toEqual([built.fileName]);
}

async function statusOf(line: string, headers: Record<string, string | number | undefined> = {}) {
  return (await exchange(server.port, requestText(line, headers)))?.status;
}

describe("an incomplete body", () => {
  test.each(["close", "reset", "halfClose"] as const)("stores nothing when the client ends it by %s", async (end) => {
    const socket = await beginUpload({ "content-length": 1000 }, "x".repeat(500));
    socket[end]();
    await expectNothingLeft();
    socket.close();
  });

  test("stores nothing when the last chunk is missing", async () => {
    const socket = await beginUpload({ "transfer-encoding": "chunked" }, "5\r\nhello\r\n");
    socket.halfClose();
    await expectNothingLeft();
    socket.close();
  });

  test("is never completed from what follows it", async () => {
    const whole = buildPackage({ name: "pipelined", version: "1" });
    const socket = await openSocket(server.port);
    const path = `${ROOT}/${whole.fileName}`;
    await socket.send(requestText(`PUT ${path}`, { ...ALICE, "content-length": whole.bytes.length }));
    await socket.send(Buffer.concat([whole.bytes, Buffer.from(requestText("GET /health/live"))]));
    // Bun closes a connection whose next request does not wait for the response; the publish is stored all the same.
    expect([201, undefined]).toContain((await socket.answer())?.status);
    socket.close();
    const file = `/alice/main/noarch/${whole.fileName}`;
    await until(async () => (await statusOf(`GET ${file}`)) === 200);
    expect(await (await fetch(server.url + file)).bytes()).toEqual(whole.bytes);
    expect(await statusOf(`DELETE ${file}`, ALICE)).toBe(204);
  });

  test("that is longer than announced is refused, and its rest is not read as a request", async () => {
    const socket = await openSocket(server.port);
    await socket.send(requestText(`PUT ${TARGET}`, { ...ALICE, "content-length": 5 }, "helloXXXX / HTTP/1.1\r\n\r\n"));
    expect([undefined, 400]).toContain((await socket.answer())?.status);
    expect(await socket.closesWithin(1000)).toBe(true);
    await expectNothingLeft();
  });
});

describe("a body over the limit", () => {
  const kinds = [
    { "content-length": LIMIT + 1 },
    { "content-length": 10 * LIMIT },
    { "content-length": 1e13 },
    { "content-length": 10 * LIMIT, "content-type": "multipart/form-data; boundary=edge" },
  ];
  test.each(kinds)(
    "is refused unread, with the limit in the message and the connection closed: %j",
    async (headers) => {
      const socket = await openSocket(server.port);
      await socket.send(requestText(`PUT ${TARGET}`, { ...ALICE, ...headers }));
      const answer = await socket.answer();
      expect([answer?.status, answer?.headers.get("connection")]).toEqual([413, "close"]);
      expect(JSON.parse(answer?.body ?? "")).toMatchObject({ status: 413, limit: LIMIT });
      expect(await socket.closesWithin(5000)).toBe(true);
      await expectNothingLeft();
    },
  );

  test("is refused at the limit when it arrives in chunks, and is never on the disk", async () => {
    const socket = await beginUpload({ "transfer-encoding": "chunked" }, `1000\r\n${"x".repeat(0x1000)}\r\n`);
    let most = 0;
    for (let sent = 0x1000; sent <= LIMIT; sent += 0x10000) {
      await socket.send(`10000\r\n${"x".repeat(0x10000)}\r\n`);
      await Bun.sleep(2);
      most = Math.max(most, ...(await server.staged()));
    }
    const answer = await socket.answer();
    expect([answer?.status, JSON.parse(answer?.body ?? "{}").limit]).toEqual([413, LIMIT]);
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(LIMIT);
    await expectNothingLeft();
    socket.close();
  });
});

describe("an unneeded body", () => {
  const ANNOUNCED = 300_000_000;
  /** What the server drops of an upload, so that its sender sees the response, and what the system buffers. */
  const MOST = 64 * 1024 ** 2 + 32_000_000;
  const senders: [string, string, Record<string, string>, number][] = [
    ["a stranger's upload", `PUT ${TARGET}`, {}, 401],
    ["an upload with a wrong password", `PUT ${TARGET}`, basic("alice", "wrong-password"), 401],
    ["an upload to where nothing is", "PUT /nowhere", {}, 404],
    ["a deletion", "DELETE /alice/main/noarch/there-1-0.conda", {}, 401],
    ["a form to a page", "POST /", {}, 404],
    ["the body of a GET", "GET /health/live", {}, 200],
    ["the body of a HEAD", `HEAD ${FILE}`, {}, 200],
  ];
  for (const framing of ["length", "chunks"] as const) {
    test.each(senders)(`of %s is not read to its end (${framing})`, async (_, line, headers, status) => {
      const socket = await openSocket(server.port);
      const isChunked = framing === "chunks";
      const lengths = isChunked ? { "transfer-encoding": "chunked" } : { "content-length": ANNOUNCED };
      await socket.send(requestText(line, { ...headers, ...lengths }));
      const data = Buffer.alloc(0x10000, "x");
      const block = isChunked ? Buffer.concat([Buffer.from("10000\r\n"), data, Buffer.from("\r\n")]) : data;
      let sent = 0;
      while (sent < ANNOUNCED && (await socket.send(block))) {
        sent += block.byteLength;
        await Bun.sleep(0);
      }
      expect(await socket.closesWithin(5000)).toBe(true);
      expect(sent).toBeLessThan(MOST);
      expect((await socket.answer({ head: line.startsWith("HEAD") }))?.status).toBe(status);
      await expectNothingLeft();
    });
  }

  test("is refused although Bun sent 100 Continue for it (Expect: 100-continue)", async () => {
    const socket = await openSocket(server.port);
    const headers = { ...basic("alice", "wrong-password"), expect: "100-continue", "content-length": 2_000 };
    await socket.send(requestText(`PUT ${TARGET}`, headers));
    const answer = await socket.answer();
    expect([answer?.status, answer?.headers.get("connection")]).toEqual([401, "close"]);
    expect(await socket.closesWithin(5000)).toBe(true);
  });
});

test("an account with its full number of uploads under way is told to wait, and other accounts are not", async () => {
  const first = await beginUpload({ "content-length": 1000 }, "x");
  const second = await beginUpload({ "content-length": 1000 }, "x");
  const third = await exchange(server.port, requestText(`PUT ${TARGET}`, { ...ALICE, "content-length": 1000 }, "x"));
  expect([third?.status, third?.headers.get("retry-after")]).toEqual([429, "5"]);
  const others = buildPackage({ name: "others", version: "1" });
  expect((await server.publish("bob", "/api/packages/bob/conda/main", others)).status).toBe(201);
  first.close();
  await until(async () => (await server.staged()).length === 1);
  const again = await beginUpload({ "content-length": 1000 }, "x");
  again.close();
  second.close();
  await expectNothingLeft();
});

describe("a request that two readers could understand differently", () => {
  const put = `PUT ${TARGET} HTTP/1.1\r\nhost: localhost\r\nauthorization: ${ALICE.authorization}\r\n`;
  test.each([
    ["a length and chunks", `${put}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`],
    ["two lengths", `${put}content-length: 5\r\ncontent-length: 6\r\n\r\nhello1`],
    ["an unknown coding", `${put}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n`],
    ["a coding after chunks", `${put}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n`],
    ["two codings", `${put}transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n`],
    ["a space before the colon", `${put}content-length : 5\r\n\r\nhello`],
    ["a folded header", `${put}x-a: b\r\n  c\r\ncontent-length: 5\r\n\r\nhello`],
    ["bare line feeds", `PUT ${TARGET} HTTP/1.1\nhost: localhost\ncontent-length: 5\n\nhello`],
    ["a bare carriage return", `${put}x-a: a\rb\r\ncontent-length: 5\r\n\r\nhello`],
    ["a NUL in a header", `${put}x-a: a\0b\r\ncontent-length: 5\r\n\r\nhello`],
    ["a negative length", `${put}content-length: -5\r\n\r\nhello`],
    ["a length with a sign", `${put}content-length: +5\r\n\r\nhello`],
    ["a hexadecimal length", `${put}content-length: 0x5\r\n\r\nhello`],
    ["a chunk of Z bytes", `${put}transfer-encoding: chunked\r\n\r\nZ\r\nhello\r\n0\r\n\r\n`],
    ["a negative chunk", `${put}transfer-encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n`],
    ["a chunk of 17 digits", `${put}transfer-encoding: chunked\r\n\r\n11111111111111111\r\nhello\r\n0\r\n\r\n`],
  ])("is refused and ends the connection: %s", async (_, text) => {
    const socket = await openSocket(server.port);
    await socket.send(`${text}${requestText("GET /health/live", { host: "smuggled" })}`);
    expect([400, 505]).toContain((await socket.answer())?.status ?? 0);
    expect(await socket.answer()).toBeUndefined();
    expect(await socket.closesWithin(1000)).toBe(true);
    await expectNothingLeft();
    expect(server.log()).not.toContain("smuggled");
  });
});

describe("the Host of a request", () => {
  const hosts = ["a", "evil.example", "evil/x?", "x/health/live", "u@x", "a b", "[::1", "x#y", "a,b", ""];
  const heads: [string, (target: string) => string][] = [
    ...hosts.map((host): [string, (target: string) => string] => [
      `Host: ${host}`,
      (target) => `GET ${target} HTTP/1.1\r\nhost: ${host}\r\n\r\n`,
    ]),
    ["two hosts", (target) => `GET ${target} HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n`],
    ["HTTP/1.0 without one", (target) => `GET ${target} HTTP/1.0\r\n\r\n`],
    ["one in the target", (target) => `GET http://evil.example${target} HTTP/1.1\r\nhost: a\r\n\r\n`],
    ["an empty one in the target", (target) => `GET http://${target} HTTP/1.1\r\nhost: a\r\n\r\n`],
  ];
  test.each(heads)("has no effect: %s", async (_, head) => {
    const plain = (target: string) => exchange(server.port, requestText(`GET ${target}`));
    for (const target of ["/", "/health/live", "/health/live?x=/y", "/metrics", DOCUMENT, FILE, `/get${FILE}`, "/no"]) {
      const [answer, usual] = [await exchange(server.port, head(target)), await plain(target)];
      expect([target, answer?.status, answer?.body]).toEqual([target, usual?.status, usual?.body]);
    }
  });

  test("is required in HTTP/1.1: 400 without it", async () => {
    expect((await exchange(server.port, `GET /health/live HTTP/1.1\r\n\r\n`))?.status).toBe(400);
  });

  test("never appears in a link", async () => {
    const own = buildPackage({ name: "linked", version: "1" });
    const socket = await openSocket(server.port);
    const evil = { host: "evil.example", "x-forwarded-host": "evil.example", "x-forwarded-proto": "gopher" };
    const headers = { ...evil, ...ALICE, "content-length": own.bytes.length };
    await socket.send(requestText(`PUT ${ROOT}/${own.fileName}`, headers));
    await socket.send(own.bytes);
    const answer = await socket.answer();
    socket.close();
    expect(answer?.headers.get("location")).toStartWith(`${server.url}/alice/main/`);
    for (const path of [DOCUMENT, "/alice/main/channeldata.json", "/alice/main/rss.xml", "/"]) {
      const text = await exchange(server.port, requestText(`GET ${path}`, evil));
      expect([path, text?.status]).toEqual([path, 200]);
      expect(JSON.stringify(text)).not.toContain("evil");
    }
    expect(await statusOf(`DELETE /alice/main/noarch/${own.fileName}`, ALICE)).toBe(204);
  });
});

describe("the address of a client", () => {
  test.each([
    ["10.0.0.1", "127.0.0.1", "198.51.100.7", "127.0.0.1"],
    ["127.0.0.1", "127.0.0.1", "198.51.100.7", "198.51.100.7"],
    ["127.0.0.1", "::ffff:127.0.0.1", "198.51.100.7", "198.51.100.7"],
    ["127.0.0.1", "127.0.0.1", "198.51.100.8", "198.51.100.8"],
    ["127.0.0.1", "127.0.0.1", "198.51.100.7, 198.51.100.8", "198.51.100.8"],
    ["127.0.0.1", "127.0.0.1", "198.51.100.8, 198.51.100.7", "198.51.100.7"],
    ["127.0.0.1,10.0.0.1", "127.0.0.1", "198.51.100.7, 10.0.0.1", "198.51.100.7"],
    ["127.0.0.1", "198.51.100.7", "", "198.51.100.7"],
    ["127.0.0.1", "198.51.100.7", "198.51.100.8", "198.51.100.7"],
  ])("with the proxies %s, a connection from %s and %j forwarded, is %s", async (trusted, peer, forwarded, seen) => {
    const behind = await listen({ settings: { "trusted-proxies": trusted } });
    try {
      runOn(behind.folder, "INSERT INTO login_failure VALUES ('address:198.51.100.7', ?, 30)", Date.now());
      const headers = { ...basic("nobody", "wrong-password"), "x-forwarded-for": forwarded };
      const answer = await behind.app.handle(new Request("http://localhost/metrics", { headers }), peerAt(peer));
      expect(answer.status).toBe(seen === "198.51.100.7" ? 429 : 401);
      expect(behind.log()).toContain(`"address":"${seen}"`);
    } finally {
      await behind.stop();
    }
  });
});

describe("the server", () => {
  test.each([
    [`TRACE ${DOCUMENT}`, [405]],
    ["TRACE /", [404, 405]],
    ["CONNECT evil.example:443", [400, 404, 405]],
    ["OPTIONS *", [400, 404, 405]],
    [`PROPFIND ${DOCUMENT}`, [405]],
    ["BREW /", [undefined, 400, 404, 405, 501]],
    ["GET alice", [400]],
    ["GET ftp://x/alice", [400, 404]],
  ])("refuses %s, and returns nothing of it", async (line, statuses) => {
    const answer = await exchange(server.port, requestText(line, { "x-canary": "canary-value" }));
    expect<unknown[]>(statuses).toContain(answer?.status);
    expect(JSON.stringify(answer) ?? "").not.toContain("canary-value");
    expect(await statusOf("GET /health/live")).toBe(200);
  });

  test.each([
    ["a header of 20 KB", "/", { "x-long": "a".repeat(20_000) }],
    ["250 headers", "/", Object.fromEntries(Array.from({ length: 250 }, (_, at) => [`x-${at}`, "1"]))],
    ["a path of 20 KB", `/${"a".repeat(20_000)}`, {}],
  ])("refuses %s as too much", async (_, path, headers: Record<string, string>) => {
    expect(await statusOf(`GET ${path}`, headers)).toBe(431);
    expect(await statusOf("GET /health/live")).toBe(200);
  });

  test("sends no body where there is none: the next response follows at once", async () => {
    const etag = (await fetch(`${server.url}${FILE}`)).headers.get("etag") ?? "";
    const socket = await openSocket(server.port);
    await socket.send(requestText(`HEAD ${FILE}`) + requestText("GET /health/live"));
    expect((await socket.answer({ head: true }))?.headers.get("content-length")).toBe(String(built.bytes.length));
    expect((await socket.answer())?.body).toBe("ok\n");
    await socket.send(requestText("HEAD /health/nowhere") + requestText("GET /health/live"));
    expect((await socket.answer({ head: true }))?.status).toBe(404);
    expect((await socket.answer())?.body).toBe("ok\n");
    await socket.send(requestText(`GET ${FILE}`, { "if-none-match": etag }) + requestText("GET /health/live"));
    expect((await socket.answer())?.status).toBe(304);
    expect((await socket.answer())?.body).toBe("ok\n");
    socket.close();
  });
});

describe("stalled uploads", () => {
  test("of one token lock out no other token of the account, and after a short time not even their own", async () => {
    const own = await listen({ settings: { "uploads-per-token": "4", "uploads-per-account": "5" } });
    const sockets: RawSocket[] = [];
    try {
      await own.addUser("alice");
      const tokens = await Promise.all(
        ["lost", "good"].map((name) => newToken(own.manage, { user: "alice", name, scopes: ["write:package"] })),
      );
      const [lost = {}, good = {}]: Record<string, string>[] = tokens.map((token) => ({
        authorization: `Bearer ${token}`,
      }));
      for (let count = 0; count < 4; count++) {
        const socket = await openSocket(own.port);
        await socket.send(requestText(`PUT ${TARGET}`, { ...lost, "content-length": 1000 }, "x"));
        sockets.push(socket);
      }
      await until(async () => (await own.staged()).length === 4);
      const publish = async (who: Record<string, string>, version: string): Promise<Response> => {
        const next = buildPackage({ name: "next", version });
        const path = `${own.url}${ROOT}/${next.fileName}`;
        return await fetch(path, { method: "PUT", headers: who, body: next.bytes.slice() });
      };
      const refused = await publish(lost, "1");
      expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "5"]);
      expect(await refused.text()).toContain("The token lost of alice has 4 uploads in progress");
      expect((await publish(good, "2")).status).toBe(201);
      await Bun.sleep(3500);
      expect((await publish(lost, "3")).status).toBe(201);
      expect((await sockets[0]?.answer())?.status).toBe(408);
      await until(async () => (await own.staged()).length === 3);
    } finally {
      for (const socket of sockets) socket.close();
      await own.stop();
    }
  }, 20_000);
});
