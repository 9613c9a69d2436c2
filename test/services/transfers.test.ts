// Transfers of channels: both sides agree, nothing becomes more visible, and the former address leads to the channel for a while.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { systemClock } from "../../src/modules/clock.ts";
import { COMMAND_LINE } from "../../src/services/actor.ts";
import { startTestApp, type TestApp } from "../support/app.ts";
import { newToken } from "../support/manage.ts";
import { buildPackage } from "../support/package-builder.ts";
import { codeOf, expectRefused, messageOf, peopleOf, type People } from "../support/people.ts";

setDefaultTimeout(60_000);

const DAY = 24 * 60 * 60 * 1000;

let server: TestApp;
let people: People;
let ahead = 0;
const built = buildPackage({ name: "kept", version: "1" });

beforeAll(async () => {
  server = await startTestApp({ clock: { ...systemClock, now: () => systemClock.now() + ahead } });
  people = await peopleOf(server);
  for (const name of ["root", "ada", "bob", "cleo", "stranger"]) await server.addUser(name, { admin: name === "root" });
  await server.manage.organizations.create({ name: "acme", owner: "ada" });
  await server.manage.organizations.create({ name: "corp", owner: "bob" });
});
afterAll(async () => {
  await people.close();
  await server.close();
});

/** A new channel of acme with one package. */
async function channelOf(visibility?: "public" | "internal" | "private", owner = "acme") {
  const name = { owner, channel: `c-${Bun.randomUUIDv7().slice(-12)}` };
  await server.manage.channels.create(name, { visibility });
  expect(await publish("root", `${owner}/${name.channel}`)).toBe(201);
  return name;
}

async function publish(name: string, channel: string, pkg = built): Promise<number> {
  return (await server.as(name).put(`/api/packages/${channel.replace("/", "/conda/")}/${pkg.fileName}`, pkg.bytes))
    .status;
}

async function reads(name: string | undefined, channel: string): Promise<number> {
  const actor = name === undefined ? server.anonymous : server.as(name);
  return (await actor.get(`/${channel}/noarch/repodata.json`)).status;
}

