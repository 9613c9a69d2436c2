import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { apiOf, bearer, type ApiClient } from "../../support/api.ts";
import { startTestApp, type TestApp } from "../../support/app.ts";
import { newToken } from "../../support/manage.ts";
import { buildPackage } from "../../support/package-builder.ts";

type Named = { id: number; name: string; username: string; login: string };

let server: TestApp;
const clients: Record<string, ApiClient> = {};
const client = (name: string): ApiClient => clients[name] ?? apiOf(server, name);

beforeAll(async () => {
  server = await startTestApp();
  await server.addUser("boss", { admin: true });
  for (const name of ["ada", "bob", "carl", "stranger"]) await server.addUser(name);
  clients.anonymous = apiOf(server);
  const ada = client("ada");
  const acme = { username: "acme", full_name: "Acme Inc.", description: "Makes all", visibility: "private" };
  expect((await ada("POST", "/orgs", acme)).status).toBe(201);
  for (const scopes of [["write:package"], ["manage:channel"], ["all", "public-only"]]) {
    const token = await newToken(server.manage, { user: "ada", name: scopes.join(" ").replaceAll(":", "-"), scopes });
    clients[`ada ${scopes.join(" ")}`] = apiOf(server, undefined, bearer(token));
  }
});
afterAll(() => server.close());

const LESS = ["ada write:package", "ada manage:channel", "ada all public-only"];

describe("an organization", () => {
  test("is made by a user, with Gitea's members, and seen by its members alone when it is private", async () => {
    const shown = {
      id: expect.any(Number),
      name: "acme",
      username: "acme",
      full_name: "Acme Inc.",
      description: "Makes all",
      visibility: "private",
    };
    for (const name of ["ada", "boss"]) expect((await client(name)("GET", "/orgs/ACME")).json).toMatchObject(shown);
    for (const [name, status] of [
      ["anonymous", 401],
      ["stranger", 404],
      ["ada all public-only", 404],
    ] as const) {
      const answers = await Promise.all(["acme", "nobody"].map((org) => client(name)("GET", `/orgs/${org}`)));
      expect(answers.map((one) => one.status)).toEqual([status, status]);
      expect(answers[0]?.text).toBe(answers[1]?.text ?? "");
    }
    expect((await client("ada")("GET", "/orgs/ada")).status).toBe(404);
  });

  test.each([
    ["a taken name", "acme"],
    ["a user's name", "Bob"],
    ["a reserved name", "api"],
    ["no name", undefined],
  ])("is not made with %s", async (_, username) => {
    const before = (await client("boss")("GET", "/orgs")).json;
    expect((await client("bob")("POST", "/orgs", { username })).status).toBe(422);
    expect((await client("boss")("GET", "/orgs")).json).toEqual(before);
  });

  test("is changed by its owners alone", async () => {
    const ada = client("ada");
    expect((await ada("PATCH", "/orgs/acme", { full_name: "Acme" })).json).toMatchObject({
      full_name: "Acme",
      description: "Makes all",
      visibility: "private",
    });
    for (const name of ["stranger", "anonymous", ...LESS]) {
      const { status } = await client(name)("PATCH", "/orgs/acme", { full_name: "Taken" });
      expect([name, status]).toEqual([
        name,
        name === "anonymous" ? 401 : name === "stranger" || name.includes("public") ? 404 : 403,
      ]);
    }
    expect((await ada("PATCH", "/orgs/acme", { description: "x".repeat(1001) })).status).toBe(422);
    expect((await ada("GET", "/orgs/acme")).json).toMatchObject({ full_name: "Acme", description: "Makes all" });
  });

  test("is in the lists of those who can see it, with a total and links", async () => {
    for (const name of ["one", "two", "three"]) {
      expect((await client("bob")("POST", "/orgs", { username: name })).status).toBe(201);
    }
    const page = await client("stranger")("GET", "/orgs?limit=2");
    expect([(page.json as Named[]).map(({ name }) => name), page.headers.get("x-total-count")]).toEqual([
      ["one", "three"],
      "3",
    ]);
    expect(page.headers.get("link")).toContain('rel="next"');
    const namesOf = async (name: string, path: string): Promise<string[]> =>
      ((await client(name)("GET", path)).json as Named[]).map((org) => org.name);
    expect(await namesOf("ada", "/orgs")).toEqual(["acme", "one", "three", "two"]);
    expect(await namesOf("anonymous", "/orgs")).toEqual(["one", "three", "two"]);
    expect(await namesOf("ada all public-only", "/orgs")).toEqual(["one", "three", "two"]);
    const total = async (name: string) => (await client(name)("GET", "/orgs")).headers.get("x-total-count");
    expect([await total("ada"), await total("ada all public-only"), await total("anonymous")]).toEqual(["4", "3", "3"]);
    expect([await namesOf("ada", "/user/orgs"), await namesOf("stranger", "/user/orgs")]).toEqual([["acme"], []]);
    expect((await client("anonymous")("GET", "/user/orgs")).status).toBe(401);
  });

  test("is renamed and deleted by its owners, and not while it has channels", async () => {
    const bob = client("bob");
    expect((await client("ada")("POST", "/orgs/two/rename", { new_name: "mine" })).status).toBe(404);
    expect((await bob("POST", "/orgs/two/rename", { new_name: "acme" })).status).toBe(422);
    expect((await bob("POST", "/orgs/two/rename", { new_name: "deux" })).status).toBe(204);
    expect((await bob("GET", "/orgs/two")).status).toBe(404);
    await server.manage.channels.create({ owner: "deux", channel: "main" }, {});
    expect((await bob("DELETE", "/orgs/deux")).status).toBe(422);
    expect((await bob("DELETE", "/channels/deux/main?confirm=deux/main")).status).toBe(204);
    expect((await client("ada")("DELETE", "/orgs/deux")).status).toBe(404);
    expect((await bob("DELETE", "/orgs/deux")).status).toBe(204);
    expect((await bob("GET", "/orgs/deux")).status).toBe(404);
    expect((await client("ada")("POST", "/orgs", { username: "deux" })).status).toBe(422);
  });
});

