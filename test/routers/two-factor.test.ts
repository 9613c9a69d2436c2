// Two-factor authentication as clients see it: how it is turned on and off, and which logins it accepts.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { TOTP, URI } from "otpauth";
import { COMMAND_LINE } from "../../src/services/actor.ts";
import { apiOf, bearer } from "../support/api.ts";
import { basic, PASSWORD, peerAt, startTestApp, type TestApp } from "../support/app.ts";
import { newToken } from "../support/manage.ts";
import { buildPackage } from "../support/package-builder.ts";
import { STEP_MS, turnOn, wrongCode, type Account } from "../support/two-factor.ts";

let now = Date.UTC(2030, 0, 1);
const clock = { now: () => now, elapsed: () => performance.now() };
const pass = (ms: number): void => void (now += ms);
const time = { now: clock.now, pass };

let server: TestApp;
let users = 0;
beforeAll(async () => {
  server = await startTestApp({ clock, settings: { "default-visibility": "private" } });
});
afterAll(() => server.close());

/** A user whose private channel is read with the password, so that the status tells whether the login was accepted. */
async function addUser(admin = false): Promise<string> {
  users += 1;
  const name = `user-${users}`;
  await server.addUser(name, { admin });
  return name;
}

type Sent = { readonly code?: string; readonly password?: string; readonly address?: string };
async function send(name: string, { code, password = PASSWORD, address = "192.0.2.1" }: Sent = {}): Promise<Response> {
  const headers = { ...basic(name, password), ...(code === undefined ? {} : { "x-gitea-otp": code }) };
  const request = new Request(`http://localhost/${name}/noarch/repodata.json`, { headers });
  return await server.app.handle(request, peerAt(address));
}
const login = async (name: string, sent?: Sent): Promise<number> => (await send(name, sent)).status;
const refusalOfReset = (name: string): Promise<unknown> =>
  server.app.twoFactor.reset(COMMAND_LINE, name).catch((error: unknown) => (error as { code: string }).code);
const detailOf = async (response: Response): Promise<string> => ((await response.json()) as { detail: string }).detail;

describe("turning two-factor authentication on", () => {
  test("gives a secret and a URI for an app, and changes no login until a code is confirmed", async () => {
    const name = await addUser();
    const api = apiOf(server, name);
    const { status, json, headers } = await api("POST", "/user/two-factor");
    expect([status, headers.get("cache-control")]).toEqual([201, "no-store"]);
    const { secret, uri } = json as { secret: string; uri: string };
    expect(secret).toMatch(/^[A-Z2-7]{32}$/);
    const app = URI.parse(uri);
    expect(app).toBeInstanceOf(TOTP);
    expect(app).toMatchObject({ issuer: "conda.example", label: name, algorithm: "SHA1", digits: 6, period: 30 });
    expect(app.secret.base32).toBe(secret);
    expect(await login(name)).toBe(200);
    expect(await login(name, { code: "000000" })).toBe(200);
  });

  test("again before it is confirmed replaces the secret", async () => {
    const name = await addUser();
    const api = apiOf(server, name);
    const begin = async (): Promise<TOTP> =>
      URI.parse(((await api("POST", "/user/two-factor")).json as { uri: string }).uri) as TOTP;
    const [first, second] = [await begin(), await begin()];
    const confirm = (app: TOTP) => api("POST", "/user/two-factor/confirm", { code: app.generate({ timestamp: now }) });
    expect((await confirm(first)).status).toBe(422);
    expect((await confirm(second)).status).toBe(200);
  });

  test("is refused with a wrong code, without a code, and before it has begun", async () => {
    const name = await addUser();
    const api = apiOf(server, name);
    expect((await api("POST", "/user/two-factor/confirm", { code: "123456" })).status).toBe(409);
    const { uri } = (await api("POST", "/user/two-factor")).json as { uri: string };
    const app = URI.parse(uri) as TOTP;
    const late = app.generate({ timestamp: now - 2 * STEP_MS });
    for (const body of [{ code: late }, { code: "abc" }, { code: "" }, {}, { code: 123_456 }])
      expect([body, (await api("POST", "/user/two-factor/confirm", body)).status]).toEqual([body, 422]);
    expect(await login(name)).toBe(200);
  });

  test("gives ten different recovery codes, and is refused while it is on", async () => {
    const name = await addUser();
    const { app, recoveryCodes, with: as } = await turnOn(server, name, time);
    expect(new Set(recoveryCodes).size).toBe(10);
    for (const code of recoveryCodes) expect(code).toMatch(/^[a-z2-7]{4}(-[a-z2-7]{4}){3}$/);
    expect((await as(app.code())("POST", "/user/two-factor")).status).toBe(409);
    pass(STEP_MS);
    expect((await as(app.code())("POST", "/user/two-factor/confirm", { code: app.code(1) })).status).toBe(409);
    pass(2 * STEP_MS);
    expect(await login(name, { code: app.code() })).toBe(200);
  });

  test("wants the password: a token is 403, and no login is 401", async () => {
    const name = await addUser(true);
    const token = apiOf(
      server,
      undefined,
      bearer(await newToken(server.manage, { user: name, name: "t", scopes: ["all"] })),
    );
    const anonymous = apiOf(server);
    for (const [method, path] of [
      ["POST", ""],
      ["POST", "/confirm"],
      ["DELETE", ""],
    ] as const) {
      const body = path === "" && method === "POST" ? undefined : { code: "123456" };
      expect([method, path, (await token(method, `/user/two-factor${path}`, body)).status]).toEqual([
        method,
        path,
        403,
      ]);
      expect([method, path, (await anonymous(method, `/user/two-factor${path}`, body)).status]).toEqual([
        method,
        path,
        401,
      ]);
    }
    expect(await login(name)).toBe(200);
  });

  test("uses up the code that confirms it", async () => {
    const name = await addUser();
    const { app } = await turnOn(server, name, time);
    expect(await login(name, { code: app.code(-1) })).toBe(401);
    expect(await login(name, { code: app.code() })).toBe(200);
  });

  test("during an upload with the password alone refuses the upload", async () => {
    const name = await addUser();
    const { bytes, fileName } = buildPackage({ name: "late", version: "1" });
    const half = bytes.length >> 1;
    const on = Promise.withResolvers<void>();
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(bytes.slice(0, half)),
      pull: async (controller) => {
        await on.promise;
        controller.enqueue(bytes.slice(half));
        controller.close();
      },
    });
    const upload = server.as(name).put(`/api/packages/${name}/conda/${fileName}`, body);
    await Bun.sleep(300);
    await turnOn(server, name, time);
    on.resolve();
    expect((await upload).status).toBe(401);
  });
});