describe("an offer", () => {
  test("moves the channel when the other side accepts it, with its packages and revisions, and is in both audit trails", async () => {
    const { transfers, channels } = server.app;
    const [ada, bob] = [await people.user("ada"), await people.user("bob")];
    const name = await channelOf("public");
    const [from, to] = [`acme/${name.channel}`, `corp/${name.channel}`];
    const before = await channels.show(COMMAND_LINE, name);
    expect(await transfers.offer(ada, name, "CORP")).toMatchObject({ channel: from, to: "corp" });
    expect(await people.lastAudit()).toMatchObject({
      action: "channel.offer",
      target: from,
      actor: "ada",
      detail: { from: "acme", to: "corp" },
    });
    expect(await transfers.show(ada, name)).toMatchObject({ channel: from, to: "corp" });
    expect(await transfers.list(bob, "corp")).toMatchObject([{ channel: from, to: "corp" }]);
    expect(await transfers.accept(bob, name)).toBe(to);
    expect(await people.lastAudit()).toMatchObject({
      action: "channel.transfer",
      target: to,
      actor: "bob",
      detail: { from: "acme", to: "corp" },
    });
    expect(await people.lastAudits(2)).toEqual([`channel.transfer ${to}`, `channel.transfer ${from}`]);
    expect(await channels.show(COMMAND_LINE, { owner: "corp", channel: name.channel })).toMatchObject({
      ...before,
      channel: to,
      owner: "corp",
    });
    const file = `/noarch/${built.fileName}`;
    expect((await server.anonymous.get(`/${to}${file}`)).status).toBe(200);
    expect(await codeOf(transfers.accept(bob, name))).toBe("not-found");
    expect(await transfers.list(bob, "corp")).toEqual([]);
    // The former owner has no right any more.
    expect(await publish("ada", to, buildPackage({ name: "later", version: "1" }))).toBe(403);
    expect(await codeOf(channels.change(ada, { owner: "corp", channel: name.channel }, { description: "x" }))).not.toBe(
      "done",
    );
  });

  test("is made, seen, accepted and withdrawn by its sides alone", async () => {
    const { transfers } = server.app;
    const name = await channelOf("private");
    const actors = {
      ada: await people.user("ada"),
      bob: await people.user("bob"),
      root: await people.user("root"),
      stranger: await people.user("stranger"),
      anonymous: people.anonymous,
      "ada's reader": await people.token("ada", { scopes: ["write:package"] }),
      "bob's reader": await people.token("bob", { scopes: ["write:package"] }),
      "bob's for acme": await people.token("bob", { scopes: ["all"], channels: ["acme/*"] }),
    };
    type Name = keyof typeof actors;
    const offered = async (): Promise<void> => void (await transfers.offer(COMMAND_LINE, name, "corp"));
    const outcomes = async (work: (by: Name) => Promise<unknown>) => {
      const seen: Record<string, string> = {};
      for (const by of Object.keys(actors) as Name[]) {
        await offered();
        seen[by] = await codeOf(work(by));
        const place = { owner: "corp", channel: name.channel };
        const isMoved = (await server.manage.channels.list("corp")).some(
          ({ channel }) => channel === `corp/${name.channel}`,
        );
        if (isMoved) await server.manage.transfers.transfer(place, "acme");
      }
      return seen;
    };
    const NONE = { stranger: "not-found", anonymous: "unauthenticated", "bob's for acme": "not-found" };
    expect(await outcomes((by) => transfers.offer(actors[by], name, "bob"))).toEqual({
      ...NONE,
      ada: "done",
      root: "done",
      bob: "not-found",
      "ada's reader": "forbidden",
      "bob's reader": "not-found",
    });
    expect(await outcomes((by) => transfers.show(actors[by], name))).toEqual({
      ...NONE,
      ada: "done",
      root: "done",
      bob: "not-found",
      "ada's reader": "forbidden",
      "bob's reader": "not-found",
    });
    expect(await outcomes((by) => transfers.accept(actors[by], name))).toEqual({
      ...NONE,
      ada: "not-found",
      root: "done",
      bob: "done",
      "ada's reader": "not-found",
      "bob's reader": "forbidden",
    });
    expect(await outcomes((by) => transfers.withdraw(actors[by], name))).toEqual({
      ...NONE,
      ada: "done",
      root: "done",
      bob: "done",
      "ada's reader": "forbidden",
      "bob's reader": "not-found",
    });
    expect(await outcomes((by) => transfers.list(actors[by], "corp"))).toEqual({
      ...NONE,
      ada: "not-found",
      root: "done",
      bob: "done",
      "ada's reader": "not-found",
      "bob's reader": "forbidden",
    });
    // A transfer at once takes the rights of both sides.
    expect(await outcomes((by) => transfers.transfer(actors[by], name, "corp"))).toEqual({
      ...NONE,
      ada: "not-found",
      root: "done",
      bob: "not-found",
      "ada's reader": "forbidden",
      "bob's reader": "not-found",
    });
  });

  test("that is withdrawn or replaced is accepted by nobody", async () => {
    const { transfers } = server.app;
    const [ada, bob, cleo] = [await people.user("ada"), await people.user("bob"), await people.user("cleo")];
    const name = await channelOf("private");
    await transfers.offer(ada, name, "corp");
    await transfers.withdraw(ada, name);
    expect(await people.lastAudit()).toMatchObject({ action: "channel.withdraw", actor: "ada" });
    await expectRefused(people, () => transfers.accept(bob, name), "not-found");
    await transfers.offer(ada, name, "corp");
    await transfers.offer(ada, name, "cleo");
    await expectRefused(people, () => transfers.accept(bob, name), "not-found");
    await transfers.withdraw(cleo, name);
    await expectRefused(people, () => transfers.accept(cleo, name), "not-found");
    await expectRefused(people, () => transfers.withdraw(COMMAND_LINE, name), "not-found");
    expect(await messageOf(server.app.transfers.accept(COMMAND_LINE, name))).toBe(
      `acme/${name.channel} is offered to nobody.`,
    );
  });

  test("of somebody who has left, lost the role, or was disabled is not accepted", async () => {
    const { transfers } = server.app;
    await server.addUser("leaver");
    const leaver = await people.user("leaver");
    const name = await channelOf("private");
    const owners = { organization: "acme", team: "Owners" };
    const again = async (): Promise<void> => {
      await server.manage.teams.addMember(owners, "leaver");
      await transfers.offer(leaver, name, "corp");
    };
    await again();
    await server.manage.organizations.removeMember("acme", "leaver");
    await expectRefused(people, async () => transfers.accept(await people.user("bob"), name), "conflict");
    await expectRefused(people, () => transfers.accept(COMMAND_LINE, name), "conflict");
    await again();
    await server.manage.users.setDisabled("leaver", true);
    await expectRefused(people, async () => transfers.accept(await people.user("bob"), name), "conflict");
    await server.manage.users.setDisabled("leaver", false);
    await server.manage.users.remove("leaver");
    await expectRefused(people, async () => transfers.accept(await people.user("bob"), name), "not-found");
  });

  test("by an owner of the channel alone is as good, and needs a name", async () => {
    const { transfers } = server.app;
    const name = await channelOf("private");
    await server.manage.grants.set(name, "cleo", "maintainer");
    const cleo = await people.user("cleo");
    await expectRefused(people, () => transfers.offer(cleo, name, "cleo"), "forbidden");
    await server.manage.grants.set(name, "cleo", "owner");
    expect(await transfers.transfer(cleo, name, "cleo")).toBe(`cleo/${name.channel}`);
    await expectRefused(
      people,
      () => transfers.offer(COMMAND_LINE, { owner: "acme", channel: "" }, "corp"),
      "invalid-argument",
    );
    const other = await channelOf();
    await expectRefused(people, () => transfers.offer(COMMAND_LINE, other, "nobody"), "not-found");
    await expectRefused(people, () => transfers.offer(COMMAND_LINE, other, "acme"), "conflict");
    await server.manage.channels.create({ owner: "corp", channel: other.channel }, {});
    await expectRefused(people, () => transfers.transfer(COMMAND_LINE, other, "corp"), "conflict");
  });
});

