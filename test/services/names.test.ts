// Names of owners that were deleted or renamed: nobody else gets them for a while, and nothing old works for who comes after.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { systemClock } from "../../src/modules/clock.ts";
import { COMMAND_LINE, type Actor } from "../../src/services/actor.ts";
import { basic, PASSWORD, startTestApp, type TestApp } from "../support/app.ts";
import { newToken } from "../support/manage.ts";
import { buildPackage } from "../support/package-builder.ts";
import { codeOf, expectRefused, messageOf, peopleOf, type People } from "../support/people.ts";

setDefaultTimeout(60_000);

const DAY = 24 * 60 * 60 * 1000;

let server: TestApp;
let people: People;
let ahead = 0;

beforeAll(async () => {
  server = await startTestApp({ clock: { ...systemClock, now: () => systemClock.now() + ahead } });
  people = await peopleOf(server);
  for (const name of ["root", "spare", "ada", "bob"]) await server.addUser(name, { admin: name === "root" });
});
afterAll(async () => {
  await people.close();
  await server.close();
});

const built = buildPackage({ name: "kept", version: "1" });

async function publish(name: string, channel: string): Promise<number> {
  return (await server.as(name).put(`/api/packages/${channel.replace("/", "/conda/")}/${built.fileName}`, built.bytes))
    .status;
}

async function statusOf(path: string, headers: Record<string, string>): Promise<number> {
  return (await server.anonymous.get(path, headers)).status;
}

function bearer(token: string): Record<string, string> {
  return { authorization: `Bearer ${token}` };
}

describe("a freed name", () => {
  const make: Readonly<Record<string, (name: string, by?: Actor) => Promise<unknown>>> = {
    user: (name, by = COMMAND_LINE) => server.app.users.create(by, { name, password: PASSWORD, isAdmin: false }),
    organization: (name, by = COMMAND_LINE) => server.app.organizations.create(by, { name, owner: "ada" }),
  };
  const end: Readonly<Record<string, (name: string) => Promise<unknown>>> = {
    "user delete": (name) => server.manage.users.remove(name),
    "user rename": (name) => server.manage.users.rename(name, `${name}-new`),
    "organization delete": (name) => server.manage.organizations.remove(name),
    "organization rename": (name) => server.manage.organizations.rename(name, `${name}-new`),
  };

  for (const [how, free] of Object.entries(end)) {
    test(`is held for 30 days and no longer after ${how}`, async () => {
      const name = `held-${how.replace(" ", "-")}`;
      await make[how.split(" ")[0] ?? ""]?.(name);
      await free(name);
      for (const kind of ["user", "organization"]) {
        expect(await messageOf(make[kind]?.(name.toUpperCase().toLowerCase()) ?? Promise.resolve())).toContain(
          `is held until`,
        );
      }
      await expectRefused(
        people,
        async () => server.app.organizations.create(await people.user("ada"), { name }),
        "conflict",
      );
      await expectRefused(people, async () => server.app.users.rename(COMMAND_LINE, "bob", name), "conflict");
      await expectRefused(
        people,
        async () => server.app.organizations.create(await people.user("root"), { name, owner: "ada" }),
        "conflict",
      );
      ahead += 30 * DAY - 60_000;
      expect(await codeOf(make.user?.(name) ?? Promise.resolve())).toBe("conflict");
      expect((await server.manage.names.list()).map((held) => held.name)).toContain(name);
      ahead += 61_000;
      expect((await server.manage.names.list()).map((held) => held.name)).not.toContain(name);
      await make.user?.(name);
    });
  }

  test("tells only administrators that it is held", async () => {
    await make.organization?.("whose");
    await server.manage.organizations.remove("whose");
    await make.organization?.("existing");
    const ada = await people.user("ada");
    const held = await messageOf(server.app.organizations.create(ada, { name: "whose" }));
    const taken = await messageOf(server.app.organizations.create(ada, { name: "existing" }));
    expect(held).toBe(taken.replace("existing", "whose"));
  });

  test("goes back to its owner at any time", async () => {
    const ada = await people.user("ada");
    await server.app.organizations.create(ada, { name: "here" });
    await server.app.organizations.rename(ada, "here", "there");
    await server.app.organizations.rename(ada, "there", "here");
    expect(await people.lastAudit()).toMatchObject({
      action: "organization.rename",
      target: "here",
      actor: "ada",
      detail: { from: "there", to: "here" },
    });
    const names = (await server.manage.names.list()).map(({ name }) => name);
    expect([names.includes("here"), names.includes("there")]).toEqual([false, true]);
  });

  test("is released by administrators alone", async () => {
    await make.organization?.("waiting");
    await server.manage.organizations.remove("waiting");
    const [ada, root] = [await people.user("ada"), await people.user("root")];
    await expectRefused(people, () => server.app.names.release(ada, "waiting"), "forbidden");
    await expectRefused(people, () => server.app.names.list(ada), "forbidden");
    await expectRefused(people, () => server.app.names.release(root, "not-waiting"), "not-found");
    await server.app.names.release(root, "WAITING");
    expect(await people.lastAudit()).toMatchObject({ action: "name.release", target: "waiting", actor: "root" });
    await make.user?.("waiting");
  });

  test("is free at once on a server that holds none", async () => {
    const other = await startTestApp({ settings: { "name-hold-days": "0" } });
    try {
      await other.addUser("short");
      await other.manage.users.remove("short");
      await other.addUser("short");
      await other.manage.users.rename("short", "shorter");
      await other.addUser("short");
    } finally {
      await other.close();
    }
  });
});

