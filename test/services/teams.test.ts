// Teams: what their members may on which channels and packages, through their organization and through grants.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { eq } from "drizzle-orm";
import { principal, team as teamTable, teamMember } from "../../src/models/schema/index.ts";
import { COMMAND_LINE } from "../../src/services/actor.ts";
import { startTestApp, type TestApp } from "../support/app.ts";
import { buildPackage } from "../support/package-builder.ts";
import { codeOf, expectRefused, messageOf, peopleOf, type People } from "../support/people.ts";

setDefaultTimeout(60_000);

let server: TestApp;
let people: People;

beforeAll(async () => {
  server = await startTestApp();
  people = await peopleOf(server);
  for (const name of ["ada", "bob", "cleo", "other"]) await server.addUser(name);
  await server.manage.organizations.create({ name: "acme", owner: "ada", visibility: "private" });
  for (const channel of ["main", "dev/a", "dev/b"]) await server.manage.channels.create({ owner: "acme", channel }, {});
});
afterAll(async () => {
  await people.close();
  await server.close();
});

type Rights = {
  readonly role: "reader" | "publisher" | "maintainer" | "owner";
  readonly channels?: string[];
  readonly packages?: string[];
};

/** A new user in a new team of acme. */
async function memberOf(rights: Rights): Promise<string> {
  const name = `m-${Bun.randomUUIDv7().slice(-12)}`;
  await server.addUser(name);
  const { id } = await server.manage.teams.create("acme", { name, ...rights });
  await server.manage.teams.addMember(id, name);
  return name;
}

async function publish(name: string, channel: string, packageName: string): Promise<number> {
  const built = buildPackage({ name: packageName, version: "1", build: `b${Bun.randomUUIDv7().slice(-12)}` });
  return (
    await server
      .as(name)
      .put(`/api/packages/acme/conda/${channel}${channel === "" ? "" : "/"}${built.fileName}`, built.bytes)
  ).status;
}

async function reads(name: string, channel: string): Promise<number> {
  return (await server.as(name).get(`/acme/${channel}${channel === "" ? "" : "/"}noarch/repodata.json`)).status;
}

describe("a team's channels", () => {
  test("are those that its patterns match, for everything that the role allows", async () => {
    const name = await memberOf({ role: "publisher", channels: ["dev/*"] });
    expect([await reads(name, "dev/a"), await reads(name, "dev/b")]).toEqual([200, 200]);
    expect([await reads(name, "main"), await reads(name, "")]).toEqual([403, 403]);
    expect([await publish(name, "dev/a", "p"), await publish(name, "main", "p")]).toEqual([201, 403]);
    // Creating a channel takes the role owner.
    expect(await publish(name, "dev/new", "p")).toBe(403);
    expect(
      await codeOf(
        server.app.channels.change(await people.user(name), { owner: "acme", channel: "dev/a" }, { description: "x" }),
      ),
    ).toBe("forbidden");
  });

  test("can be the unnamed one, and those of another type", async () => {
    const name = await memberOf({ role: "publisher", channels: ["-", "generic:-"] });
    expect([await reads(name, ""), await reads(name, "main")]).toEqual([200, 403]);
    expect(await publish(name, "", "p")).toBe(201);
    const file = "/api/packages/acme/generic/tool/1/x";
    expect((await server.as(name).put(file, new Uint8Array([1]))).status).toBe(201);
    const conda = await memberOf({ role: "publisher", channels: ["-"] });
    expect((await server.as(conda).get(file)).status).toBe(403);
    expect((await server.as(await memberOf({ role: "reader" })).get(file)).status).toBe(200);
  });

  test("can be created by a team with the role owner, where its patterns match", async () => {
    const name = await memberOf({ role: "owner", channels: ["lab/*"] });
    expect([await publish(name, "lab/one", "p"), await publish(name, "other/one", "p")]).toEqual([201, 403]);
    const actor = await people.user(name);
    await server.app.channels.create(actor, { owner: "acme", channel: "lab/two" }, {});
    expect(await codeOf(server.app.channels.create(actor, { owner: "acme", channel: "elsewhere" }, {}))).toBe(
      "not-found",
    );
    await server.app.channels.change(actor, { owner: "acme", channel: "lab/two" }, { description: "x" });
    // All that the organization has is more.
    await expectRefused(
      people,
      () => server.app.channels.change(actor, { owner: "acme", channel: undefined }, { visibility: "public" }),
      "forbidden",
    );
    await expectRefused(
      people,
      () => server.app.teams.create(actor, "acme", { name: "more", role: "owner" }),
      "forbidden",
    );
  });

  test("are all for a team with the role owner, which then organizes like Owners", async () => {
    const actor = await people.user(await memberOf({ role: "owner" }));
    const { id } = await server.app.teams.create(actor, "acme", { name: "by-owner", role: "reader" });
    await server.app.teams.remove(actor, id);
    for (const role of ["reader", "publisher", "maintainer"] as const) {
      const less = await people.user(await memberOf({ role }));
      await expectRefused(
        people,
        () => server.app.teams.create(less, "acme", { name: "x", role: "reader" }),
        "forbidden",
      );
    }
  });
});

