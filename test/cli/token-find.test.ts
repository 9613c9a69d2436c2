// condarium token find: tokens in texts, whose they are, and whether they work.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { sightingsIn } from "../../src/cli/token-find.ts";
import { createToken, tokensIn } from "../../src/modules/ids.ts";
import { PASSWORD, startTestApp, type TestApp } from "../support/app.ts";
import { newToken } from "../support/manage.ts";
import { enginesOf } from "../support/engines.ts";
import { condarium } from "../support/server-process.ts";

let server: TestApp;
let file: string;
const tokens: Record<string, string> = {};

beforeAll(async () => {
  server = await startTestApp();
  for (const name of ["alice", "outdated", "disabled"]) await server.addUser(name);
  tokens.valid = await newToken(server.manage, { user: "alice", name: "valid" });
  tokens.expired = await newToken(server.manage, { user: "alice", name: "expired", lifetime: 1 });
  tokens.revoked = await newToken(server.manage, { user: "alice", name: "revoked" });
  await server.manage.tokens.revoke("alice", "revoked");
  tokens.outdated = await newToken(server.manage, { user: "outdated", name: "outdated" });
  await server.manage.users.setPassword("outdated", `${PASSWORD}2`);
  tokens.disabled = await newToken(server.manage, { user: "disabled", name: "disabled" });
  await server.manage.users.setDisabled("disabled", true);
  tokens.unknown = createToken();
  file = `${server.folder}-leaks.txt`;
});
afterAll(async () => {
  await rm(file, { force: true });
  await server.close();
});

type Found = { file: string; line: number; ends: string; user: string | null; name: string | null; state: string };

async function find(args: readonly string[], input?: string): Promise<{ code: number; rows: Found[]; text: string }> {
  const { environment } = await enginesOf(server.folder);
  const all = ["token", "find", ...args, "--json", "--data", server.folder];
  const { code, stdout, stderr } = await condarium(all, environment, input === undefined ? {} : { input });
  return { code, rows: stdout === "" ? [] : (JSON.parse(stdout) as Found[]), text: stdout + stderr };
}

test("finds each token once, with its place and its state, and prints none of them", async () => {
  const lines = [
    "nothing, cdr-short, cdr-0123456789012345678901234567890123abcdef",
    `url = "https://host/t/${tokens.valid}/alice/main"`,
    `${tokens.expired}${tokens.revoked} ${tokens.valid}`,
    `${"x".repeat(100_000)}${tokens.outdated}${"é".repeat(100_000)}\n${tokens.disabled}!${tokens.unknown}`,
  ];
  await Bun.write(file, lines.join("\n"));
  const { code, rows, text } = await find([file]);
  const row = (name: string, line: number, user: string | null, known: string | null = name) => ({
    file,
    line,
    ends: (tokens[name] ?? "").slice(-8),
    user,
    name: known,
    state: name,
  });
  expect(rows).toEqual([
    row("valid", 2, "alice"),
    row("expired", 3, "alice"),
    row("revoked", 3, "alice"),
    row("outdated", 4, "outdated"),
    row("disabled", 5, "disabled"),
    row("unknown", 5, null, null),
  ]);
  expect(code).toBe(1);
  for (const token of Object.values(tokens)) expect(text).not.toContain(token);
});

test("revokes what it finds, from standard input, and then finds nothing that works", async () => {
  const input = `${tokens.valid} ${tokens.disabled} ${tokens.unknown}`;
  const revoked = await find(["--revoke"], input);
  expect(revoked.rows.map(({ state }) => state)).toEqual(["revoked", "revoked", "unknown"]);
  expect(revoked.code).toBe(0);
  expect((await server.withToken(tokens.valid ?? "").get("/alice/-/noarch/repodata.json")).status).toBe(401);
  const again = await find([], input);
  expect([again.code, again.rows.map(({ state }) => state)]).toEqual([0, ["revoked", "revoked", "unknown"]]);
});

test("finds a token wherever the chunks end in which a text is read, with its line", async () => {
  const token = createToken();
  const bytes = Buffer.from(`one\ntwo ${token}\nthree`);
  for (let end = 0; end <= bytes.length; end++) {
    const chunks = (async function* () {
      yield bytes.subarray(0, end);
      yield bytes.subarray(end);
    })();
    const found = new Set<string>();
    for await (const sighting of sightingsIn(chunks)) found.add(JSON.stringify(sighting));
    expect([end, ...found]).toEqual([end, JSON.stringify({ token, line: 2 })]);
  }
});

test("says in its help what a token looks like, so that a scanner can find one by itself", async () => {
  const { stdout } = await condarium(["token", "find", "--help"]);
  const pattern = /cdr-\S+(?=\.)/.exec(stdout)?.[0] ?? "";
  expect(pattern).not.toBe("");
  for (const token of Object.values(tokens)) expect(token).toMatch(new RegExp(`^${pattern}$`));
});

test("takes nothing for a token whose checksum is wrong", () => {
  const token = createToken();
  const mistyped = token.slice(0, -1) + (token.endsWith("0") ? "1" : "0");
  expect(tokensIn(`${mistyped} ${token} ${token.toLowerCase()}`)).toEqual([{ token, at: mistyped.length + 1 }]);
});
