// Organizations, teams, robots and held names from the command line, beside a running server.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { run } from "../../src/cli/index.ts";
import type { Output } from "../../src/cli/output.ts";
import { looksLikeToken } from "../../src/modules/ids.ts";
import { startTestApp, type TestApp } from "../support/app.ts";
import { enginesOf } from "../support/engines.ts";

setDefaultTimeout(60_000);

let server: TestApp;
let place: string[];

beforeAll(async () => {
  server = await startTestApp();
  for (const name of ["ada", "bob", "cleo"]) await server.addUser(name);
  const { settings } = await enginesOf(server.folder);
  place = ["--data", server.folder, ...Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])];
});
afterAll(() => server.close());

type Ran = { readonly code: number; readonly out: string[]; readonly err: string; readonly rows: unknown[] };

async function condarium(...args: string[]): Promise<Ran> {
  const ran = { out: [] as string[], err: [] as string[], rows: [] as unknown[] };
  const output: Output = {
    line: (text) => void ran.out.push(text),
    note: (text) => void ran.err.push(text),
    rows: (rows) => void ran.rows.push(...rows),
  };
  const code = await run([...args, ...place], output);
  return { code, out: ran.out, rows: ran.rows, err: ran.err.join("\n") };
}

/** Runs a command that succeeds. */
async function done(...args: string[]): Promise<Ran> {
  const ran = await condarium(...args);
  expect([args, ran.code, ran.err.includes("condarium:")]).toEqual([args, 0, false]);
  return ran;
}

async function readStatus(token: string, channel: string): Promise<number> {
  return (await server.withToken(token).get(`/${channel}/noarch/repodata.json`)).status;
}

describe("organizations", () => {
  test("are created with an owner, listed, shown, changed, renamed and deleted", async () => {
    const text = ["--display-name", "Acme Inc.", "--description", "tools", "--visibility", "limited"];
    await done("org", "create", "acme", "--owner", "ada", ...text);
    const created = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:]+Z$/);
    const shown = { name: "acme", displayName: "Acme Inc.", description: "tools", visibility: "internal", created };
    expect((await done("org", "list", "--json")).rows).toEqual([shown]);
    const [line = ""] = (await done("org", "show", "acme", "--json")).out;
    expect(JSON.parse(line)).toEqual({ ...shown, teams: ["Owners"], robots: [] });
    await done("org", "edit", "acme", "--visibility", "private");
    expect((await done("org", "list")).rows).toEqual([{ ...shown, visibility: "private" }]);
    expect((await done("org", "members", "acme")).rows).toEqual([{ name: "ada", teams: ["Owners"] }]);
    expect((await done("org", "rename", "acme", "Corp")).err).toContain("Organization acme is now corp.");
    expect((await condarium("org", "show", "acme")).code).toBe(1);
    await done("org", "delete", "corp");
    expect((await done("org", "list")).rows).toEqual([]);
  });

  test("hold their names until these are released", async () => {
    await done("org", "create", "first", "--owner", "ada");
    await done("org", "rename", "first", "second");
    const refused = await condarium("org", "create", "first", "--owner", "bob");
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining("condarium name release first")]);
    const held = (await done("name", "list", "--json")).rows;
    expect(held).toContainEqual({ name: "first", until: expect.stringMatching(/Z$/) });
    await done("name", "release", "first");
    expect((await condarium("name", "release", "first")).code).toBe(1);
    await done("org", "create", "first", "--owner", "bob");
    expect((await done("name", "list")).rows).not.toContainEqual(expect.objectContaining({ name: "first" }));
    for (const name of ["first", "second"]) await done("org", "delete", name);
  });

  test("let go of members, but not of the last owner", async () => {
    await done("org", "create", "crew", "--owner", "ada");
    await done("team", "create", "crew/all", "--role", "reader");
    await done("team", "add", "crew/all", "bob");
    expect((await done("org", "remove-member", "crew", "bob")).err).toBe("bob has left crew.");
    const last = await condarium("org", "remove-member", "crew", "ada");
    expect([last.code, last.err]).toEqual([1, expect.stringContaining("only member of the team Owners of crew")]);
    await done("org", "delete", "crew");
  });
});

