import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Output } from "../../src/cli/output.ts";
import { looksLikeToken } from "../../src/modules/ids.ts";
import { basic, startTestApp, type TestApp } from "../support/app.ts";
import { runHere } from "../support/run-here.ts";

let server: TestApp;
beforeAll(async () => {
  server = await startTestApp();
  await server.addUser("admin", { admin: true });
});
afterAll(() => server.close());

type Ran = { readonly code: number; readonly out: string[]; readonly err: string[]; readonly rows: unknown[] };

/** Runs a command beside the running app, on its folder. */
async function condarium(...args: string[]): Promise<Ran> {
  const ran = { out: [] as string[], err: [] as string[], rows: [] as unknown[] };
  const output: Output = {
    line: (text) => void ran.out.push(text),
    note: (text) => void ran.err.push(text),
    rows: (rows) => void ran.rows.push(...rows),
  };
  const code = await runHere([...args, "--data", server.folder], output);
  return { code, ...ran };
}

describe("commands beside a running server", () => {
  test("create a user who can sign in at once, and remove the login again", async () => {
    const made = await condarium("user", "create", "carol");
    expect([made.code, made.out.length]).toEqual([0, 1]);
    const password = made.out[0] ?? "";
    const statusOf = async () =>
      (await server.anonymous.get("/carol/noarch/repodata.json", basic("carol", password))).status;
    expect(await statusOf()).toBe(200);
    expect((await condarium("user", "disable", "carol")).code).toBe(0);
    expect(await statusOf()).toBe(401);
    expect((await condarium("user", "enable", "carol")).code).toBe(0);
    expect(await statusOf()).toBe(200);
    expect((await condarium("user", "set-password", "carol")).out[0]).not.toBe(password);
    expect(await statusOf()).toBe(401);
    expect((await condarium("user", "list", "--json")).rows).toContainEqual(
      expect.objectContaining({ name: "carol", admin: false, disabled: false }),
    );
    expect((await condarium("user", "delete", "carol")).code).toBe(0);
    expect((await condarium("user", "list")).rows).not.toContainEqual(expect.objectContaining({ name: "carol" }));
  });

  test("print a token and nothing else on standard output, and list it without its secret", async () => {
    await condarium("user", "create", "dave");
    const made = await condarium(
      "token",
      "create",
      "dave",
      "--name",
      "ci",
      "--scope",
      "write:package",
      "--expires",
      "90d",
    );
    expect([made.code, made.out.length]).toEqual([0, 1]);
    const token = made.out[0] ?? "";
    expect(looksLikeToken(token)).toBe(true);
    expect((await server.withToken(token).get("/dave/noarch/repodata.json")).status).toBe(200);
    const listed = await condarium("token", "list", "dave");
    expect(listed.rows).toEqual([expect.objectContaining({ name: "ci", scopes: ["write:package"], revoked: null })]);
    expect(JSON.stringify(listed)).not.toContain(token);
    expect((await condarium("token", "revoke", "dave", "ci")).code).toBe(0);
    expect((await server.withToken(token).get("/dave/noarch/repodata.json")).status).toBe(401);
  });

  test("create, show, change, grant and delete channels", async () => {
    await condarium("user", "create", "erin");
    await condarium("user", "create", "frank");
    expect((await condarium("channel", "create", "erin/tools", "--visibility", "private")).code).toBe(0);
    expect((await condarium("channel", "grant", "erin/tools", "frank", "publisher")).code).toBe(0);
    expect((await condarium("channel", "set", "erin/tools", "--validation", "strict", "--max-age", "60")).code).toBe(0);
    const shown = await condarium("channel", "show", "erin/tools", "--json");
    expect(JSON.parse(shown.out[0] ?? "")).toMatchObject({
      channel: "erin/tools",
      visibility: "private",
      policy: {
        validation: "strict",
        maxAge: 60,
      },
      grants: [
        {
          user: "frank",
          role: "publisher",
        },
      ],
    });
    expect((await condarium("channel", "revoke", "erin/tools", "frank")).code).toBe(0);
    expect((await condarium("channel", "revoke", "erin/tools", "frank")).code).toBe(1);
    expect((await condarium("channel", "list", "erin")).rows).toHaveLength(1);
    expect((await condarium("channel", "delete", "erin/tools")).code).toBe(0);
    expect((await condarium("channel", "list", "erin")).rows).toHaveLength(0);
  });

  test("hide a user's channels without ending the user's logins, and show them again", async () => {
    const password = (await condarium("user", "create", "hugo")).out[0] ?? "";
    const statuses = async () => [
      (await server.anonymous.get("/hugo/noarch/repodata.json")).status,
      (await server.anonymous.get("/dave/noarch/repodata.json", basic("hugo", password))).status,
    ];
    expect(await statuses()).toEqual([200, 200]);
    expect((await condarium("user", "hide", "hugo")).code).toBe(0);
    expect(await statuses()).toEqual([401, 200]);
    const listed = (await condarium("user", "list")).rows;
    expect(listed).toContainEqual(expect.objectContaining({ name: "hugo", hidden: true, disabled: false }));
    expect((await condarium("user", "unhide", "hugo")).code).toBe(0);
    expect(await statuses()).toEqual([200, 200]);
    expect((await condarium("user", "disable", "hugo")).code).toBe(0);
    expect(await statuses()).toEqual([200, 401]);
  });

  test("show roles where they were granted, and remove only those", async () => {
    await condarium("user", "create", "gina");
    await condarium("channel", "create", "gina/tools");
    expect((await condarium("channel", "grant", "gina", "dave", "maintainer")).code).toBe(0);
    expect((await condarium("channel", "grant", "gina/tools", "dave", "reader")).code).toBe(0);
    const grantsOf = async (name: string): Promise<unknown> => {
      const shown = JSON.parse((await condarium("channel", "show", name, "--json")).out[0] ?? "") as {
        grants: unknown;
      };
      return shown.grants;
    };
    const onOwner = { user: "dave", role: "maintainer", packages: ["*"], on: "gina" };
    expect(await grantsOf("gina/tools")).toEqual([
      { user: "dave", role: "reader", packages: ["*"], on: "gina/tools" },
      onOwner,
    ]);
    expect(await grantsOf("gina/-")).toEqual([onOwner]);
    expect(await grantsOf("gina")).toEqual([onOwner]);
    const taken = await condarium("channel", "revoke", "gina/tools", "dave");
    expect([taken.code, taken.err.join()]).toEqual([
      0,
      expect.stringContaining("still maintainer of all that gina has"),
    ]);
    const again = await condarium("channel", "revoke", "gina/tools", "dave");
    expect([again.code, again.err.join()]).toEqual([1, expect.stringContaining("maintainer of all that gina has")]);
    const last = await condarium("channel", "revoke", "gina", "dave");
    expect([last.code, last.err]).toEqual([0, ["dave no longer has a role on gina."]]);
    expect(await grantsOf("gina/tools")).toEqual([]);
  });

  test("give a role for some packages, and name them wherever the role is shown", async () => {
    await condarium("user", "create", "lena");
    const grant = ["channel", "grant", "lena", "dave", "publisher"];
    const granted = await condarium(...grant, "--packages", "lib-*", "--packages", "tool");
    const held = "publisher of lena, for packages named lib-* or tool.";
    expect([granted.code, granted.err]).toEqual([0, [`dave is now ${held}`]]);
    const shown = { user: "dave", role: "publisher", packages: ["lib-*", "tool"], on: "lena" };
    const asJson = await condarium("channel", "show", "lena", "--json");
    expect(JSON.parse(asJson.out[0] ?? "")).toEqual({ owner: "lena", grants: [shown] });
    expect((await condarium("channel", "show", "lena")).rows).toContainEqual({ key: "grants", value: [shown] });
    expect((await condarium("channel", "grant", "lena/-", "dave", "reader")).err).toEqual([
      "dave is now reader of lena/-.",
    ]);
    const taken = await condarium("channel", "revoke", "lena/-", "dave");
    expect(taken.err.join()).toContain(
      "still publisher of all that lena has, for packages named lib-* or tool. To remove",
    );
    const again = await condarium("channel", "revoke", "lena/-", "dave");
    expect(again.err.join()).toContain("is publisher of all that lena has, for packages named lib-* or tool: revoke");
    const refused = await condarium(...grant, "--packages", "");
    expect([refused.code, refused.err.join()]).toEqual([2, expect.stringContaining("1 to 64 patterns")]);
    expect((await condarium(...grant)).err).toEqual(["dave is now publisher of lena."]);
  });

  test("manage an owner's generic channel by its type", async () => {
    const jane = await server.addUser("jane");
    const file = "/api/packages/jane/generic/tool/1/x";
    expect((await jane.put(file, new Uint8Array([1]))).status).toBe(201);
    expect((await condarium("channel", "set", "generic:jane/-", "--visibility", "private")).code).toBe(0);
    expect((await condarium("channel", "grant", "generic:jane/-", "admin", "reader")).code).toBe(0);
    const shown = await condarium("channel", "show", "generic:jane/-", "--json");
    expect(JSON.parse(shown.out[0] ?? "")).toMatchObject({
      channel: "generic:jane/-",
      visibility: "private",
      policy: {},
      files: 1,
      grants: [{ user: "admin", role: "reader", packages: ["*"], on: "generic:jane/-" }],
    });
    expect((await server.anonymous.get(file)).status).toBe(401);
    expect((await server.anonymous.get("/jane/noarch/repodata.json")).status).toBe(200);
    expect((await condarium("channel", "list", "jane")).rows).toEqual([
      { channel: "generic:jane/-", visibility: "private", files: 1, revision: 1, description: null },
    ]);
    expect((await condarium("channel", "delete", "generic:jane/-")).code).toBe(2);
    expect((await jane.delete("/api/packages/jane/generic/tool/1")).status).toBe(204);
    expect((await condarium("channel", "delete", "generic:jane/-")).code).toBe(0);
    expect((await condarium("channel", "list", "jane")).rows).toEqual([]);
  });

  test("set an owner's unnamed channel before anything is published to it", async () => {
    await condarium("user", "create", "ida");
    expect((await condarium("channel", "set", "ida/-", "--visibility", "private", "--max-age", "60")).code).toBe(0);
    expect((await server.anonymous.get("/ida/noarch/repodata.json")).status).toBe(401);
    const shown = await condarium("channel", "show", "ida/-", "--json");
    expect(JSON.parse(shown.out[0] ?? "")).toMatchObject({
      channel: "ida/-",
      visibility: "private",
      policy: { maxAge: 60 },
    });
    expect((await condarium("channel", "set", "ida/other", "--max-age", "60")).code).toBe(1);
  });

  test("find nothing wrong in the server's data folder", async () => {
    const verified = await condarium("verify", "--full");
    expect([verified.code, verified.out]).toEqual([0, []]);
  });
});

