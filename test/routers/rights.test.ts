// Publishing, dry runs and deleting, by every actor in every channel: the outcome, what a refusal must not change,
// which rows a change writes, and what is checked once more before it commits.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { jsonOf } from "../support/answers.ts";
import { PASSWORD, startTestApp, type Actor, type TestApp } from "../support/app.ts";
import { newToken } from "../support/manage.ts";
import { buildPackage, type BuiltPackage } from "../support/package-builder.ts";
import { rightsTable } from "../support/rights-table.ts";
import { setState } from "../support/state.ts";
import { openTables, type Tables } from "../support/rows.ts";

setDefaultTimeout(60_000);

let server: TestApp;
let tables: Tables;
/** Runs once, when the next publish has passed all checks except those of its transaction. */
let beforeCommit: (() => void) | undefined;
const actors = new Map<string, Actor>();
const ROLES = ["reader", "publisher", "maintainer", "owner"] as const;

beforeAll(async () => {
  const failpoint = (name: string): void => {
    if (name !== "p3.temp_fsynced") return;
    const work = beforeCommit;
    beforeCommit = undefined;
    work?.();
  };
  server = await startTestApp({ failpoint });
  tables = openTables(server.folder);
  await makeScene();
  await makeTokens();
});
afterAll(async () => {
  tables.close();
  await server.close();
});

async function makeScene(): Promise<void> {
  const { manage } = server;
  tables.shiftIds();
  actors.set("anonymous", server.anonymous);
  for (const name of ["stranger", "owner", "hider", "heir", "clerk", "goner", ...ROLES.map((role) => `a-${role}`)]) {
    actors.set(name, await server.addUser(name));
  }
  actors.set("boss", await server.addUser("boss", { admin: true }));
  for (const visibility of ["public", "internal", "private"] as const) {
    await manage.channels.create({ owner: "owner", channel: visibility }, { visibility });
  }
  await manage.channels.create({ owner: "hider", channel: "hidden" }, {});
  for (const label of ["owner/public", "owner/internal", "owner/private", "hider/hidden"]) {
    const [owner = "", channel] = label.split("/");
    for (const role of ROLES) await manage.grants.set({ owner, channel }, `a-${role}`, role);
  }
  for (const owner of ["owner", "hider"]) {
    await manage.grants.set({ owner, channel: undefined }, "heir", "owner");
    await manage.grants.set({ owner, channel: undefined }, "clerk", "publisher");
  }
  await manage.grants.set({ owner: "owner", channel: undefined }, "goner", "owner");
}

type Limits = { user?: string; scopes: string[]; channels?: string[]; packages?: string[]; lifetime?: number };

const TOKENS: Readonly<Record<string, Limits>> = {
  "token without scopes": { scopes: [] },
  "token to read": { scopes: ["read:package"] },
  "token to write": { scopes: ["write:package"] },
  "token to delete": { scopes: ["delete:package"] },
  "token to manage": { scopes: ["manage:channel"] },
  "token for all": { scopes: ["all"] },
  "token for one": { scopes: ["write:package", "delete:package"], channels: ["owner/public"] },
  "token for such packages": { scopes: ["write:package", "delete:package"], packages: ["mine*"] },
  "token for other packages": { scopes: ["write:package", "delete:package"], packages: ["other*"] },
  "token for what is public": { scopes: ["write:package", "delete:package", "public-only"] },
  "token for all that is public": { scopes: ["all", "public-only"] },
  "stranger's token for all": { user: "stranger", scopes: ["all"] },
  "administrator's token for all": { user: "boss", scopes: ["all"] },
  "administrator's token for one": { user: "boss", scopes: ["all"], channels: ["owner/public"] },
  "expired token": { scopes: ["all"], lifetime: 1 },
  "revoked token": { scopes: ["all"] },
  "disabled user's token": { user: "goner", scopes: ["all"] },
};

