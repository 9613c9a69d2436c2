// Uploads in the protocols of other registries, as their clients send them.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { jsonOf } from "../support/answers.ts";
import { basic, PASSWORD, startTestApp, type Actor, type TestApp } from "../support/app.ts";
import { openTables } from "../support/rows.ts";

let server: TestApp;
beforeAll(async () => {
  server = await startTestApp();
  await server.addUser("alice");
});
afterAll(() => server.close());

const BELOW = "GET, HEAD, PUT, DELETE";
const BINSTAR = { "x-binstar-api-version": "1.12.2" };
type Case = readonly [method: string, path: string, route: string, status: number, allow: string | null];

const PROBLEMS: readonly Case[] = [
  ["POST", "/api/channels/main/upload/x-1-0.conda?force=false", "/api/channels/*", 405, ""],
  ["POST", "/api/channels/main/files/", "/api/channels/*", 405, ""],
  ["GET", "/api/channels/main", "/api/channels/*", 405, ""],
  ["POST", "/api/v1/upload/alice/main?force=true", "/api/v1/upload/*", 404, null],
  ["POST", "/files/alice/main/", "/files/*", 405, BELOW],
  ["POST", "/packages/alice/main/upload/conda/", "/packages/*", 405, BELOW],
  ["POST", "/repos/alice/main/files/upload/", "/repos/*", 405, BELOW],
  ["POST", "/alice/main/noarch/x-1-0.conda", "/:owner/*", 405, BELOW],
  ["PATCH", "/nobody/main", "/:owner/*", 405, BELOW],
];
const ANACONDA: readonly Case[] = [
  ["GET", "/api/anaconda", "/api/anaconda", 405, ""],
  ["GET", "/api/anaconda/user", "/api/anaconda/*", 405, ""],
  ["GET", "/api/anaconda/package/alice/x", "/api/anaconda/*", 405, ""],
  ["POST", "/api/anaconda/stage/alice/x/1/noarch/x-1-0.conda", "/api/anaconda/*", 405, ""],
  ...["package", "release", "stage", "commit", "dist"].flatMap((word): Case[] => [
    ["POST", `/${word}/alice/x`, `/${word}/*`, 405, BELOW],
    ["PATCH", `/${word}/alice/x`, `/${word}/*`, 405, BELOW],
  ]),
];

describe("an upload in another protocol", () => {
  for (const [method, path, route, status, allow] of [...PROBLEMS, ...ANACONDA]) {
    test(`is answered with ${status} and the upload that works: ${method} ${path}`, async () => {
      const isAnaconda = ANACONDA.some((one) => one[1] === path);
      const answer = await server.anonymous.send(method, path);
      expect([answer.status, answer.headers.get("allow")]).toEqual([status, allow]);
      const type = isAnaconda ? "application/json" : "application/problem+json";
      expect(answer.headers.get("content-type")).toBe(type);
      expect(answer.headers.get("cache-control")).toBe("no-store");
      const text = await answer.text();
      const body = JSON.parse(text) as { error?: string; detail?: string };
      if (isAnaconda) expect(Object.keys(body)).toEqual(["error"]);
      const said = body.error ?? body.detail;
      expect(said).toContain("PUT /api/packages/OWNER/conda/CHANNEL/FILE");
      expect(said).toContain("rattler-build upload artifactory --url https://conda.example/api/packages/OWNER/conda ");
      expect(said).toContain("curl --user NAME:TOKEN --upload-file FILE");
      // rattler prints no more of it.
      expect(text.length).toBeLessThanOrEqual(512);
      const rendered = await server.app.metrics.render();
      expect(rendered).toContain(`route="${route}",method="${method}",status="${status}"`);
    });
  }

  test("is answered alike for every credential, and whether or not the owner exists", async () => {
    const credentials: Record<string, string>[] = [
      {},
      basic("alice", PASSWORD),
      basic("alice", "wrong"),
      basic("nobody", PASSWORD),
      { "x-api-key": "nonsense" },
      { authorization: "token nonsense" },
    ];
    const tables = openTables(server.folder);
    const before = tables.dump();
    for (const [method, path] of [...PROBLEMS, ...ANACONDA].filter(([, , route]) => route !== "/:owner/*")) {
      const seen = new Set<string>();
      for (const owner of ["alice", "nobody"]) {
        for (const headers of credentials) {
          const answer = await server.anonymous.send(method, path.replace("alice", owner), headers);
          const kept = [...answer.headers].filter(([name]) => name !== "x-request-id");
          seen.add(JSON.stringify([answer.status, kept, await answer.text()]));
        }
      }
      expect([path, seen.size]).toEqual([path, 1]);
    }
    expect(tables.dump()).toBe(before);
    tables.close();
    expect(await server.storedFiles()).toEqual([]);
  });

  test("has no byte of its body read, and closes the connection", async () => {
    for (const [method, path] of [...PROBLEMS, ...ANACONDA].filter(([verb]) => verb === "POST")) {
      let pulled = 0;
      const pull = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
        pulled += 1;
        controller.enqueue(new Uint8Array(1024));
      };
      const body = new ReadableStream<Uint8Array>({ pull }, { highWaterMark: 0 });
      const answer = await sending(server.as("alice"), method, path, body);
      expect([path, answer.status >= 400, pulled]).toEqual([path, true, 0]);
      expect([path, answer.headers.get("connection")]).toEqual([path, "close"]);
    }
  });

  test("of anaconda.org's clients is recognized at addresses of channels too, and reads without the mark are not", async () => {
    const marked = await server.anonymous.get("/package/alice/x", BINSTAR);
    expect([marked.status, marked.headers.get("allow")]).toEqual([405, BELOW]);
    expect((await jsonOf<{ error: string }>(marked)).error).toContain("rattler-build upload artifactory");
    expect((await server.anonymous.get("/alice/noarch/repodata.json")).status).toBe(200);
    expect((await server.anonymous.get("/package/alice/x")).status).toBe(401);
  });

  test("passes anaconda-client's check of the address, so that it sends a request whose answer it prints", async () => {
    for (const path of ["/api/anaconda", "/api/anaconda/"]) {
      const head = await server.anonymous.head(path, BINSTAR);
      expect([head.status, await head.text()]).toEqual([200, ""]);
    }
    expect((await server.anonymous.head("/api/anaconda/user")).status).toBe(405);
  });
});

function sending(actor: Actor, method: string, path: string, body: ReadableStream): Promise<Response> {
  const send = actor.send as (verb: string, to: string, headers: object, content: ReadableStream) => Promise<Response>;
  return send(method, path, {}, body);
}
