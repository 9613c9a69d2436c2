// Robots of an organization: they have tokens and rights like users, and no login.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { eq } from "drizzle-orm";
import { auditEvent, owner, principal, user } from "../../src/models/schema/index.ts";
import { COMMAND_LINE, type Actor } from "../../src/services/actor.ts";
import { hashPassword } from "../../src/modules/passwords.ts";
import { basic, PASSWORD, startTestApp, type TestApp } from "../support/app.ts";
import { newToken } from "../support/manage.ts";
import { buildPackage } from "../support/package-builder.ts";
import { codeOf, expectRefused, peopleOf, type People } from "../support/people.ts";

setDefaultTimeout(60_000);

let server: TestApp;
let people: People;
let ada: Actor;

beforeAll(async () => {
  server = await startTestApp();
  people = await peopleOf(server);
  for (const name of ["ada", "bob", "root"]) await server.addUser(name, { admin: name === "root" });
  ada = await people.user("ada");
  await server.app.organizations.create(ada, { name: "acme", visibility: "private" });
  await server.manage.channels.create({ owner: "acme", channel: "main" }, {});
});
afterAll(async () => {
  await people.close();
  await server.close();
});

async function publish(token: string, channel: string, name: string): Promise<number> {
  const built = buildPackage({ name, version: "1" });
  return (
    await server.withToken(token).put(`/api/packages/${channel.replace("/", "/conda/")}/${built.fileName}`, built.bytes)
  ).status;
}

async function reads(token: string, channel = "acme/main"): Promise<number> {
  return (await server.withToken(token).get(`/${channel}/noarch/repodata.json`)).status;
}