describe("who gets the name of a deleted user", () => {
  test("inherits no password, token, role, place or address, and the old ones work nowhere", async () => {
    await server.addUser("heir");
    const token = await newToken(server.manage, { user: "heir", name: "t", scopes: ["all"] });
    await server.manage.organizations.create({ name: "estate", owner: "ada", visibility: "private" });
    await server.manage.channels.create({ owner: "estate", channel: "main" }, {});
    await server.manage.teams.addMember({ organization: "estate", team: "Owners" }, "heir");
    await server.manage.grants.set({ owner: "estate", channel: "main" }, "heir", "owner");
    const estate = "/estate/main/noarch/repodata.json";
    const password = basic("heir", PASSWORD);
    expect([await statusOf(estate, password), await statusOf(estate, bearer(token))]).toEqual([200, 200]);
    await server.manage.users.remove("heir");
    expect([await statusOf(estate, password), await statusOf(estate, bearer(token))]).toEqual([401, 401]);
    await server.manage.names.release("heir");
    await server.manage.users.create({ name: "heir", password: `${PASSWORD}-2`, isAdmin: false });
    expect([await statusOf(estate, password), await statusOf(estate, bearer(token))]).toEqual([401, 401]);
    expect(await statusOf(estate, basic("heir", `${PASSWORD}-2`))).toBe(403);
    expect((await server.manage.organizations.members("estate")).map(({ name }) => name)).toEqual(["ada"]);
    expect(JSON.stringify(await server.manage.grants.list({ owner: "estate", channel: "main" }))).not.toContain("heir");
  });
});

