import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { apiOf, bearer, type ApiClient } from "../../support/api.ts";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { insertToken } from "../../../src/models/access-token.ts";
import { findUser } from "../../../src/models/user.ts";
import { systemClock } from "../../../src/modules/clock.ts";
import { enginesOf } from "../../support/engines.ts";
import { startTestApp, type TestApp } from "../../support/app.ts";
import { newToken } from "../../support/manage.ts";
import { peopleOf } from "../../support/people.ts";

type Token = {
  id: number;
  name: string;
  sha1: string;
  token_last_eight: string;
  scopes: string[];
  created_at: string;
  channels: string[];
  packages: string[];
  expires_at: string | null;
  last_used_at: string | null;
};

let server: TestApp;
let alice: ApiClient;
let boss: ApiClient;

beforeAll(async () => {
  server = await startTestApp();
  for (const name of ["alice", "bob", "crowd"]) await server.addUser(name);
  await server.addUser("boss", { admin: true });
  alice = apiOf(server, "alice");
  boss = apiOf(server, "boss");
});
afterAll(() => server.close());

const TOKENS = "/users/alice/tokens";
const withToken = (token: string): ApiClient => apiOf(server, undefined, bearer(token));
const namesOf = async (client: ApiClient, user = "alice"): Promise<string[]> =>
  ((await client("GET", `/users/${user}/tokens`)).json as Token[]).map(({ name }) => name);

describe("a new token", () => {
  test("is shown once, with Gitea's members, and works as its limits say", async () => {
    const limits = { scopes: ["write:package"], channels: ["alice/main"], packages: ["my-*"] };
    const made = await alice("POST", TOKENS, { name: "ci", ...limits, expires_at: "2099-01-02T03:04:05+01:00" });
    const token = made.json as Token;
    expect(made.status).toBe(201);
    expect(token).toEqual({
      ...limits,
      id: expect.any(Number),
      name: "ci",
      sha1: expect.stringMatching(/^cdr-[0-9A-Za-z]{38}$/),
      token_last_eight: token.sha1.slice(-8),
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      expires_at: "2099-01-02T02:04:05Z",
      last_used_at: null,
    });
    expect((await withToken(token.sha1)("GET", "/user")).status).toBe(200);
    const list = await alice("GET", TOKENS);
    expect(list.text).not.toContain(token.sha1);
    expect(list.json).toContainEqual({ ...token, sha1: "", last_used_at: null });
    expect(server.log()).not.toContain(token.sha1);
  });

  test("can only read when no scope is named, also when a client sends null for what it does not set", async () => {
    const unset = { scopes: null, channels: null, packages: null, expires_at: null, extra: "ignored" };
    const made = await alice("POST", TOKENS, { name: "unset", ...unset });
    expect([made.status, made.json]).toMatchObject([201, { scopes: ["read:package"], channels: [], expires_at: null }]);
  });

  test.each([
    ["a taken name", { name: "taken" }, 400],
    ["an unknown scope", { name: "x", scopes: ["write:repository"] }, 400],
    ["a name that is not allowed", { name: "a/b" }, 400],
    ["a channel that cannot exist", { name: "x", channels: ["noarch"] }, 400],
    ["a time in the past", { name: "x", expires_at: "2020-01-01T00:00:00Z" }, 400],
    ["no name", { scopes: ["all"] }, 422],
    ["scopes that are no list", { name: "x", scopes: "all" }, 422],
    ["a time that is none", { name: "x", expires_at: "tomorrow" }, 422],
    ["too many channels", { name: "x", channels: Array.from({ length: 65 }, () => "a/b") }, 422],
  ])("is refused with %s, and nothing is stored", async (_, body, status) => {
    if (!(await namesOf(alice)).includes("taken")) await newToken(server.manage, { user: "alice", name: "taken" });
    const before = await namesOf(alice);
    const refused = await alice("POST", TOKENS, body);
    expect([refused.status, refused.headers.get("content-type")]).toEqual([status, "application/problem+json"]);
    expect(await namesOf(alice)).toEqual(before);
  });

  test("of 50 requests with the same name at the same time, one is answered 201", async () => {
    const crowd = apiOf(server, "crowd");
    await crowd("GET", "/user");
    const made = await Promise.all(
      Array.from({ length: 50 }, () => crowd("POST", "/users/crowd/tokens", { name: "one" })),
    );
    const statuses = made.map(({ status }) => status).sort();
    expect(statuses).toEqual([201, ...Array.from({ length: 49 }, () => 400)]);
    expect(await namesOf(crowd, "crowd")).toEqual(["one"]);
  });
});