describe("a team's rights", () => {
  test("are on channels of its organization alone", async () => {
    await server.manage.organizations.create({ name: "neighbour", owner: "bob", visibility: "private" });
    await server.manage.channels.create({ owner: "neighbour", channel: "main" }, {});
    const name = await memberOf({ role: "owner" });
    expect(await reads(name, "main")).toBe(200);
    const status = async (path: string) => (await server.as(name).get(`/${path}/noarch/repodata.json`)).status;
    expect([await status("neighbour/main"), await status("neighbour")]).toEqual([403, 403]);
    const actor = await people.user(name);
    const on = { owner: "neighbour", channel: undefined };
    await expectRefused(people, () => server.app.channels.change(actor, on, { visibility: "public" }), "not-found");
    expect(await codeOf(server.app.organizations.members(actor, "neighbour"))).toBe("not-found");
  });
});

describe("a team's packages", () => {
  test("restrict changes, also at the end of an upload whose address named no package, and no reads", async () => {
    const name = await memberOf({ role: "maintainer", packages: ["lib-*", "tool"] });
    expect(await reads(name, "main")).toBe(200);
    expect(await publish(name, "main", "lib-a")).toBe(201);
    expect(await publish(name, "main", "tool")).toBe(201);
    expect(await publish(name, "main", "tool2")).toBe(403);
    const foreign = buildPackage({ name: "foreign", version: "1" });
    const own = buildPackage({ name: "lib-own", version: "1" });
    for (const built of [foreign, own])
      expect((await server.as("ada").put(`/api/packages/acme/conda/main/${built.fileName}`, built.bytes)).status).toBe(
        201,
      );
    expect((await server.as(name).delete(`/acme/main/noarch/${foreign.fileName}`)).status).toBe(403);
    expect((await server.as(name).get(`/acme/main/noarch/${foreign.fileName}`)).status).toBe(200);
    expect((await server.as(name).delete(`/acme/main/noarch/${own.fileName}`)).status).toBe(204);
    const renamed = buildPackage({ name: "foreign", version: "2" });
    expect((await server.as(name).put("/api/packages/acme/conda/main/lib-x-1-0.conda", renamed.bytes)).status).toBe(
      403,
    );
  });

  test("leave their team without rights on more than these packages", async () => {
    const actor = await people.user(await memberOf({ role: "owner", packages: ["lib-*"] }));
    const refused = [
      () => server.app.channels.create(actor, { owner: "acme", channel: "made" }, {}),
      () => server.app.channels.change(actor, { owner: "acme", channel: "main" }, { description: "x" }),
      () => server.app.channels.change(actor, { owner: "acme", channel: undefined }, { visibility: "public" }),
      () => server.app.grants.set(actor, { owner: "acme", channel: "main" }, "bob", "owner"),
      () => server.app.organizations.change(actor, "acme", { description: "x" }),
      () => server.app.robots.create(actor, "acme", "r"),
    ];
    for (const work of refused) await expectRefused(people, work, "forbidden");
    expect(await publish(await memberOf({ role: "owner", packages: ["lib-*"] }), "unmade", "lib-a")).toBe(403);
  });

  test("add up with those of another team and of a grant", async () => {
    const name = await memberOf({ role: "publisher", packages: ["one"] });
    const { id } = await server.manage.teams.create("acme", {
      name: `second-${name}`,
      role: "reader",
      packages: ["two"],
    });
    await server.manage.teams.addMember(id, name);
    expect([await publish(name, "main", "one"), await publish(name, "main", "two")]).toEqual([201, 403]);
    await server.manage.teams.change(id, { role: "publisher" });
    expect([await publish(name, "main", "two"), await publish(name, "main", "three")]).toEqual([201, 403]);
    await server.manage.grants.set({ owner: "acme", channel: "main" }, name, "publisher");
    expect(await publish(name, "main", "three")).toBe(201);
  });

  test("that cannot be read any more allow nothing", async () => {
    const name = await memberOf({ role: "owner" });
    await people.database.transact(async (tx) => {
      await tx.update(teamTable).set({ channels: "[" }).where(eq(teamTable.name, name));
    });
    expect(await reads(name, "main")).toBe(403);
    await people.database.transact(async (tx) => {
      await tx.update(teamTable).set({ channels: '["*"]', packages: "{}" }).where(eq(teamTable.name, name));
    });
    expect(await publish(name, "main", "any")).toBe(403);
  });
});