describe("teams and robots", () => {
  beforeAll(async () => {
    await done("org", "create", "lab", "--owner", "ada", "--visibility", "private");
    await done("channel", "create", "lab/dev");
    await done("channel", "create", "lab/main");
  });

  test("give their members rights that end with the place", async () => {
    await done(
      "team",
      "create",
      "lab/Devs",
      "--role",
      "publisher",
      "--channel",
      "dev",
      "--packages",
      "x-*",
      "--packages",
      "y",
    );
    const created = expect.any(String);
    const team = {
      id: expect.any(Number),
      team: "lab/Devs",
      role: "publisher",
      channels: ["dev"],
      packages: ["x-*", "y"],
      created,
    };
    expect((await done("team", "list", "lab", "--json")).rows).toContainEqual(team);
    await done("robot", "create", "lab/ci");
    expect((await done("robot", "list", "lab")).rows).toEqual([{ robot: "lab/ci", created }]);
    const made = await done(
      "robot",
      "token",
      "lab/ci",
      "--name",
      "deploy",
      "--scope",
      "write:package",
      "--expires",
      "90d",
    );
    const [token = ""] = made.out;
    expect([made.out.length, looksLikeToken(token)]).toEqual([1, true]);
    expect(await readStatus(token, "lab/dev")).toBe(403);
    await done("team", "add", "lab/devs", "lab/ci");
    await done("team", "add", "lab/devs", "bob");
    const [line = ""] = (await done("team", "show", "lab/devs", "--json")).out;
    expect(JSON.parse(line)).toMatchObject({ team: "lab/Devs", members: ["bob", "lab/ci"] });
    expect([await readStatus(token, "lab/dev"), await readStatus(token, "lab/main")]).toEqual([200, 403]);
    await done("team", "edit", "lab/devs", "--name", "Makers", "--channel", "main");
    expect([await readStatus(token, "lab/dev"), await readStatus(token, "lab/main")]).toEqual([403, 200]);
    await done("team", "remove", "lab/makers", "lab/ci");
    expect(await readStatus(token, "lab/main")).toBe(403);
    await done("channel", "grant", "lab/main", "lab/ci", "reader");
    expect(await readStatus(token, "lab/main")).toBe(200);
    await done("channel", "revoke", "lab/main", "lab/ci");
    await done("channel", "grant", "lab/dev", "lab/makers", "reader");
    const [channel = ""] = (await done("channel", "show", "lab/dev", "--json")).out;
    expect(JSON.parse(channel)).toMatchObject({ grants: [{ team: "lab/Makers", role: "reader", on: "lab/dev" }] });
    await done("team", "delete", "lab/makers");
    expect((await done("token", "list", "lab/ci")).rows).toEqual([
      expect.objectContaining({ name: "deploy", revoked: null }),
    ]);
    await done("token", "revoke", "lab/ci", "deploy");
    expect(await readStatus(token, "lab/main")).toBe(401);
    await done("robot", "delete", "lab/ci");
    expect((await done("robot", "list", "lab")).rows).toEqual([]);
  });

  test.each([
    [["team", "create", "lab", "--role", "reader"], "lab is not a team. Write ORGANIZATION/TEAM."],
    [["team", "create", "lab/a/b", "--role", "reader"], "lab/a/b is not a team."],
    [["robot", "create", "ci"], "ci is not a robot. Write ORGANIZATION/ROBOT."],
    [["robot", "delete", "lab/"], "lab/ is not a robot."],
    [["team", "create", "lab/x", "--role", "reader", "--channel", "Main"], "No channel of lab can match"],
    [["robot", "create", "lab/Upper"], "A robot name must have"],
    [["org", "create", "api", "--owner", "ada"], "Invalid organization name"],
  ])("exit with code 2 and a helpful line: %j", async (args, hint) => {
    const { code, err } = await condarium(...args);
    expect([code, err]).toEqual([2, expect.stringContaining(hint)]);
  });

  test.each([
    [["org", "create", "lab", "--owner", "ada"], "taken"],
    [["org", "create", "new", "--owner", "nobody"], "There is no user nobody."],
    [["org", "show", "ada"], "There is no organization ada."],
    [["team", "delete", "lab/Owners"], "cannot be deleted"],
    [["team", "show", "lab/none"], "There is no team lab/none."],
    [["robot", "delete", "lab/none"], "There is no robot lab/none."],
    [["robot", "token", "lab/none", "--name", "x"], "There is no robot lab/none."],
    [["org", "delete", "lab"], "still has 2 channel(s)"],
  ])("exit with code 1: %j", async (args, hint) => {
    const { code, err } = await condarium(...args);
    expect([code, err]).toEqual([1, expect.stringContaining(hint)]);
  });
});

describe("channel transfer", () => {
  test("gives a channel to another owner, and its former address leads to it", async () => {
    await done("channel", "create", "ada/moving");
    const moved = await done("channel", "transfer", "ada/moving", "bob");
    expect(moved.err).toContain("Channel ada/moving is now bob/moving.");
    expect((await done("channel", "list", "bob")).rows).toContainEqual(
      expect.objectContaining({ channel: "bob/moving" }),
    );
    expect((await done("channel", "list", "ada")).rows).toEqual([]);
    expect((await server.anonymous.get("/ada/moving/noarch/repodata.json")).status).toBe(200);
    const again = await condarium("channel", "transfer", "bob/moving", "bob");
    expect([again.code, again.err]).toEqual([1, expect.stringContaining("belongs to bob already")]);
  });
});

describe("a renamed user", () => {
  test("signs in and publishes under the new name alone", async () => {
    expect((await done("user", "rename", "cleo", "clara")).err).toContain("User cleo is now clara.");
    const status = async (name: string) => (await server.as(name).get("/clara/noarch/repodata.json")).status;
    expect([await status("clara"), await status("cleo")]).toEqual([200, 401]);
    await done("user", "rename", "clara", "cleo");
    expect([await status("clara"), await status("cleo")]).toEqual([401, 403]);
  });
});