async function makeTokens(): Promise<void> {
  for (const [name, limits] of Object.entries(TOKENS)) {
    actors.set(name, server.withToken(await tokenOf(name.replace("'", ""), limits)));
  }
  await server.manage.tokens.revoke("owner", "revoked token");
  await server.manage.users.setDisabled("goner", true);
  actors.delete("goner");
}

const tokenOf = (name: string, limits: Limits): Promise<string> =>
  newToken(server.manage, { user: "owner", name, ...limits });

let serial = 0;
function nextPackage(): BuiltPackage {
  serial += 1;
  return buildPackage({ name: `mine${serial}`, version: "1" });
}

const PLACES = [
  "owner/public",
  "owner/internal",
  "owner/private",
  "hider/hidden",
  "owner/new",
  "owner/private/new",
  "nobody/new",
];
const urlOf = (place: string): string => place.replace("/", "/conda/").replace(/^/, "/api/packages/");

/** Columns as in PLACES; + is done, a number is the status of the refusal. */
const MAY_PUBLISH = `
  401 401 401 401 401 401 401  anonymous, expired token, revoked token, disabled user's token
  403 403 403 403 403 403 403  stranger, a-reader, hider, token without scopes, token to read, token to delete,
    token to manage, token for other packages, stranger's token for all
  + + + 403 403 403 403  a-publisher, a-maintainer, a-owner, clerk
  + + + 403 + + 403  heir, owner, token to write, token for all, token for such packages
  + + + + + + 403  boss, administrator's token for all
  + 403 403 403 403 403 403  token for one, administrator's token for one
  + 403 403 403 + 403 403  token for what is public, token for all that is public
`;

/** The same channels; the last three contain nothing to delete. */
const MAY_DELETE = `
  401 401 401 401 401 401 401  anonymous, expired token, revoked token, disabled user's token
  403 403 403 403 403 403 403  stranger, a-reader, a-publisher, clerk, hider, token without scopes, token to read,
    token to write, token to manage, token for other packages, stranger's token for all
  + + + 403 403 403 403  a-maintainer, a-owner, heir, owner, token to delete, token for all, token for such packages
  + + + + 403 403 403  boss, administrator's token for all
  + 403 403 403 403 403 403  token for one, token for what is public, token for all that is public,
    administrator's token for one
`;

test("both tables have a row for every actor and a column for every channel", () => {
  for (const rows of [rightsTable(MAY_PUBLISH), rightsTable(MAY_DELETE)]) {
    expect(rows.map(({ name }) => name).sort()).toEqual([...actors.keys()].sort());
    expect(rows.filter(({ outcomes }) => outcomes.length !== PLACES.length)).toEqual([]);
  }
});

describe("publishing", () => {
  beforeAll(() => server.manage.users.setHidden("hider", true));

  for (const { name, outcomes } of rightsTable(MAY_PUBLISH)) {
    test(`by ${name} gives ${outcomes.join(" ")} in ${PLACES.join(", ")}, as a dry run and for real`, async () => {
      for (const [at, place] of PLACES.entries()) {
        const built = nextPackage();
        const url = `${urlOf(place)}/noarch/${built.fileName}`;
        const actor = actors.get(name) ?? server.anonymous;
        const before = tables.dump();
        const tried = await actor.put(`${url}?dry_run=true`, built.bytes);
        expect([place, tried.status]).toEqual([place, outcomes[at] === "+" ? 200 : Number(outcomes[at])]);
        expect(tables.dump()).toBe(before);
        const done = await actor.put(url, built.bytes);
        expect([place, done.status]).toEqual([place, outcomes[at] === "+" ? 201 : Number(outcomes[at])]);
        if (outcomes[at] === "+") await expectPublished(name, place, built);
        else {
          expect(tables.dump()).toBe(before);
          expect(await detailOf(done)).toBe(await detailOf(tried));
          if (!/token|a-|hider|heir|clerk|owner|boss/.test(name)) await expectNothingTold(done, actor, place);
        }
      }
    });
  }
});

