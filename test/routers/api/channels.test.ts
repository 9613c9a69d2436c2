import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { apiOf, bearer, type ApiClient } from "../../support/api.ts";
import { startTestApp, type TestApp } from "../../support/app.ts";
import { newToken } from "../../support/manage.ts";
import { buildPackage } from "../../support/package-builder.ts";

type Channel = { owner: string; name: string; type: string };
type List = { items: Channel[]; next: string | null };

let server: TestApp;
const clients: Record<string, ApiClient> = {};
const USERS = ["alice", "stranger", "reader", "publisher", "maintainer", "canary-owner"] as const;
const VISIBILITIES = ["public", "internal", "private"] as const;

beforeAll(async () => {
  server = await startTestApp();
  await server.addUser("boss", { admin: true });
  for (const name of [...USERS, "boss"]) {
    if (name !== "boss") await server.addUser(name);
    clients[name] = apiOf(server, name);
  }
  clients.anonymous = apiOf(server);
  for (const visibility of VISIBILITIES) {
    await server.manage.channels.create({ owner: "alice", channel: `canary-${visibility}` }, { visibility });
    for (const role of ["reader", "publisher", "maintainer"] as const)
      await server.manage.grants.set({ owner: "alice", channel: `canary-${visibility}` }, role, role);
  }
  const scopes: Record<string, object> = {
    "token to write": { scopes: ["write:package"] },
    "token to delete": { scopes: ["delete:package"] },
    "token to read": {},
    "token to manage": { scopes: ["manage:channel"] },
    "token for another channel": { scopes: ["all"], channels: ["alice/other"] },
    "token for some packages": { scopes: ["all"], packages: ["my-*"] },
    "public token": { scopes: ["all", "public-only"] },
  };
  for (const [name, limits] of Object.entries(scopes)) {
    clients[name] = apiOf(server, undefined, bearer(await newToken(server.manage, { user: "alice", name, ...limits })));
  }
  const hers = await newToken(server.manage, { user: "reader", name: "expired", lifetime: 1 });
  clients["expired token"] = apiOf(server, undefined, bearer(hers));
});
afterAll(() => server.close());

const client = (name: string): ApiClient => clients[name] ?? apiOf(server);