describe("a mistake on the command line", () => {
  test.each([
    [["serve", "--prot", "1"], "--prot"],
    [["sevre"], "sevre"],
    [["user", "create"], "name"],
    [["token", "create", "admin"], "--name"],
    [["token", "create", "admin", "--name", "x", "--scope", "everything"], "everything"],
    [["token", "create", "admin", "--name", "x", "--expires", "soon"], "90d"],
    [["channel", "create", "admin"], "admin/CHANNEL"],
    [["channel", "create", "admin/noarch"], "noarch"],
    [["channel", "create", "generic:admin/x"], "write generic:OWNER/-"],
    [["channel", "show", "generic:admin"], "OWNER/CHANNEL"],
    [["channel", "set", "cargo:admin/-", "--description", "x"], "Valid types: conda, generic"],
    [["channel", "create", "admin/x", "--visibility", "secret"], "secret"],
    [["channel", "grant", "admin/-", "admin", "king"], "maintainer"],
    [["channel", "set", "admin/-", "--max-age", "abc"], "whole number of seconds"],
    [["channel", "set", "admin/-", "--max-age", "90000"], "max-age must be at most 86400 seconds, which is a day."],
    [["channel", "set", "admin", "--max-age", "60"], "Only the visibility"],
    [["user", "create", "api"], "api"],
    [["user", "create", "Alice!"], "Alice!"],
    [["config", "show", "--listen", "nowhere"], "--listen must be HOST:PORT"],
    [["config", "show", "--workers", "0"], "--workers must be a whole number from 1 to 10000, for example 2."],
    [["config", "show", "--create-channels", "maybe"], "--create-channels must be yes or no."],
    [["gc", "--grace", "soon"], "--grace must be a time of at most 365d"],
    [["health", "--url", "localhost:8080"], "It must be an http or https URL, for example http://127.0.0.1:8080."],
    [["verify", "--config", "/no/such/file"], "/no/such/file"],
  ])("exits with code 2 and a helpful line: %j", async (args, hint) => {
    const { code, err, out } = await withStderr(() => condarium(...args));
    expect([code, out]).toEqual([2, []]);
    expect(err).toContain(hint);
    // The validation library's own words are not for people.
    expect(err).not.toMatch(/✖|→|Invalid input|Too (big|small)|expected \w+/);
  });

  test.each([
    ["creating a user twice", ["user", "create", "admin"], "taken"],
    ["disabling the last administrator", ["user", "disable", "admin"], "only administrator"],
    ["an unknown user", ["token", "list", "nobody"], "nobody"],
    ["an unknown channel", ["channel", "show", "admin/none"], "admin/none"],
  ])("exits with code 1: %s", async (_, args, hint) => {
    const { code, err } = await condarium(...args);
    expect([code, err.join("\n")]).toEqual([1, expect.stringContaining(hint)]);
  });

  test("does not fill a folder without data", async () => {
    const { code, err } = await condariumIn("/no/such/folder", "user", "list");
    expect([code, err.join("\n")]).toEqual([2, expect.stringContaining("no condarium data")]);
    expect(await Bun.file("/no/such/folder/condarium.db").exists()).toBe(false);
  });

  async function condariumIn(folder: string, ...args: string[]): Promise<{ code: number; err: string[] }> {
    const err: string[] = [];
    const output: Output = { line: () => {}, note: (text) => void err.push(text), rows: () => {} };
    return { code: await runHere([...args, "--data", folder], output), err };
  }
});