/** An actor without a role gets the same response for a channel as for one whose owner does not exist. */
async function expectNothingTold(refusal: Response, actor: Actor, place: string): Promise<void> {
  if (place === "owner/public" || place === "owner/internal") return;
  const built = nextPackage();
  const nowhere = await actor.put(`${urlOf("nobody/at-all")}/noarch/${built.fileName}`, built.bytes);
  expect([place, nowhere.status, await detailOf(nowhere)]).toEqual([place, refusal.status, await detailOf(refusal)]);
}

const details = new WeakMap<Response, string>();
async function detailOf(answer: Response): Promise<string> {
  const known = details.get(answer);
  if (known !== undefined) return known;
  const { detail } = await jsonOf<{ detail: string }>(answer);
  details.set(answer, detail);
  return detail;
}

/** Every row that a publish has to write, with the ids it has to have; then the same for its deletion. */
async function expectPublished(name: string, place: string, built: BuiltPackage): Promise<void> {
  const { user, token } = whoIs(name);
  const at = place.indexOf("/");
  const [owner, channel] = [place.slice(0, at), place.slice(at + 1)];
  const sql = `SELECT f.id, f.publisher_id, f.published_by, c.id AS channel_id, o.id AS owner_id, c.revision FROM package_file f
    JOIN channel c ON c.id = f.channel_id JOIN owner o ON o.id = c.owner_id WHERE f.file_name = ? AND o.name = ? AND c.name = ?`;
  const [file] = tables.all(sql, built.fileName, owner, channel);
  expect(file).toMatchObject({ publisher_id: user, published_by: token === null ? `user:${user}` : `token:${token}` });
  const where = { owner_id: file?.owner_id ?? 0, channel_id: file?.channel_id ?? 0 };
  const who = { actor_id: user, token_id: token, address: "192.0.2.1", outcome: "done" };
  const target = `${place}/noarch/${built.fileName}`;
  const trail = tables.audit();
  const row = trail.at(-1);
  expect(row).toMatchObject({ ...who, ...where, action: "publish", target, subject: `noarch/${built.fileName}` });
  expect(row?.request_id).toMatch(/\S{8}/);
  expect(JSON.parse(row?.detail ?? "")).toMatchObject({ sha256: built.sha256, revision: file?.revision });
  if (channel.endsWith("new")) {
    expect(trail.at(-2)).toMatchObject({ ...who, ...where, action: "channel.create", target: place });
  }
  const revision = "SELECT actor_id FROM channel_revision WHERE channel_id = ? AND revision = ?";
  expect(tables.all(revision, Number(file?.channel_id), Number(file?.revision))).toEqual([{ actor_id: user }]);
  expect(propertiesOf(Number(file?.id))).toEqual([{ ref_type: "file", name: "conda.build", value: "0" }]);
  expect(historyOf(built)).toEqual([
    { channel_id: where.channel_id, section: "noarch", sha256: built.sha256, is_deleted: 0 },
  ]);
  await expectDeleted(place, built, Number(file?.id));
}

async function expectDeleted(place: string, built: BuiltPackage, fileId: number): Promise<void> {
  const answer = await server.as("boss").delete(`${urlOf(place)}/noarch/${built.fileName}`);
  expect(answer.status).toBe(204);
  const row = tables.audit().at(-1);
  const { user } = whoIs("boss");
  const target = `${place}/noarch/${built.fileName}`;
  expect(row).toMatchObject({
    actor: "boss",
    actor_id: user,
    token_id: null,
    action: "delete",
    target,
    outcome: "done",
  });
  expect(propertiesOf(fileId)).toEqual([]);
  expect(historyOf(built)).toMatchObject([{ sha256: built.sha256, is_deleted: 1 }]);
  expect(tables.all("SELECT id FROM package_file WHERE id = ?", fileId)).toEqual([]);
  if (!place.endsWith("new")) return;
  const at = place.indexOf("/");
  await server.manage.channels.remove({ owner: place.slice(0, at), channel: place.slice(at + 1) });
}

