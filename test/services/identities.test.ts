// What a credential is worth after its user, or the user's password, was replaced.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { basic, PASSWORD, startTestApp, type TestApp } from "../support/app.ts";
import { newToken } from "../support/manage.ts";
import { openTables, rowsIn, runOn } from "../support/rows.ts";

/** Less than the check of one password takes. */
const READ_MS = 25;
const OTHER = "another-long-password";
/** Hashed with the parameters of an older release. */
const COST = { algorithm: "argon2id", memoryCost: 8 * 1024, timeCost: 1 } as const;

let server: TestApp;
beforeAll(async () => {
  server = await startTestApp({ settings: { "default-visibility": "private", "name-hold-days": "0" } });
  await server.addUser("boss", { admin: true });
});
afterAll(() => server.close());

const statusOf = async (name: string, headers: Record<string, string>): Promise<number> =>
  (await server.anonymous.get(`/${name}/noarch/repodata.json`, headers)).status;
const login = (name: string, password: string): Promise<number> => statusOf(name, basic(name, password));

function storedHash(name: string): string {
  const sql = 'SELECT password_hash AS hash FROM "user" JOIN owner ON owner.id = owner_id WHERE name = ?';
  return String(rowsIn(server.folder, sql, name)[0]?.hash ?? "");
}

const setHash = (name: string, hash: string): void =>
  runOn(
    server.folder,
    'UPDATE "user" SET password_hash = ? WHERE owner_id = (SELECT id FROM owner WHERE name = ?)',
    hash,
    name,
  );

test("credentials of a deleted user do not work for the next user of that name", async () => {
  const { users } = server.manage;
  await server.addUser("heir");
  const token = { authorization: `Bearer ${await newToken(server.manage, { user: "heir", name: "t" })}` };
  await server.manage.grants.set({ owner: "boss", channel: "" }, "heir", "reader");
  expect([await login("heir", PASSWORD), await statusOf("heir", token), await statusOf("boss", token)]).toEqual([
    200, 200, 200,
  ]);
  await users.remove("heir");
  expect([await login("heir", PASSWORD), await statusOf("heir", token)]).toEqual([401, 401]);

  await users.create({ name: "heir", password: OTHER, isAdmin: false });
  // Concurrent requests, because a verification in progress is shared.
  expect(await Promise.all([login("heir", PASSWORD), login("heir", OTHER), login("heir", PASSWORD)])).toEqual([
    401, 200, 401,
  ]);
  expect([await login("heir", PASSWORD), await login("heir", OTHER), await statusOf("heir", token)]).toEqual([
    401, 200, 401,
  ]);
  expect(await statusOf("boss", basic("heir", OTHER))).toBe(403);
});

test("a verified password is forgotten with its hash, whatever the user's version says", async () => {
  await server.addUser("restored");
  expect(await login("restored", PASSWORD)).toBe(200);
  setHash("restored", await Bun.password.hash(OTHER, COST));
  expect([await login("restored", PASSWORD), await login("restored", OTHER)]).toEqual([401, 200]);
});

test("the next user of a name does not inherit its failed logins", async () => {
  await server.addUser("tried");
  for (let attempt = 0; attempt < 10; attempt++) expect(await login("tried", `wrong-password-${attempt}`)).toBe(401);
  expect(await login("tried", PASSWORD)).toBe(429);
  await server.manage.users.remove("tried");
  await server.addUser("tried");
  expect(await login("tried", PASSWORD)).toBe(200);
});

test("a password that is replaced while it is being checked is refused", async () => {
  await server.addUser("changing");
  using tables = openTables(server.folder);
  const answers = await Promise.all([
    ...Array.from({ length: 6 }, (_, at) => login(`nobody-${at}`, OTHER)),
    login("changing", PASSWORD),
    // By then its row has been read, and six others are queued before it, three at a time: the new version comes first.
    Bun.sleep(READ_MS).then(() =>
      tables.run(
        `UPDATE "user" SET credential_version = 2 WHERE owner_id = (SELECT id FROM owner WHERE name = 'changing')`,
      ),
    ),
  ]);
  expect(answers[6]).toBe(401);
});

test("a hash with old parameters is replaced by concurrent logins, and stays valid", async () => {
  await server.addUser("old");
  const old = await Bun.password.hash(PASSWORD, COST);
  setHash("old", old);
  expect(await Promise.all([1, 2, 3].map(() => login("old", PASSWORD)))).toEqual([200, 200, 200]);
  for (let waited = 0; waited < 250 && storedHash("old") === old; waited++) await Bun.sleep(20);
  expect(storedHash("old")).toStartWith("$argon2id$v=19$m=19456,t=2,p=1$");
  expect([await login("old", PASSWORD), await login("old", OTHER)]).toEqual([200, 401]);
});

test("a rehash never overwrites a new password", async () => {
  await server.addUser("moving");
  const hash = await Bun.password.hash(OTHER, COST);
  setHash("moving", await Bun.password.hash(PASSWORD, COST));
  expect(await login("moving", PASSWORD)).toBe(200);
  // The old password is being rehashed at this point.
  setHash("moving", hash);
  await Bun.sleep(1000);
  expect(storedHash("moving")).toBe(hash);
});

test("a login succeeds when the new hash cannot be stored", async () => {
  await server.addUser("kept");
  setHash("kept", await Bun.password.hash(PASSWORD, COST));
  using tables = openTables(server.folder);
  await tables.lock();
  const started = performance.now();
  expect(await login("kept", PASSWORD)).toBe(200);
  expect(performance.now() - started).toBeLessThan(4000);
  tables.unlock();
});
