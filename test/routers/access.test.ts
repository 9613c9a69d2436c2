import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { addMatrixActors, MATRIX, matrixTitle, ROLES, VISIBILITIES } from "../support/access-matrix.ts";
import { bytesOf, jsonOf } from "../support/answers.ts";
import { basic, PASSWORD, startTestApp, type Actor, type TestApp } from "../support/app.ts";
import { documentPaths, shardHashes, shardIndexOf } from "../support/documents.ts";
import { newToken } from "../support/manage.ts";
import { buildPackage } from "../support/package-builder.ts";
import { openTables } from "../support/rows.ts";

let server: TestApp;
const built = buildPackage({ name: "canary-package", version: "1" });
const FILE = `noarch/${built.fileName}`;
let actors: Record<string, Actor> = {};

beforeAll(async () => {
  server = await startTestApp();
  actors = await addMatrixActors(server, ["owner"]);
  for (const visibility of VISIBILITIES) {
    const name = { owner: "owner", channel: `c-${visibility}` };
    await server.manage.channels.create(name, { visibility });
    for (const role of ROLES) await server.manage.grants.set(name, role, role);
    const path = `/api/packages/owner/conda/c-${visibility}/${built.fileName}`;
    expect((await server.as("owner").put(path, built.bytes)).status).toBe(201);
    const index = await server.as("owner").get(`/owner/c-${visibility}/noarch/repodata_shards.msgpack.zst`);
    const hash = shardHashes(shardIndexOf(await bytesOf(index)))["canary-package"];
    SHARDS[visibility] = `noarch/shards/${hash}.msgpack.zst`;
  }
});
afterAll(() => server.close());

const FORMS = (channel: string): string[] => [
  `/api/packages/owner/conda/${channel}`,
  `/owner/${channel}`,
  `/get/owner/${channel}`,
];
/** The readable paths below every channel; each channel has its own address of a shard. */
const READS = [...documentPaths("noarch"), "linux-64/repodata.json", FILE];
const SHARDS: Record<string, string> = {};

describe("what an actor publishes and deletes in each form of a channel's address", () => {
  // `matrix.test.ts` has everyone's rights to every route; here the changes are made.
  for (const one of MATRIX) {
    const { name, visibility, rights, refusal } = one;
    test(`gives ${matrixTitle(one)}`, async () => {
      const actor = actors[name] ?? server.anonymous;
      for (const form of FORMS(`c-${visibility}`)) {
        const mine = buildPackage({ name: `by-${name}`, version: "1", files: { "share/form": form } });
        const file = `${form}/noarch/${mine.fileName}`;
        const read = async (): Promise<number> => (await actor.get(file)).status;
        const published = await actor.put(file, mine.bytes);
        expect(published.status).toBe(rights.includes("p") ? 201 : refusal);
        expect(await read()).toBe(rights.includes("p") ? 200 : rights.includes("r") ? 404 : refusal);
        const deleted = await actor.delete(file);
        expect(deleted.status).toBe(rights.includes("d") ? 204 : refusal);
        expect(await read()).toBe(!rights.includes("r") ? refusal : rights === "rp" ? 200 : 404);
        if (rights === "rp") expect((await server.as("owner").delete(file)).status).toBe(204);
      }
    });
  }
});