describe("a renamed user", () => {
  test("keeps tokens, roles and channels under the new name, and the old one has nothing", async () => {
    await server.addUser("old");
    expect(await publish("old", "old/main")).toBe(201);
    await server.manage.channels.change({ owner: "old", channel: "main" }, { visibility: "private" });
    const token = await newToken(server.manage, { user: "old", name: "t" });
    const bound = await newToken(server.manage, { user: "old", name: "bound", channels: ["old/*"] });
    const [before, after] = ["/old/main/noarch/repodata.json", "/new/main/noarch/repodata.json"];
    const password = (name: string) => basic(name, PASSWORD);
    // Remembered now.
    expect(await statusOf(before, password("old"))).toBe(200);
    await server.manage.users.rename("old", "New");
    expect(await people.lastAudit()).toMatchObject({
      action: "user.rename",
      target: "new",
      detail: { from: "old", to: "new" },
    });
    expect([await statusOf(after, password("new")), await statusOf(after, bearer(token))]).toEqual([200, 200]);
    expect([await statusOf(after, password("old")), await statusOf(after, bearer(bound))]).toEqual([401, 403]);
    expect([await statusOf(before, bearer(token)), await statusOf(before, {})]).toEqual([403, 401]);
    const listed = (await server.manage.users.list()).map(({ name }) => name);
    expect([listed.includes("new"), listed.includes("old")]).toEqual([true, false]);

    await server.manage.names.release("old");
    await server.manage.users.create({ name: "old", password: `${PASSWORD}-3`, isAdmin: false });
    expect(await publish("new", "old/main")).toBe(403);
    expect([await statusOf(before, bearer(token)), await statusOf(before, password("old"))]).toEqual([403, 401]);
    expect((await server.manage.channels.list("old")).length).toBe(0);
    expect(await statusOf(after, basic("old", `${PASSWORD}-3`))).toBe(403);
  });

  test("is renamed by administrators alone, to a valid and free name", async () => {
    const [ada, bob] = [await people.user("ada"), await people.user("bob")];
    await expectRefused(people, () => server.app.users.rename(bob, "bob", "robert"), "forbidden");
    await expectRefused(people, () => server.app.users.rename(ada, "bob", "robert"), "forbidden");
    for (const [to, code] of [
      ["ada", "conflict"],
      ["bob", "conflict"],
      ["api", "invalid-argument"],
      ["a/b", "invalid-argument"],
      ["", "invalid-argument"],
    ] as const)
      await expectRefused(people, () => server.app.users.rename(COMMAND_LINE, "bob", to), code);
    await expectRefused(people, () => server.app.users.rename(COMMAND_LINE, "nobody", "robert"), "not-found");
  });
});