describe("who makes a token", () => {
  test.each([
    [[]],
    [["read:package"]],
    [["write:package"]],
    [["delete:package", "manage:channel"]],
    [["all", "public-only"]],
  ])("is not a token with the scopes %p", async (scopes) => {
    const name = `maker ${scopes.join(" ").replaceAll(":", "-")}`;
    const token = await newToken(server.manage, { user: "alice", name, scopes });
    const before = await namesOf(alice);
    for (const [method, path] of [
      ["POST", TOKENS],
      ["GET", TOKENS],
      ["DELETE", TOKENS],
      ["DELETE", `${TOKENS}/taken`],
    ] as const) {
      const body = method === "POST" ? { name: "wider", scopes: ["all"] } : undefined;
      expect([method, (await withToken(token)(method, path, body)).status]).toEqual([method, 403]);
    }
    expect(await namesOf(alice)).toEqual(before);
  });

  test("is not a token that is bound to channels or packages, whatever its scope", async () => {
    for (const bound of [{ channels: ["alice/main"] }, { packages: ["my-*"] }]) {
      const name = `bound ${Object.keys(bound).join(" ")}`;
      const token = await newToken(server.manage, { user: "alice", name, scopes: ["all"], ...bound });
      expect((await withToken(token)("POST", TOKENS, { name: "wider" })).status).toBe(403);
    }
  });

  test("is a token for all, which the new one does not outlive", async () => {
    const token = await newToken(server.manage, { user: "alice", name: "short", scopes: ["all"], lifetime: 3_600_000 });
    const client = withToken(token);
    const soon = new Date(Date.now() + 60_000).toISOString();
    const late = new Date(Date.now() + 7_200_000).toISOString();
    expect((await client("POST", TOKENS, { name: "forever" })).status).toBe(403);
    expect((await client("POST", TOKENS, { name: "longer", expires_at: late })).status).toBe(403);
    expect((await client("POST", TOKENS, { name: "shorter", expires_at: soon })).status).toBe(201);
  });

  test("is not another user, for whom an existing account looks like an absent one; nor anyone without a credential", async () => {
    const bob = apiOf(server, "bob");
    for (const [method, body] of [
      ["POST", { name: "x" }],
      ["GET", undefined],
      ["DELETE", undefined],
    ] as const) {
      const [theirs, absent] = [await bob(method, TOKENS, body), await bob(method, "/users/nobody/tokens", body)];
      expect([theirs.status, theirs.json]).toEqual([404, absent.json]);
      expect((await apiOf(server)(method, TOKENS, body)).status).toBe(401);
    }
    expect(await namesOf(bob, "bob")).toEqual([]);
  });

  test("can be an administrator, for a user", async () => {
    const made = await boss("POST", "/users/bob/tokens", { name: "from boss", scopes: ["write:package"] });
    expect(made.status).toBe(201);
    expect(await namesOf(apiOf(server, "bob"), "bob")).toEqual(["from boss"]);
    const user = (await withToken((made.json as Token).sha1)("GET", "/user")).json;
    expect(user).toMatchObject({ login: "bob", email: "" });
  });
});

describe("the end of a token", () => {
  test("by its id or by its name takes effect at once, and only for a token of that user", async () => {
    for (const by of ["id", "name"] as const) {
      const made = (await alice("POST", TOKENS, { name: `ends by ${by}` })).json as Token;
      const path = `${TOKENS}/${encodeURIComponent(String(made[by]))}`;
      expect(
        (await apiOf(server, "bob")("DELETE", `/users/bob/tokens/${encodeURIComponent(String(made[by]))}`)).status,
      ).toBe(404);
      expect((await withToken(made.sha1)("GET", "/user")).status).toBe(200);
      expect([(await alice("DELETE", path)).status, (await alice("DELETE", path)).status]).toEqual([204, 404]);
      expect((await withToken(made.sha1)("GET", "/user")).status).toBe(401);
    }
  });

  test("of all tokens of a user ends no other user's", async () => {
    const [one, two, other] = [
      await newToken(server.manage, { user: "alice", name: "all 1" }),
      await newToken(server.manage, { user: "alice", name: "all 2", scopes: ["all"] }),
      await newToken(server.manage, { user: "bob", name: "stays" }),
    ];
    expect((await alice("DELETE", TOKENS)).status).toBe(204);
    for (const token of [one, two]) expect((await withToken(token)("GET", "/user")).status).toBe(401);
    expect((await withToken(other)("GET", "/user")).status).toBe(200);
    expect(await namesOf(alice)).toEqual([]);
  });
});

