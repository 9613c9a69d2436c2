// Rows about people that no release writes: `verify` finds each, and says what to do. What people do has no problems.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createToken } from "../../../src/modules/ids.ts";
import type { Problem } from "../../../src/services/storage/verify.ts";
import { basic, PASSWORD, startTestApp } from "../../support/app.ts";
import { copyClosedFolder } from "../../support/copy-folder.ts";
import { isOnSqlite, openedEngines } from "../../support/engines.ts";
import { newToken } from "../../support/manage.ts";
import { buildPackage } from "../../support/package-builder.ts";
import { openTables, rowsIn, runOn } from "../../support/rows.ts";
import { runHere } from "../../support/run-here.ts";
import { turnOn } from "../../support/two-factor.ts";

setDefaultTimeout(120_000);

let template: string;
let folder: string;

/** Everything that people can do to accounts, organizations, teams, roles, tokens and second factors. */
beforeAll(async () => {
  template = await mkdtemp(join(tmpdir(), "condarium-verify-rows-"));
  let now = Date.now();
  const clock = { now: () => now, elapsed: () => performance.now() };
  const server = await startTestApp({ folder: template, clock });
  const { manage } = server;
  for (const name of ["ada", "bob", "carol", "dan", "eve"]) await server.addUser(name, { admin: name === "ada" });
  await manage.channels.create({ owner: "ada", channel: "main" }, { description: "for cdr- and its friends" });
  for (const name of ["acme", "other"]) {
    await manage.organizations.create({ name, owner: "ada", visibility: "private", description: "it makes things" });
    await manage.robots.create(name, "ci");
    await manage.teams.create(name, {
      name: "bots",
      role: "publisher",
      channels: ["main", "dev/*"],
      packages: ["x-*"],
    });
    await manage.teams.addMember({ organization: name, team: "bots" }, `${name}/ci`);
  }
  await manage.teams.create("acme", { name: "empty", role: "reader" });
  await manage.teams.addMember({ organization: "acme", team: "bots" }, "dan");
  await manage.channels.create({ owner: "acme", channel: "main" }, {});
  const main = { owner: "ada", channel: "main" };
  for (const holder of ["bob", "acme/ci", "acme/bots", "eve"]) await manage.grants.set(main, holder, "publisher");
  await manage.grants.set({ owner: "acme", channel: undefined }, "other/ci", "owner");
  await newToken(manage, { user: "acme/ci", name: "ci", scopes: ["write:package"], channels: ["acme/*"] });
  await newToken(manage, { user: "bob", name: "short", packages: ["x-*"], lifetime: 1 });
  await newToken(manage, { user: "bob", name: "ended" });
  await manage.tokens.revoke("bob", "ended");
  const built = buildPackage({ name: "one", version: "1" });
  expect((await server.as("ada").put(`/api/packages/ada/conda/main/${built.fileName}`, built.bytes)).status).toBe(201);
  now += 60_000;
  await turnOn(server, "bob", { now: clock.now, pass: (ms) => void (now += ms) });
  await server.anonymous.get("/acme/main/noarch/repodata.json", basic("ada", "wrong-password"));
  await manage.channels.create({ owner: "carol", channel: "moved" }, {});
  await manage.transfers.transfer({ owner: "carol", channel: "moved" }, "acme");
  await manage.organizations.removeMember("acme", "dan");
  await manage.teams.addMember({ organization: "acme", team: "bots" }, "dan");
  await manage.users.remove("eve");
  await manage.robots.create("acme", "old");
  await newToken(manage, { user: "acme/old", name: "of a deleted robot" });
  await manage.robots.remove("acme", "old");
  await manage.organizations.rename("other", "another");
  await server.close();
  expect(
    await command(template, "quarantine", `ada/main/noarch/${built.fileName}`, "--reason", "cdr- is no token"),
  ).toBe(0);
});
afterAll(() => rm(template, { recursive: true, force: true }));

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "condarium-verify-rows-"));
  await copyClosedFolder(template, folder);
});
afterEach(async () => {
  await openedEngines(folder).drop();
  await rm(folder, { recursive: true, force: true });
});

const SILENT = { line() {}, note() {}, rows() {} };

async function command(data: string, ...args: string[]): Promise<number> {
  return await runHere([...args, "--data", data], SILENT);
}

