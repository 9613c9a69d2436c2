import { afterAll, beforeAll, expect, test } from "bun:test";
import { basic, PASSWORD, startTestApp, type TestApp } from "../support/app.ts";

let server: TestApp;
let now = Date.UTC(2030, 0, 1);
const clock = { now: () => now, elapsed: () => performance.now() };
const PATH = "/owner/noarch/repodata.json";

beforeAll(async () => {
  server = await startTestApp({ clock, settings: { "default-visibility": "private" } });
  await server.addUser("owner");
  await server.addUser("other");
});
afterAll(() => server.close());

const login = (user: string, password: string) => server.anonymous.get(PATH, basic(user, password));

test("ten failed logins lock an account for ten minutes, also for the right password and across a restart", async () => {
  for (let attempt = 0; attempt < 10; attempt++)
    expect((await login("owner", `wrong-password-${attempt}`)).status).toBe(401);
  const refused = await login("owner", PASSWORD);
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(500);
  expect((await login("other", PASSWORD)).status).toBe(403);

  await server.app.close();
  server = await startTestApp({ clock, folder: server.folder, settings: { "default-visibility": "private" } });
  expect((await login("owner", PASSWORD)).status).toBe(429);

  now += 10 * 60 * 1000;
  expect((await login("owner", PASSWORD)).status).toBe(200);
});

test("a recently verified login continues while strangers fail", async () => {
  expect((await login("owner", PASSWORD)).status).toBe(200);
  for (let attempt = 0; attempt < 10; attempt++) await login("owner", `bad-password-${attempt}`);
  expect((await login("owner", "wrong-password")).status).toBe(429);
  expect((await login("owner", PASSWORD)).status).toBe(200);
});

test("thirty failed logins from one address block the address for every account", async () => {
  now += 10 * 60 * 1000;
  for (let attempt = 0; attempt < 30; attempt++)
    expect((await login(`nobody-${attempt}`, "wrong-password")).status).toBe(401);
  expect((await login("nobody-31", "wrong-password")).status).toBe(429);
  expect((await server.anonymous.get(PATH)).status).toBe(401);
});

test("an unknown user and a wrong password get the same response", async () => {
  now += 10 * 60 * 1000;
  const [unknown, wrong] = [await login("no-such-user", PASSWORD), await login("other", "wrong-password")];
  expect(await unknown.text()).toBe(await wrong.text());
});
