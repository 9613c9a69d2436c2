import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { apiOf, bearer, type ApiClient } from "../../support/api.ts";
import { basic, PASSWORD, startTestApp, type TestApp } from "../../support/app.ts";
import { newToken } from "../../support/manage.ts";
import { buildPackage } from "../../support/package-builder.ts";

type User = { id: number; login: string; email: string; visibility: string; active: boolean };

let server: TestApp;
let boss: ApiClient;
let alice: ApiClient;
let anonymous: ApiClient;

beforeAll(async () => {
  server = await startTestApp();
  await server.addUser("boss", { admin: true });
  for (const name of ["alice", "canary-private", "canary-internal", "canary-hidden"]) await server.addUser(name);
  [boss, alice, anonymous] = [apiOf(server, "boss"), apiOf(server, "alice"), apiOf(server)];
  for (const visibility of ["private", "internal"] as const) {
    await server.manage.channels.change({ owner: `canary-${visibility}`, channel: undefined }, { visibility });
  }
  await server.manage.users.setHidden("canary-hidden", true);
  await server.manage.users.change("alice", { email: "canary-address@example.org", displayName: "Alice A." });
});
afterAll(() => server.close());

describe("a profile", () => {
  test("of the caller has Gitea's members, with the address of the caller", async () => {
    const { status, json } = await alice("GET", "/user");
    expect(status).toBe(200);
    expect(json).toMatchObject({
      id: expect.any(Number),
      login: "alice",
      username: "alice",
      full_name: "Alice A.",
      email: "canary-address@example.org",
      is_admin: false,
      active: true,
      prohibit_login: false,
      visibility: "public",
      html_url: "https://conda.example/alice",
      created: expect.stringMatching(/^\d{4}-.*Z$/),
    });
    expect((await boss("GET", "/user")).json).toMatchObject({ login: "boss", is_admin: true });
    expect((await anonymous("GET", "/user")).status).toBe(401);
  });

  test("hides the address from everyone but the user and administrators, and from tokens for less than all", async () => {
    const token = await newToken(server.manage, { user: "alice", name: "reads" });
    const others = [anonymous, apiOf(server, "canary-private"), apiOf(server, undefined, bearer(token))];
    for (const client of others) {
      const { status, json, text } = await client("GET", "/users/alice");
      expect([status, json]).toMatchObject([200, { login: "alice", email: "" }]);
      expect(text).not.toContain("canary");
    }
    expect((await apiOf(server, undefined, bearer(token))("GET", "/user")).text).not.toContain("canary");
    for (const client of [alice, boss]) {
      expect((await client("GET", "/users/Alice")).json).toMatchObject({ email: "canary-address@example.org" });
    }
  });

  test("of a private, an internal, a hidden and an absent user is for those who can know it", async () => {
    const publicOnly = await newToken(server.manage, { user: "alice", name: "public", scopes: ["all", "public-only"] });
    const metrics = await newToken(server.manage, { user: "boss", name: "metrics", scopes: ["read:metrics"] });
    const clients: Record<string, ApiClient> = {
      anonymous,
      alice,
      boss,
      public: apiOf(server, undefined, bearer(publicOnly)),
      metrics: apiOf(server, undefined, bearer(metrics)),
    };
    const rows: Record<string, number[]> = {
      alice: [200, 200, 200, 200, 403],
      "canary-internal": [401, 200, 200, 404, 403],
      "canary-private": [401, 404, 200, 404, 403],
      "canary-hidden": [401, 404, 200, 404, 403],
      nobody: [401, 404, 404, 404, 403],
    };
    const texts = new Map<string, Set<string>>();
    for (const [user, wanted] of Object.entries(rows)) {
      for (const [at, [name, client]] of Object.entries(clients).entries()) {
        const { status, text } = await client("GET", `/users/${user}`);
        expect([user, name, status]).toEqual([user, name, wanted[at] ?? 0]);
        if (status !== 200 && name !== "boss") texts.set(name, (texts.get(name) ?? new Set()).add(text));
      }
    }
    for (const [name, seen] of texts) expect([name, seen.size]).toEqual([name, 1]);
  });
});

