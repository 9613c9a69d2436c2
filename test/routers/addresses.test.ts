// The addresses of a channel: with a token at each place, below the path of `public-url`, with repeated slashes, and from
// web pages of other origins.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { splitPath } from "../../src/routers/raw-path.ts";
import { errorOf } from "../modules/error-of.ts";
import { jsonOf } from "../support/answers.ts";
import { basic, PASSWORD, startTestApp, type Actor, type TestApp } from "../support/app.ts";
import { shardHashes, shardIndexOf } from "../support/documents.ts";
import { listen } from "../support/listening.ts";
import { newToken } from "../support/manage.ts";
import { buildPackage } from "../support/package-builder.ts";
import { exchange, requestText } from "../support/raw-socket.ts";

const built = buildPackage({ name: "there", version: "1!2.0+cu1" });
const BASE = "https://host.example:8443/registry/conda";
const PREFIX = "/registry/conda";

let server: TestApp;
let alice: Actor;
let token: string;
beforeAll(async () => {
  server = await startTestApp({ publicUrl: BASE, settings: { "default-owner": "alice" } });
  alice = await server.addUser("alice");
  await server.addUser("mallory");
  for (const visibility of ["public", "internal", "private"] as const) {
    await server.manage.channels.create({ owner: "alice", channel: visibility }, { visibility });
    const path = `/api/packages/alice/conda/${visibility}/${built.fileName}`;
    expect((await alice.put(path, built.bytes)).status).toBe(201);
  }
  const scopes = ["write:package", "delete:package"];
  token = await newToken(server.manage, { user: "alice", name: "path", scopes });
});
afterAll(() => server.close());

/** Every form of a private channel's URL with a token in it. */
const WITH_TOKEN = [
  "/t/TOKEN/alice/private",
  "/t/TOKEN/api/packages/alice/conda/private",
  "/t/TOKEN/get/alice/private",
  "/t/TOKEN/get/private",
  "/alice/t/TOKEN/private",
  "/api/packages/alice/conda/t/TOKEN/private",
  "/get/t/TOKEN/alice/private",
  "/get/t/TOKEN/private",
  "/get/alice/t/TOKEN/private",
  `/t/TOKEN${PREFIX}/alice/private`,
  `${PREFIX}/t/TOKEN/alice/private`,
  `${PREFIX}/alice/t/TOKEN/private`,
  `${PREFIX}/api/packages/alice/conda/t/TOKEN/private`,
];