function propertiesOf(fileId: number) {
  return tables.all("SELECT ref_type, name, value FROM package_property WHERE ref_id = ?", fileId);
}

function historyOf(built: BuiltPackage) {
  const sql =
    "SELECT channel_id, section, sha256, deleted_at IS NOT NULL AS is_deleted FROM file_name_history WHERE file_name_folded = ?";
  return tables.all(sql, built.fileName.toLowerCase());
}

function whoIs(name: string): { user: number; token: number | null } {
  const limits = TOKENS[name];
  const user = limits ? (limits.user ?? "owner") : name;
  const [row] = tables.all('SELECT "user".id FROM "user" JOIN owner ON owner.id = owner_id WHERE owner.name = ?', user);
  const [token] = limits ? tables.all("SELECT id FROM access_token WHERE name = ?", name.replace("'", "")) : [];
  return { user: Number(row?.id), token: token ? Number(token.id) : null };
}

describe("the audit rows of a file", () => {
  test("say of a republished name that it existed before", async () => {
    const built = nextPackage();
    const url = `${urlOf("owner/public")}/noarch/${built.fileName}`;
    const firstSeen = () =>
      tables.all("SELECT first_seen FROM file_name_history WHERE file_name_folded = ?", built.fileName)[0]?.first_seen;
    expect((await server.as("owner").put(url, built.bytes)).status).toBe(201);
    const first = firstSeen();
    expect((await server.as("owner").delete(url)).status).toBe(204);
    await Bun.sleep(3);
    expect((await server.as("owner").put(url, built.bytes)).status).toBe(201);
    expect([historyOf(built), firstSeen()]).toMatchObject([[{ is_deleted: 0 }], first ?? 0]);
    const other = buildPackage({ name: `mine${serial}`, version: "1", files: { "share/x": "other bytes" } });
    expect((await server.as("owner").delete(url)).status).toBe(204);
    expect((await server.as("owner").put(url, other.bytes)).status).toBe(201);
    const states = historyOf(built).map((row) => [row.sha256, row.is_deleted]);
    expect(new Map(states as [string, number][])).toEqual(
      new Map([
        [built.sha256, 1],
        [other.sha256, 0],
      ]),
    );
    expect((await server.as("owner").delete(url)).status).toBe(204);
  });

  test("name each change of state as a channel's events do", async () => {
    const built = nextPackage();
    expect((await server.as("owner").put(`${urlOf("owner/public")}/${built.fileName}`, built.bytes)).status).toBe(201);
    const file = `owner/public/noarch/${built.fileName}`;
    const actions: unknown[] = [];
    for (const state of ["yanked", "active", "quarantined", "active", "yanked", "quarantined", "active"] as const) {
      await setState(server, file, state);
      const row = tables.audit().at(-1);
      expect(row).toMatchObject({ target: file, actor: "command line", actor_id: null });
      if (row?.action !== "release") expect(JSON.parse(row?.detail ?? "")).toMatchObject({ reason: "a test" });
      actions.push(row?.action);
    }
    expect(actions).toEqual(["yank", "unyank", "quarantine", "release", "yank", "quarantine", "release"]);
    expect((await server.as("owner").delete(`/${file}`)).status).toBe(204);
  });
});