describe("a channel", () => {
  test("has the members of the interface", async () => {
    const built = buildPackage({ name: "sized", version: "1" });
    const path = `/api/packages/alice/conda/sized/${built.fileName}`;
    expect((await server.as("alice").put(path, built.bytes)).status).toBe(201);
    const { status, json, headers } = await client("anonymous")("GET", "/channels/alice/sized");
    expect([status, headers.get("cache-control")]).toEqual([200, "no-store"]);
    expect(json).toEqual({
      type: "conda",
      owner: "alice",
      name: "sized",
      visibility: "public",
      description: "",
      policy: expect.objectContaining({ validation: "standard" }),
      revision: 1,
      files: 1,
      bytes: built.bytes.byteLength,
    });
    expect((await server.as("alice").delete(path.replace("/sized/", "/sized/noarch/"))).status).toBe(204);
    const after = await client("anonymous")("GET", "/channels/alice/sized");
    expect(after.json).toMatchObject({ revision: 2, files: 0, bytes: 0 });
  });

  test("is created by its owner, with slashes in its name and settings", async () => {
    const form = { owner: "alice", name: "team/nightly", visibility: "limited", description: "At night", extra: 1 };
    const made = await client("alice")("POST", "/channels", { ...form, policy: { validation: "strict" } });
    expect([made.status, made.json]).toMatchObject([
      201,
      { name: "team/nightly", visibility: "internal", description: "At night", policy: { validation: "strict" } },
    ]);
    expect((await client("stranger")("GET", "/channels/alice/team%2Fnightly")).json).toEqual(made.json);
    expect((await client("alice")("GET", "/channels/alice/team/nightly")).status).toBe(404);
    expect((await client("alice")("POST", "/channels", form)).status).toBe(409);
  });

  test.each([
    ["a name that is reserved", { owner: "alice", name: "noarch" }, 422],
    ["an unknown policy", { owner: "alice", name: "x", policy: { speed: 11 } }, 422],
    ["an unknown type", { owner: "alice", name: "x", type: "rpm" }, 422],
    ["a long description", { owner: "alice", name: "x", description: "x".repeat(1001) }, 422],
    ["no owner", { name: "x" }, 422],
    ["an absent owner", { owner: "nobody", name: "x" }, 404],
    ["another's name", { owner: "canary-owner", name: "x" }, 404],
  ])("is not created with %s", async (_, form, status) => {
    const before = (await client("boss")("GET", "/channels?limit=50")).json;
    expect((await client("alice")("POST", "/channels", form)).status).toBe(status);
    expect((await client("boss")("GET", "/channels?limit=50")).json).toEqual(before);
  });

  test("that is unnamed is written with a dash, and that of another type with its type", async () => {
    expect((await client("stranger")("GET", "/channels/alice/-")).json).toMatchObject({ name: "", type: "conda" });
    expect((await client("stranger")("GET", "/channels/generic:alice/-")).json).toMatchObject({ type: "generic" });
    expect((await client("stranger")("GET", "/channels/rpm:alice/-")).status).toBe(404);
  });

  test("changes what is named, and nothing else", async () => {
    await server.manage.channels.create({ owner: "alice", channel: "changing" }, { description: "before" });
    const path = "/channels/alice/changing";
    const changed = await client("alice")("PATCH", path, { policy: { max_age: 60 }, description: null });
    expect([changed.status, changed.json]).toMatchObject([200, { description: "before", visibility: "public" }]);
    expect((await client("alice")("PATCH", path, { visibility: "private" })).json).toMatchObject({
      visibility: "private",
      policy: { max_age: 60 },
    });
    expect((await client("anonymous")("GET", path)).status).toBe(401);
    expect((await client("alice")("PATCH", path, { policy: { max_age: "soon" } })).status).toBe(422);
  });

  test("is deleted with its packages only when its name confirms it", async () => {
    const built = buildPackage({ name: "gone", version: "1" });
    const path = `/alice/doomed/noarch/${built.fileName}`;
    expect((await server.as("alice").put(path, built.bytes)).status).toBe(201);
    for (const query of ["", "?confirm=", "?confirm=doomed", "?confirm=alice/other", "?confirm=true"]) {
      expect((await client("alice")("DELETE", `/channels/alice/doomed${query}`)).status).toBe(422);
    }
    expect((await server.anonymous.get(path)).status).toBe(200);
    const confirmed = "/channels/alice/doomed?confirm=alice%2Fdoomed";
    expect((await client("stranger")("DELETE", confirmed)).status).toBe(403);
    expect((await client("maintainer")("DELETE", confirmed)).status).toBe(403);
    expect((await client("alice")("DELETE", confirmed)).status).toBe(204);
    expect((await server.anonymous.get(path)).status).toBe(401);
    expect((await client("alice")("DELETE", confirmed)).status).toBe(404);
  });
});

/** By caller, for a public, an internal and a private channel: the status of a read, and that of a change. */
const RIGHTS: Readonly<Record<string, readonly (readonly [read: number, change: number])[]>> = {
  anonymous: [
    [200, 401],
    [401, 401],
    [401, 401],
  ],
  stranger: [
    [200, 403],
    [200, 403],
    [404, 404],
  ],
  reader: [
    [200, 403],
    [200, 403],
    [200, 403],
  ],
  publisher: [
    [200, 403],
    [200, 403],
    [200, 403],
  ],
  maintainer: [
    [200, 403],
    [200, 403],
    [200, 403],
  ],
  alice: [
    [200, 200],
    [200, 200],
    [200, 200],
  ],
  boss: [
    [200, 200],
    [200, 200],
    [200, 200],
  ],
  "token to write": [
    [200, 403],
    [200, 403],
    [200, 403],
  ],
  "token to delete": [
    [200, 403],
    [200, 403],
    [200, 403],
  ],
  "token to read": [
    [200, 403],
    [200, 403],
    [200, 403],
  ],
  "token to manage": [
    [200, 200],
    [200, 200],
    [200, 200],
  ],
  "token for another channel": [
    [200, 403],
    [404, 404],
    [404, 404],
  ],
  "token for some packages": [
    [200, 403],
    [200, 403],
    [200, 403],
  ],
  "public token": [
    [200, 200],
    [404, 404],
    [404, 404],
  ],
  "expired token": [
    [401, 401],
    [401, 401],
    [401, 401],
  ],
};