describe("a login with two-factor authentication", () => {
  let name: string;
  let account: Account;
  beforeEach(async () => {
    name = await addUser();
    account = await turnOn(server, name, time);
  });

  test("by the password alone is 401, and says how to go on", async () => {
    const refused = await send(name);
    expect(refused.status).toBe(401);
    expect(refused.headers.get("www-authenticate")).toContain('Basic realm="condarium"');
    const detail = await detailOf(refused);
    for (const word of ["two-factor", "X-Gitea-OTP", "access token"]) expect(detail).toContain(word);
  });

  test("by password and code reads, publishes and calls the API", async () => {
    const { app } = account;
    const { bytes, fileName } = buildPackage({ name: "pkg", version: "1" });
    const path = `/api/packages/${name}/conda/${fileName}`;
    const put = (code?: string) => server.as(name).put(path, bytes, code === undefined ? {} : { "x-gitea-otp": code });
    expect((await put()).status).toBe(401);
    expect((await put(app.code())).status).toBe(201);
    pass(STEP_MS);
    expect(await login(name, { code: app.code() })).toBe(200);
    pass(STEP_MS);
    // Typed as the app shows it.
    expect(await login(name, { code: ` ${app.code().slice(0, 3)} ${app.code().slice(3)} ` })).toBe(200);
    expect((await account.with()("POST", "/user/two-factor")).status).toBe(401);
  });

  test("accepts the code of one step before and after, and of no other", async () => {
    const { app } = account;
    for (const steps of [-2, 2, 3, 20])
      expect([steps, await login(name, { code: app.code(steps) })]).toEqual([steps, 401]);
    pass(3 * STEP_MS);
    for (const steps of [-1, 0, 1]) expect([steps, await login(name, { code: app.code(steps) })]).toEqual([steps, 200]);
  });

  test("accepts a code once, and none from before it", async () => {
    const { app } = account;
    pass(STEP_MS);
    const [earlier, code] = [app.code(-1), app.code()];
    expect(await login(name, { code })).toBe(200);
    const again = await send(name, { code });
    expect([again.status, await detailOf(again)]).toEqual([401, expect.stringContaining("has been used")]);
    expect(await login(name, { code: earlier })).toBe(401);
    expect(await login(name, { code: app.code(1) })).toBe(200);
  });

  test("accepts a code when the clock of the server was a year ahead before, once", async () => {
    const before = now;
    pass(365 * 24 * 3_600_000);
    expect(await login(name, { code: account.app.code() })).toBe(200);
    now = before;
    const code = account.app.code();
    expect([await login(name, { code }), await login(name, { code })]).toEqual([200, 401]);
  });

  test("accepts a code in one of twenty requests at the same time", async () => {
    const code = account.app.code();
    const statuses = await Promise.all(Array.from({ length: 20 }, () => login(name, { code })));
    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
    expect(statuses.filter((status) => status === 401)).toHaveLength(19);
  });

  test("that repeats a used code counts as no failed login", async () => {
    const code = account.app.code();
    expect(await login(name, { code })).toBe(200);
    for (let at = 0; at < 15; at++) expect(await login(name, { code })).toBe(401);
    pass(STEP_MS);
    expect(await login(name, { code: account.app.code() })).toBe(200);
  });

  test("wants a code while the password is remembered", async () => {
    expect(await login(name, { code: account.app.code() })).toBe(200);
    for (const code of [undefined, account.app.code()])
      expect(await login(name, code === undefined ? {} : { code })).toBe(401);
    pass(STEP_MS);
    expect(await login(name, { code: account.app.code() })).toBe(200);
  });

  test("by a wrong password is the same answer with a right code, a wrong one and none, and uses no code up", async () => {
    const { app } = account;
    const code = app.code();
    const seen = new Set<string>();
    for (const sent of [{}, { code }, { code: wrongCode(app) }, { code: account.recoveryCodes[0] ?? "" }]) {
      const refused = await send(name, { ...sent, password: `wrong-${seen.size}-password` });
      const headers = [...refused.headers].filter(([header]) => header !== "x-request-id");
      const { request_id: _, ...body } = (await refused.json()) as Record<string, unknown>;
      seen.add(JSON.stringify([refused.status, headers, body]).replaceAll(/[0-9a-f-]{36}/g, ""));
    }
    expect([...seen]).toEqual([expect.stringContaining("The user name or the password is wrong.")]);
    expect(await login(name, { code })).toBe(200);
    expect(await login(name, { code: account.recoveryCodes[0] ?? "" })).toBe(200);
  });

  test("by wrong codes is limited as by wrong passwords, for the network that sends them", async () => {
    const { app } = account;
    const address = "198.51.100.9";
    const statuses: number[] = [];
    for (let at = 0; at < 12; at++) statuses.push(await login(name, { code: wrongCode(app, at * 10), address }));
    expect(statuses).toEqual([...Array<number>(10).fill(401), 429, 429]);
    expect(await login(name, { code: app.code(), address })).toBe(429);
    expect(await login(name, { code: app.code() })).toBe(200);
    await server.manage.users.unlock(name);
    pass(STEP_MS);
    expect(await login(name, { code: app.code(), address })).toBe(200);
  });

  test("by wrong codes at the same time tries no more of them than one after another", async () => {
    const address = "198.51.100.10";
    expect(await login(name, { code: account.app.code(), address })).toBe(200);
    const codes = Array.from({ length: 30 }, (_, at) => wrongCode(account.app, at * 10));
    const statuses = await Promise.all(codes.map((code) => login(name, { code, address })));
    expect(statuses.filter((status) => status === 401)).toHaveLength(10);
    expect(statuses.filter((status) => status === 429)).toHaveLength(20);
  });

  test("by the same wrong code again counts once", async () => {
    const code = wrongCode(account.app);
    for (let at = 0; at < 15; at++) expect(await login(name, { code })).toBe(401);
    expect(await login(name, { code: account.app.code() })).toBe(200);
  });

  test("by wrong passwords and wrong codes counts together", async () => {
    const address = "198.51.100.11";
    for (let at = 0; at < 5; at++) {
      expect(await login(name, { password: `wrong-password-${at}`, address })).toBe(401);
      expect(await login(name, { code: wrongCode(account.app, at * 10), address })).toBe(401);
    }
    expect(await login(name, { code: wrongCode(account.app, 99), address })).toBe(429);
  });

  test("accepts each recovery code once, however it is typed", async () => {
    const [first = "", second = ""] = account.recoveryCodes;
    expect(await login(name, { code: first.toUpperCase().replaceAll("-", " ") })).toBe(200);
    expect(await login(name, { code: first })).toBe(401);
    const statuses = await Promise.all(Array.from({ length: 5 }, () => login(name, { code: second })));
    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
    const other = await addUser();
    await turnOn(server, other, time);
    expect(await login(other, { code: account.recoveryCodes[2] ?? "" })).toBe(401);
  });

  test("by a token needs no code, and ignores one", async () => {
    const token = await newToken(server.manage, { user: name, name: "ci" });
    const path = `/${name}/noarch/repodata.json`;
    for (const headers of [bearer(token), basic(name, token), basic(token, "")]) {
      expect((await server.anonymous.get(path, headers)).status).toBe(200);
      expect((await server.anonymous.get(path, { ...headers, "x-gitea-otp": "000000" })).status).toBe(200);
    }
    expect((await server.anonymous.get(`/t/${token}${path}`)).status).toBe(200);
  });

  test("by something that is no code is refused", async () => {
    for (const code of ["12345", "1234567", "abcdef", "12345\u00b2", "constructor", "a".repeat(16), "x".repeat(65)])
      expect([code, await login(name, { code })]).toEqual([code, 401]);
    expect(await detailOf(await send(name, { code: "x".repeat(65) }))).toBe("The X-Gitea-OTP header is too long.");
  });
});