describe("the list of tokens", () => {
  test("has pages with a total and links, as Gitea's", async () => {
    for (let at = 1; at <= 5; at++) await newToken(server.manage, { user: "alice", name: `page ${at}` });
    const first = await alice("GET", `${TOKENS}?limit=2`);
    expect([(first.json as Token[]).map(({ name }) => name), first.headers.get("x-total-count")]).toEqual([
      ["page 1", "page 2"],
      "5",
    ]);
    const base = "https://conda.example/api/v1/users/alice/tokens?limit=2&page=";
    expect(first.headers.get("link")).toBe(`<${base}2>; rel="next",<${base}3>; rel="last"`);
    const last = await alice("GET", `${TOKENS}?limit=2&page=3`);
    expect([(last.json as Token[]).length, last.headers.get("link")]).toEqual([
      1,
      `<${base}1>; rel="first",<${base}2>; rel="prev"`,
    ]);
    for (const odd of ["limit=-1", "limit=1e9", "page=NaN", "page=0"]) {
      const answer = await alice("GET", `${TOKENS}?${odd}`);
      expect([odd, answer.status, (answer.json as Token[]).length]).toEqual([odd, 200, 5]);
    }
    expect((await alice("GET", `${TOKENS}?page=999999999999`)).json).toEqual([]);
  });

  test("tells when a token was last used, soon after the use", async () => {
    const token = await newToken(server.manage, { user: "alice", name: "used" });
    const usedAt = async (): Promise<string | null | undefined> =>
      ((await alice("GET", TOKENS)).json as Token[]).find(({ name }) => name === "used")?.last_used_at;
    expect(await usedAt()).toBe(null);
    expect((await withToken(token)("GET", "/user")).status).toBe(200);
    while ((await usedAt()) === null) await Bun.sleep(50);
    expect(Math.abs(Date.parse((await usedAt()) ?? "") - Date.now())).toBeLessThan(10_000);
  });
});

describe("the last use of a token", () => {
  test("is stored when the server stops, and not again within a minute", async () => {
    const folder = await mkdtemp(join(tmpdir(), "condarium-uses-"));
    const clock = { ...systemClock, now: () => systemClock.now() + later };
    let later = 0;
    try {
      const first = await startTestApp({ folder });
      await first.addUser("alice");
      const token = await newToken(first.manage, { user: "alice", name: "t" });
      const useIn = async (app: TestApp): Promise<void> => {
        expect((await app.withToken(token).get("/alice/-/noarch/repodata.json")).status).not.toBe(401);
        await app.close();
      };
      const stored = async (): Promise<number> => {
        const app = await startTestApp({ folder });
        const [info] = await app.manage.tokens.list("alice");
        await app.close();
        return info?.lastUsed ?? 0;
      };
      await useIn(first);
      const once = await stored();
      expect(once).toBeGreaterThan(0);
      for (const [ms, isStored] of [
        [50_000, false],
        [70_000, true],
      ] as const) {
        later = ms;
        await useIn(await startTestApp({ folder, clock }));
        expect([ms, (await stored()) > once]).toEqual([ms, isStored]);
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
      await (await enginesOf(folder)).drop();
    }
  });
});

test("a user has at most 1,000 tokens that can work, and rows of ended ones only for a while", async () => {
  await server.addUser("hoarder");
  const hoarder = apiOf(server, "hoarder");
  const people = await peopleOf(server);
  const user = await findUser(people.database.read, "hoarder");
  const limits = { scopes: "[]", channels: "[]", packages: "[]", expires: null, lastEight: "" };
  const fill = async (from: number, to: number): Promise<void> => {
    await people.database.transact(async (tx) => {
      for (let at = from; at < to; at++) {
        const row = { name: `t ${at}`, tokenHash: `${at}`, credentialVersion: 1, created: at, userId: user?.id ?? 0 };
        await insertToken(tx, { ...limits, ...row });
      }
    });
  };
  const make = async (name: string): Promise<number> =>
    (await hoarder("POST", "/users/hoarder/tokens", { name })).status;
  const rows = async (): Promise<[all: number, active: number]> => {
    const all = await server.manage.tokens.list("hoarder");
    return [all.length, all.filter(({ isEnded }) => !isEnded).length];
  };
  await fill(0, 999);
  expect([await make("last"), await make("one more")]).toEqual([201, 400]);
  expect((await hoarder("GET", "/users/hoarder/tokens")).headers.get("x-total-count")).toBe("1000");
  expect((await hoarder("GET", "/users/hoarder/tokens?limit=1000000000")).json).toHaveLength(50);
  expect((await hoarder("DELETE", "/users/hoarder/tokens/t%200")).status).toBe(204);
  expect([await make("one more"), await make("two more")]).toEqual([201, 400]);
  expect((await hoarder("DELETE", "/users/hoarder/tokens")).status).toBe(204);
  await fill(1000, 1999);
  expect(await rows()).toEqual([2000, 999]);
  expect(await make("the last")).toBe(201);
  expect(await rows()).toEqual([2000, 1000]);
  expect((await server.manage.tokens.list("hoarder")).map(({ name }) => name)).not.toContain("t 0");
  await people.close();
}, 60_000);