describe("deleting", () => {
  for (const { name, outcomes } of rightsTable(MAY_DELETE)) {
    test(`by ${name} gives ${outcomes.join(" ")} in ${PLACES.join(", ")}`, async () => {
      for (const [at, place] of PLACES.entries()) {
        const built = nextPackage();
        const url = `${urlOf(place)}/noarch/${built.fileName}`;
        if (!place.endsWith("new")) expect((await server.as("boss").put(url, built.bytes)).status).toBe(201);
        const before = tables.dump();
        const { status } = await (actors.get(name) ?? server.anonymous).delete(url);
        expect([place, status]).toEqual([place, outcomes[at] === "+" ? 204 : Number(outcomes[at])]);
        if (outcomes[at] !== "+") {
          expect(tables.dump()).toBe(before);
          continue;
        }
        const { user, token } = whoIs(name);
        const target = `${place}/noarch/${built.fileName}`;
        expect(tables.audit().at(-1)).toMatchObject({ action: "delete", actor_id: user, token_id: token, target });
        expect(historyOf(built)).toMatchObject([{ is_deleted: 1 }]);
      }
    });
  }

  test("another package than the token's is refused, whatever the name looks like", async () => {
    const actor = actors.get("token for such packages") ?? server.anonymous;
    for (const file of ["other-1-0.conda", "other.conda", "nonsense", "x-mine-1-0.conda"]) {
      expect([file, (await actor.delete(`${urlOf("owner/public")}/noarch/${file}`)).status]).toEqual([file, 403]);
    }
    expect((await actor.delete(`${urlOf("owner/public")}/noarch/mine-not-there-1-0.conda`)).status).toBe(404);
  });
});

/** What can end between the first check and the commit, and the outcome of a publish by each actor. */
const ENDINGS: Readonly<Record<string, { by: Limits | "a user"; sql: string; status: number }>> = {
  "a revoked role": {
    by: "a user",
    sql: 'DELETE FROM "grant" WHERE user_id = (SELECT u.id FROM "user" u JOIN owner o ON o.id = u.owner_id WHERE o.name = $user)',
    status: 403,
  },
  "a reduced role": {
    by: "a user",
    sql: 'UPDATE "grant" SET role = \'reader\' WHERE user_id = (SELECT u.id FROM "user" u JOIN owner o ON o.id = u.owner_id WHERE o.name = $user)',
    status: 403,
  },
  "a changed password": {
    by: "a user",
    sql: 'UPDATE "user" SET credential_version = credential_version + 1 WHERE owner_id = (SELECT id FROM owner WHERE name = $user)',
    status: 401,
  },
  "a disabled login": { by: "a user", sql: "UPDATE owner SET disabled = true WHERE name = $user", status: 401 },
  "a deleted user": {
    by: "a user",
    sql: 'DELETE FROM "user" WHERE owner_id = (SELECT id FROM owner WHERE name = $user)',
    status: 401,
  },
  "a hidden owner": { by: "a user", sql: "UPDATE owner SET hidden = true WHERE name = 'owner'", status: 403 },
  "a revoked token": {
    by: { scopes: ["write:package"] },
    sql: "UPDATE access_token SET revoked = 1 WHERE id = (SELECT max(id) FROM access_token)",
    status: 401,
  },
  "an expired token": {
    by: { scopes: ["write:package"] },
    sql: "UPDATE access_token SET expires = 1 WHERE id = (SELECT max(id) FROM access_token)",
    status: 401,
  },
  "a token that lost its scope": {
    by: { scopes: ["write:package"] },
    sql: "UPDATE access_token SET scopes = '[]' WHERE id = (SELECT max(id) FROM access_token)",
    status: 403,
  },
  "a token that lost its channel": {
    by: { scopes: ["write:package"] },
    sql: `UPDATE access_token SET channels = '["owner/other"]' WHERE id = (SELECT max(id) FROM access_token)`,
    status: 403,
  },
  "a token that lost its package": {
    by: { scopes: ["write:package"] },
    sql: `UPDATE access_token SET packages = '["other*"]' WHERE id = (SELECT max(id) FROM access_token)`,
    status: 403,
  },
  "a changed password behind a token": {
    by: { scopes: ["write:package"] },
    sql: 'UPDATE "user" SET credential_version = credential_version + 1 WHERE owner_id = (SELECT id FROM owner WHERE name = $user)',
    status: 401,
  },
  "a channel that turned private": {
    by: { scopes: ["write:package", "public-only"] },
    sql: "UPDATE channel SET visibility = 'private' WHERE name = 'racy'",
    status: 403,
  },
};