describe("a token in a channel URL", () => {
  test.each(WITH_TOKEN)("opens the channel exactly when it is valid: %s", async (form) => {
    const at = (value: string): string => form.replace("TOKEN", value);
    const stale = `${token.slice(0, -1)}${token.endsWith("0") ? "1" : "0"}`;
    for (const path of ["noarch/repodata.json", "channeldata.json", `noarch/${built.fileName}`]) {
      const good = await server.anonymous.get(`${at(token)}/${path}`);
      expect([path, good.status, good.headers.get("cache-control")]).toEqual([path, 200, "private, max-age=0"]);
      expect(good.headers.get("access-control-allow-origin")).toBeNull();
      expect((await server.anonymous.head(`${at(token)}/${path}`)).status).toBe(200);
      for (const wrong of ["no-such-token", "", stale, "a%2Fb", "%zz"]) {
        const refused = await server.anonymous.get(`${at(wrong).replace("//", "/%00/")}/${path}`);
        expect([path, wrong, refused.status]).toEqual([path, wrong, 401]);
        expect(refused.headers.get("cache-control")).toBe("no-store");
      }
      const both = await server.as("mallory").get(`${at(token)}/${path}`);
      expect([path, both.status]).toEqual([path, 401]);
    }
  });

  test.each(WITH_TOKEN)("publishes and deletes like a header: %s", async (form) => {
    const mine = buildPackage({ name: "mine", version: "1" });
    const at = (value: string): string => `${form.replace("TOKEN", value)}/noarch/${mine.fileName}`;
    for (const act of [() => server.anonymous.put(at("bad"), mine.bytes), () => server.anonymous.delete(at("bad"))])
      expect((await act()).status).toBe(401);
    const put = await server.anonymous.put(at(token), mine.bytes);
    expect(put.status).toBe(201);
    const { url, channel } = await jsonOf<{ url: string; channel: string }>(put);
    expect([channel, url]).toEqual(["alice/private", `${BASE}/alice/private/noarch/${mine.fileName}`]);
    expect(put.headers.get("location")).toBe(url);
    expect((await server.anonymous.delete(at(token))).status).toBe(204);
  });

  test("is taken off before the path is logged or shown, whatever the token looks like", async () => {
    for (const form of WITH_TOKEN) {
      for (const method of ["GET", "PUT", "DELETE", "OPTIONS"]) {
        const answer = await server.anonymous.send(
          method,
          `${form.replace("TOKEN", "canary-secret")}/noarch/x-1-0.conda`,
        );
        expect(await answer.text()).not.toContain("canary-secret");
        expect([...answer.headers].join()).not.toContain("canary-secret");
      }
    }
    expect(server.log()).toContain('"path":"/t/…/alice/private/noarch/x-1-0.conda"');
    expect(server.log()).not.toContain("canary-secret");
    expect(server.log()).not.toContain(token);
  });

  test("stays in the URLs that clients build from the documents", async () => {
    const channel = `/alice/t/${token}/private`;
    const index = `http://h${channel}/noarch/repodata_shards.msgpack.zst`;
    const document = await server.anonymous.get(new URL(index).pathname);
    const decoded = shardIndexOf(new Uint8Array(await document.arrayBuffer()));
    const hash = shardHashes(decoded)["there"];
    const { pathname } = new URL(`./shards/${hash}.msgpack.zst`, index);
    const shard = await server.anonymous.get(pathname);
    expect([shard.status, shard.headers.get("cache-control")]).toEqual([200, "private, max-age=31536000, immutable"]);
  });

  test.each([
    `/alice/private/t/TOKEN`,
    `/alice/private/noarch/t/TOKEN`,
    `/t/TOKEN/alice/t/TOKEN/private`,
    `/t/t/TOKEN/alice/private`,
    `/alice/T/TOKEN/private`,
    `/api/t/TOKEN/packages/alice/conda/private`,
    `/api/packages/t/TOKEN/alice/conda/private`,
  ])("opens nothing at another place: %s", async (form) => {
    const answer = await server.anonymous.get(`${form.replaceAll("TOKEN", token)}/noarch/repodata.json`);
    expect([401, 403, 404]).toContain(answer.status);
    expect(server.log()).not.toContain(token);
  });

  test("is no token in a generic package or version named t", async () => {
    const path = "/api/packages/alice/generic/t/t/file";
    expect((await alice.put(path, new TextEncoder().encode("t"))).status).toBe(201);
    expect((await server.anonymous.get(path)).status).toBe(200);
    expect(splitPath(path, "")).toEqual({ token: undefined, path });
  });

  test("is never part of a name: t stays reserved for owners and channels", async () => {
    for (const channel of ["t", "a/t", "t/a"])
      expect((await errorOf(server.manage.channels.create({ owner: "alice", channel }, {}))).message).toContain(
        "reserved",
      );
    expect((await errorOf(server.addUser("t"))).message).toContain("Invalid user name");
  });
});

describe("a raw path", () => {
  test.each([
    ["/t/a/alice/x", "/r", "a", "/alice/x"],
    ["/t/t/x/y", "/r", "t", "/x/y"],
    ["/r/t/t/x/y", "/r", "t", "/x/y"],
    ["/t/a/r/t/b/x", "/r", "a", "/t/b/x"],
    ["/alice/t/a/x/t/b", "", "a", "/alice/x/t/b"],
    ["/get/t/t/x", "", "t", "/get/x"],
    ["/get/alice/t/a/x", "", "a", "/get/alice/x"],
    ["/alice/t//x", "", "", "/alice/x"],
    ["/alice/t/a", "", "a", "/alice/"],
    ["/alice/x/t/a", "", undefined, "/alice/x/t/a"],
    ["/rx/alice", "/r", undefined, "/rx/alice"],
    ["/R/alice", "/r", undefined, "/R/alice"],
    ["/r", "/r", undefined, "/"],
    ["/r/r/alice", "/r", undefined, "/r/alice"],
    ["/t/a/r", "/r", "a", "/"],
  ])("is split into its token and the rest: %s", (raw, prefix, pathToken, path) => {
    expect(splitPath(raw, prefix)).toEqual({ token: pathToken, path });
  });
});