describe("an unreadable channel", () => {
  test("looks the same to strangers whether it exists or not", async () => {
    const private_ = ["/owner/c-private", "/owner/no-such-channel", "/no-such-owner/x", "/owner/c-private/deeper"];
    for (const actor of [server.anonymous, server.as("stranger")]) {
      const answers = await Promise.all(
        private_.flatMap((channel) => [...READS, SHARDS.private].map((read) => actor.get(`${channel}/${read}`))),
      );
      const texts = new Set(await Promise.all(answers.map((answer) => answer.text())));
      expect(texts.size).toBe(1);
      const headers = answers.map(({ headers: all }) => [...all].filter(([key]) => key !== "x-request-id").join("\n"));
      expect(new Set(headers).size).toBe(1);
      expect([...texts][0]).not.toContain("canary");
    }
  });

  test("is distinguished from a missing one for the owner", async () => {
    const missing = await server.as("owner").get("/owner/no-such-channel/noarch/repodata.json");
    expect(missing.status).toBe(403);
    expect((await jsonOf<{ detail: string }>(missing)).detail).toContain("There is no channel owner/no-such-channel");
  });

  test("responds with both ways to sign in", async () => {
    const { headers } = await server.anonymous.get("/owner/c-private/noarch/repodata.json");
    expect(headers.get("www-authenticate")).toContain('Basic realm="condarium"');
    expect(headers.get("www-authenticate")).toContain("Bearer");
    expect(headers.get("cache-control")).toBe("no-store");
  });

  test("never passes through a public cache when the user can read it", async () => {
    const reader = server.as("reader");
    const document = await reader.get("/owner/c-private/noarch/repodata.json");
    expect(document.headers.get("cache-control")).toBe("private, max-age=0");
    expect(document.headers.get("access-control-allow-origin")).toBeNull();
    const file = await reader.get(`/owner/c-private/${FILE}`);
    expect(file.headers.get("cache-control")).toBe("private, max-age=0");
  });

  test("stays hidden below a private parent when a publish creates the channel", async () => {
    const nested = buildPackage({ name: "nested", version: "1" });
    const path = `/api/packages/owner/conda/c-private/nested/${nested.fileName}`;
    expect((await server.as("owner").put(path, nested.bytes)).status).toBe(201);
    expect((await server.anonymous.get("/owner/c-private/nested/noarch/repodata.json")).status).toBe(401);
  });

  test("becomes unreadable at once when it turns private", async () => {
    const name = { owner: "owner", channel: "turning" };
    await server.manage.channels.create(name, {});
    expect((await server.anonymous.get("/owner/turning/noarch/repodata.json")).status).toBe(200);
    await server.manage.channels.change(name, { visibility: "private" });
    expect((await server.anonymous.get("/owner/turning/noarch/repodata.json")).status).toBe(401);
  });
});

