// Organizations, their owners and members: who may what, and that nothing stays of who has left.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { eq } from "drizzle-orm";
import { openManagement } from "../../src/app.ts";
import { loadConfig } from "../../src/config.ts";
import { user as userTable } from "../../src/models/schema/index.ts";
import { findUser } from "../../src/models/user.ts";
import { COMMAND_LINE, type Actor } from "../../src/services/actor.ts";
import { startTestApp, type TestApp } from "../support/app.ts";
import { enginesOf } from "../support/engines.ts";
import { buildPackage } from "../support/package-builder.ts";
import { codeOf, expectRefused, messageOf, peopleOf, type People } from "../support/people.ts";

setDefaultTimeout(60_000);

let server: TestApp;
let people: People;
const actors = new Map<string, Actor>();

beforeAll(async () => {
  server = await startTestApp();
  people = await peopleOf(server);
  for (const name of ["root", "ada", "bob", "cleo", "dan", "stranger"])
    await server.addUser(name, { admin: name === "root" });
  for (const name of ["root", "ada", "bob", "cleo", "dan", "stranger"]) actors.set(name, await people.user(name));
  actors.set("anonymous", people.anonymous);
  await server.app.organizations.create(actor("ada"), { name: "acme", visibility: "private" });
  await server.app.organizations.create(actor("ada"), { name: "open", visibility: "public" });
  await server.app.organizations.create(actor("ada"), { name: "inner", visibility: "internal" });
  await server.manage.teams.create("acme", { name: "devs", role: "publisher" });
  await server.manage.teams.addMember({ organization: "acme", team: "devs" }, "bob");
});
afterAll(async () => {
  await people.close();
  await server.close();
});

function actor(name: string): Actor {
  return actors.get(name) ?? COMMAND_LINE;
}

/** Publishes a small package and returns the status. */
async function publish(name: string, channel: string, packageName: string): Promise<number> {
  const built = buildPackage({ name: packageName, version: "1" });
  const address = `/api/packages/${channel.replace("/", "/conda/")}/${built.fileName}`;
  return (await server.as(name).put(address, built.bytes)).status;
}

async function readStatus(name: string, channel: string): Promise<number> {
  return (await server.as(name).get(`/${channel}/noarch/repodata.json`)).status;
}

describe("an organization", () => {
  test("is made by any user, who is then its only owner, and cannot sign in", async () => {
    const { organizations, teams } = server.app;
    const made = await organizations.create(actor("dan"), { name: "Dans.Lab", displayName: "Dan's", description: "d" });
    expect(made).toMatchObject({ name: "dans.lab", displayName: "Dan's", description: "d", visibility: "public" });
    expect(await people.lastAudit()).toMatchObject({
      action: "organization.create",
      target: "dans.lab",
      actor: "dan",
      detail: { owner: "dan", visibility: "public" },
    });
    expect(await organizations.members(actor("dan"), "dans.lab")).toEqual([{ name: "dan", teams: ["Owners"] }]);
    expect(await teams.list(actor("dan"), "dans.lab")).toMatchObject([
      { name: "Owners", role: "owner", channels: ["*"], packages: ["*"] },
    ]);
    expect((await server.as("dans.lab").get("/dans.lab/noarch/repodata.json")).status).toBe(401);
    expect(await publish("dan", "dans.lab/main", "made")).toBe(201);
    expect(await publish("stranger", "dans.lab/main", "other")).toBe(403);
  });

  test("is made neither without a login, nor by a token for less than everything, nor for somebody else", async () => {
    const { organizations } = server.app;
    const make = (by: Actor, more: object = {}) => organizations.create(by, { name: "never", ...more });
    await expectRefused(people, () => make(people.anonymous), "unauthenticated");
    for (const limits of [{ scopes: ["manage:channel"] }, { scopes: ["all"], channels: ["dan/*"] }, {}]) {
      const token = await people.token("dan", limits);
      await expectRefused(people, () => make(token), "forbidden");
    }
    await expectRefused(people, () => make(actor("dan"), { owner: "ada" }), "forbidden");
    await expectRefused(people, () => make(COMMAND_LINE), "invalid-argument");
    await expectRefused(people, () => make(COMMAND_LINE, { owner: "nobody" }), "not-found");
    expect(await codeOf(server.manage.organizations.show("never"))).toBe("not-found");
    await organizations.create(actor("root"), { name: "for-bob", owner: "bob" });
    expect(await organizations.members(actor("bob"), "for-bob")).toEqual([{ name: "bob", teams: ["Owners"] }]);
  });

  test.each(["ada", "acme", "ACME", "api", "t", "-x", "", "x".repeat(64), "a/b"])(
    "never gets the name %j",
    async (name) => {
      const code = await codeOf(server.app.organizations.create(actor("dan"), { name }));
      expect(["conflict", "invalid-argument"]).toContain(code);
    },
  );

  test("takes a name that no user can get afterwards", async () => {
    expect(await codeOf(server.addUser("acme"))).toBe("conflict");
  });

  test("has bounded texts", async () => {
    const change = (more: object) => server.manage.organizations.change("open", more);
    expect(await codeOf(change({ displayName: "x".repeat(101) }))).toBe("invalid-argument");
    expect(await codeOf(change({ description: "x".repeat(1001) }))).toBe("invalid-argument");
    const before = await people.auditCount();
    await change({});
    expect(await people.auditCount()).toBe(before);
    expect(await change({ displayName: "x".repeat(100), description: "y".repeat(1000) })).toMatchObject({
      displayName: "x".repeat(100),
    });
    expect(await people.lastAudit()).toMatchObject({ action: "organization.settings", target: "open" });
  });

  test("is counted: a user owns at most 100", async () => {
    await server.addUser("many");
    for (let at = 0; at < 100; at++) await server.manage.organizations.create({ name: `many-${at}`, owner: "many" });
    expect(await codeOf(server.manage.organizations.create({ name: "many-100", owner: "many" }))).toBe("invalid");
  });
});

