import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { apiOf, type ApiClient } from "../../support/api.ts";
import { startTestApp, type TestApp } from "../../support/app.ts";

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