describe("the path of public-url", () => {
  test.each(["/alice/public", "/api/packages/alice/conda/public", "/get/alice/public", "/get/public"])(
    "can precede %s or be left out",
    async (form) => {
      const mine = buildPackage({ name: "prefixed", version: "1" });
      for (const prefix of ["", PREFIX]) {
        const read = await server.anonymous.get(`${prefix}${form}/noarch/repodata.json`);
        expect([prefix, read.status]).toEqual([prefix, 200]);
        const put = await alice.put(`${prefix}${form}/noarch/${mine.fileName}`, mine.bytes);
        expect([prefix, put.status]).toEqual([prefix, 201]);
        expect(put.headers.get("location")).toBe(`${BASE}/alice/public/noarch/${mine.fileName}`);
        expect((await alice.delete(`${prefix}${form}/noarch/${mine.fileName}`)).status).toBe(204);
      }
    },
  );

  test("is in every URL that the server builds, and these work", async () => {
    const feed = await (await server.anonymous.get("/alice/public/rss.xml")).text();
    const links = [...feed.matchAll(/<link>([^<]*)<\/link>/g)].map(([, link = ""]) => link);
    expect(links).toEqual([`${BASE}/alice/public`, `${BASE}/alice/public/noarch/${built.fileName}`]);
    expect((await server.anonymous.get(new URL(links[1] ?? "").pathname)).status).toBe(200);
    const generic = await alice.put("/api/packages/alice/generic/a/1/f+1", new TextEncoder().encode("f"));
    expect(generic.headers.get("location")).toBe(`${BASE}/api/packages/alice/generic/a/1/f+1`);
    expect((await server.anonymous.get(`${PREFIX}/api/packages/alice/generic/a/1/f+1`)).status).toBe(200);
  });

  test("can precede the server's own pages, and nothing else is below it", async () => {
    for (const path of ["", "/", "/health/live", "/health/ready"])
      expect([path, (await server.anonymous.get(`${PREFIX}${path}`)).status]).toEqual([path, 200]);
    expect((await server.anonymous.get(`${PREFIX}/metrics`)).status).toBe(401);
    const file = "alice/public/noarch/repodata.json";
    for (const path of [`${PREFIX}${PREFIX}`, "/registry", `${PREFIX}x`, PREFIX.toUpperCase(), "/conda"])
      expect([path, [401, 404].includes((await server.anonymous.get(`${path}/${file}`)).status)]).toEqual([path, true]);
  });

  test("hides no private channel better or worse", async () => {
    const texts = new Set<string>();
    for (const path of ["/alice/private", `${PREFIX}/alice/private`, `${PREFIX}/alice/none`, `${PREFIX}/none/none`]) {
      const answer = await server.anonymous.get(`${path}/noarch/repodata.json`);
      texts.add(`${answer.status} ${await answer.text()}`);
    }
    expect([...texts]).toEqual([expect.stringContaining("401")]);
  });

  test("begins with a name that no owner can take, and that no owner may have at the start", async () => {
    expect((await errorOf(server.addUser("registry"))).message).toContain("Invalid user name");
    expect(await (await server.addUser("registrar")).get("/registrar/noarch/repodata.json")).toHaveProperty(
      "status",
      200,
    );
    const before = await startTestApp();
    await before.addUser("registry");
    await before.app.close();
    const start = startTestApp({ folder: before.folder, publicUrl: "https://h/Registry" });
    expect(await errorOf(start)).toMatchObject({ code: "usage", message: expect.stringContaining("public-url") });
    const other = await startTestApp({ folder: before.folder, publicUrl: "https://h/other" });
    expect((await other.as("registry").get("/registry/noarch/repodata.json")).status).toBe(200);
    await other.app.close();
    await before.close().catch(() => undefined);
  });
});