describe("an administrator", () => {
  test("creates a user, who can sign in", async () => {
    const form = {
      username: "carol",
      password: PASSWORD,
      email: "carol@example.org",
      full_name: "Carol",
      send_notify: true,
    };
    const made = await boss("POST", "/admin/users", { ...form, visibility: "limited", must_change_password: null });
    expect([made.status, made.json]).toMatchObject([
      201,
      { login: "carol", email: "carol@example.org", full_name: "Carol", visibility: "limited", is_admin: false },
    ]);
    expect((await apiOf(server, "carol")("GET", "/user")).json).toMatchObject({ login: "carol" });
    expect(made.text + server.log()).not.toContain(PASSWORD);
  });

  test.each([
    ["a taken name", { username: "alice", password: PASSWORD }, 422],
    ["a taken name in other letters", { username: "Alice", password: PASSWORD }, 422],
    ["a reserved name", { username: "api", password: PASSWORD }, 422],
    ["a name with a slash", { username: "a/b", password: PASSWORD }, 422],
    ["a short password", { username: "dave", password: "short" }, 400],
    ["a common password", { username: "dave", password: "Football" }, 400],
    ["no password", { username: "dave" }, 422],
    ["an address that is none", { username: "dave", password: PASSWORD, email: "dave" }, 422],
    ["an unknown visibility", { username: "dave", password: PASSWORD, visibility: "secret" }, 422],
  ])("creates no user with %s", async (_, form, status) => {
    const before = (await boss("GET", "/admin/users")).headers.get("x-total-count");
    expect((await boss("POST", "/admin/users", form)).status).toBe(status);
    expect((await boss("GET", "/admin/users")).headers.get("x-total-count")).toBe(before);
  });

  test("lists users with pages and a total", async () => {
    const { json, headers } = await boss("GET", "/admin/users?limit=2&page=2");
    expect((json as User[]).map(({ login }) => login)).toEqual(["canary-hidden", "canary-internal"]);
    expect(Number(headers.get("x-total-count"))).toBeGreaterThanOrEqual(5);
    expect(headers.get("link")).toContain('rel="prev"');
  });

  test("changes what is named and nothing else; a new password ends older tokens", async () => {
    await server.addUser("erin");
    const token = await newToken(server.manage, { user: "erin", name: "old" });
    const client = apiOf(server, undefined, bearer(token));
    const named = await boss("PATCH", "/admin/users/erin", { full_name: "Erin", login_name: "erin", source_id: 0 });
    expect([named.status, named.json]).toMatchObject([200, { full_name: "Erin", active: true, is_admin: false }]);
    expect((await client("GET", "/user")).status).toBe(200);
    const password = "another long password 77";
    expect((await boss("PATCH", "/admin/users/erin", { full_name: "Refused", password: "iloveyou" })).status).toBe(400);
    expect((await boss("PATCH", "/admin/users/erin", { password })).status).toBe(200);
    expect((await client("GET", "/user")).status).toBe(401);
    expect((await apiOf(server, "erin")("GET", "/user")).status).toBe(401);
    expect((await apiOf(server, undefined, basic("erin", password))("GET", "/user")).status).toBe(200);
    expect(server.log()).not.toContain(password);
  });

  test.each([[{ prohibit_login: true }], [{ active: false }], [{ active: true, prohibit_login: true }]])(
    "ends the login and the tokens of a user with %p",
    async (change) => {
      const name = `off-${Object.keys(change).length}-${"active" in change ? String(change.active) : ""}`.replace(
        /-$/,
        "",
      );
      await server.addUser(name);
      const token = apiOf(server, undefined, bearer(await newToken(server.manage, { user: name, name: "t" })));
      expect((await boss("PATCH", `/admin/users/${name}`, change)).json).toMatchObject({ prohibit_login: true });
      for (const client of [token, apiOf(server, name)]) expect((await client("GET", "/user")).status).toBe(401);
      expect((await boss("PATCH", `/admin/users/${name}`, { active: true, prohibit_login: false })).status).toBe(200);
      for (const client of [token, apiOf(server, name)]) expect((await client("GET", "/user")).status).toBe(200);
    },
  );

  test("stays, when it is the last one, and cannot delete itself", async () => {
    for (const change of [{ admin: false }, { prohibit_login: true }]) {
      expect((await boss("PATCH", "/admin/users/boss", change)).status).toBe(400);
    }
    expect((await boss("DELETE", "/admin/users/boss")).status).toBe(422);
    await server.addUser("second", { admin: true });
    expect((await boss("DELETE", "/admin/users/boss?purge=true")).status).toBe(422);
    expect((await apiOf(server, "second")("PATCH", "/admin/users/second", { admin: false })).status).toBe(200);
    expect((await boss("GET", "/user")).json).toMatchObject({ is_admin: true });
  });

  test("deletes a user with packages only with purge, and then everything that the user had", async () => {
    const user = await server.addUser("frank");
    const built = buildPackage({ name: "gone", version: "1" });
    expect((await user.put(`/api/packages/frank/conda/main/${built.fileName}`, built.bytes)).status).toBe(201);
    await server.manage.channels.create({ owner: "frank", channel: "empty" }, {});
    expect((await boss("DELETE", "/admin/users/frank")).status).toBe(422);
    expect((await user.get(`/frank/main/noarch/${built.fileName}`)).status).toBe(200);
    expect((await boss("DELETE", "/admin/users/frank?purge=true")).status).toBe(204);
    expect((await boss("GET", "/users/frank")).status).toBe(404);
    expect((await boss("DELETE", "/admin/users/frank")).status).toBe(404);
    expect((await boss("POST", "/admin/users", { username: "frank", password: PASSWORD })).status).toBe(422);
    expect((await server.anonymous.get(`/frank/main/noarch/${built.fileName}`)).status).toBe(401);
    expect((await alice("GET", "/user")).status).toBe(200);
  });

  test("renames a user, whose old name nobody else gets", async () => {
    await server.addUser("gina");
    const token = apiOf(server, undefined, bearer(await newToken(server.manage, { user: "gina", name: "t" })));
    const renamed = await boss("POST", "/admin/users/gina/rename", { new_username: "georgina" });
    expect([renamed.status, renamed.text]).toEqual([204, ""]);
    expect((await token("GET", "/user")).json).toMatchObject({ login: "georgina" });
    expect((await boss("GET", "/users/gina")).status).toBe(404);
    expect((await boss("POST", "/admin/users", { username: "gina", password: PASSWORD })).status).toBe(422);
    for (const new_username of ["alice", "api", "a/b", ""]) {
      const refused = await boss("POST", "/admin/users/georgina/rename", { new_username });
      expect([new_username, refused.status]).toEqual([new_username, 422]);
    }
    expect((await boss("POST", "/admin/users/nobody/rename", { new_username: "free" })).status).toBe(404);
    expect((await boss("GET", "/users/georgina")).status).toBe(200);
  });

  test("is needed for all of this, in every other case with the same answer for a known and an unknown user", async () => {
    const tokens = [
      { scopes: ["write:package"] },
      { scopes: ["all"], channels: ["a/b"] },
      { scopes: ["all", "public-only"] },
    ];
    const less = await Promise.all(
      tokens.map((limits, at) => newToken(server.manage, { user: "boss", name: `less ${at}`, ...limits })),
    );
    const clients = [alice, ...less.map((token) => apiOf(server, undefined, bearer(token)))];
    const calls = [
      ["POST", "", { username: "x", password: PASSWORD }],
      ["GET", ""],
      ["PATCH", "/alice", { admin: true }],
      ["DELETE", "/alice"],
      ["POST", "/alice/rename", { new_username: "x" }],
    ] as const;
    const before = (await boss("GET", "/admin/users")).json;
    for (const [method, path, body] of calls) {
      for (const client of clients) {
        const known = await client(method, `/admin/users${path}`, body);
        const unknown = await client(method, `/admin/users${path.replace("alice", "nobody")}`, body);
        expect([method, known.status, known.text]).toEqual([method, 403, unknown.text]);
      }
      expect((await anonymous(method, `/admin/users${path}`, body)).status).toBe(401);
    }
    expect((await boss("GET", "/admin/users")).json).toEqual(before);
  });
});