describe("a token of a member", () => {
  test("narrows the rights of the team and never widens them", async () => {
    const name = await memberOf({ role: "publisher", channels: ["dev/*"] });
    const built = buildPackage({ name: "tokened", version: "1" });
    const put = async (token: string, channel: string) =>
      (await server.withToken(token).put(`/api/packages/acme/conda/${channel}/${built.fileName}`, built.bytes)).status;
    const make = async (more: object) =>
      await server.manage.tokens.create({
        user: name,
        name: Bun.randomUUIDv7(),
        scopes: ["write:package"],
        channels: [],
        packages: [],
        lifetime: undefined,
        ...more,
      });
    expect(await put(await make({ channels: ["acme/main"] }), "main")).toBe(403);
    expect(await put(await make({ channels: ["acme/dev/b"] }), "dev/a")).toBe(403);
    expect(await put(await make({ packages: ["x"] }), "dev/a")).toBe(403);
    expect(await put(await make({ scopes: ["read:package"] }), "dev/a")).toBe(403);
    expect(await put(await make({ scopes: ["write:package", "public-only"] }), "dev/a")).toBe(403);
    expect(await put(await make({}), "dev/a")).toBe(201);
  });
});

describe("a role of a team on another owner's channel", () => {
  const on = { owner: "bob", channel: "tools" };

  beforeAll(async () => {
    await server.manage.channels.create(on, { visibility: "private" });
  });

  test("counts for its members, is listed by the team's name, and ends with the place, the team and the grant", async () => {
    const name = await memberOf({ role: "reader", channels: ["none"], packages: ["nothing"] });
    const status = async () => (await server.as(name).get("/bob/tools/noarch/repodata.json")).status;
    expect(await status()).toBe(403);
    await server.manage.grants.set(on, `acme/${name}`, "publisher");
    expect(await people.lastAudit()).toMatchObject({
      action: "grant.set",
      detail: { team: `acme/${name}`, role: "publisher" },
    });
    expect(await status()).toBe(200);
    const built = buildPackage({ name: "by-team", version: "1", build: name.replaceAll("-", "_") });
    // The team's own patterns concern its organization alone.
    expect((await server.as(name).put(`/api/packages/bob/conda/tools/${built.fileName}`, built.bytes)).status).toBe(
      201,
    );
    expect(await server.manage.grants.list(on)).toContainEqual({
      team: `acme/${name}`,
      id: expect.any(Number),
      role: "publisher",
      packages: ["*"],
      on: "bob/tools",
    });
    // A role on one channel is none on another one, of this owner or of others.
    await server.manage.channels.create({ owner: "bob", channel: name }, { visibility: "private" });
    expect((await server.as(name).get(`/bob/${name}/noarch/repodata.json`)).status).toBe(403);
    expect(await reads(name, "main")).toBe(403);
    const { id } = await server.manage.teams.show({ organization: "acme", team: name });
    await server.manage.teams.removeMember(id, name);
    expect(await status()).toBe(403);
    await server.manage.teams.addMember(id, name);
    expect(await status()).toBe(200);
    expect(await server.app.grants.revoke(await people.user("bob"), on, { team: id })).toEqual({
      remaining: undefined,
    });
    expect(await status()).toBe(403);
    await server.manage.grants.set(on, { team: id }, "reader");
    await server.manage.teams.remove(id);
    expect(await status()).toBe(403);
    expect(JSON.stringify(await server.manage.grants.list(on))).not.toContain(name);
  });

  test("can be on all that the owner has", async () => {
    const name = await memberOf({ role: "reader" });
    const everything = { owner: "bob", channel: undefined };
    await server.manage.grants.set(everything, `acme/${name}`, "maintainer");
    expect(await server.manage.grants.list(everything)).toEqual<unknown>([
      { team: `acme/${name}`, id: expect.any(Number), role: "maintainer", packages: ["*"], on: "bob" },
    ]);
    expect((await server.as(name).get("/bob/tools/noarch/repodata.json")).status).toBe(200);
    await server.manage.grants.revoke(everything, `acme/${name}`);
    expect((await server.as(name).get("/bob/tools/noarch/repodata.json")).status).toBe(403);
  });

  test("is given by members of the organization, so that nobody finds out which teams there are", async () => {
    const { id } = await server.manage.teams.create("acme", { name: "hidden-team", role: "reader" });
    const [bob, cleo] = [await people.user("bob"), await people.user("cleo")];
    const { grants } = server.app;
    const unknown = await messageOf(grants.set(bob, on, { team: 999_999 }, "reader"));
    expect(await messageOf(grants.set(bob, on, { team: id }, "reader"))).toBe(unknown.replace("999999", String(id)));
    for (const holder of ["acme/hidden-team", "acme/no-team"])
      expect(await messageOf(grants.set(bob, on, holder, "reader"))).toBe(`There is no team or robot ${holder}.`);
    await server.manage.channels.create({ owner: "cleo", channel: "c" }, {});
    await server.manage.teams.addMember(id, "cleo");
    await grants.set(cleo, { owner: "cleo", channel: "c" }, "ACME/hidden-team", "reader");
    await server.manage.teams.removeMember(id, "cleo");
    await expectRefused(
      people,
      () => grants.set(cleo, { owner: "cleo", channel: "c" }, "acme/hidden-team", "owner"),
      "not-found",
    );
    // What was given can be taken back.
    await grants.revoke(cleo, { owner: "cleo", channel: "c" }, "acme/hidden-team");
  });
});