describe("credentials", () => {
  const path = "/owner/c-private/noarch/repodata.json";
  const tokenOf = (
    user: string,
    scopes: string[] = [],
    more: Partial<{ channels: string[]; packages: string[]; lifetime: number }> = {},
  ) => newToken(server.manage, { user, name: `token ${Bun.randomUUIDv7()}`, scopes, ...more });

  test("work as a token in every form", async () => {
    const token = await tokenOf("reader");
    const forms: Record<string, string>[] = [
      { authorization: `Bearer ${token}` },
      { authorization: `token ${token}` },
      { "x-api-key": token },
      basic("reader", token),
      basic(token, ""),
      basic(token, "x-oauth-basic"),
      basic("__token__", token),
    ];
    for (const headers of forms) expect((await server.anonymous.get(path, headers)).status).toBe(200);
    for (const form of FORMS("c-private")) {
      for (const read of [...READS, SHARDS.private]) {
        const answer = await server.anonymous.get(`/t/${token}${form}/${read}`);
        expect([read, answer.status]).toEqual([read, 200]);
        const caching = read === SHARDS.private ? "private, max-age=31536000, immutable" : "private, max-age=0";
        expect([read, answer.headers.get("cache-control")]).toEqual([read, caching]);
        expect(answer.headers.get("access-control-allow-origin")).toBeNull();
      }
    }
    expect(server.log()).not.toContain(token);
  });

  test("that are wrong get 401, also where none are needed", async () => {
    const publicPath = "/owner/c-public/noarch/repodata.json";
    const token = await tokenOf("reader");
    const mistyped = `${token.slice(0, -1)}${token.endsWith("a") ? "b" : "a"}`;
    const bad: Record<string, string>[] = [
      { authorization: "Bearer nonsense" },
      { authorization: `Bearer ${mistyped}` },
      { authorization: "Digest abc" },
      { authorization: "Basic !!!" },
      { authorization: `Basic ${Buffer.from("nocolon").toString("base64")}` },
      { authorization: `Basic ${Buffer.from([0xff, 0x3a, 0xff]).toString("base64")}` },
      { "x-api-key": "cdr-" },
      basic("", ""),
      basic("reader", ""),
    ];
    for (const headers of bad) {
      expect([headers, (await server.anonymous.get(publicPath, headers)).status]).toEqual([headers, 401]);
    }
    for (const prefix of ["/t/nonsense", `/t/${mistyped}`, "/t/", `/t/${token}/t/${token}`]) {
      const { status } = await server.anonymous.get(`${prefix}${publicPath}`);
      expect([401, 404]).toContain(status);
    }
  });

  test("of two identities in one request are refused", async () => {
    const [one, other] = [await tokenOf("reader"), await tokenOf("publisher")];
    const both = { ...basic("reader", PASSWORD), "x-api-key": other };
    expect((await server.anonymous.get(path, both)).status).toBe(401);
    expect((await server.anonymous.get(`/t/${one}${path}`, { authorization: `Bearer ${other}` })).status).toBe(401);
    expect((await server.anonymous.get(`/t/${one}${path}`, { authorization: `Bearer ${one}` })).status).toBe(200);
  });

  test("are narrowed by scopes and never widened", async () => {
    const upload = (actor: Actor, name: string) => {
      const one = buildPackage({ name, version: "1" });
      return actor.put(`/api/packages/owner/conda/c-public/${one.fileName}`, one.bytes).then(({ status }) => status);
    };
    expect(await upload(server.withToken(await tokenOf("owner")), "no-scope")).toBe(403);
    expect(await upload(server.withToken(await tokenOf("owner", ["read:package"])), "read-scope")).toBe(403);
    expect(await upload(server.withToken(await tokenOf("owner", ["write:package"])), "write-scope")).toBe(201);
    expect(await upload(server.withToken(await tokenOf("owner", ["all"])), "all-scope")).toBe(201);
    expect(await upload(server.withToken(await tokenOf("stranger", ["all"])), "stranger-scope")).toBe(403);
    const unknown = await tokenOf("owner", ["all"]);
    const tables = openTables(server.folder);
    tables.run(`UPDATE access_token SET scopes = '["all","fly"]' WHERE id = (SELECT max(id) FROM access_token)`);
    expect(await upload(server.withToken(unknown), "unknown-scope")).toBe(403);
    expect((await server.withToken(unknown).get(path)).status).toBe(403);
    for (const column of ["channels", "packages"]) {
      tables.run("UPDATE access_token SET scopes = '[\"all\"]' WHERE id = (SELECT max(id) FROM access_token)");
      tables.run(`UPDATE access_token SET ${column} = 'no list' WHERE id = (SELECT max(id) FROM access_token)`);
      expect(await upload(server.withToken(unknown), "unreadable")).toBe(403);
      tables.run(`UPDATE access_token SET ${column} = '[]' WHERE id = (SELECT max(id) FROM access_token)`);
    }
    expect(await upload(server.withToken(unknown), "readable-again")).toBe(201);
    tables.close();
    const writer = server.withToken(await tokenOf("owner", ["write:package"]));
    expect((await writer.delete("/owner/c-public/noarch/write-scope-1-0.conda")).status).toBe(403);
    const deleter = server.withToken(await tokenOf("owner", ["delete:package"]));
    expect((await deleter.delete("/owner/c-public/noarch/write-scope-1-0.conda")).status).toBe(204);
    const publicOnly = server.withToken(await tokenOf("reader", ["public-only"]));
    expect((await publicOnly.get(path)).status).toBe(403);
    expect((await publicOnly.get("/owner/c-internal/noarch/repodata.json")).status).toBe(403);
  });

  test("are restricted by what the package really is, not by its name in the URL", async () => {
    const token = await tokenOf("owner", ["write:package"], { channels: ["owner/c-public"], packages: ["mine-*"] });
    const actor = server.withToken(token);
    const [mine, other] = [
      buildPackage({ name: "mine-1", version: "1" }),
      buildPackage({ name: "other", version: "1" }),
    ];
    expect((await actor.put("/api/packages/owner/conda/c-public/mine-1-1-0.conda", other.bytes)).status).toBe(403);
    expect((await actor.put("/api/packages/owner/conda/c-internal/mine-1-1-0.conda", mine.bytes)).status).toBe(403);
    expect((await actor.put("/api/packages/owner/conda/c-public/whatever.conda", mine.bytes)).status).toBe(201);
    expect((await actor.get(path)).status).toBe(403);
  });

  test("end with expiry, revocation, a new password and a disabled user", async () => {
    const user = await server.addUser("leaver");
    await server.manage.grants.set({ owner: "owner", channel: "c-private" }, "leaver", "reader");
    const [first, second] = [await tokenOf("leaver"), await tokenOf("leaver")];
    const short = await tokenOf("leaver", [], { lifetime: 1 });
    await Bun.sleep(5);
    const statusOf = async (token: string) => (await server.withToken(token).get(path)).status;
    expect([await statusOf(first), await statusOf(second), await statusOf(short)]).toEqual([200, 200, 401]);
    const listed = await server.manage.tokens.list("leaver");
    await server.manage.tokens.revoke("leaver", listed[0]?.name ?? "");
    expect([await statusOf(first), await statusOf(second)]).toEqual([401, 200]);
    expect((await user.get(path)).status).toBe(200);
    await server.manage.users.setPassword("leaver", "another-long-password");
    expect([await statusOf(second), (await user.get(path)).status]).toEqual([401, 401]);
    const third = await tokenOf("leaver");
    expect(await statusOf(third)).toBe(200);
    await server.manage.users.setDisabled("leaver", true);
    expect(await statusOf(third)).toBe(401);
  });

  test("that end while the body arrives end the publish too", async () => {
    await server.addUser("racer");
    const name = { owner: "owner", channel: "c-public" };
    await server.manage.grants.set(name, "racer", "publisher");
    const one = buildPackage({ name: "raced", version: "1" });
    const body = new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          await server.manage.grants.revoke(name, "racer");
          controller.enqueue(one.bytes);
          controller.close();
        },
      },
      { highWaterMark: 0 },
    );
    const answer = await server.as("racer").put(`/api/packages/owner/conda/c-public/${one.fileName}`, body);
    expect(answer.status).toBe(403);
    expect((await server.anonymous.get(`/owner/c-public/noarch/${one.fileName}`)).status).toBe(404);
  });
});