describe("the rights on a channel", () => {
  for (const [name, rights] of Object.entries(RIGHTS)) {
    for (const [at, visibility] of VISIBILITIES.entries()) {
      test(`of ${name} on the ${visibility} one: read and change`, async () => {
        const path = `/channels/alice/canary-${visibility}`;
        const [read = 0, change = 0] = rights[at] ?? [];
        const changes = [
          await client(name)("PATCH", path, { description: `by ${name}` }),
          await client(name)("GET", `${path}/members`),
        ];
        expect([(await client(name)("GET", path)).status, (await client(name)("HEAD", path)).status]).toEqual([
          read,
          read,
        ]);
        expect(changes.map(({ status }) => status)).toEqual([change, change]);
        const put = await client(name)("PUT", `${path}/members/stranger`, { role: "publisher" });
        const ended = await client(name)("DELETE", `${path}/members/stranger`);
        expect([put.status, ended.status]).toEqual(change === 200 ? [204, 204] : [change, change]);
        const shown = (await client("boss")("GET", path)).json as { description: string };
        expect(shown.description === `by ${name}`).toBe(change === 200);
        const members = (await client("boss")("GET", `${path}/members`)).text;
        expect(members).not.toContain("stranger");
      });
    }
  }

  test("look the same to a stranger on a private and on an absent channel", async () => {
    const calls = [
      ["GET", ""],
      ["PATCH", ""],
      ["DELETE", "?confirm=alice/x"],
      ["GET", "/members"],
      ["PUT", "/members/reader"],
      ["DELETE", "/members/reader"],
      ["GET", "/teams"],
    ] as const;
    for (const caller of ["stranger", "anonymous", "public token"]) {
      const texts = new Set<string>();
      for (const [method, rest] of calls) {
        const body = method === "PATCH" ? {} : method === "PUT" ? { role: "reader" } : undefined;
        for (const path of ["/channels/alice/canary-private", "/channels/alice/absent", "/channels/nobody/x"]) {
          const own = rest.startsWith("?") ? `?confirm=${path.slice("/channels/".length)}` : rest;
          const { status, text } = await client(caller)(method, path + own, body);
          if (caller === "public token" && path.includes("absent")) continue;
          texts.add(`${method === "GET" && rest === "" ? "read" : "change"} ${status} ${text}`);
        }
      }
      expect([caller, texts.size]).toEqual([caller, 2]);
      expect([...texts].join("\n")).not.toContain("canary");
    }
  });
});

describe("the list of channels", () => {
  const namesIn = async (caller: string, query = ""): Promise<string[]> => {
    const names: string[] = [];
    for (let next: string | null = "", pages = 0; next !== null && pages < 50; pages++) {
      const more = next === "" ? "" : `&cursor=${next}`;
      const { status, json } = await client(caller)("GET", `/channels?limit=2&${query}${more}`);
      expect(status).toBe(200);
      const page = json as List;
      expect(page.items.length).toBeLessThanOrEqual(2);
      names.push(...page.items.map(({ owner, name, type }) => `${type}:${owner}/${name}`));
      next = page.next;
    }
    return names.filter((name) => name.includes("canary"));
  };
  const ALL = VISIBILITIES.map((visibility) => `conda:alice/canary-${visibility}`).sort();

  test("has, page by page, exactly the channels that its reader can read", async () => {
    for (const [caller, rights] of Object.entries(RIGHTS)) {
      if (caller === "expired token") continue;
      const readable = VISIBILITIES.filter((_, at) => rights[at]?.[0] === 200);
      const names = readable.map((visibility) => `conda:alice/canary-${visibility}`).sort();
      expect([caller, await namesIn(caller)]).toEqual([caller, names]);
    }
  });

  test("is narrowed by an owner and by a part of a name, literally", async () => {
    expect(await namesIn("boss", "owner=Alice")).toEqual(ALL);
    expect(await namesIn("boss", "owner=boss")).toEqual([]);
    expect(await namesIn("boss", "q=CANARY-P")).toEqual(ALL.filter((name) => !name.includes("internal")));
    for (const q of ["%", "_", "canary_", "\\", "c%y"]) {
      expect([q, await namesIn("boss", `q=${encodeURIComponent(q)}`)]).toEqual([q, []]);
    }
  });

  test("does not tell an absent owner from one whose channels are private", async () => {
    await server.manage.channels.create({ owner: "canary-owner", channel: "x" }, { visibility: "private" });
    const answers = await Promise.all(
      ["canary-owner", "nobody"].map((owner) => client("stranger")("GET", `/channels?owner=${owner}`)),
    );
    expect(answers.map(({ json }) => json)).toEqual([
      { items: [], next: null },
      { items: [], next: null },
    ]);
  });

  test("refuses a cursor that it has not made, and a text that is too long", async () => {
    for (const query of [
      "cursor=x",
      "cursor=",
      `cursor=${Buffer.from("[1]").toString("base64url")}`,
      `q=${"x".repeat(257)}`,
      "owner=%00",
    ]) {
      expect([query, (await client("boss")("GET", `/channels?${query}`)).status]).toEqual([query, 400]);
    }
  });
});