/** + allowed, U not signed in, F refused with the reason, N as if it did not exist. */
const OUTCOMES: Readonly<Record<string, string>> = {
  done: "+",
  unauthenticated: "U",
  forbidden: "F",
  "not-found": "N",
};

describe("the rights in an organization", () => {
  const COLUMNS = ["acme", "inner", "open", "nobody"];
  const CALLS: Readonly<Record<string, (by: Actor, name: string) => Promise<unknown>>> = {
    view: (by, name) => server.app.organizations.show(by, name),
    members: (by, name) => server.app.organizations.members(by, name),
    teams: (by, name) => server.app.teams.list(by, name),
    robots: (by, name) => server.app.robots.list(by, name),
    settings: (by, name) => server.app.organizations.change(by, name, { description: `by ${Bun.randomUUIDv7()}` }),
    "a new team": async (by, name) => {
      const { id } = await server.app.teams.create(by, name, { name: "made", role: "reader" });
      await server.manage.teams.remove(id);
    },
    "a new robot": async (by, name) => {
      await server.app.robots.create(by, name, "made");
      await server.manage.robots.remove(name, "made");
    },
    "a removal": async (by, name) => {
      await server.manage.teams.addMember({ organization: name, team: "Owners" }, "cleo").catch(() => undefined);
      try {
        await server.app.organizations.removeMember(by, name, "cleo");
      } finally {
        await server.manage.organizations.removeMember(name, "cleo").catch(() => undefined);
      }
    },
  };
  const OPEN = ["view"];
  const INSIDE = ["members", "teams", "robots"];
  const ROWS: readonly (readonly [name: string, view: string, inside: string, organize: string])[] = [
    ["command line", "+++N", "+++N", "+++N"],
    ["root", "+++N", "+++N", "+++N"],
    ["ada", "+++N", "+++N", "+++N"],
    ["bob", "+++N", "+NNN", "FNNN"],
    ["stranger", "N++N", "NNNN", "NNNN"],
    ["anonymous", "UU+U", "UUUU", "UUUU"],
    ["ada's token for all", "+++N", "+++N", "+++N"],
    ["ada's token to manage", "+++N", "FFFN", "FFFN"],
    ["ada's token for one channel", "N N+N".replace(" ", ""), "NNNN", "NNNN"],
    ["ada's public token", "NN+N", "NNNN", "NNNN"],
  ];

  beforeAll(async () => {
    actors.set("ada's token for all", await people.token("ada", { scopes: ["all"] }));
    actors.set("ada's token to manage", await people.token("ada", { scopes: ["manage:channel"] }));
    actors.set("ada's token for one channel", await people.token("ada", { scopes: ["all"], channels: ["acme/main"] }));
    actors.set("ada's public token", await people.token("ada", { scopes: ["all", "public-only"] }));
  });

  for (const [name, view, inside, organize] of ROWS) {
    for (const [call, run] of Object.entries(CALLS)) {
      const wanted = OPEN.includes(call) ? view : INSIDE.includes(call) ? inside : organize;
      test(`${call} by ${name}: ${wanted} on ${COLUMNS.join(", ")}`, async () => {
        const seen: string[] = [];
        for (const column of COLUMNS) {
          const before = await people.auditCount();
          const code = await codeOf(run(actor(name), column));
          if (code !== "done" && call !== "a removal") expect(await people.auditCount()).toBe(before);
          seen.push(OUTCOMES[code] ?? code);
        }
        expect(seen.join("")).toBe(wanted);
      });
    }
  }

  test("of a user's name are none", async () => {
    expect(await codeOf(server.app.organizations.show(actor("dan"), "dan"))).toBe("not-found");
    expect(await codeOf(server.app.teams.create(actor("dan"), "dan", { name: "x", role: "reader" }))).toBe("not-found");
    expect(await codeOf(server.app.robots.create(actor("dan"), "dan", "x"))).toBe("not-found");
  });

  test("make a list of those that the actor can see", async () => {
    const listed = async (name: string) => {
      const names: string[] = [];
      for (let after: string | undefined = ""; after !== undefined;) {
        const page = await server.app.organizations.list(actor(name), { after });
        names.push(...page.map((info) => info.name));
        after = page.at(-1)?.name;
      }
      return ["acme", "inner", "open"].filter((wanted) => names.includes(wanted));
    };
    expect(await listed("anonymous")).toEqual(["open"]);
    expect(await listed("stranger")).toEqual(["inner", "open"]);
    expect(await listed("bob")).toEqual(["acme", "inner", "open"]);
    expect(await listed("ada's public token")).toEqual(["open"]);
    const page = await server.app.organizations.list(COMMAND_LINE, { after: "dans.lab", limit: 2 });
    expect(page.map(({ name }) => name)).toEqual(["for-bob", "inner"]);
    const own = await server.app.organizations.listOf(actor("bob"), "bob");
    expect(own.map(({ name }) => name)).toEqual(["acme", "for-bob"]);
    expect(await codeOf(server.app.organizations.listOf(actor("stranger"), "bob"))).toBe("not-found");
  });
});