describe("a right that ends during a request", () => {
  let users = 0;
  beforeAll(async () => {
    await server.manage.channels.create({ owner: "owner", channel: "racy" }, {});
  });

  async function racer(
    by: Limits | "a user",
    role: "publisher" | "maintainer",
  ): Promise<{ user: string; actor: Actor }> {
    const user = `racer${(users += 1)}`;
    await server.addUser(user);
    await server.manage.grants.set({ owner: "owner", channel: "racy" }, user, role);
    tables.run("UPDATE channel SET visibility = NULL WHERE name = 'racy'");
    tables.run("UPDATE owner SET hidden = false WHERE name = 'owner'");
    if (by === "a user") return { user, actor: server.as(user) };
    const actor = server.withToken(await tokenOf(`of ${user}`, { ...by, user }));
    await actor.get("/owner/racy/noarch/repodata.json");
    // The first use of a token is recorded in the background, in its row.
    const isUsed = "SELECT 1 AS used FROM access_token WHERE last_used IS NOT NULL AND name = ?";
    while (tables.all(isUsed, `of ${user}`).length === 0) await Bun.sleep(5);
    return { user, actor };
  }

  function end(sql: string, user: string): void {
    tables.run(sql.replaceAll("$user", `'${user}'`));
  }

  for (const [what, { by, sql, status }] of Object.entries(ENDINGS)) {
    test(`${what} stops a publish that is about to commit`, async () => {
      const { user, actor } = await racer(by, "publisher");
      const built = nextPackage();
      let after = "";
      beforeCommit = () => {
        end(sql, user);
        after = tables.dump();
      };
      const answer = await actor.put(`${urlOf("owner/racy")}/${built.fileName}`, built.bytes);
      expect(beforeCommit).toBeUndefined();
      expect([answer.status, tables.dump() === after]).toEqual([status, true]);
      end("UPDATE owner SET hidden = false WHERE name = 'owner'", user);
      expect((await server.as("boss").get(`/owner/racy/noarch/${built.fileName}`)).status).toBe(404);
    });

    test(`${what} stops a dry run whose package was read`, async () => {
      const { user, actor } = await racer(by, "publisher");
      const built = nextPackage();
      const pull = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
        end(sql, user);
        controller.enqueue(built.bytes);
        controller.close();
      };
      const body = new ReadableStream<Uint8Array>({ pull }, { highWaterMark: 0 });
      const answer = await actor.put(`${urlOf("owner/racy")}/${built.fileName}?dry_run=true`, body);
      expect(answer.status).toBe(status);
    });

    test(`${what} stops a deletion that waits for the database`, async () => {
      const scopes =
        by === "a user" ? by : { ...by, scopes: by.scopes.map((scope) => scope.replace("write", "delete")) };
      const { user, actor } = await racer(scopes, "maintainer");
      const built = nextPackage();
      const url = `${urlOf("owner/racy")}/noarch/${built.fileName}`;
      expect((await server.as("owner").put(url, built.bytes)).status).toBe(201);
      expect((await actor.get(url)).status).toBe(200);
      // The lock delays the deletion's own transaction; its first check sees the old rows.
      await tables.lock();
      const answer = actor.delete(url);
      await Bun.sleep(50);
      end(sql, user);
      tables.unlock();
      // On a slow machine the first check can be after the change.
      expect([401, 403]).toContain((await answer).status);
      expect(tables.all("SELECT id FROM package_file WHERE file_name = ?", built.fileName)).toHaveLength(1);
    });
  }
});

