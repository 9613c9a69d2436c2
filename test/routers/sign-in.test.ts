// Logins and tokens as clients of several networks see them, and what of them is logged and stored.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { basic, PASSWORD, peerAt, startTestApp, type TestApp } from "../support/app.ts";
import { newToken } from "../support/manage.ts";
import { openTables, type Tables } from "../support/rows.ts";

const SETTINGS = { "default-visibility": "private" };
const MINUTE_MS = 60_000;

let server: TestApp;
let tables: Tables;
let now = Date.UTC(2030, 0, 1);
let elapsed = 0;
const clock = { now: () => now, elapsed: () => performance.now() + elapsed };

async function start(folder?: string): Promise<void> {
  server = await startTestApp({ clock, settings: SETTINGS, ...(folder === undefined ? {} : { folder }) });
  tables = openTables(server.folder);
}
async function restart(): Promise<void> {
  tables.close();
  await server.app.close();
  await start(server.folder);
}
/** All counts of failures end; successes and remembered passwords stay. */
const pass = (minutes = 11): void => void (now += minutes * MINUTE_MS);

beforeAll(() => start());
afterAll(async () => {
  tables.close();
  await server.close();
});

type Sent = { readonly address?: string; readonly path?: string };
async function send(headers: Record<string, string>, { address = "192.0.2.1", path }: Sent = {}): Promise<Response> {
  const url = `http://localhost${path ?? "/metrics"}`;
  return await server.app.handle(new Request(url, { headers }), peerAt(address));
}
const login = async (name: string, password: string, address?: string): Promise<number> =>
  (await send(basic(name, password), { path: `/${name}/noarch/repodata.json`, ...(address ? { address } : {}) }))
    .status;
const guess = (name: string, address: string, word: number | string): Promise<number> =>
  login(name, `wrong-password-${word}`, address);
const failuresOf = (bucket: string): unknown =>
  tables.all("SELECT failures FROM login_failure WHERE bucket = ?", bucket)[0]?.failures;
const idOf = (name: string): unknown =>
  tables.all('SELECT "user".id AS id FROM "user" JOIN owner ON owner.id = owner_id WHERE name = ?', name)[0]?.id;
const setFailures = (bucket: string, failures: number): void =>
  tables.run(
    "INSERT INTO login_failure VALUES (?, ?, ?) ON CONFLICT (bucket) DO UPDATE SET window_start = excluded.window_start, failures = excluded.failures",
    bucket,
    now,
    failures,
  );
const written = async (bucket: string): Promise<void> => {
  for (let waited = 0; waited < 250 && failuresOf(bucket) === undefined; waited++) await Bun.sleep(10);
};