/** Without those of I-1: SQLite also finds references that lead nowhere. */
async function verify(): Promise<Problem[]> {
  const out: string[] = [];
  const output = { ...SILENT, line: (text: string) => void out.push(text) };
  const code = await runHere(["verify", "--json", "--data", folder], output);
  expect(code).toBe(out.length === 0 ? 0 : 1);
  const problems: Problem[] = out.map((line) => JSON.parse(line));
  return problems.filter(({ invariant }) => invariant !== "I-1");
}

const shown = (problems: readonly Problem[]): string[] =>
  problems.map(({ invariant, subject }) => `${invariant} ${subject}`);

/** As if the reference had never been one, which no engine allows. */
function breach(...statements: string[]): void {
  using tables = openTables(folder);
  if (isOnSqlite) tables.run("PRAGMA foreign_keys = OFF");
  for (const table of isOnSqlite ? [] : ["access_token", "second_factor", "recovery_code"])
    tables.run(`ALTER TABLE ${table} DROP CONSTRAINT IF EXISTS ${table}_user_id_user_id_fk`);
  for (const statement of statements) tables.run(statement);
}

/** Does what the message says, with names in the places of those in capitals. */
async function follow({ message }: Problem): Promise<void> {
  const filled = message
    .replaceAll("USER", "bob")
    .replaceAll("'OWNER'", "'carol'")
    .replaceAll("ROLE", "reader")
    .replaceAll("PATTERN", "*");
  const sql = /the SQL ((?:UPDATE|DELETE) .+?)(?:, and create another one)?$/.exec(filled)?.[1];
  if (sql !== undefined) return runOn(folder, sql);
  const commands = [...filled.matchAll(/(?:run|then) condarium (.+?)(?=, then|$)/g)];
  expect(commands).not.toBeEmpty();
  for (const [, text = ""] of commands) expect([text, await command(folder, ...text.split(" "))]).toEqual([text, 0]);
}

const ownerId = (name: string): string => `(SELECT id FROM owner WHERE name = '${name}')`;
const accountOf = (what: string, name: string): string =>
  `(SELECT "user".${what} FROM "user" WHERE owner_id = ${ownerId(name)})`;
const teamId = (name: string): string =>
  `(SELECT id FROM team WHERE name_folded = '${name}' AND organization_id = ${ownerId("acme")})`;
const placeOf = (account: string, team: string): string =>
  `INSERT INTO team_member (team_id, principal_id, created) SELECT ${teamId(team)}, ${accountOf("principal_id", account)}, 0`;
const NOBODY = "INSERT INTO principal (id, kind) VALUES (9000, 'user')";
const ROBOT_ALONE = `DELETE FROM team_member WHERE team_id = ${teamId("owners")}`;
const roleOf = (account: string): string => `principal_id = ${accountOf("principal_id", account)}`;
const OF_TEAM = `principal_id = (SELECT principal_id FROM team WHERE id = ${teamId("bots")})`;
const idOf = (grant: string): number => Number(rowsIn(folder, `SELECT id FROM "grant" WHERE ${grant}`)[0]?.["id"]);
const tokenId = (name: string): number =>
  Number(rowsIn(folder, `SELECT id FROM access_token WHERE name = '${name}'`)[0]?.["id"]);

type Case = readonly [what: string, statements: readonly string[], found: string | (() => string)];

