import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { bytesOf, jsonOf } from "../support/answers.ts";
import { startTestApp, type Actor, type TestApp } from "../support/app.ts";
import { buildPackage } from "../support/package-builder.ts";

let server: TestApp;
let alice: Actor;
const built = buildPackage({ name: "readable", version: "1!2.0+local", files: { "share/big": "x".repeat(5000) } });
const place = `/alice/main/noarch/readable-1!2.0+local-0.conda`;

beforeAll(async () => {
  server = await startTestApp();
  alice = await server.addUser("alice");
  expect((await alice.put(`/api/packages/alice/conda/main/${built.fileName}`, built.bytes)).status).toBe(201);
});
afterAll(() => server.close());

describe("documents", () => {
  test("exist for every well-formed subdir of a channel, also of an empty channel", async () => {
    for (const subdir of ["noarch", "linux-64", "weird-99"]) {
      const answer = await server.anonymous.get(`/alice/main/${subdir}/repodata.json`);
      expect(answer.status).toBe(200);
      const repodata: { info: unknown; removed: unknown; repodata_version: unknown } = await jsonOf(answer);
      expect(repodata).toMatchObject({ info: { subdir }, removed: [], repodata_version: 1 });
    }
  });

  test("exist for the unnamed channel of every owner", async () => {
    expect((await server.anonymous.get("/api/packages/alice/conda/noarch/repodata.json")).status).toBe(200);
    expect((await server.anonymous.get("/alice/noarch/repodata.json.zst")).status).toBe(200);
  });

  test("that are not built yet, or never will be, are 404 as problem documents", async () => {
    const names = ["nothing.txt", "index.html", "patch_instructions.json", "repodata.jlap", "repodata2.json"];
    for (const name of names) {
      const answer = await server.anonymous.get(`/alice/main/noarch/${name}`);
      expect([name, answer.status]).toEqual([name, 404]);
      expect(answer.headers.get("content-type")).toBe("application/problem+json");
      expect(answer.headers.get("cache-control")).toBe("no-store");
      expect((await server.anonymous.head(`/alice/main/noarch/${name}`)).status).toBe(404);
    }
    expect((await server.anonymous.get("/alice/main/notices.json")).status).toBe(404);
  });

  test("are the same bytes under every form of the address", async () => {
    const forms = ["/api/packages/alice/conda/main", "/alice/main", "/get/alice/main", "/ALICE/main"];
    const hashes = await Promise.all(
      forms.map(async (form) =>
        Bun.hash(await (await server.anonymous.get(`${form}/noarch/repodata.json.zst`)).arrayBuffer()),
      ),
    );
    expect(new Set(hashes).size).toBe(1);
  });

  test("carry validators, and 304 repeats them", async () => {
    for (const name of ["noarch/repodata.json", "noarch/repodata.json.zst", "channeldata.json"]) {
      const first = await server.anonymous.get(`/alice/main/${name}`);
      const etag = first.headers.get("etag") ?? "";
      expect(etag).toMatch(/^"[0-9a-f]{64}"$/);
      expect(first.headers.get("cache-control")).toBe("public, max-age=0, must-revalidate");
      const again = await server.anonymous.get(`/alice/main/${name}`, { "if-none-match": `W/"other", ${etag}` });
      expect(again.status).toBe(304);
      expect(await again.text()).toBe("");
      for (const header of ["etag", "last-modified", "cache-control"]) {
        expect(again.headers.get(header)).toBe(first.headers.get(header) ?? "missing");
      }
    }
  });

  test("never answer 304 to the validators of another document, nor to a date alone", async () => {
    const json = await server.anonymous.get("/alice/main/noarch/repodata.json");
    const etag = json.headers.get("etag") ?? "";
    const modified = json.headers.get("last-modified") ?? "";
    const other = { "if-none-match": etag, "if-modified-since": modified };
    expect((await server.anonymous.get("/alice/main/noarch/repodata.json.zst", other)).status).toBe(200);
    expect(
      (await server.anonymous.get("/alice/main/noarch/repodata.json", { "if-modified-since": modified })).status,
    ).toBe(200);
  });

  test("change their validator with every publish, and keep it when another section changes", async () => {
    const tagOf = async (subdir: string) =>
      (await server.anonymous.get(`/alice/main/${subdir}/repodata.json`)).headers.get("etag");
    const before = [await tagOf("noarch"), await tagOf("linux-64")];
    const next = buildPackage({ name: "newer", version: "1" });
    await alice.put(`/api/packages/alice/conda/main/${next.fileName}`, next.bytes);
    const after = [await tagOf("noarch"), await tagOf("linux-64")];
    expect(after[0]).not.toBe(before[0]);
    expect(after[1]).toBe(before[1]);
  });

  test("are never built by HEAD, which has length and tag only once they are built", async () => {
    const next = buildPackage({ name: "head", version: "1" });
    await alice.put(`/api/packages/alice/conda/heads/${next.fileName}`, next.bytes);
    const path = "/alice/heads/noarch/repodata.json";
    const cold = await server.anonymous.head(path);
    expect([cold.status, cold.headers.get("etag")]).toEqual([200, null]);
    const full = await server.anonymous.get(path);
    const warm = await server.anonymous.head(path);
    expect(warm.headers.get("etag")).toBe(full.headers.get("etag"));
    expect(Number(warm.headers.get("content-length"))).toBe((await full.arrayBuffer()).byteLength);
  });

  test("list packages whose names are JavaScript words", async () => {
    const names = ["constructor", "valueof", "123", "tostring"];
    for (const name of names) {
      const odd = buildPackage({ name, version: "1" });
      expect((await alice.put(`/api/packages/alice/conda/odd/${odd.fileName}`, odd.bytes)).status).toBe(201);
    }
    const answer = await server.anonymous.get("/alice/odd/noarch/repodata.json");
    const text = await answer.text();
    for (const name of names) expect(text).toContain(`"${name}-1-0.conda":{`);
    const data: { packages: object } = await jsonOf(await server.anonymous.get("/alice/odd/channeldata.json"));
    expect(Object.keys(data.packages).sort()).toEqual([...names].sort());
  });
});