describe("failed logins", () => {
  test("from one network block the account there, and nowhere else", async () => {
    await server.addUser("anna");
    const statuses: number[] = [];
    for (let at = 0; at < 12; at++) statuses.push(await guess("anna", "192.0.2.66", at));
    expect(statuses).toEqual([401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 429, 429]);
    expect(await login("anna", PASSWORD, "192.0.2.66")).toBe(429);
    for (const address of ["198.51.100.7", "192.0.2.67", "2001:db8::7"])
      expect([address, await login("anna", PASSWORD, address)]).toEqual([address, 200]);
  });

  test("from one /64 count together, also as mapped addresses, and those from another /64 apart", async () => {
    await server.addUser("bert");
    for (let at = 0; at < 10; at++) expect(await guess("bert", `2001:db8:0:1::${at}`, at)).toBe(401);
    expect(await guess("bert", "2001:db8:0:1:ffff::1", "x")).toBe(429);
    expect(await guess("bert", "2001:db8:0:2::1", "x")).toBe(401);
    for (let at = 0; at < 10; at++)
      expect(await guess("bert", at % 2 ? "192.0.2.68" : "::ffff:192.0.2.68", at)).toBe(401);
    expect(await guess("bert", "192.0.2.68", "y")).toBe(429);
  });

  test("with the same password count once, for every limit and every network", async () => {
    await server.addUser("cora");
    const account = `user:${String(idOf("cora"))}`;
    for (let at = 0; at < 12; at++) expect(await guess("cora", "192.0.2.2", "old")).toBe(401);
    for (let at = 0; at < 12; at++) expect(await guess("cora", "192.0.2.3", "old")).toBe(401);
    expect([failuresOf(account), failuresOf(`${account}@192.0.2.2`), failuresOf(`${account}@192.0.2.3`)]).toEqual([
      1, 1, 1,
    ]);
    expect([failuresOf("address:192.0.2.2"), failuresOf("address:192.0.2.3")]).toEqual([1, 1]);
    for (const address of ["192.0.2.2", "192.0.2.3", "192.0.2.4"])
      expect(await login("cora", PASSWORD, address)).toBe(200);
    expect(await guess("cora", "192.0.2.2", "other")).toBe(401);
    expect(failuresOf(account)).toBe(2);
  });

  test("with a password that becomes the right one are accepted from then on", async () => {
    await server.addUser("dora");
    expect(await guess("dora", "192.0.2.5", "new")).toBe(401);
    await server.manage.users.setPassword("dora", "wrong-password-new");
    expect(await guess("dora", "192.0.2.5", "new")).toBe(200);
    await server.manage.users.setDisabled("dora", true);
    expect(await guess("dora", "192.0.2.5", "new")).toBe(401);
    await server.manage.users.setDisabled("dora", false);
    expect(await guess("dora", "192.0.2.5", "new")).toBe(200);
  });

  test("in parallel do not exceed the limit, and do not refuse right passwords below it", async () => {
    await server.addUser("emil");
    const flood = await Promise.all(Array.from({ length: 66 }, (_, at) => guess("emil", "192.0.2.6", at)));
    expect(flood.filter((status) => status === 401)).toHaveLength(10);
    expect(flood.filter((status) => status === 429)).toHaveLength(56);

    const names = ["fay-1", "fay-2", "fay-3", "fay-4"];
    for (const name of names) await server.addUser(name);
    setFailures("address:192.0.2.7", 29);
    expect(await Promise.all(names.map((name) => login(name, PASSWORD, "192.0.2.7")))).toEqual([200, 200, 200, 200]);
    const wrong = await Promise.all(names.map((name) => guess(name, "192.0.2.7", "x")));
    expect(wrong.sort()).toEqual([401, 429, 429, 429]);
  });

  test("of an account are the same sequence of responses for a name without one, also after a restart", async () => {
    await server.addUser("gina");
    const seen: Record<string, unknown[]> = { gina: [], nobody: [] };
    const note = async (name: string, address: string, word: number | string): Promise<void> => {
      // Letter case does not matter in either.
      const typed = seen[name]?.length === 3 ? name.toUpperCase() : name;
      const answer = await send(basic(typed, `wrong-password-${word}`), { address, path: "/metrics" });
      seen[name]?.push([answer.status, answer.headers.get("retry-after"), await answer.text()]);
    };
    for (const name of ["gina", "nobody"]) {
      const network = name === "gina" ? "192.0.2.8" : "192.0.2.9";
      for (let at = 0; at < 9; at++) await note(name, network, at);
    }
    await restart();
    for (const name of ["gina", "nobody"]) {
      const network = name === "gina" ? "192.0.2.8" : "192.0.2.9";
      for (const word of ["a", "b", "a"]) await note(name, network, word);
    }
    expect(seen.nobody).toEqual(seen.gina ?? []);
    expect(JSON.stringify(seen.gina)).toContain("429");
  });

  test("of strangers slow only networks without a recent login, also after a restart", async () => {
    await server.addUser("hans");
    const account = `user:${String(idOf("hans"))}`;
    expect(await login("hans", PASSWORD, "2001:db8:5::1")).toBe(200);
    await written(`known:${account}@2001:db8:5:0::/64`);
    setFailures(account, 100);
    await restart();
    expect(await login("hans", PASSWORD, "192.0.2.10")).toBe(429);
    expect(await login("hans", PASSWORD, "2001:db8:5::2")).toBe(200);
    // A known network can guess no more than others.
    for (let at = 0; at < 10; at++) expect(await guess("hans", "2001:db8:5::3", at)).toBe(401);
    expect(await guess("hans", "2001:db8:5::3", "x")).toBe(429);
    pass();
    expect(await login("hans", PASSWORD, "192.0.2.10")).toBe(200);
  });

  test("count for a network again when its last login is more than thirty days ago", async () => {
    await server.addUser("hugo");
    const account = `user:${String(idOf("hugo"))}`;
    for (const days of [29, 31]) {
      tables.run(
        "INSERT INTO login_failure VALUES (?, ?, 0)",
        `known:${account}@203.0.113.${days}`,
        now - days * 86_400_000,
      );
    }
    setFailures(account, 100);
    // In this order, because a verified password counts everywhere for a while.
    expect([await login("hugo", PASSWORD, "203.0.113.31"), await login("hugo", PASSWORD, "203.0.113.29")]).toEqual([
      429, 200,
    ]);
  });

  test("that the database cannot store count all the same", async () => {
    await server.addUser("ilse");
    setFailures(`user:${String(idOf("ilse"))}@192.0.2.11`, 9);
    await tables.lock();
    expect(await guess("ilse", "192.0.2.11", 1)).toBe(503);
    tables.unlock();
    expect(await login("ilse", PASSWORD, "192.0.2.11")).toBe(429);
    expect(await login("ilse", PASSWORD, "192.0.2.12")).toBe(200);
  });

  test("flooding from one /64 refuse no login from elsewhere", async () => {
    for (let at = 0; at < 25; at++) await server.addUser(`guest-${at}`);
    pass();
    const flood = Array.from({ length: 400 }, (_, at) => guess(`x-${at}`, `2001:db8:9::${at.toString(16)}`, at));
    const guests = Array.from({ length: 25 }, (_, at) => login(`guest-${at}`, PASSWORD, `203.0.113.${at}`));
    expect((await Promise.all(guests)).filter((status) => status !== 200)).toEqual([]);
    const refused = await Promise.all(flood);
    expect(refused.filter((status) => status === 401)).toHaveLength(30);
    expect(refused.filter((status) => status === 429)).toHaveLength(370);
  });

  test("are forgotten by unlock, for that account only", async () => {
    for (const name of ["ida", "ivo"]) await server.addUser(name);
    // The id of one is a prefix of the other's.
    const ida = `user:${String(idOf("ida"))}`;
    setFailures(`${ida}@192.0.2.13`, 10);
    setFailures(ida, 100);
    for (const bucket of [`${ida}0`, `${ida}0@192.0.2.13`, `known:${ida}@192.0.2.13`, "address:192.0.2.13"])
      setFailures(bucket, 1);
    expect(await login("ida", PASSWORD, "192.0.2.13")).toBe(429);
    await server.manage.users.unlock("ida");
    const rest = tables.all(
      "SELECT bucket FROM login_failure WHERE bucket LIKE ? ORDER BY bucket",
      `%${ida.slice(5)}%192.0.2.13`,
    );
    expect([failuresOf(ida), failuresOf(`${ida}@192.0.2.13`)]).toEqual([undefined, undefined]);
    expect(rest.map(({ bucket }) => bucket)).toEqual([`known:${ida}@192.0.2.13`, `${ida}0@192.0.2.13`]);
    expect([failuresOf(`${ida}0`), failuresOf("address:192.0.2.13")]).toEqual([1, 1]);
    expect(await login("ida", PASSWORD, "192.0.2.13")).toBe(200);
    expect(await server.manage.users.unlock("no-one").catch((error: unknown) => error)).toMatchObject({
      code: "not-found",
    });
  });

  test("and known networks of a deleted user leave no row", async () => {
    await server.addUser("jens");
    const account = `user:${String(idOf("jens"))}`;
    expect(await login("jens", PASSWORD, "192.0.2.14")).toBe(200);
    expect(await guess("jens", "192.0.2.14", 1)).toBe(401);
    await written(`known:${account}@192.0.2.14`);
    await server.manage.users.remove("jens");
    expect(tables.all("SELECT bucket FROM login_failure WHERE bucket LIKE ?", `%${account}%`)).toEqual([]);
  });
});