describe("a team", () => {
  let team: { id: number };
  beforeAll(async () => {
    const form = { name: "release", permission: "write", channels: ["main"], packages: ["my-*"] };
    const made = await client("ada")("POST", "/orgs/acme/teams", form);
    expect([made.status, made.json]).toMatchObject([
      201,
      { name: "release", role: "publisher", permission: "write", channels: ["main"], packages: ["my-*"] },
    ]);
    team = made.json as { id: number };
    await server.manage.channels.create({ owner: "acme", channel: "main" }, {});
  });

  test("gives its members its role, as long as they are in it", async () => {
    const ada = client("ada");
    const publish = async (name: string): Promise<number> => {
      const built = buildPackage({ name, version: "1" });
      return (await server.as("carl").put(`/api/packages/acme/conda/main/${built.fileName}`, built.bytes)).status;
    };
    expect(await publish("my-first")).toBe(403);
    expect((await ada("PUT", `/teams/${team.id}/members/carl`)).status).toBe(204);
    expect([await publish("my-first"), await publish("other")]).toEqual([201, 403]);
    const members = await client("carl")("GET", `/teams/${team.id}/members`);
    expect([members.json, members.headers.get("x-total-count")]).toMatchObject([[{ login: "carl", email: "" }], "1"]);
    expect((await ada("GET", `/teams/${team.id}/members/carl`)).json).toMatchObject({ login: "carl" });
    expect((await ada("GET", `/teams/${team.id}/members/bob`)).status).toBe(404);
    expect((await ada("GET", "/orgs/acme/members")).json).toMatchObject([
      { login: "ada", teams: ["Owners"] },
      { login: "carl", teams: ["release"] },
    ]);
    expect((await ada("GET", "/orgs/acme/members/carl")).status).toBe(204);
    expect((await client("carl")("GET", "/user/orgs")).status).toBe(200);
    expect((await ada("DELETE", `/teams/${team.id}/members/carl`)).status).toBe(204);
    expect((await ada("DELETE", `/teams/${team.id}/members/carl`)).status).toBe(404);
    expect((await ada("GET", "/orgs/acme/members/carl")).status).toBe(404);
    expect(await publish("my-second")).toBe(403);
  });

  test("has one name, one of the roles, and patterns that can match", async () => {
    const ada = client("ada");
    for (const form of [
      { name: "release", role: "reader" },
      { name: "x" },
      { name: "x", role: "king" },
      { name: "a/b", role: "reader" },
      { name: "x", role: "reader", channels: ["noarch"] },
      { name: "x", role: "reader", channels: [] },
    ]) {
      expect([form, (await ada("POST", "/orgs/acme/teams", form)).status]).toEqual([form, 422]);
    }
    expect(((await ada("GET", "/orgs/acme/teams")).json as Named[]).map(({ name }) => name)).toEqual([
      "Owners",
      "release",
    ]);
    expect((await ada("PATCH", `/teams/${team.id}`, { role: "maintainer" })).json).toMatchObject({
      name: "release",
      role: "maintainer",
      channels: ["main"],
    });
  });

  test("is changed and seen by nobody else, who cannot tell it from an absent one", async () => {
    const calls = [
      ["GET", ""],
      ["PATCH", ""],
      ["DELETE", ""],
      ["GET", "/members"],
      ["GET", "/members/ada"],
      ["PUT", "/members/stranger"],
      ["DELETE", "/members/ada"],
    ] as const;
    for (const name of ["stranger", "bob"]) {
      for (const [method, rest] of calls) {
        const body = method === "PATCH" ? { role: "owner" } : undefined;
        const [theirs, absent] = [
          await client(name)(method, `/teams/${team.id}${rest}`, body),
          await client(name)(method, `/teams/999999${rest}`, body),
        ];
        expect([method, rest, theirs.status, theirs.text.replaceAll(String(team.id), "999999")]).toEqual([
          method,
          rest,
          404,
          absent.text,
        ]);
      }
    }
    expect((await client("anonymous")("GET", `/teams/${team.id}`)).status).toBe(401);
    expect((await client("ada write:package")("PUT", `/teams/${team.id}/members/stranger`)).status).toBe(403);
    expect((await client("ada")("GET", `/teams/${team.id}/members`)).json).toEqual([]);
  });

  test("Owners is never empty, and stays", async () => {
    const ada = client("ada");
    const owners = ((await ada("GET", "/orgs/acme/teams")).json as Named[]).find(({ name }) => name === "Owners");
    expect((await ada("DELETE", `/teams/${owners?.id}/members/ada`)).status).toBe(409);
    expect((await ada("DELETE", "/orgs/acme/members/ada")).status).toBe(409);
    expect((await client("boss")("DELETE", "/admin/users/ada")).status).toBe(409);
    expect((await ada("DELETE", `/teams/${owners?.id}`)).status).toBe(409);
    expect((await ada("PATCH", `/teams/${owners?.id}`, { role: "reader" })).status).toBe(422);
    expect((await ada("GET", "/orgs/acme")).status).toBe(200);
  });

  test("has a role on a channel of somebody else", async () => {
    await server.manage.channels.create({ owner: "bob", channel: "shared" }, { visibility: "private" });
    const shared = "/channels/bob/shared/teams";
    expect((await client("bob")("PUT", `${shared}/${team.id}`, { role: "reader" })).status).toBe(404);
    await client("ada")("PUT", `/teams/${team.id}/members/bob`);
    expect((await client("bob")("PUT", `${shared}/${team.id}`, { role: "reader" })).status).toBe(204);
    await client("ada")("PUT", `/teams/${team.id}/members/carl`);
    expect((await client("carl")("GET", "/channels/bob/shared")).status).toBe(200);
    expect((await client("bob")("GET", shared)).json).toEqual({
      items: [{ team: "acme/release", id: team.id, role: "reader", packages: ["*"], on: "bob/shared" }],
      next: null,
    });
    expect((await client("bob")("GET", "/channels/bob/shared/members")).json).toEqual({ items: [], next: null });
    expect((await client("bob")("GET", `${shared}/acme`)).status).toBe(404);
    expect((await client("bob")("DELETE", `${shared}/acme`)).status).toBe(400);
    expect((await client("bob")("DELETE", `${shared}/${team.id}`)).status).toBe(204);
    expect((await client("carl")("GET", "/channels/bob/shared")).status).toBe(404);
  });
});