describe("leaving an organization", () => {
  test("ends every place and every role in it at once, also those on its channels, and nothing elsewhere", async () => {
    const { organizations, teams } = server.app;
    await server.addUser("lea");
    await server.manage.channels.create({ owner: "acme", channel: "secret" }, {});
    await server.manage.channels.create({ owner: "bob", channel: "own" }, { visibility: "private" });
    for (const team of ["devs", "Owners"]) await teams.addMember(actor("ada"), { organization: "acme", team }, "lea");
    const roles = [
      { owner: "acme", channel: undefined },
      { owner: "acme", channel: "secret" },
      { owner: "bob", channel: "own" },
    ];
    for (const on of roles) await server.manage.grants.set(on, "lea", "owner");
    const lea = await people.user("lea");
    expect(await publish("lea", "acme/secret", "by-lea")).toBe(201);
    await organizations.removeMember(actor("ada"), "acme", "lea");
    expect(await people.lastAudit()).toMatchObject({
      action: "member.remove",
      target: "acme",
      actor: "ada",
      detail: { user: "lea", teams: ["devs", "Owners"], roles: 2 },
    });
    expect([await readStatus("lea", "acme/secret"), await readStatus("lea", "bob/own")]).toEqual([403, 200]);
    expect(await publish("lea", "acme/secret", "again")).toBe(403);
    expect(await codeOf(organizations.members(lea, "acme"))).toBe("not-found");
    const grants = await server.manage.grants.list({ owner: "acme", channel: "secret" });
    expect(JSON.stringify(grants)).not.toContain("lea");
    expect(await codeOf(server.manage.organizations.removeMember("acme", "lea"))).toBe("not-found");
  });

  test("is done by members themselves, and by nobody for others", async () => {
    const { organizations } = server.app;
    await server.addUser("max");
    await server.manage.teams.addMember({ organization: "acme", team: "devs" }, "max");
    await expectRefused(people, () => organizations.removeMember(actor("bob"), "acme", "max"), "forbidden");
    await expectRefused(people, () => organizations.removeMember(actor("stranger"), "acme", "max"), "not-found");
    const weak = await people.token("max", { scopes: ["manage:channel"] });
    await expectRefused(people, () => organizations.removeMember(weak, "acme", "max"), "forbidden");
    await organizations.removeMember(await people.user("max"), "acme", "max");
    expect(await people.lastAudit()).toMatchObject({ action: "member.remove", actor: "max" });
  });

  test("ends a role of somebody who is in no team", async () => {
    await server.addUser("guest");
    await server.manage.grants.set({ owner: "acme", channel: undefined }, "guest", "reader");
    await server.app.organizations.removeMember(actor("ada"), "acme", "guest");
    expect(await readStatus("guest", "acme")).toBe(403);
    expect(await people.lastAudit()).toMatchObject({ detail: { user: "guest", teams: [], roles: 1 } });
  });

  test("of the last owner is refused, whoever asks, until there is another one", async () => {
    const { organizations, teams } = server.app;
    await organizations.create(actor("ada"), { name: "lone" });
    const owners = { organization: "lone", team: "Owners" };
    for (const by of [actor("ada"), actor("root"), COMMAND_LINE]) {
      await expectRefused(people, () => organizations.removeMember(by, "lone", "ada"), "conflict");
      await expectRefused(people, () => teams.removeMember(by, owners, "ada"), "conflict");
    }
    expect(await messageOf(organizations.removeMember(actor("ada"), "lone", "ada"))).toBe(
      "ada is the only member of the team Owners of lone: add somebody else there first.",
    );
    await teams.addMember(actor("ada"), owners, "bob");
    await organizations.removeMember(actor("bob"), "lone", "ada");
    expect(await organizations.members(actor("bob"), "lone")).toEqual([{ name: "bob", teams: ["Owners"] }]);
  });

  test("by the last two owners at the same time leaves one of them", async () => {
    const { organizations, teams } = server.app;
    // As another node or a command does.
    const { settings } = await enginesOf(server.folder);
    const { config } = loadConfig({ flags: { data: server.folder, ...settings }, environment: {} });
    const beside = await openManagement(config);
    for (let round = 0; round < 5; round++) {
      const name = `pair-${round}`;
      await organizations.create(actor("ada"), { name });
      await teams.addMember(actor("ada"), { organization: name, team: "Owners" }, "bob");
      const ends = await Promise.all([
        codeOf(organizations.removeMember(actor("ada"), name, "ada")),
        codeOf(beside.organizations.removeMember(actor("bob"), name, "bob")),
      ]);
      expect(ends.sort()).toEqual(["conflict", "done"]);
      expect(await organizations.members(actor("root"), name)).toHaveLength(1);
    }
    await beside.close();
  });

  test("while the account is deleted is refused for the last owner alone", async () => {
    await server.addUser("zoe");
    await server.manage.organizations.create({ name: "zoes", owner: "zoe" });
    expect(await messageOf(server.manage.users.remove("zoe"))).toBe(
      "zoe is the only member of the team Owners of zoes: add somebody else there first.",
    );
    await server.manage.teams.addMember({ organization: "zoes", team: "Owners" }, "bob");
    await server.manage.users.remove("zoe");
    expect(await server.manage.organizations.members("zoes")).toEqual([{ name: "bob", teams: ["Owners"] }]);
  });
});