describe("turning two-factor authentication off", () => {
  test("takes the code of the login in the body too, and then the password alone is accepted", async () => {
    const name = await addUser();
    const { app, with: as } = await turnOn(server, name, time);
    expect((await as()("DELETE", "/user/two-factor", { code: app.code() })).status).toBe(401);
    const code = app.code();
    expect((await as(code)("DELETE", "/user/two-factor", { code: ` ${code} ` })).status).toBe(204);
    expect(await login(name)).toBe(200);
    expect((await as()("DELETE", "/user/two-factor", { code })).status).toBe(409);
  });

  test("takes another code or a recovery code, and no wrong or used one", async () => {
    const name = await addUser();
    const { app, recoveryCodes, with: as } = await turnOn(server, name, time);
    const [first = "", second = ""] = recoveryCodes;
    expect((await as(first)("DELETE", "/user/two-factor", { code: wrongCode(app) })).status).toBe(401);
    expect((await as(app.code())("DELETE", "/user/two-factor", { code: first })).status).toBe(401);
    expect((await as(app.code(1))("DELETE", "/user/two-factor", {})).status).toBe(422);
    expect(await login(name)).toBe(401);
    pass(3 * STEP_MS);
    expect((await as(app.code())("DELETE", "/user/two-factor", { code: second })).status).toBe(204);
    expect(await login(name)).toBe(200);
    const again = await turnOn(server, name, time);
    expect(await login(name, { code: recoveryCodes[2] ?? "" })).toBe(401);
    expect(await login(name, { code: app.code() })).toBe(401);
    expect(await login(name, { code: again.app.code() })).toBe(200);
  });

  test("by a reset needs no code, keeps tokens, and is refused where it is off", async () => {
    const name = await addUser();
    const { twoFactor, users: listed } = server.app;
    const isOn = async () => (await listed.list(COMMAND_LINE)).find((user) => user.name === name)?.twoFactor;
    expect(await isOn()).toBe(false);
    const { app } = await turnOn(server, name, time);
    const token = await newToken(server.manage, { user: name, name: "ci" });
    expect(await isOn()).toBe(true);
    await twoFactor.reset(COMMAND_LINE, name);
    expect([await isOn(), await login(name)]).toEqual([false, 200]);
    expect((await server.withToken(token).get(`/${name}/noarch/repodata.json`)).status).toBe(200);
    expect([await refusalOfReset(name), await refusalOfReset("nobody-here")]).toEqual(["conflict", "not-found"]);
    const again = await turnOn(server, name, time);
    expect(await login(name, { code: app.code() })).toBe(401);
    expect(await login(name, { code: again.app.code() })).toBe(200);
  });

  test("does not happen with a new password", async () => {
    const name = await addUser();
    const { app } = await turnOn(server, name, time);
    const password = "another-long-password";
    await server.manage.users.setPassword(name, password);
    expect(await login(name, { password })).toBe(401);
    expect(await login(name, { password, code: app.code() })).toBe(200);
  });
});