test.each([
  [["user", "create"], "condarium user create [options] <name>"],
  [["channel", "grant"], "condarium channel grant [options] <channel> <user> <role>"],
  [["gc"], "condarium gc [options]"],
  [[], "condarium [options] [command]"],
])("help %j prints the help of that command", async (names, usage) => {
  const { code, out } = await spawnCondarium("help", ...names);
  expect([code, out.split("\n", 1)[0]]).toEqual([0, `Usage: ${usage}`]);
  expect((await spawnCondarium(...names, "--help")).out).toBe(out);
});

test("help of an unknown command is wrong usage", async () => {
  const { code, err } = await spawnCondarium("help", "user", "make");
  expect([code, err]).toEqual([2, expect.stringContaining("condarium: There is no command user make.")]);
});

test("help texts show no empty default", async () => {
  expect((await spawnCondarium("token", "create", "--help")).out).not.toContain("[]");
});

test("completion scripts exist for the usual shells", async () => {
  for (const shell of ["bash", "zsh", "fish"]) {
    const child = Bun.spawn([process.execPath, "src/main.ts", "complete", shell], { stdout: "pipe" });
    expect(await new Response(child.stdout).text()).toContain("condarium");
  }
});

/** Commander writes help straight to standard output, so help runs in a separate process. */
async function spawnCondarium(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const child = Bun.spawn([process.execPath, "src/main.ts", ...args], { stdout: "pipe", stderr: "pipe" });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, out, err };
}