describe("an organization", () => {
  test("that is renamed keeps its channels, members, teams and robots with their tokens", async () => {
    const ada = await people.user("ada");
    await server.app.organizations.create(ada, { name: "acme", visibility: "private" });
    expect(await publish("ada", "acme/main")).toBe(201);
    await server.manage.teams.create("acme", { name: "devs", role: "reader", channels: ["main"] });
    await server.manage.teams.addMember({ organization: "acme", team: "devs" }, "bob");
    for (const robot of ["ci", "acme"]) await server.manage.robots.create("acme", robot);
    await server.manage.teams.addMember({ organization: "acme", team: "devs" }, "acme/ci");
    const token = await newToken(server.manage, { user: "acme/ci", name: "t" });
    await expectRefused(
      people,
      async () => server.app.organizations.rename(await people.user("bob"), "acme", "corp"),
      "forbidden",
    );
    for (const to of ["ada", "api", "A B"])
      expect(await codeOf(server.app.organizations.rename(ada, "acme", to))).not.toBe("done");
    await server.app.organizations.rename(ada, "acme", "corporation");
    expect((await server.app.robots.list(ada, "corporation")).map(({ account }) => account)).toEqual([
      "corporation/acme",
      "corporation/ci",
    ]);
    const path = "/corporation/main/noarch/repodata.json";
    expect([await statusOf(path, bearer(token)), await statusOf(path, basic("bob", PASSWORD))]).toEqual([200, 200]);
    expect(await statusOf("/acme/main/noarch/repodata.json", bearer(token))).toBe(403);
    expect(await codeOf(server.manage.tokens.list("acme/ci"))).toBe("not-found");
    await server.manage.tokens.revoke("corporation/ci", "t");
    expect(await statusOf(path, bearer(token))).toBe(401);
  });

  test("that is deleted leaves nothing to who takes its name", async () => {
    const ada = await people.user("ada");
    await server.app.organizations.create(ada, { name: "gone", visibility: "private" });
    await server.manage.robots.create("gone", "ci");
    await server.manage.teams.create("gone", { name: "devs", role: "owner" });
    await server.manage.teams.addMember({ organization: "gone", team: "devs" }, "bob");
    await server.manage.grants.set({ owner: "gone", channel: undefined }, "spare", "owner");
    const token = await newToken(server.manage, { user: "gone/ci", name: "t", scopes: ["all"] });
    await server.manage.channels.create({ owner: "bob", channel: "shared" }, { visibility: "private" });
    await server.manage.grants.set({ owner: "bob", channel: "shared" }, "gone/ci", "reader");
    await server.manage.grants.set({ owner: "bob", channel: "shared" }, "gone/devs", "reader");
    await expectRefused(
      people,
      async () => server.app.organizations.remove(await people.user("spare"), "estate"),
      "not-found",
    );
    await server.app.organizations.remove(ada, "gone");
    expect(await people.lastAudit()).toMatchObject({ action: "organization.delete", target: "gone", actor: "ada" });
    expect(await statusOf("/bob/shared/noarch/repodata.json", bearer(token))).toBe(401);
    expect(await server.manage.grants.list({ owner: "bob", channel: "shared" })).toEqual([]);
    await server.manage.names.release("gone");
    await server.app.organizations.create(await people.user("root"), { name: "gone", visibility: "private" });
    for (const name of ["ada", "bob", "spare"]) {
      expect(await codeOf(server.app.organizations.show(await people.user(name), "gone"))).toBe("not-found");
      expect(await publish(name, "gone/main")).toBe(403);
    }
    expect(await codeOf(server.manage.tokens.list("gone/ci"))).toBe("not-found");
    expect((await server.manage.teams.list("gone")).map(({ name }) => name)).toEqual(["Owners"]);
  });

  test("with a channel is not deleted, not even by administrators", async () => {
    await server.manage.organizations.create({ name: "full", owner: "ada" });
    expect(await publish("ada", "full/main")).toBe(201);
    await expectRefused(people, () => server.app.organizations.remove(COMMAND_LINE, "full"), "invalid");
    expect((await server.as("ada").get("/full/main/noarch/repodata.json")).status).toBe(200);
    await server.manage.channels.remove({ owner: "full", channel: "main" }, { withFiles: true });
    await server.manage.organizations.remove("full");
  });

  test("is deleted by who organizes it alone", async () => {
    await server.manage.organizations.create({ name: "safe", owner: "ada" });
    await server.manage.teams.create("safe", { name: "some", role: "maintainer" });
    await server.manage.teams.addMember({ organization: "safe", team: "some" }, "bob");
    await expectRefused(
      people,
      async () => server.app.organizations.remove(await people.user("bob"), "safe"),
      "forbidden",
    );
    await expectRefused(
      people,
      async () => server.app.organizations.remove(await people.user("spare"), "safe"),
      "not-found",
    );
    const weak = await people.token("ada", { scopes: ["manage:channel"] });
    await expectRefused(people, () => server.app.organizations.remove(weak, "safe"), "forbidden");
    await expectRefused(people, () => server.app.organizations.rename(weak, "safe", "unsafe"), "forbidden");
  });
});

describe("a disabled user", () => {
  test("has no place and no role while disabled, also in a request that has begun", async () => {
    await server.addUser("paused");
    await server.manage.organizations.create({ name: "team-of-paused", owner: "ada", visibility: "private" });
    await server.manage.teams.addMember({ organization: "team-of-paused", team: "Owners" }, "paused");
    const paused = await people.user("paused");
    const robots = server.app.robots;
    await robots.create(paused, "team-of-paused", "made");
    await server.manage.users.setDisabled("paused", true);
    await expectRefused(people, () => robots.create(paused, "team-of-paused", "more"), "unauthenticated");
    expect(await statusOf("/team-of-paused/noarch/repodata.json", basic("paused", PASSWORD))).toBe(401);
    await server.manage.users.setDisabled("paused", false);
    expect(await statusOf("/team-of-paused/noarch/repodata.json", basic("paused", PASSWORD))).toBe(200);
  });
});