describe("a transferred channel", () => {
  test("is never more visible than before", async () => {
    await server.manage.organizations.create({ name: "closed", owner: "ada", visibility: "private" });
    await server.manage.organizations.create({ name: "staff", owner: "ada", visibility: "internal" });
    for (const [owner, wanted] of [
      ["closed", "private"],
      ["staff", "internal"],
      ["acme", "public"],
    ] as const) {
      const name = await channelOf(undefined, owner);
      await server.manage.transfers.transfer(name, "corp");
      const at = { owner: "corp", channel: name.channel };
      expect((await server.manage.channels.show(at)).visibility).toBe(wanted);
      expect(await reads(undefined, `corp/${name.channel}`)).toBe(wanted === "public" ? 200 : 401);
      expect(await reads(undefined, `${owner}/${name.channel}`)).toBe(wanted === "public" ? 200 : 401);
      // The visibility of the new owner counts as well.
      const back = await channelOf("public", "acme");
      await server.manage.transfers.transfer(back, "closed");
      expect(await reads("stranger", `closed/${back.channel}`)).toBe(403);
      expect(await reads("stranger", `acme/${back.channel}`)).toBe(403);
    }
    await server.manage.channels.create({ owner: "corp", channel: "tree" }, { visibility: "private" });
    await server.manage.channels.create({ owner: "acme", channel: "tree/leaf" }, {});
    await server.manage.transfers.transfer({ owner: "acme", channel: "tree/leaf" }, "corp");
    expect((await server.manage.channels.show({ owner: "corp", channel: "tree/leaf" })).visibility).toBe("private");
  });

  test("keeps the roles of users on itself, and ends those of the former owner's teams and robots", async () => {
    const name = await channelOf("private");
    await server.manage.teams.create("acme", { name: "movers", role: "reader" });
    await server.manage.teams.create("corp", { name: "getters", role: "reader", channels: ["none"] });
    await server.manage.robots.create("acme", "mover");
    for (const holder of ["cleo", "acme/movers", "acme/mover", "corp/getters"])
      await server.manage.grants.set(name, holder, "publisher");
    await server.manage.grants.set({ owner: "acme", channel: undefined }, "stranger", "owner");
    const other = await channelOf("private");
    await server.manage.grants.set(other, "acme/movers", "publisher");
    await server.manage.transfers.transfer(name, "corp");
    const at = { owner: "corp", channel: name.channel };
    const label = `corp/${name.channel}`;
    expect(await server.manage.grants.list(at)).toEqual([
      { user: "cleo", role: "publisher", packages: ["*"], on: label },
      { team: "corp/getters", id: expect.any(Number), role: "publisher", packages: ["*"], on: label },
    ]);
    expect([await reads("cleo", label), await reads("ada", label), await reads("stranger", label)]).toEqual([
      200, 403, 403,
    ]);
    expect(await server.manage.grants.list(other)).toContainEqual({
      team: "acme/movers",
      id: expect.any(Number),
      role: "publisher",
      packages: ["*"],
      on: `acme/${other.channel}`,
    });
    await server.manage.grants.revoke({ owner: "acme", channel: undefined }, "stranger");
  });
});