/** Commander writes errors straight to standard error. */
async function withStderr(work: () => Promise<Ran>): Promise<{ code: number; out: string[]; err: string }> {
  const write = process.stderr.write;
  const lines: string[] = [];
  process.stderr.write = (text: string | Uint8Array) => lines.push(String(text)) > 0;
  try {
    const ran = await work();
    return { code: ran.code, out: ran.out, err: [...lines, ...ran.err].join("\n") };
  } finally {
    process.stderr.write = write;
  }
}

describe("user unlock", () => {
  test("accepts the login of a blocked account again, and names the account", async () => {
    const password = (await condarium("user", "create", "locked")).out[0] ?? "";
    const login = async (text: string): Promise<number> =>
      (await server.anonymous.get("/locked/noarch/repodata.json", basic("locked", text))).status;
    for (let attempt = 0; attempt < 10; attempt++) expect(await login(`wrong-password-${attempt}`)).toBe(401);
    expect(await login(password)).toBe(429);
    const unlocked = await condarium("user", "unlock", "locked");
    expect([unlocked.code, unlocked.out]).toEqual([0, []]);
    expect(unlocked.err.join()).toContain("Failed logins of locked forgotten");
    expect(await login(password)).toBe(200);
    const missing = await condarium("user", "unlock", "no-one");
    expect([missing.code, missing.err.join()]).toEqual([1, "condarium: There is no user no-one."]);
  });
});