/** Each is found once, alone, and gone after what its message says. */
const BREACHES: readonly Case[] = [
  [
    "a channel of a robot",
    [`UPDATE channel SET owner_id = ${ownerId("acme/ci")} WHERE name = 'main' AND owner_id = ${ownerId("ada")}`],
    "I-11 channel acme/ci/main",
  ],
  [
    "an organization without the team Owners",
    [`DELETE FROM team WHERE id = ${teamId("owners")}`],
    "I-11 organization acme",
  ],
  ["an organization whose team Owners is empty", [ROBOT_ALONE], "I-11 organization acme"],
  ["a user without an account", [`DELETE FROM "user" WHERE owner_id = ${ownerId("carol")}`], "I-11 user carol"],
  [
    "the place of an account that does not exist",
    [NOBODY, `INSERT INTO team_member (team_id, principal_id, created) SELECT ${teamId("empty")}, 9000, 0`],
    "I-12 principal 9000 in the team acme/empty",
  ],
  [
    "a team in another one",
    [
      `INSERT INTO team_member (team_id, principal_id, created)
        SELECT ${teamId("empty")}, principal_id, 0 FROM team WHERE id = ${teamId("bots")}`,
    ],
    () =>
      `I-12 principal ${rowsIn(folder, `SELECT principal_id AS id FROM team WHERE id = ${teamId("bots")}`)[0]?.["id"]} ` +
      "in the team acme/empty",
  ],
  [
    "a robot of another organization in a team",
    [placeOf("another/ci", "empty")],
    "I-12 robot another/ci in the team acme/empty",
  ],
  ["a robot among the owners", [placeOf("acme/ci", "owners")], "I-12 robot acme/ci in the team acme/Owners"],
  [
    "the role of an account that does not exist",
    [NOBODY, `UPDATE "grant" SET principal_id = 9000, user_id = NULL WHERE ${roleOf("bob")}`],
    () => `I-12 role ${idOf("principal_id = 9000")}`,
  ],
  [
    "a role whose holder an older release would take for another one",
    [`UPDATE "grant" SET user_id = ${accountOf("id", "bob")} WHERE ${OF_TEAM}`],
    () => `I-12 role ${idOf(OF_TEAM)}`,
  ],
  [
    "a role on nothing",
    [`UPDATE "grant" SET channel_id = NULL, owner_id = NULL WHERE ${roleOf("bob")}`],
    () => `I-12 role ${idOf(roleOf("bob"))}`,
  ],
  [
    "a role on an owner and on a channel",
    [`UPDATE "grant" SET owner_id = ${ownerId("ada")} WHERE ${roleOf("bob")}`],
    () => `I-12 role ${idOf(roleOf("bob"))}`,
  ],
  [
    "a role on a robot",
    [`UPDATE "grant" SET owner_id = ${ownerId("acme/ci")}, channel_id = NULL WHERE ${roleOf("bob")}`],
    () => `I-12 role ${idOf(roleOf("bob"))}`,
  ],
  ...["admin", "", "toString"].map((role): Case => [
    `the unknown role "${role}" of a robot`,
    [`UPDATE "grant" SET role = '${role}' WHERE ${roleOf("acme/ci")}`],
    () => `I-12 role ${idOf(roleOf("acme/ci"))}`,
  ]),
  [
    "the unknown role of a team",
    [`UPDATE team SET role = 'admin' WHERE id = ${teamId("bots")}`],
    "I-12 team acme/bots",
  ],
  ...["channels", "packages"].flatMap((column) =>
    ["[", "{}", '[""]', "null"].map((text): Case => [
      `a team whose ${column} are ${text}`,
      [`UPDATE team SET ${column} = '${text}' WHERE id = ${teamId("bots")}`],
      "I-12 team acme/bots",
    ]),
  ),
  ...["role = 'maintainer'", `channels = '["main"]'`, `packages = '["x-*"]'`, "packages = '['"].map((change): Case => [
    `a team Owners with ${change}`,
    [`UPDATE team SET ${change} WHERE id = ${teamId("owners")}`],
    "I-12 team acme/Owners",
  ]),
  [
    "a team of a user",
    [`UPDATE team SET organization_id = ${ownerId("bob")} WHERE id = ${teamId("empty")}`],
    "I-12 team bob/empty",
  ],
  [
    "a token of a user who does not exist",
    ["UPDATE access_token SET user_id = 9000 WHERE name = 'ci'"],
    () => `I-12 token ${tokenId("ci")}`,
  ],
  ...["scopes", "channels", "packages"].map((column): Case => [
    `a token whose ${column} cannot be read`,
    [`UPDATE access_token SET ${column} = '[1]' WHERE name = 'ci'`],
    () => `I-12 token ${tokenId("ci")} of acme/ci`,
  ]),
  [
    "a token with an unknown scope",
    [`UPDATE access_token SET scopes = '["everything"]' WHERE name = 'ended'`],
    () => `I-12 token ${tokenId("ended")} of bob`,
  ],
  ["a second factor without its user", [`UPDATE second_factor SET user_id = 9000`], "I-12 second factor of user 9000"],
  [
    "a recovery code without its user",
    [`INSERT INTO recovery_code (user_id, code_hash) VALUES (9000, '${"ab".repeat(32)}')`],
    "I-12 recovery code of user 9000",
  ],
  ...["", "AB".repeat(32), "ab".repeat(31), `${"ab".repeat(32)}0`, createToken()].flatMap((text): Case[] => [
    [
      `a token whose hash has ${text.length} characters, ${text.slice(0, 2)}…`,
      [`UPDATE access_token SET token_hash = '${text}' WHERE name = 'ci'`],
      () => `I-13 token ${tokenId("ci")} of acme/ci`,
    ],
    [
      `a recovery code whose hash has ${text.length} characters, ${text.slice(0, 2)}…`,
      [`INSERT INTO recovery_code (user_id, code_hash) SELECT ${accountOf("id", "bob")}, '${text}'`],
      "I-13 recovery code of bob",
    ],
  ]),
  ...["", "!", PASSWORD, ...weakHashes()].map((hash): Case => [
    `a user whose password hash is "${hash}"`,
    [`UPDATE "user" SET password_hash = '${hash}' WHERE owner_id = ${ownerId("carol")}`],
    "I-13 user carol",
  ]),
  [
    "a robot with a password",
    [`UPDATE "user" SET password_hash = ${accountOf("password_hash", "bob")} WHERE owner_id = ${ownerId("acme/ci")}`],
    "I-13 robot acme/ci",
  ],
];