test("neither the secret nor a code of two-factor authentication is in a log or a later answer", async () => {
  const name = await addUser(true);
  const { app, secret, recoveryCodes, with: as } = await turnOn(server, name, time);
  const texts: string[] = [];
  const note = async (answer: Promise<{ text: string; headers: Headers }>): Promise<void> => {
    const { text, headers } = await answer;
    texts.push(text, JSON.stringify([...headers]));
  };
  const sent = [app.code(), wrongCode(app), recoveryCodes[0] ?? "", app.code(1)];
  for (const code of sent) {
    await note(as(code)("POST", "/user/two-factor"));
    await note(as(code)("POST", "/user/two-factor/confirm", { code }));
  }
  await note(as(recoveryCodes[1])("DELETE", "/user/two-factor", { code: wrongCode(app) }));
  texts.push(JSON.stringify(await server.app.users.list(COMMAND_LINE)));
  const seen = `${texts.join("\n")}\n${server.log()}`;
  expect(seen).toContain(name);
  expect(seen).not.toContain(secret);
  for (const code of [...recoveryCodes, ...recoveryCodes.map((one) => one.replaceAll("-", ""))])
    expect(seen).not.toContain(code);
  for (const code of sent) expect(texts.join("\n")).not.toContain(`"${code}"`);
  expect(server.log()).toContain("with a used code");
});