describe("a robot", () => {
  test("has tokens that its organization makes and ends, and rights from its teams", async () => {
    const ada = client("ada");
    const made = await ada("POST", "/orgs/acme/robots", { name: "ci" });
    expect([made.status, made.json]).toMatchObject([201, { name: "ci", account: "acme/ci" }]);
    expect((await ada("POST", "/orgs/acme/robots", { name: "ci" })).status).toBe(409);
    const token = await ada("POST", "/orgs/acme/robots/ci/tokens", { name: "t", scopes: ["write:package"] });
    const { id, sha1 } = token.json as { id: number; sha1: string };
    expect([token.status, (await ada("GET", "/orgs/acme/robots/ci/tokens")).json]).toMatchObject([
      201,
      [{ id, sha1: "" }],
    ]);
    const robot = apiOf(server, undefined, bearer(sha1));
    expect((await robot("GET", "/user")).json).toMatchObject({ login: "acme/ci" });
    expect((await robot("GET", "/channels/acme/main")).status).toBe(404);
    expect((await ada("PUT", "/channels/acme/main/members/acme%2Fci", { role: "reader" })).status).toBe(204);
    expect((await robot("GET", "/channels/acme/main")).status).toBe(200);
    expect((await robot("POST", "/users/ada/tokens", { name: "x" })).status).toBe(404);
    for (const name of ["bob", "stranger"]) {
      for (const path of ["/orgs/acme/robots", "/orgs/acme/robots/ci/tokens", "/orgs/absent/robots"]) {
        const { status } = await client(name)("GET", path);
        // Bob is in a team of the organization: he sees its robots, and not their tokens.
        expect([name, path, status]).toEqual([name, path, name === "bob" && path === "/orgs/acme/robots" ? 200 : 404]);
      }
      expect((await client(name)("POST", "/orgs/acme/robots/ci/tokens", { name: "y" })).status).toBe(404);
    }
    expect((await ada("DELETE", `/orgs/acme/robots/ci/tokens/${id}`)).status).toBe(204);
    expect((await robot("GET", "/user")).status).toBe(401);
    expect((await ada("GET", "/orgs/acme/robots?limit=1")).json).toMatchObject({ items: [{ name: "ci" }], next: null });
    expect((await client("bob")("DELETE", "/orgs/acme/robots/ci")).status).toBe(403);
    expect((await ada("DELETE", "/orgs/acme/robots/ci")).status).toBe(204);
    expect((await ada("DELETE", "/orgs/acme/robots/ci")).status).toBe(404);
  });

  test("is in no list of users", async () => {
    expect((await client("ada")("POST", "/orgs/acme/robots", { name: "unseen" })).status).toBe(201);
    const { text, headers } = await client("boss")("GET", "/admin/users");
    expect([text.includes("unseen"), headers.get("x-total-count")]).toEqual([false, "5"]);
  });
});