describe("packages", () => {
  test.each(["!", "%21"])("are found whether %s is written raw or escaped", async (mark) => {
    for (const plus of ["+", "%2B"]) {
      const path = place.replace("!", mark).replace("+", plus);
      expect((await server.anonymous.get(path)).status).toBe(200);
    }
    expect((await server.anonymous.get(place.replace("+", "%20"))).status).toBe(404);
  });

  test.each([
    ["bytes=0-0", 206, 0, 1],
    ["bytes=10-19", 206, 10, 10],
    ["bytes=5-", 206, 5, built.bytes.length - 5],
    ["bytes=-5", 206, built.bytes.length - 5, 5],
    ["bytes=-99999999", 206, 0, built.bytes.length],
    ["bytes=0-99999999", 206, 0, built.bytes.length],
    ["bytes=9-3", 200, 0, built.bytes.length],
    ["bytes=0-1,4-5", 200, 0, built.bytes.length],
    ["lines=0-1", 200, 0, built.bytes.length],
  ])("respond to the range %s", async (range, status, start, length) => {
    const answer = await server.anonymous.get(place, { range });
    expect(answer.status).toBe(status);
    expect(await bytesOf(answer)).toEqual(Buffer.from(built.bytes.slice(start, start + length)));
    const window = `bytes ${start}-${start + length - 1}/${built.bytes.length}`;
    expect(answer.headers.get("content-range")).toBe(status === 206 ? window : null);
  });

  test("respond with 416 to a range past the end, and with the complete file when If-Range does not match", async () => {
    const beyond = await server.anonymous.get(place, { range: "bytes=99999999-" });
    expect(beyond.status).toBe(416);
    expect(beyond.headers.get("content-range")).toBe(`bytes */${built.bytes.length}`);
    const stale = await server.anonymous.get(place, { range: "bytes=0-1", "if-range": '"other"' });
    expect(stale.status).toBe(200);
    const fresh = await server.anonymous.get(place, { range: "bytes=0-1", "if-range": `"${built.sha256}"` });
    expect(fresh.status).toBe(206);
  });

  test("respond to HEAD with the length, and the sha256 as the tag", async () => {
    const head = await server.anonymous.head(place);
    expect(head.headers.get("content-length")).toBe(String(built.bytes.length));
    expect(head.headers.get("etag")).toBe(`"${built.sha256}"`);
    expect(head.headers.get("accept-ranges")).toBe("bytes");
    expect(head.headers.get("cache-control")).toBe("public, no-cache");
    expect((await server.anonymous.get(place, { "if-none-match": `"${built.sha256}"` })).status).toBe(304);
  });
});

describe("addresses", () => {
  test.each([
    "/alice/main/noarch/%2e%2e%2f%2e%2e%2fcondarium.db",
    "/alice/main/..%2f..%2fcondarium.db",
    "/alice/main/noarch/%5c..%5ccondarium.db",
    "/alice/main/noarch/x%00.conda",
    "/alice/main/noarch/%zz.conda",
    "/alice/main/noarch/%ff.conda",
    "/alice/main//repodata.json",
    "/alice/main/noarch/repodata.json//",
    "/alice/main/%2f/noarch/repodata.json",
    "/alice/main/noarch/repodata.json/",
    "/API/packages/alice/conda/main/noarch/repodata.json",
    "/api/packages/alice/npm/main/noarch/repodata.json",
    "/favicon.ico",
    "/api",
    "/t",
    "/t/",
  ])("are 404 for the invalid %s", async (path) => {
    const answer = await server.anonymous.get(path);
    expect([400, 401, 404]).toContain(answer.status);
    expect(await answer.text()).not.toContain("SQLite");
  });

  test("respond with 405 to another method and list the allowed methods", async () => {
    for (const method of ["POST", "PATCH", "TRACE", "PROPFIND"]) {
      const answer = await alice.send(method, "/alice/main/noarch/repodata.json");
      expect([answer.status, answer.headers.get("allow")]).toEqual([405, "GET, HEAD, PUT, DELETE"]);
    }
  });

  test("respond always with a request id and with headers against sniffing and framing", async () => {
    for (const path of [
      "/",
      "/alice/main/noarch/repodata.json",
      "/nobody/x/noarch/y.conda",
      "/metrics",
      "/health/live",
    ]) {
      const { headers } = await server.anonymous.get(path);
      expect(headers.get("x-request-id")).toMatch(/^[0-9A-Za-z_-]{8,}$/);
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("referrer-policy")).toBe("no-referrer");
      expect(headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
    }
  });
});