describe("a request that was allowed when it arrived", () => {
  test("is refused at its end when the place has gone meanwhile", async () => {
    await server.addUser("leaving");
    await server.manage.channels.create({ owner: "acme", channel: "race" }, {});
    await server.manage.teams.addMember({ organization: "acme", team: "devs" }, "leaving");
    const built = buildPackage({ name: "late", version: "1" });
    const gate = Promise.withResolvers<undefined>();
    const body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => controller.enqueue(built.bytes.slice(0, 20)),
        pull: async (controller) => {
          await gate.promise;
          controller.enqueue(built.bytes.slice(20));
          controller.close();
        },
      },
      { highWaterMark: 0 },
    );
    const upload = server.as("leaving").put(`/api/packages/acme/conda/race/${built.fileName}`, body);
    await Bun.sleep(100);
    await server.app.organizations.removeMember(actor("ada"), "acme", "leaving");
    gate.resolve(undefined);
    expect((await upload).status).toBe(403);
    const kept = await server.as("ada").get("/acme/race/noarch/repodata.json");
    expect(await kept.text()).not.toContain("late");
  });

  test("is decided again inside the transaction, by the identity and the rights of then", async () => {
    const { organizations, teams, robots, names, transfers, users } = server.app;
    const admin = await staleAdministrator("demoted");
    await server.manage.teams.addMember({ organization: "acme", team: "Owners" }, "cleo");
    const cleo = await people.user("cleo");
    await server.manage.users.setPassword("cleo", "another-password-9876");
    await server.manage.channels.create({ owner: "acme", channel: "offered" }, {});
    await server.manage.channels.create({ owner: "bob", channel: "to-acme" }, {});
    await server.manage.transfers.offer({ owner: "bob", channel: "to-acme" }, "acme");
    const devs = { organization: "acme", team: "devs" };
    const ended: readonly (() => Promise<unknown>)[] = [
      () => organizations.create(cleo, { name: "by-cleo" }),
      () => organizations.change(cleo, "acme", { description: "x" }),
      () => organizations.rename(cleo, "acme", "cleos"),
      () => organizations.remove(cleo, "acme"),
      () => organizations.removeMember(cleo, "acme", "bob"),
      () => organizations.removeMember(cleo, "acme", "cleo"),
      () => teams.create(cleo, "acme", { name: "x", role: "owner" }),
      () => teams.change(cleo, devs, { role: "owner" }),
      () => teams.remove(cleo, devs),
      () => teams.addMember(cleo, devs, "cleo"),
      () => teams.removeMember(cleo, devs, "bob"),
      () => robots.create(cleo, "acme", "x"),
      () => robots.remove(cleo, "acme", "x"),
      () => transfers.offer(cleo, { owner: "acme", channel: "offered" }, "cleo"),
      () => transfers.transfer(cleo, { owner: "acme", channel: "offered" }, "cleo"),
      () => transfers.accept(cleo, { owner: "bob", channel: "to-acme" }),
      () => transfers.withdraw(cleo, { owner: "bob", channel: "to-acme" }),
    ];
    for (const work of ended) await expectRefused(people, work, "unauthenticated");
    await server.manage.organizations.create({ name: "held-now", owner: "ada" });
    await server.manage.organizations.remove("held-now");
    const demoted: readonly (() => Promise<unknown>)[] = [
      () => organizations.create(admin, { name: "for-ada", owner: "ada" }),
      () => names.release(admin, "held-now"),
      () => names.list(admin),
      () => users.rename(admin, "ada", "eve"),
    ];
    for (const work of demoted) await expectRefused(people, work, "forbidden");
    await expectRefused(people, () => organizations.remove(admin, "acme"), "not-found");
    await server.manage.channels.create({ owner: "demoted", channel: "own" }, {});
    await expectRefused(
      people,
      () => transfers.transfer(admin, { owner: "demoted", channel: "own" }, "bob"),
      "not-found",
    );
  });

  /** An administrator when the request arrived, and none since. */
  async function staleAdministrator(name: string): Promise<Actor> {
    await server.addUser(name, { admin: true });
    const admin = await people.user(name);
    await people.database.transact(async (tx) => {
      const user = await findUser(tx, name);
      await tx
        .update(userTable)
        .set({ isAdmin: false })
        .where(eq(userTable.id, user?.id ?? 0));
    });
    return admin;
  }
});