describe("the former address", () => {
  test("answers reads with the same bytes for 30 days, to who may read the channel where it is", async () => {
    const name = await channelOf("private");
    const [from, to] = [`acme/${name.channel}`, `corp/${name.channel}`];
    await server.manage.grants.set(name, "cleo", "reader");
    await server.manage.transfers.transfer(name, "corp");
    const bodyOf = async (channel: string) =>
      await (await server.as("bob").get(`/${channel}/noarch/repodata.json`)).text();
    expect(await bodyOf(from)).toBe(await bodyOf(to));
    expect(await bodyOf(from)).toContain("kept");
    expect((await server.as("cleo").get(`/${from}/noarch/${built.fileName}`)).status).toBe(200);
    // The former owner's people and strangers learn as little as at the new one.
    expect([await reads("ada", from), await reads("stranger", from), await reads(undefined, from)]).toEqual([
      403, 403, 401,
    ]);
    const bound = await newToken(server.manage, { user: "cleo", name: Bun.randomUUIDv7(), channels: [from] });
    expect((await server.withToken(bound).get(`/${from}/noarch/repodata.json`)).status).toBe(403);
    ahead += 30 * DAY - 60_000;
    expect(await reads("bob", from)).toBe(200);
    ahead += 61_000;
    expect([await reads("bob", from), await reads("bob", to)]).toEqual([403, 200]);
  });

  test("takes no changes, until somebody creates a channel there", async () => {
    const name = await channelOf();
    const from = `acme/${name.channel}`;
    await server.manage.transfers.transfer(name, "corp");
    expect(await publish("ada", from)).toBe(403);
    expect((await server.as("bob").delete(`/${from}/noarch/${built.fileName}`)).status).toBe(403);
    expect(await codeOf(server.app.channels.change(await people.user("bob"), name, { description: "x" }))).toBe(
      "not-found",
    );
    expect(await codeOf(server.manage.channels.remove(name))).toBe("not-found");
    expect(await publish("stranger", from)).toBe(403);
    expect(await reads(undefined, from)).toBe(200);
    await server.app.channels.create(await people.user("ada"), name, { visibility: "private" });
    expect([await reads(undefined, from), await reads("ada", from)]).toEqual([401, 200]);
    expect(await publish("ada", from, buildPackage({ name: "new", version: "1" }))).toBe(201);
    expect(await (await server.as("ada").get(`/${from}/noarch/repodata.json`)).text()).not.toContain("kept");
    // The first channel does not come back when the second one goes.
    await server.manage.channels.remove(name, { withFiles: true });
    expect(await reads("bob", from)).toBe(403);
  });

  test("leads to the channel over several transfers, and is its own again after the way back", async () => {
    const name = await channelOf();
    const label = (owner: string) => `${owner}/${name.channel}`;
    await server.manage.transfers.transfer(name, "corp");
    await server.manage.transfers.transfer({ ...name, owner: "corp" }, "cleo");
    expect([await reads(undefined, label("acme")), await reads(undefined, label("corp"))]).toEqual([200, 200]);
    await server.manage.transfers.transfer({ ...name, owner: "cleo" }, "acme");
    expect(await publish("ada", label("acme"), buildPackage({ name: "back", version: "1" }))).toBe(201);
    await server.manage.channels.remove(name, { withFiles: true });
    expect([await reads("bob", label("acme")), await reads("bob", label("corp"))]).toEqual([403, 403]);
  });

  test("is for good that of a channel which another owner transfers there", async () => {
    const name = await channelOf();
    await server.manage.transfers.transfer(name, "corp");
    await server.manage.channels.create({ ...name, owner: "cleo" }, {});
    await server.manage.transfers.transfer({ ...name, owner: "cleo" }, "acme");
    const body = async () => await (await server.anonymous.get(`/acme/${name.channel}/noarch/repodata.json`)).text();
    expect(await body()).not.toContain("kept");
    await server.manage.channels.remove(name);
    expect(await reads("bob", `acme/${name.channel}`)).toBe(403);
  });

  test("ends with the former owner, so that the next one of the name has nothing of it", async () => {
    await server.addUser("seller");
    const name = await channelOf(undefined, "seller");
    await server.manage.transfers.transfer(name, "corp");
    await server.manage.users.remove("seller");
    expect(await reads("bob", `seller/${name.channel}`)).toBe(403);
    await server.manage.names.release("seller");
    await server.addUser("seller");
    expect(await reads("bob", `seller/${name.channel}`)).toBe(403);
    expect(await publish("seller", `seller/${name.channel}`)).toBe(201);
  });

  test("is followed by nobody on a server without this time", async () => {
    const other = await startTestApp({ settings: { "transfer-redirect-days": "0" } });
    try {
      for (const name of ["one", "two"]) await other.addUser(name);
      await other.manage.channels.create({ owner: "one", channel: "c" }, {});
      await other.manage.transfers.transfer({ owner: "one", channel: "c" }, "two");
      const status = async (path: string) => (await other.anonymous.get(`${path}/noarch/repodata.json`)).status;
      expect([await status("/one/c"), await status("/two/c")]).toEqual([401, 200]);
    } finally {
      await other.close();
    }
  });
});