describe("slashes in a row", () => {
  const READS = ["/alice/public/noarch/repodata.json", `/get/alice/public/noarch/${built.fileName}`];

  test("count as one for reads, on the wire too", async () => {
    const listening = await listen();
    await listening.addUser("alice");
    expect((await listening.publish("alice", "/api/packages/alice/conda/main", built)).status).toBe(201);
    const file = `alice/main/noarch/${built.fileName}`;
    for (const path of [
      `//${file}`,
      `///${file.replaceAll("/", "//")}`,
      `/${file.replace("/noarch", "//noarch")}?a=//b`,
    ]) {
      const answer = await exchange(listening.port, requestText(`GET ${path}`));
      expect([path, answer?.status, answer?.body.length]).toEqual([path, 200, built.bytes.length]);
    }
    const put = requestText(`PUT //${file}`, { ...basic("alice", PASSWORD), "content-length": "0" });
    expect((await exchange(listening.port, put))?.status).toBe(404);
    await listening.stop();
  });

  test.each(READS)("give the response of one: %s", async (path) => {
    const [one, two] = [await server.anonymous.get(path), await server.anonymous.get(path.replaceAll("/", "//"))];
    expect([two.status, await two.text()]).toEqual([200, await one.text()]);
    for (const name of ["etag", "cache-control", "access-control-allow-origin", "last-modified"])
      expect([name, two.headers.get(name)]).toEqual([name, one.headers.get(name)]);
    expect((await server.anonymous.head(`/${path}`)).status).toBe(200);
    for (const wrong of [
      `/${path}/`,
      `${path}//`,
      path.replace("/noarch", "/%2f/noarch"),
      path.replace("/noarch", "/%00/noarch"),
    ])
      expect([wrong, [401, 404].includes((await server.anonymous.get(wrong)).status)]).toEqual([wrong, true]);
  });

  test("reveal no private channel, and keep a token out of the log", async () => {
    const answer = await server.anonymous.get("//alice//private/noarch/repodata.json");
    expect(answer.status).toBe(401);
    for (const path of [
      `//t//${token}//alice//private/noarch/repodata.json`,
      `/${PREFIX}//alice//t//${token}/private/noarch/repodata.json`,
    ])
      expect((await server.anonymous.get(path)).status).toBe(200);
    expect((await server.anonymous.get("//alice//t//canary-two/private/noarch/repodata.json")).status).toBe(401);
    expect(server.log()).not.toContain("canary-two");
    expect(server.log()).not.toContain(token);
  });
});