describe("the members of a channel", () => {
  const MEMBERS = "/channels/alice/canary-private/members";

  test("have the roles that they were given, one each", async () => {
    const alice = client("alice");
    expect((await alice("PUT", `${MEMBERS}/stranger`, { permission: "write" })).status).toBe(204);
    expect((await alice("GET", `${MEMBERS}/Stranger`)).json).toEqual({
      user: "stranger",
      role: "publisher",
      packages: ["*"],
      on: "alice/canary-private",
    });
    expect((await alice("PUT", `${MEMBERS}/stranger`, { role: "reader" })).status).toBe(204);
    expect((await client("stranger")("GET", "/channels/alice/canary-private")).status).toBe(200);
    const seen: unknown[] = [];
    for (let next: string | null = ""; next !== null;) {
      const page = (await alice("GET", `${MEMBERS}?limit=1${next === "" ? "" : `&cursor=${next}`}`)).json as {
        items: object[];
        next: string | null;
      };
      seen.push(...page.items);
      next = page.next;
    }
    expect(seen).toEqual(
      ["maintainer", "publisher", "reader", "stranger"].map((user) => ({
        user,
        role: user === "stranger" ? "reader" : user,
        packages: ["*"],
        on: "alice/canary-private",
      })),
    );
    expect((await alice("DELETE", `${MEMBERS}/stranger`)).status).toBe(204);
    expect((await client("stranger")("GET", "/channels/alice/canary-private")).status).toBe(404);
    expect((await alice("DELETE", `${MEMBERS}/stranger`)).status).toBe(404);
    expect((await alice("GET", `${MEMBERS}/stranger`)).status).toBe(404);
  });

  test.each([
    ["an unknown role", "stranger", { role: "king" }, 422],
    ["no role", "stranger", {}, 422],
    ["no packages", "stranger", { role: "publisher", packages: [] }, 422],
    ["an empty pattern", "stranger", { role: "publisher", packages: ["my-*", ""] }, 422],
    ["packages that are no list", "stranger", { role: "publisher", packages: "my-*" }, 422],
    ["an unknown user", "nobody", { role: "reader" }, 404],
  ])("are not changed by %s", async (_, member, body, status) => {
    const before = (await client("alice")("GET", MEMBERS)).json;
    expect((await client("alice")("PUT", `${MEMBERS}/${member}`, body)).status).toBe(status);
    expect((await client("alice")("GET", MEMBERS)).json).toEqual(before);
  });
});

describe("the transfer of a channel", () => {
  test("takes an offer of one side, and the other side's consent", async () => {
    const [alice, reader] = [client("alice"), client("reader")];
    await server.manage.channels.create({ owner: "alice", channel: "moving" }, { visibility: "private" });
    const path = "/channels/alice/moving/transfer";
    expect((await alice("GET", path)).status).toBe(404);
    expect((await alice("POST", path, { new_owner: "nobody" })).status).toBe(404);
    expect((await reader("POST", `${path}/accept`)).status).toBe(404);
    const offered = await alice("POST", path, { new_owner: "reader" });
    expect([offered.status, offered.json]).toMatchObject([202, { channel: "alice/moving", new_owner: "reader" }]);
    expect((await alice("GET", path)).json).toEqual(offered.json);
    expect((await reader("GET", "/transfers?owner=reader")).json).toEqual({ items: [offered.json], next: null });
    expect((await client("stranger")("GET", "/transfers?owner=reader")).status).toBe(404);
    expect((await client("stranger")("POST", `${path}/accept`)).status).toBe(404);
    expect((await alice("GET", "/channels/alice/moving")).json).toMatchObject({ owner: "alice" });
    expect((await reader("DELETE", path)).status).toBe(204);
    expect((await reader("POST", `${path}/accept`)).status).toBe(404);
    await alice("POST", path, { new_owner: "reader" });
    expect((await reader("POST", `${path}/accept`)).json).toEqual({ channel: "reader/moving" });
    expect((await reader("GET", "/channels/reader/moving")).json).toMatchObject({
      owner: "reader",
      visibility: "private",
    });
    expect((await alice("GET", "/channels/reader/moving")).status).toBe(404);
    expect((await alice("PATCH", "/channels/reader/moving", { description: "mine" })).status).toBe(404);
  });
});