describe("a robot", () => {
  test("publishes with a token and the role of its team, and the audit trail names it", async () => {
    expect(await server.app.robots.create(ada, "acme", "ci")).toMatchObject({ name: "ci", account: "acme/ci" });
    expect(await people.lastAudit()).toMatchObject({ action: "robot.create", target: "acme/ci", actor: "ada" });
    const token = await server.app.tokens.create(ada, {
      user: "acme/ci",
      name: "deploy",
      scopes: ["write:package"],
      channels: [],
      packages: [],
      lifetime: undefined,
    });
    const made = await people.lastAudit();
    const [organization] = await people.database.read.select().from(owner).where(eq(owner.name, "acme"));
    expect(made).toMatchObject({ action: "token.create", target: "acme/ci", ownerId: organization?.id ?? 0 });
    expect([await reads(token), await publish(token, "acme/main", "by-robot")]).toEqual([403, 403]);
    const { id } = await server.app.teams.create(ada, "acme", { name: "bots", role: "publisher" });
    await server.app.teams.addMember(ada, id, "acme/ci");
    expect(await server.app.teams.members(ada, id)).toEqual([{ name: "acme/ci", kind: "robot" }]);
    expect([await reads(token), await publish(token, "acme/main", "by-robot")]).toEqual([200, 201]);
    expect(await people.lastAudit()).toMatchObject({ action: "publish", actor: "acme/ci (token deploy)" });
    expect((await server.app.organizations.members(ada, "acme")).map(({ name }) => name)).toEqual(["ada"]);
    // A robot without a place keeps what else it has: it cannot leave its organization.
    await server.manage.grants.set({ owner: "acme", channel: "main" }, "acme/ci", "reader");
    await server.app.teams.removeMember(ada, id, "acme/ci");
    expect([await reads(token), await publish(token, "acme/main", "later")]).toEqual([200, 403]);
  });

  test("has a role by a grant, also on channels of others", async () => {
    await server.manage.robots.create("acme", "guest");
    await server.manage.channels.create({ owner: "bob", channel: "b" }, { visibility: "private" });
    const token = await newToken(server.manage, { user: "acme/guest", name: "t" });
    const on = { owner: "bob", channel: "b" };
    // Bob does not belong to acme, so he learns nothing of its robots.
    await expectRefused(
      people,
      async () => server.app.grants.set(await people.user("bob"), on, "acme/guest", "reader"),
      "not-found",
    );
    await server.manage.grants.set(on, "acme/guest", "reader");
    expect(await reads(token, "bob/b")).toBe(200);
    expect(await server.manage.grants.list(on)).toContainEqual({
      user: "acme/guest",
      role: "reader",
      packages: ["*"],
      on: "bob/b",
    });
    await server.app.grants.revoke(await people.user("bob"), on, "acme/guest");
    expect(await reads(token, "bob/b")).toBe(403);
  });

  test("never signs in, whatever its row says, and is no user", async () => {
    await server.manage.robots.create("acme", "locked");
    const status = async (password: string) =>
      (await server.anonymous.get("/acme/main/noarch/repodata.json", basic("acme/locked", password))).status;
    expect([await status(PASSWORD), await status("!"), await status("")]).toEqual([401, 401, 401]);
    const passwordHash = await hashPassword(PASSWORD);
    const locked = (await people.user("acme/locked")) as Extract<Actor, { kind: "request" }>;
    const id = locked.identity.kind === "user" ? locked.identity.user.id : 0;
    await people.database.transact(async (tx) => {
      await tx.update(user).set({ passwordHash }).where(eq(user.id, id));
    });
    expect(await status(PASSWORD)).toBe(401);
    expect((await server.manage.users.list()).map(({ name }) => name)).not.toContain("acme/locked");
    for (const work of [
      () => server.manage.users.setPassword("acme/locked", PASSWORD),
      () => server.manage.users.setDisabled("acme/locked", true),
      () => server.manage.users.remove("acme/locked"),
      () => server.manage.users.rename("acme/locked", "free"),
    ]) {
      expect(await codeOf(work())).toBe("not-found");
    }
  });

  test("owns nothing: its name is no owner", async () => {
    await server.manage.robots.create("acme", "poor");
    const token = await newToken(server.manage, { user: "acme/poor", name: "t", scopes: ["all"] });
    const actor = await people.withToken(token);
    expect(await codeOf(server.app.channels.create(actor, { owner: "acme/poor", channel: "x" }, {}))).toBe("not-found");
    expect(await codeOf(server.app.channels.change(actor, { owner: "acme/poor", channel: "" }, {}))).toBe("not-found");
    expect(await codeOf(server.manage.channels.list("acme/poor"))).toBe("not-found");
    expect(await publish(token, "acme%2Fpoor/main", "x")).not.toBe(201);
    await expectRefused(people, () => server.app.organizations.create(actor, { name: "by-robot" }), "forbidden");
    await expectRefused(
      people,
      () => server.app.organizations.create(COMMAND_LINE, { name: "by-robot", owner: "acme/poor" }),
      "not-found",
    );
    await expectRefused(
      people,
      () => server.app.organizations.change(actor, "acme", { description: "x" }),
      "not-found",
    );
  });

  test("is deleted with its tokens, places and roles, and the next one of the name has none of them", async () => {
    await server.manage.robots.create("acme", "old");
    const token = await newToken(server.manage, { user: "acme/old", name: "t", scopes: ["write:package"] });
    await server.manage.grants.set({ owner: "acme", channel: "main" }, "acme/old", "publisher");
    expect(await reads(token)).toBe(200);
    const counts = async () => [
      (await people.database.read.select().from(principal)).length,
      (await people.database.read.select().from(user)).length,
      (await people.database.read.select().from(owner)).length,
    ];
    const before = await counts();
    await server.app.robots.remove(ada, "acme", "OLD");
    expect(await people.lastAudit()).toMatchObject({ action: "robot.delete", target: "acme/old", actor: "ada" });
    expect(await counts()).toEqual(before.map((count) => count - 1));
    expect(await reads(token)).toBe(401);
    await server.manage.robots.create("acme", "old");
    expect(await reads(token)).toBe(401);
    const next = await newToken(server.manage, { user: "acme/old", name: "t" });
    expect(await reads(next)).toBe(403);
    expect(await codeOf(server.manage.robots.remove("acme", "never"))).toBe("not-found");
  });

  test.each(["", "Upper", "a/b", "-a", "x".repeat(64), "ä"])("is refused with the name %j", async (name) => {
    await expectRefused(people, () => server.app.robots.create(COMMAND_LINE, "acme", name), "invalid-argument");
  });

  test("is one of at most 200, and the only one of its name", async () => {
    await server.manage.organizations.create({ name: "factory", owner: "bob" });
    await server.manage.robots.create("factory", "r0");
    await expectRefused(people, () => server.app.robots.create(COMMAND_LINE, "factory", "r0"), "conflict");
    for (let at = 1; at < 200; at++) await server.manage.robots.create("factory", `r${at}`);
    await expectRefused(people, () => server.app.robots.create(COMMAND_LINE, "factory", "r200"), "invalid");
  });
});