describe("a password", () => {
  test("typed as the user name is in no log line and no table", async () => {
    const typed = "My-Secret-Canary-77";
    for (const [name, password] of [
      [typed, ""],
      [typed, PASSWORD],
      [typed, typed],
    ] as const)
      expect((await send(basic(name, password))).status).toBe(401);
    expect(server.log()).toContain('"account":"(no such account)"');
    expect(server.log().toLowerCase()).not.toContain("canary-77");
    const stored = tables.dump() + JSON.stringify(tables.all("SELECT * FROM login_failure"));
    expect(stored.toLowerCase()).not.toContain("canary-77");
    await server.addUser("karl");
    expect(await guess("KARL", "192.0.2.15", 1)).toBe(401);
    expect(server.log()).toContain('"account":"karl"');
  });

  test("can be sent in UTF-8 and in Latin-1", async () => {
    await server.manage.users.create({ name: "lars", password: "größe-älter", isAdmin: false });
    const sent = async (encoding: "utf8" | "latin1", password: string): Promise<number> => {
      const value = Buffer.from(`lars:${password}`, encoding).toString("base64");
      return (await send({ authorization: `Basic ${value}` }, { path: "/lars/noarch/repodata.json" })).status;
    };
    expect([await sent("utf8", "größe-älter"), await sent("latin1", "größe-älter")]).toEqual([200, 200]);
    expect([await sent("latin1", "größe-ölter"), await sent("latin1", "grosse-alter")]).toEqual([401, 401]);
  });
});