describe("web pages of other origins", () => {
  const EXPOSED = "ETag, Content-Range, Accept-Ranges, Content-Length";
  const allowed = ({ headers }: Response) =>
    [...headers].filter(([name]) => name.startsWith("access-control-")).map(([name, value]) => `${name}: ${value}`);
  const READABLE = [`access-control-allow-origin: *`, `access-control-expose-headers: ${EXPOSED}`];
  const FORMS = ["/alice/CHANNEL", "/api/packages/alice/conda/CHANNEL", `${PREFIX}/get/alice/CHANNEL`];
  const FILES = ["noarch/repodata.json", "noarch/repodata_shards.msgpack.zst", "rss.xml", `noarch/${built.fileName}`];

  test("can read a public channel, and why a file is missing", async () => {
    for (const form of FORMS) {
      for (const file of FILES) {
        const path = `${form.replace("CHANNEL", "public")}/${file}`;
        const answers = [
          await server.anonymous.get(path, { origin: "https://page.example" }),
          await server.anonymous.get(path, { "if-none-match": "*" }),
          await server.anonymous.get(path, { range: "bytes=0-3" }),
          await server.anonymous.get(path, { range: "bytes=99999999-" }),
          await server.anonymous.head(path),
          await alice.get(path),
        ];
        expect(answers.map(({ status }) => status)).toEqual([200, 304, 206, 416, 200, 200]);
        for (const answer of answers) expect(allowed(answer)).toEqual(READABLE);
      }
      for (const file of [
        "noarch/none-1-0.conda",
        "noarch/none.json",
        "none",
        `noarch/shards/${"0".repeat(64)}.msgpack.zst`,
      ]) {
        const missing = await server.anonymous.get(`${form.replace("CHANNEL", "public")}/${file}`);
        expect([file, missing.status, ...allowed(missing)]).toEqual([file, 404, ...READABLE]);
      }
    }
    const generic = "/api/packages/alice/generic/x/1";
    expect((await alice.put(`${generic}/y`, new TextEncoder().encode("y"))).status).toBe(201);
    for (const [name, status] of [
      ["y", 200],
      ["z", 404],
    ] as const) {
      const answer = await server.anonymous.get(`${generic}/${name}`);
      expect([answer.status, ...allowed(answer)]).toEqual([status, ...READABLE]);
    }
  });

  test("may ask before reading a public channel with ranges and validators, from a replayed response too", async () => {
    for (const path of [
      ...FORMS.map((form) => `${form.replace("CHANNEL", "public")}/noarch/none`),
      "//alice/public/x",
      "/alice/noarch/x",
      "/api/packages/alice/generic/x/1/none",
    ]) {
      for (const actor of [server.anonymous, server.as("mallory"), server.withToken("wrong")]) {
        const answer = await actor.send("OPTIONS", path, {
          origin: "https://page.example",
          "access-control-request-method": "GET",
          "access-control-request-headers": "range",
        });
        expect([path, answer.status, await answer.text()]).toEqual([path, 204, ""]);
        expect(answer.headers.get("access-control-allow-origin")).toBe("*");
        expect(answer.headers.get("access-control-allow-methods")).toBe("GET, HEAD");
        const headers = answer.headers.get("access-control-allow-headers")?.toLowerCase().split(", ");
        for (const name of ["range", "if-range", "if-none-match", "if-modified-since"]) expect(headers).toContain(name);
        for (const name of ["authorization", "x-api-key", "cookie", "*"]) expect(headers).not.toContain(name);
        expect(Number(answer.headers.get("access-control-max-age"))).toBeGreaterThan(0);
        expect(answer.headers.get("access-control-allow-credentials")).toBeNull();
      }
    }
  });

  test("get nothing of a channel that is not public, and cannot tell it from an absent one", async () => {
    const seen = new Set<string>();
    for (const channel of ["internal", "private", "none", "none/deeper"]) {
      for (const form of FORMS) {
        for (const file of [...FILES, "noarch/none"]) {
          const path = `${form.replace("CHANNEL", channel)}/${file}`;
          for (const actor of [server.anonymous, alice]) {
            const answer = await actor.send("OPTIONS", path, { "access-control-request-method": "GET" });
            const headers = [...answer.headers]
              .filter(([name]) => name !== "x-request-id")
              .map((pair) => pair.join(": "));
            seen.add([answer.status, ...headers, await answer.text()].join("\n"));
            expect(allowed(await actor.get(path))).toEqual([]);
          }
        }
      }
    }
    expect([...seen]).toEqual([expect.stringMatching(/^405\n/)]);
    expect(seen.values().next().value).not.toContain("access-control-");
  });

  test("get nothing by a token in the path, by a wrong credential, by a change, or outside of channels", async () => {
    const path = `/t/${token}/alice/public/noarch/repodata.json`;
    for (const answer of [
      await server.anonymous.get(path),
      await server.anonymous.send("OPTIONS", path),
      await server.withToken("wrong").get("/alice/public/noarch/repodata.json"),
      await alice.put("/alice/public/noarch/x-1-0.conda", new Uint8Array(3)),
      await alice.delete("/alice/public/noarch/none-1-0.conda"),
      await server.anonymous.send("POST", "/alice/public/noarch/x"),
      await server.anonymous.get("/"),
      await server.anonymous.get("/health/ready"),
      await server.anonymous.get("/metrics"),
      await server.anonymous.get("/favicon.ico"),
    ])
      expect([answer.status, ...allowed(answer)]).toEqual([answer.status]);
  });
});
