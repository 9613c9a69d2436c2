// A token is made with the password and a code, where two-factor authentication is on.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { apiOf, bearer } from "../../support/api.ts";
import { startTestApp, type TestApp } from "../../support/app.ts";
import { turnOn } from "../../support/two-factor.ts";

let now = Date.UTC(2030, 0, 1);
const time = { now: () => now, pass: (ms: number): void => void (now += ms) };
let server: TestApp;
beforeAll(async () => {
  server = await startTestApp({ clock: { now: time.now, elapsed: () => performance.now() } });
  await server.addUser("alice");
});
afterAll(() => server.close());

test("a token is made with a code, not without, and works without one", async () => {
  const { app, with: as } = await turnOn(server, "alice", time);
  const make = (code?: string) => as(code)("POST", "/users/alice/tokens", { name: "ci", scopes: ["all"] });
  expect((await make()).status).toBe(401);
  expect((await make("000000")).status).toBe(401);
  const made = await make(app.code());
  expect(made.status).toBe(201);
  const token = apiOf(server, undefined, bearer((made.json as { sha1: string }).sha1));
  expect((await token("GET", "/users/alice/tokens")).status).toBe(200);
  expect((await token("POST", "/user/two-factor")).status).toBe(403);
});