describe("a robot's tokens", () => {
  const request = { name: "made", scopes: ["write:package"], channels: [], packages: [], lifetime: undefined };

  test("are managed by who organizes the organization, and by administrators", async () => {
    await server.manage.robots.create("acme", "kept");
    await server.manage.teams.create("acme", { name: "writers", role: "maintainer" });
    await server.manage.teams.addMember({ organization: "acme", team: "writers" }, "bob");
    const { tokens } = server.app;
    const actors: Readonly<Record<string, Actor>> = {
      ada,
      root: await people.user("root"),
      "ada's token": await people.token("ada", { scopes: ["all"] }),
      bob: await people.user("bob"),
      "ada's token to manage": await people.token("ada", { scopes: ["manage:channel"] }),
      "ada's token for acme": await people.token("ada", { scopes: ["all"], channels: ["acme/*"] }),
      "another robot": await people.token("acme/ci", { scopes: ["all"] }),
      anonymous: people.anonymous,
    };
    const seen: Record<string, string> = {};
    for (const [name, actor] of Object.entries(actors)) {
      const before = await people.auditCount();
      const codes = [
        await codeOf(tokens.create(actor, { ...request, user: "acme/kept" })),
        await codeOf(tokens.list(actor, "acme/kept")),
        await codeOf(tokens.revoke(actor, "acme/kept", "made")),
        await codeOf(tokens.list(actor, "acme/absent")),
      ];
      seen[name] = [...new Set(codes)].join(" ");
      expect(await people.auditCount()).toBe(before + (codes[0] === "done" ? 2 : 0));
    }
    expect(seen).toEqual({
      ada: "done not-found",
      root: "done not-found",
      "ada's token": "done not-found",
      bob: "not-found",
      "ada's token to manage": "not-found",
      "ada's token for acme": "not-found",
      "another robot": "not-found",
      anonymous: "unauthenticated",
    });
    expect(await codeOf(tokens.list(COMMAND_LINE, "acme/absent"))).toBe("not-found");
  });

  test("are not those of a user whose name begins like the organization", async () => {
    await server.addUser("acmex");
    await expectRefused(people, () => server.app.tokens.create(ada, { ...request, user: "acmex" }), "not-found");
  });

  test("of an organization whose owner has left stay valid, and the owner's rights on them end", async () => {
    await server.addUser("founder");
    await server.manage.organizations.create({ name: "startup", owner: "founder" });
    await server.manage.teams.addMember({ organization: "startup", team: "Owners" }, "bob");
    await server.manage.robots.create("startup", "ci");
    await server.manage.channels.create({ owner: "startup", channel: "main" }, { visibility: "private" });
    await server.manage.grants.set({ owner: "startup", channel: undefined }, "startup/ci", "publisher");
    const founder = await people.user("founder");
    const token = await server.app.tokens.create(founder, { ...request, user: "startup/ci" });
    expect(await publish(token, "startup/main", "first")).toBe(201);
    await server.app.organizations.removeMember(await people.user("bob"), "startup", "founder");
    expect(await publish(token, "startup/main", "second")).toBe(201);
    await expectRefused(
      people,
      () => server.app.tokens.create(founder, { ...request, name: "n", user: "startup/ci" }),
      "not-found",
    );
    await server.manage.users.remove("founder");
    expect(await publish(token, "startup/main", "third")).toBe(201);
  });

  test("never outlive the token that made them", async () => {
    await server.manage.robots.create("acme", "brief");
    const short = await people.token("ada", { scopes: ["all"], lifetime: 60_000 });
    await expectRefused(people, () => server.app.tokens.create(short, { ...request, user: "acme/brief" }), "forbidden");
  });
});

test("the secrets of robots are in no row of the audit trail", async () => {
  const token = await newToken(server.manage, { user: "acme/ci", name: "secret" });
  const rows = await people.database.read.select().from(auditEvent);
  expect(JSON.stringify(rows)).not.toContain(token);
});