function weakHashes(): string[] {
  const [salt, hash] = ["a".repeat(43), "b".repeat(43)];
  return [
    `$argon2i$v=19$m=19456,t=2,p=1$${salt}$${hash}`,
    `$argon2id$v=19$m=19455,t=2,p=1$${salt}$${hash}`,
    `$argon2id$v=19$m=19456,t=1,p=1$${salt}$${hash}`,
    `$argon2id$v=16$m=19456,t=2,p=1$${salt}$${hash}`,
    `$argon2id$v=19$m=19456,t=2,p=1$${salt}$${hash.slice(1)}`,
    `$argon2id$v=19$m=19456,t=2,p=1$${hash}`,
    `$2b$10$${"c".repeat(53)}`,
  ];
}

test("a registry with organizations, teams, robots, tokens and second factors has no problems", async () => {
  expect(rowsIn(folder, "SELECT count(*) AS n FROM recovery_code")).toEqual([{ n: 10 }]);
  expect(rowsIn(folder, "SELECT count(*) AS n FROM package_file WHERE quarantine LIKE '%cdr-%'")).toEqual([{ n: 1 }]);
  expect(await verify()).toEqual([]);
});

describe("verify finds", () => {
  test.each(BREACHES.map(([what, ...rest]) => [what, rest] as const))("%s", async (_what, [statements, found]) => {
    breach(...statements);
    const problems = await verify();
    expect(shown(problems)).toEqual([typeof found === "string" ? found : found()]);
    for (const problem of problems) await follow(problem);
    expect(await verify()).toEqual([]);
  });

  test("a robot that is alone among the owners, as nobody there and as out of place", async () => {
    breach(ROBOT_ALONE, placeOf("acme/ci", "owners"));
    const problems = await verify();
    expect(shown(problems)).toEqual(["I-11 organization acme", "I-12 robot acme/ci in the team acme/Owners"]);
    for (const problem of problems) await follow(problem);
    expect(await verify()).toEqual([]);
  });

  test("the place of a user whom release 0.1.0 has deleted, and no other row", async () => {
    const [{ id } = {}] = rowsIn(folder, `SELECT ${accountOf("principal_id", "dan")} AS id`);
    breach(`DELETE FROM "user" WHERE owner_id = ${ownerId("dan")}`, "DELETE FROM owner WHERE name = 'dan'");
    expect(shown(await verify())).toEqual([`I-12 principal ${id} in the team acme/bots`]);
  });

  test("accounts whose owners are of another kind", async () => {
    breach("UPDATE owner SET kind = 'user' WHERE name = 'acme/ci'");
    expect(shown(await verify())).toEqual(["I-11 account acme/ci"]);
    breach("UPDATE owner SET kind = 'organization' WHERE name = 'carol'");
    expect(shown(await verify())).toEqual(["I-11 organization carol", "I-11 account carol", "I-11 account acme/ci"]);
  });

  test("a robot of a user", async () => {
    breach(`UPDATE "user" SET organization_id = ${ownerId("ada")} WHERE owner_id = ${ownerId("acme/ci")}`);
    expect(shown(await verify())).toEqual(["I-11 robot acme/ci", "I-12 robot acme/ci in the team acme/bots"]);
  });
});

test("a revoked token without a user, and a hash with higher parameters, are no problems", async () => {
  breach(
    "UPDATE access_token SET user_id = 9000 WHERE name = 'ended'",
    `UPDATE "user" SET password_hash = '$argon2id$v=19$m=65536,t=3,p=4$${"a".repeat(43)}$${"b".repeat(43)}'
      WHERE owner_id = ${ownerId("carol")}`,
  );
  expect(await verify()).toEqual([]);
});