describe("an owner", () => {
  const path = "/api/packages/veiled/conda/open";
  const read = "/veiled/open/noarch/repodata.json";

  test("that is disabled cannot sign in or use tokens, and one that is hidden cannot be read or published to", async () => {
    const veiled = await server.addUser("veiled");
    await server.manage.channels.create({ owner: "veiled", channel: "open" }, {});
    await server.manage.grants.set({ owner: "veiled", channel: "open" }, "a-publisher", "publisher");
    const publish = async (actor: Actor): Promise<number> => {
      const built = nextPackage();
      return (await actor.put(`${path}/${built.fileName}`, built.bytes)).status;
    };
    const statuses = async () => [
      (await server.anonymous.get(read)).status,
      (await server.as("stranger").get(read)).status,
      (await server.as("a-publisher").get(read)).status,
      (await veiled.get(read)).status,
      (await server.as("boss").get(read)).status,
      await publish(server.as("a-publisher")),
      await publish(veiled),
      await publish(server.as("boss")),
    ];
    expect(await statuses()).toEqual([200, 200, 200, 200, 200, 201, 201, 201]);
    await server.manage.users.setDisabled("veiled", true);
    expect(await statuses()).toEqual([200, 200, 200, 401, 200, 201, 401, 201]);
    await server.manage.users.setHidden("veiled", true);
    expect(await statuses()).toEqual([401, 403, 403, 401, 200, 403, 401, 201]);
    await server.manage.users.setDisabled("veiled", false);
    expect(await statuses()).toEqual([401, 403, 403, 403, 200, 403, 403, 201]);
    expect((await server.as("boss").get(read)).headers.get("cache-control")).toBe("private, max-age=0");
    expect((await server.as("boss").get(read)).headers.get("access-control-allow-origin")).toBeNull();
    await server.manage.users.setHidden("veiled", false);
    expect(await statuses()).toEqual([200, 200, 200, 200, 200, 201, 201, 201]);
    expect((await server.anonymous.get(read)).headers.get("cache-control")).toContain("public");
  });
});

describe("a server without channel creation by publish", () => {
  test("gives a stranger the same response for a private channel, a missing channel and a missing owner", async () => {
    const strict = await startTestApp({ settings: { "create-channels": "no" } });
    try {
      for (const name of ["alice", "mallory", "reader"]) await strict.addUser(name);
      await strict.manage.channels.create({ owner: "alice", channel: "secret" }, { visibility: "private" });
      await strict.manage.grants.set({ owner: "alice", channel: "secret" }, "reader", "reader");
      const built = nextPackage();
      const put = async (name: string, place: string): Promise<[number, string]> => {
        const answer = await strict.as(name).put(`${urlOf(place)}/${built.fileName}`, built.bytes);
        return [answer.status, answer.ok ? "" : await detailOf(answer)];
      };
      const refusal = await put("mallory", "nobody/secret");
      const help =
        "Upload with PUT to /api/packages/{owner}/conda/{channel}/{file}, " +
        "for example /api/packages/alice/conda/main/tool-1.0-0.conda.";
      expect(refusal).toEqual([403, `There is no such owner, or you are not allowed to publish there. ${help}`]);
      for (const place of ["alice/secret", "alice/absent", "alice/secret/absent"])
        expect(await put("mallory", place)).toEqual(refusal);
      // A role on one channel reveals nothing about others.
      expect(await put("reader", "alice/absent")).toEqual(refusal);
      expect(await put("alice", "alice/absent")).toEqual([
        403,
        "There is no channel alice/absent, and publishing does not create channels on this server. An owner must create it first.",
      ]);
      expect((await put("alice", "alice/secret"))[0]).toBe(201);
      const unnamed = await strict.as("alice").put(`/api/packages/alice/conda/${built.fileName}`, built.bytes);
      expect(unnamed.status).toBe(201);
    } finally {
      await strict.close();
    }
  });
});

test("audit rows and log lines contain no password", () => {
  expect(server.log() + tables.dump()).not.toContain(PASSWORD);
});
