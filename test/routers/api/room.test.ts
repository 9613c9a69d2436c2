import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { apiOf, type ApiClient } from "../../support/api.ts";
import { peerAt, startTestApp, type TestApp } from "../../support/app.ts";
import { newToken } from "../../support/manage.ts";

let server: TestApp;
let anonymous: ApiClient;

beforeAll(async () => {
  server = await startTestApp();
  anonymous = apiOf(server);
});
afterAll(() => server.close());

describe("the API", () => {
  test("tells its version to everyone, also with a HEAD, and to no cache", async () => {
    const version = await anonymous("GET", "/version");
    expect([version.status, version.json]).toEqual([200, { version: expect.stringMatching(/^\d+\.\d+\.\d+/) }]);
    expect(version.headers.get("cache-control")).toBe("no-store");
    expect(version.headers.get("content-type")).toBe("application/json");
    const head = await anonymous("HEAD", "/version");
    expect([head.status, head.text, head.headers.get("content-length")]).toEqual([
      200,
      "",
      String(version.text.length),
    ]);
  });

  test("names the allowed methods of a path", async () => {
    for (const method of ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
      const { status, headers } = await anonymous(method, "/version");
      expect([method, status, headers.get("allow")]).toEqual([method, 405, "GET, HEAD"]);
    }
  });

  test("has a problem document for an address without a route", async () => {
    for (const path of ["/no-such-route", "/version/more", "/"]) {
      const { status, headers } = await anonymous("GET", path);
      expect([path, status, headers.get("content-type")]).toEqual([path, 404, "application/problem+json"]);
      expect(headers.get("cache-control")).toBe("no-store");
    }
  });
});

describe("a body", () => {
  const TOKENS = "/users/alice/tokens";
  let alice: ApiClient;
  beforeAll(async () => {
    await server.addUser("alice");
    alice = apiOf(server, "alice");
  });

  test.each([
    ["no JSON", "{", 400],
    ["no text", "", 400],
    ["a NUL", '{"name": "a\\u0000"}', 400],
    ["a NUL in a key", '{"a\\u0000": 1, "name": "x"}', 400],
    ["half a character", '{"name": "\\ud800"}', 400],
    ["no object", "[]", 422],
    ["null", "null", 422],
    ["another type of a member", '{"name": 7}', 422],
    ["a deep value", `{"name": ${"[".repeat(32_700)}${"]".repeat(32_700)}}`, 400],
    ["brackets in a text", JSON.stringify({ name: `"\\"${"[".repeat(100)}` }), 400],
    ["many values that are not deep", `{"name": [${"[],".repeat(10_000)}[]]}`, 422],
    ["64 KiB and one byte", JSON.stringify({ name: "x", padding: "x".repeat(65_537 - 24) }), 413],
  ])("with %s is refused, and stores nothing", async (_, body, status) => {
    const refused = await alice("POST", TOKENS, body);
    expect([refused.status, refused.headers.get("cache-control")]).toEqual([status, "no-store"]);
    expect((await alice("GET", TOKENS)).json).toEqual([]);
  });

  test("with half a character in a text that can have all characters is refused", async () => {
    const body = String.raw`{"owner": "alice", "name": "half", "description": "\ud83d"}`;
    expect((await alice("POST", "/channels", body)).status).toBe(400);
    expect((await alice("GET", "/channels/alice/half")).status).toBe(404);
    expect((await alice("POST", "/channels", body.replace("d83d", "d83d\\ude00"))).status).toBe(201);
  });

  test("names the member that its schema refuses, and never repeats the value", async () => {
    const { status, json, text } = await alice("POST", TOKENS, { name: "x", expires_at: "canary-value" });
    expect([status, json]).toMatchObject([422, { field: "expires_at", detail: expect.stringContaining("expires_at") }]);
    expect(text + server.log()).not.toContain("canary-value");
  });

  test("must be JSON, not encoded", async () => {
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"]) {
      expect((await alice("POST", TOKENS, { name: "x" }, { "content-type": type })).status).toBe(415);
    }
    expect((await alice("POST", TOKENS, { name: "x" }, { "content-encoding": "gzip" })).status).toBe(415);
    const sent = await alice("POST", TOKENS, { name: "x" }, { "content-type": "Application/JSON; charset=utf-8" });
    expect(sent.status).toBe(201);
  });

  test("is not read for a request without a credential", async () => {
    for (const body of ["{", JSON.stringify({ name: "x" }), "x".repeat(100_000)]) {
      expect((await anonymous("POST", TOKENS, body)).status).toBe(401);
    }
  });
});

describe("an address", () => {
  test("decodes each segment once, and a slash only in the name of a channel", async () => {
    for (const path of ["/users/a%2Fb", "/users/%00", "/users/..%2f", "/users/%ff", "/users/a%5Cb"]) {
      expect([path, (await anonymous("GET", path)).status]).toEqual([path, 404]);
    }
  });

  test("accepts no token in the path", async () => {
    const token = await newToken(server.manage, { user: "alice", name: "in the path", scopes: ["all"] });
    const request = new Request(`http://localhost/t/${token}/api/v1/user`);
    expect((await server.app.handle(request, peerAt("192.0.2.1"))).status).toBe(404);
  });
});

test("the API works below the path of public-url as well, and its links begin with that URL", async () => {
  const other = await startTestApp({ publicUrl: "https://host.example/registry" });
  await other.addUser("alice");
  for (const name of ["one", "two"]) await newToken(other.manage, { user: "alice", name });
  for (const prefix of ["", "/registry"]) {
    const path = `${prefix}/api/v1/users/alice/tokens?limit=1`;
    const response = await other.as("alice").get(path);
    expect([prefix, response.status]).toEqual([prefix, 200]);
    const next = "https://host.example/registry/api/v1/users/alice/tokens?limit=1&page=2";
    expect(response.headers.get("link")).toContain(`<${next}>; rel="next"`);
    expect((await other.as("alice").head(path)).headers.get("content-length")).not.toBe("0");
    expect((await other.as("alice").get(`${prefix}/api/v1/nothing`)).status).toBe(404);
  }
  await other.close();
});