const EVENT = (column: string) => `UPDATE audit_event SET ${column} = ? WHERE id = 1`;
const TEXTS: readonly (readonly [column: string, statement: string, subject: string])[] = [
  ...["detail", "target", "subject"].map((column) => [column, EVENT(column), "audit event 1"] as const),
  ["description", "UPDATE owner SET description = ? WHERE name = 'acme'", "organization acme"],
  ["display name", "UPDATE owner SET display_name = ? WHERE name = 'bob'", "user bob"],
  [
    "description",
    `UPDATE channel SET description = ? WHERE name = 'main' AND owner_id = ${ownerId("ada")}`,
    "channel ada/main",
  ],
  ["quarantine", "UPDATE package_file SET quarantine = ? WHERE id = 1", "channel 1 noarch/one-1-0.conda"],
];

test.each(TEXTS)("verify finds a token in a %s, and does not print it: %s", async (column, statement, subject) => {
  const token = createToken();
  runOn(folder, statement, JSON.stringify({ text: `see ${token}.`, hash: "ab".repeat(32) }));
  const problems = await verify();
  expect(shown(problems)).toEqual([`I-13 ${subject}`]);
  expect(problems[0]?.message).toContain(`its ${column} holds an access token: revoke it with condarium token find`);
  expect(JSON.stringify(problems)).not.toContain(token.slice(4));
  // The checksum is wrong.
  runOn(folder, statement, `${token.slice(0, -1)}${token.endsWith("a") ? "b" : "a"} ${"ab".repeat(32)} cdr-`);
  expect(await verify()).toEqual([]);
});

const SERIES = "WITH RECURSIVE series(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM series WHERE i < 1100)";

test("verify reads every page of a table once, and reports its progress row by row", async () => {
  using tables = openTables(folder);
  tables.run(`INSERT INTO audit_event (at, actor, action, target, subject)
    ${SERIES} SELECT 0, '', 'publish', 'many', 'many' FROM series`);
  const ids = tables.all("SELECT id FROM audit_event WHERE target = 'many' ORDER BY id").map(({ id }) => Number(id));
  const marked = [0, 499, 500, 999, 1000, 1099].map((at) => ids[at] ?? 0);
  for (const id of marked) tables.run("UPDATE audit_event SET detail = ? WHERE id = ?", createToken(), id);
  tables.run(`INSERT INTO principal (id, kind) ${SERIES} SELECT 20000 + i, 'user' FROM series`);
  tables.run(`INSERT INTO team_member (team_id, principal_id, created)
    ${SERIES} SELECT ${teamId("empty")}, 20000 + i, 0 FROM series`);
  tables.run(`INSERT INTO "grant" (principal_id, channel_id, role, created)
    ${SERIES} SELECT 20000 + i, 1, 'reader', 0 FROM series`);
  tables.run(`INSERT INTO recovery_code (user_id, code_hash)
    ${SERIES} SELECT ${accountOf("id", "bob")}, 'code ' || i FROM series`);
  tables.run(`INSERT INTO access_token (user_id, name, token_hash, scopes, channels, packages, credential_version, created)
    ${SERIES} SELECT ${accountOf("id", "bob")}, 'many', 'hash ' || i, '[]', '[]', '[]', 1, 0 FROM series`);
  const server = await startTestApp({ folder });
  const [problems, steps]: [Problem[], [number, number][]] = [[], []];
  await server.app.verify({
    level: "quick",
    onProblem: (problem) => void problems.push(problem),
    onProgress: (done, total, what) => void (what === "rows" && steps.push([done, total])),
  });
  await server.close();
  const found = shown(problems);
  expect(found.filter((text) => text.includes("audit event"))).toEqual(marked.map((id) => `I-13 audit event ${id}`));
  for (const text of ["acme/empty", "I-12 role ", "I-13 token "]) {
    const [of] = [found.filter((one) => one.includes(text))];
    expect([text, of.length, new Set(of).size]).toEqual([text, 1100, 1100]);
  }
  expect(found.filter((text) => text === "I-13 recovery code of bob")).toHaveLength(1100);
  expect(found).toHaveLength(marked.length + 4 * 1100);
  const total = steps[0]?.[1] ?? 0;
  expect(total).toBeGreaterThan(5 * 1100);
  expect(steps).toEqual(Array.from({ length: total }, (_, at) => [at + 1, total]));
});