describe("the team Owners", () => {
  const owners = { organization: "acme", team: "owners" };

  test("keeps its name and its rights, and is never deleted", async () => {
    for (const work of [
      () => server.app.teams.remove(COMMAND_LINE, owners),
      () => server.app.teams.change(COMMAND_LINE, owners, { role: "reader" }),
      () => server.app.teams.change(COMMAND_LINE, owners, { channels: [] }),
      () => server.app.teams.change(COMMAND_LINE, owners, { name: "Bosses" }),
      () => server.app.teams.create(COMMAND_LINE, "acme", { name: "OWNERS", role: "reader" }),
    ]) {
      await expectRefused(people, work, "conflict");
    }
    expect(await server.manage.teams.show(owners)).toMatchObject({ name: "Owners", role: "owner", channels: ["*"] });
  });

  test("has no robot", async () => {
    await server.manage.robots.create("acme", "ro");
    await expectRefused(people, () => server.app.teams.addMember(COMMAND_LINE, owners, "acme/ro"), "invalid-argument");
  });
});

describe("a team", () => {
  test("is changed and deleted by owners alone, and each change is in the audit trail", async () => {
    const { teams } = server.app;
    const [ada, bob, other] = [await people.user("ada"), await people.user("bob"), await people.user("other")];
    const { id } = await teams.create(ada, "acme", { name: "Audited", role: "reader" });
    const row = await people.lastAudit();
    expect(row).toMatchObject({
      action: "team.create",
      target: "acme/Audited",
      actor: "ada",
      detail: { id, role: "reader" },
    });
    await teams.addMember(ada, id, "bob");
    expect(await people.lastAudit()).toMatchObject({
      action: "team.add",
      ownerId: row.ownerId,
      detail: { id, member: "bob" },
    });
    const before = await people.auditCount();
    await teams.addMember(ada, id, "bob");
    expect(await people.auditCount()).toBe(before);
    const changes = (by: typeof ada) => [
      () => teams.change(by, id, { role: "owner" }),
      () => teams.remove(by, id),
      () => teams.addMember(by, id, "other"),
      () => teams.removeMember(by, id, "ada"),
    ];
    for (const work of changes(bob)) await expectRefused(people, work, "forbidden");
    for (const work of changes(other)) await expectRefused(people, work, "not-found");
    for (const work of changes(people.anonymous)) await expectRefused(people, work, "unauthenticated");
    expect(await teams.change(ada, id, { name: "renamed", packages: ["x"] })).toMatchObject({
      id,
      name: "renamed",
      role: "reader",
      packages: ["x"],
    });
    expect(await people.lastAudit()).toMatchObject({
      action: "team.settings",
      target: "acme/renamed",
      detail: { was: "Audited", packages: ["x"] },
    });
    expect(await teams.members(bob, id)).toEqual([{ name: "bob", kind: "user" }]);
    // Everyone may give up a place.
    await teams.removeMember(bob, id, "bob");
    expect(await people.lastAudit()).toMatchObject({
      action: "team.remove",
      actor: "bob",
      detail: { member: "bob", left: true, roles: 0 },
    });
    await teams.remove(ada, id);
    expect(await people.lastAudit()).toMatchObject({ action: "team.delete", target: "acme/renamed" });
    expect(await codeOf(teams.show(ada, id))).toBe("not-found");
  });

  test("of an unknown id is refused like one that the actor may not see", async () => {
    const { id } = await server.manage.teams.create("acme", { name: "unseen", role: "reader" });
    const other = await people.user("other");
    expect(await messageOf(server.app.teams.show(other, id))).toBe(
      await messageOf(server.app.teams.show(other, 999_999)),
    );
    expect(await codeOf(server.app.teams.show(await people.user("ada"), 999_999))).toBe("not-found");
    expect(await codeOf(server.app.teams.show(people.anonymous, 999_999))).toBe("unauthenticated");
  });

  test("that was the last place of its members ends their roles in the organization when it is deleted", async () => {
    await server.addUser("placed");
    const first = await server.manage.teams.create("acme", { name: "first", role: "reader" });
    const second = await server.manage.teams.create("acme", { name: "second", role: "reader" });
    for (const { id } of [first, second])
      for (const name of ["placed", "cleo"]) await server.manage.teams.addMember(id, name);
    await server.manage.teams.removeMember(second.id, "placed");
    for (const name of ["placed", "cleo", "other"])
      await server.manage.grants.set({ owner: "acme", channel: "main" }, name, "publisher");
    await server.manage.grants.set({ owner: "bob", channel: "tools" }, "placed", "reader");
    await server.manage.teams.remove(first.id);
    const holders = (await server.manage.grants.list({ owner: "acme", channel: "main" })).map((grant) =>
      "user" in grant ? grant.user : grant.team,
    );
    // `cleo` has another place, `other` never had one.
    expect(holders).toContain("cleo");
    expect(holders).toContain("other");
    expect(holders).not.toContain("placed");
    expect(await server.manage.grants.list({ owner: "bob", channel: "tools" })).toContainEqual({
      user: "placed",
      role: "reader",
      packages: ["*"],
      on: "bob/tools",
    });
    await server.manage.teams.removeMember(second.id, "cleo");
    expect(await reads("cleo", "main")).toBe(403);
  });

  test.each([
    [{ name: "a/b", role: "reader" as const }],
    [{ name: "", role: "reader" as const }],
    [{ name: "-a", role: "reader" as const }],
    [{ name: "x".repeat(64), role: "reader" as const }],
    [{ name: "x", role: "reader" as const, channels: [] }],
    [{ name: "x", role: "reader" as const, packages: [] }],
    [{ name: "x", role: "reader" as const, packages: [""] }],
    [{ name: "x", role: "reader" as const, channels: ["Main"] }],
    [{ name: "x", role: "reader" as const, channels: ["nothing:main"] }],
    [{ name: "x", role: "reader" as const, channels: ["label"] }],
    [{ name: "x", role: "reader" as const, channels: Array.from({ length: 65 }, () => "main") }],
  ])("is refused with %j", async (request) => {
    await expectRefused(people, () => server.app.teams.create(COMMAND_LINE, "acme", request), "invalid-argument");
  });

  test("has a name that neither a team nor a robot of the organization has, whatever the case", async () => {
    const { teams, robots } = server.app;
    await teams.create(COMMAND_LINE, "acme", { name: "Taken", role: "reader" });
    await robots.create(COMMAND_LINE, "acme", "machine");
    await expectRefused(
      people,
      () => teams.create(COMMAND_LINE, "acme", { name: "taken", role: "reader" }),
      "conflict",
    );
    await expectRefused(
      people,
      () => teams.create(COMMAND_LINE, "acme", { name: "Machine", role: "reader" }),
      "conflict",
    );
    await expectRefused(people, () => robots.create(COMMAND_LINE, "acme", "taken"), "conflict");
    const { id } = await teams.create(COMMAND_LINE, "acme", { name: "to-rename", role: "reader" });
    await expectRefused(people, () => teams.change(COMMAND_LINE, id, { name: "machine" }), "conflict");
    await teams.change(COMMAND_LINE, id, { name: "TO-rename" });
  });

  test("takes only accounts that exist, and robots of its own organization", async () => {
    await server.manage.organizations.create({ name: "rival", owner: "bob" });
    await server.manage.robots.create("rival", "spy");
    const { id } = await server.manage.teams.create("acme", { name: "closed", role: "owner" });
    for (const name of ["nobody", "acme", "rival/spy", "acme/nobody"])
      await expectRefused(people, () => server.app.teams.addMember(COMMAND_LINE, id, name), "not-found");
  });

  test("is one of at most 200 in its organization", async () => {
    await server.manage.organizations.create({ name: "crowded", owner: "bob" });
    for (let at = 1; at < 200; at++) await server.manage.teams.create("crowded", { name: `t${at}`, role: "reader" });
    await expectRefused(
      people,
      () => server.app.teams.create(COMMAND_LINE, "crowded", { name: "t200", role: "reader" }),
      "invalid",
    );
  });

  test("has at most 5000 members", async () => {
    const { id } = await server.manage.teams.create("acme", { name: "everyone", role: "reader" });
    await people.database.transact(async (tx) => {
      const kinds = Array.from({ length: 4999 }, () => ({ kind: "user" as const }));
      const rows = await tx.insert(principal).values(kinds).returning();
      await tx.insert(teamMember).values(rows.map((row) => ({ teamId: id, principalId: row.id, created: 0 })));
    });
    await server.manage.teams.addMember(id, "bob");
    await expectRefused(people, () => server.app.teams.addMember(COMMAND_LINE, id, "cleo"), "invalid");
    await server.manage.teams.remove(id);
  });
});
