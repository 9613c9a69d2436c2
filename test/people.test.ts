// PEOPLE.md is run: its lines work in their order, and what it promises holds.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { PATH, run } from "./e2e/run.ts";
import { builtBinary, startServer, type TestServer } from "./e2e/server.ts";
import { buildPackage } from "./support/package-builder.ts";
import { codeBlocks, fillIn, shellLines } from "./support/readme.ts";
import { authenticator, type App } from "./support/two-factor.ts";

const page = await Bun.file(join(import.meta.dir, "../PEOPLE.md")).text();
const blocks = codeBlocks(page);

let room: string;
let server: TestServer;
const passwords = new Map<string, string>();
const outputs = new Map<string, string>();
let token = "";
let app: App | undefined;
let codes = 0;

beforeAll(async () => {
  room = await mkdtemp(join(tmpdir(), "condarium-people-"));
  await mkdir(join(room, "bin"));
  await symlink(builtBinary(), join(room, "bin/condarium"));
  await Bun.write(join(room, ".curlrc"), 'silent\nshow-error\nnoproxy = "*"\n');
  server = await startServer({ dataDir: join(room, "data"), cwd: room });
  passwords.set("admin", server.adminPassword);
}, 120_000);

afterAll(async () => {
  await server.stop();
  await rm(room, { recursive: true, force: true });
});

describe("PEOPLE.md, line by line", () => {
  test.each(shellLines(blocks))("the line works: %s", async (line) => {
    await prepare(line);
    const ran = await run(["sh", "-c", filled(line)], {
      cwd: room,
      env: { HOME: room, PATH: `${join(room, "bin")}:${PATH}`, CONDARIUM_LISTEN: server.host },
    });
    expect({ code: ran.code, said: ran.code === 0 ? "" : ran.stderr + ran.stdout }).toEqual({ code: 0, said: "" });
    outputs.set(line, ran.stdout);
    remember(line, ran.stdout.trim());
  });
});

test("PEOPLE.md's organization stays private, its robot goes on, and who has left reads nothing", async () => {
  const url = `${server.url}/acme/main/noarch/repodata.json`;
  const statusFor = async (user: string): Promise<number> => {
    const authorization = `Basic ${btoa(`${user}:${passwords.get(user === "robert" ? "bob" : user)}`)}`;
    return (await fetch(url, { headers: { authorization } })).status;
  };
  expect((await fetch(url)).status).toBe(401);
  expect([await statusFor("alice"), await statusFor("robert"), await statusFor("bob")]).toEqual([200, 403, 401]);
});

test("PEOPLE.md's lines end with what the page says", () => {
  expect(outputs.size).toBe(shellLines(blocks).length);
  expect(outputOf("condarium org members acme")).not.toContain("bob");
  expect(outputOf("condarium name list")).toContain("bob");
  const trail = outputOf("condarium audit --owner acme");
  for (const action of ["organization.create", "team.create", "team.add", "robot.create", "member.remove"])
    expect(trail).toContain(action);
  // The first start prints the password of the administrator.
  for (const secret of [passwords.get("alice"), passwords.get("bob"), token])
    expect(server.log() + trail).not.toContain(secret ?? "?");
});

test("PEOPLE.md's curl lines end with an error when the server refuses", () => {
  const lines = shellLines(blocks).filter((line) => line.startsWith("curl "));
  expect(lines.filter((line) => !line.startsWith("curl --fail-with-body "))).toEqual([]);
});

function outputOf(line: string): string {
  return outputs.get(line) ?? "";
}

/** The files that a line reads. */
async function prepare(line: string): Promise<void> {
  for (const [fileName, name, version, build] of line.matchAll(/([a-z-]+)-([\d.]+)-(\w+)\.conda/g)) {
    if (name === undefined || version === undefined || existsSync(join(room, fileName))) continue;
    await Bun.write(join(room, fileName), buildPackage({ name, version, build }).bytes);
  }
  if (line.includes("leaked.txt")) await Bun.write(join(room, "leaked.txt"), `export CONDA_TOKEN=${token}\n`);
}

/** Each code is that of another time step, because it counts once. */
function filled(line: string): string {
  const folders = { bin: "", data: "", backups: "" };
  const text = fillIn(line, { url: server.url, binary: builtBinary(), folders, database: undefined, passwords, token });
  return text.replace("123456", () => app?.code(codes++) ?? "123456");
}

function remember(line: string, printed: string): void {
  const created = /^condarium user create (\S+)/.exec(line)?.[1];
  if (created !== undefined) passwords.set(created, printed);
  const [, name, password] = /"username": "(\w+)".*"password": "([^"]+)"/.exec(line) ?? [];
  if (name !== undefined && password !== undefined) passwords.set(name, password);
  if (line.startsWith("condarium robot token ")) token = printed;
  if (line.endsWith("/user/two-factor"))
    app = authenticator(z.object({ uri: z.string() }).parse(JSON.parse(printed)).uri, Date.now);
}