describe("the metrics route", () => {
  test("responds to administrators only", async () => {
    expect((await server.anonymous.get("/metrics")).status).toBe(401);
    expect((await server.as("owner").get("/metrics")).status).toBe(403);
    const answer = await server.as("boss").get("/metrics");
    expect(answer.status).toBe(200);
    const text = await answer.text();
    expect(text).toMatch(/condarium_publishes_total\{result="created"\} \d+/);
    expect(text).toMatch(/condarium_requests_total\{route="[^"]+",method="GET",status="200"\} \d+/);
    expect(text).not.toContain("canary");
  });

  test("responds to no token that is bound to anything, even an administrator's", async () => {
    const statusOf = async (more: { user?: string; scopes: string[]; channels?: string[]; packages?: string[] }) => {
      const name = `metrics ${Bun.randomUUIDv7()}`;
      const token = await newToken(server.manage, { user: "boss", name, ...more });
      return (await server.withToken(token).get("/metrics")).status;
    };
    expect(await statusOf({ scopes: ["all"] })).toBe(200);
    expect(await statusOf({ scopes: ["all"], channels: ["owner/c-public"] })).toBe(403);
    expect(await statusOf({ scopes: ["all"], channels: ["*"] })).toBe(403);
    expect(await statusOf({ scopes: ["all"], packages: ["mine-*"] })).toBe(403);
    expect(await statusOf({ scopes: ["all", "public-only"] })).toBe(403);
    expect(await statusOf({ scopes: [] })).toBe(403);
    expect(await statusOf({ scopes: ["read:package", "write:package", "delete:package", "manage:channel"] })).toBe(403);
    expect(await statusOf({ user: "owner", scopes: ["all"] })).toBe(403);
  });
});