describe("the Kelvin sign", () => {
  test("is no k: not in the name of an account, not in an address", async () => {
    const kay = await server.addUser("k");
    expect((await kay.get("/K/noarch/repodata.json")).status).toBe(200);
    expect((await kay.get("/%E2%84%AA/noarch/repodata.json")).status).not.toBe(200);
    expect(await login("k", PASSWORD)).toBe(200);
    const roles = (owner: string) => server.manage.grants.list({ owner, channel: undefined });
    expect(await roles("K")).toEqual([]);
    expect(await roles("\u212a").catch((error: unknown) => error)).toMatchObject({ code: "not-found" });
    expect((await send(basic("\u212a", PASSWORD), { path: "/k/noarch/repodata.json" })).status).toBe(401);
  });
});

describe("a token", () => {
  const detailOf = async (headers: Record<string, string>): Promise<unknown> => {
    const answer = await send(headers, { path: "/mia/noarch/repodata.json" });
    const { detail } = (await answer.json()) as { detail?: unknown };
    return [answer.status, answer.headers.get("www-authenticate") !== null, detail];
  };
  const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });

  test("that existed says why it is refused, and one that never existed only that it is not known", async () => {
    await server.addUser("mia");
    const make = (name: string, lifetime?: number) => newToken(server.manage, { user: "mia", name, lifetime });
    const [expired, revoked, old] = [await make("expired", MINUTE_MS), await make("revoked"), await make("old")];
    await server.manage.tokens.revoke("mia", "revoked");
    const until = new Date(now + MINUTE_MS).toISOString().slice(0, 16);
    pass();
    expect(await detailOf(bearer(expired))).toEqual([
      401,
      true,
      expect.stringMatching(new RegExp(`^The access token expired on ${until}:\\d\\dZ\\.`)),
    ]);
    expect(await detailOf(bearer(revoked))).toEqual([401, true, expect.stringContaining("was revoked")]);
    await server.manage.users.setPassword("mia", `${PASSWORD}2`);
    expect(await detailOf(bearer(old))).toEqual([
      401,
      true,
      expect.stringContaining("older than the current password"),
    ]);
    const current = await make("current");
    expect(await detailOf(bearer(current))).toEqual([200, false, undefined]);
    await server.manage.users.setDisabled("mia", true);
    expect(await detailOf(bearer(current))).toEqual([401, true, expect.stringContaining("is disabled")]);
    const unknown = [401, true, "The access token is not known: it is mistyped or was deleted."];
    const never = await newToken(server.manage, { user: "k", name: "never" });
    tables.run("DELETE FROM access_token WHERE name = 'never'");
    for (const token of [never, `${current.slice(0, -1)}_`, "cdr-x", "x"])
      expect(await detailOf(bearer(token))).toEqual(unknown);
    for (const detail of [await detailOf(bearer(expired)), await detailOf(bearer(current))])
      expect(JSON.stringify(detail)).not.toMatch(/mia|"current"/);
  });

  test("can have the name of an expired, a revoked or an invalidated one, and not of a valid one", async () => {
    await server.addUser("nina");
    const make = (lifetime?: number) => newToken(server.manage, { user: "nina", name: "ci", lifetime });
    const taken = (): Promise<unknown> => make().catch((error: unknown) => error);
    const works = async (token: string): Promise<boolean> =>
      (await send(bearer(token), { path: "/nina/noarch/repodata.json" })).status === 200;
    const first = await make(MINUTE_MS);
    expect(await taken()).toMatchObject({ code: "conflict" });
    pass();
    const second = await make();
    expect([await works(first), await works(second)]).toEqual([false, true]);
    expect(await taken()).toMatchObject({ code: "conflict" });
    await server.manage.users.setDisabled("nina", true);
    expect(await taken()).toMatchObject({ code: "conflict" });
    await server.manage.users.setDisabled("nina", false);
    await server.manage.tokens.revoke("nina", "ci");
    expect([await works(first), await works(second)]).toEqual([false, false]);
    const third = await make();
    await server.manage.users.setPassword("nina", `${PASSWORD}2`);
    const fourth = await make();
    expect([await works(third), await works(fourth)]).toEqual([false, true]);
    await server.manage.tokens.revoke("nina", "ci");
    expect(await works(fourth)).toBe(false);
  });
});

describe("X-Forwarded-For from an address that is not trusted", () => {
  test("is reported once, with the address and the setting", async () => {
    for (const address of ["192.0.2.20", "192.0.2.21"]) await send({ "x-forwarded-for": "198.51.100.1" }, { address });
    const lines = server
      .log()
      .split("\n")
      .filter((line) => line.includes("proxy-not-trusted"));
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ level: "warn", address: "192.0.2.20" });
    expect(lines[0]).toContain("trusted-proxies");
    expect(server.log()).not.toContain('"address":"198.51.100.1"');
  });
});
