// MOVE.md is run: its loops copy a folder and a channel, and can be repeated.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { PATH, run, type Ran } from "./e2e/run.ts";
import { startServer, type TestServer } from "./e2e/server.ts";
import { leaveOut } from "./support/left-out.ts";
import { buildPackage } from "./support/package-builder.ts";
import { codeBlocks, shellLines } from "./support/readme.ts";

const [fromFolder = "", fromChannel = "", compare = ""] = shellLines(
  codeBlocks(await Bun.file(join(import.meta.dir, "../MOVE.md")).text()),
);
const PACKAGES = [
  buildPackage({ name: "one", version: "1", subdir: "noarch" }),
  buildPackage({ name: "two", version: "1+local", subdir: "noarch" }),
  buildPackage({ name: "three", version: "1", subdir: "linux-64", format: "tar.bz2" }),
];
const documents = z.object({
  packages: z.record(z.string(), z.unknown()),
  "packages.conda": z.record(z.string(), z.unknown()),
});

let server: TestServer;
let room: string;
let token: string;

beforeAll(async () => {
  room = await mkdtemp(join(tmpdir(), "condarium-move-"));
  server = await startServer();
  await server.createUser("alice");
  token = await server.createToken("alice", "write:package");
  for (const { fileName, bytes } of PACKAGES) {
    const subdir = fileName.startsWith("three") ? "linux-64" : "noarch";
    await mkdir(join(room, "source", subdir), { recursive: true });
    await Bun.write(join(room, "source", subdir, fileName), bytes);
  }
});
afterAll(async () => {
  await server.stop();
  await rm(room, { recursive: true, force: true });
});

async function typed(line: string, cwd: string): Promise<Ran> {
  const command = line
    .replaceAll("http://localhost:8080", server.url)
    .replaceAll("CHANNEL_URL", `${server.url}/alice/main`)
    .replaceAll("TOKEN", token);
  return await run(["bash", "-c", command], { cwd, env: { PATH, HOME: room } });
}

async function namesIn(channel: string, subdir: string): Promise<string[]> {
  const document = documents.parse(await (await fetch(`${server.url}/${channel}/${subdir}/repodata.json`)).json());
  return [...Object.keys(document.packages), ...Object.keys(document["packages.conda"])].sort();
}

test("the loop of MOVE.md copies a folder, and copies it again without an error", async () => {
  for (let times = 0; times < 2; times += 1) {
    const ran = await typed(fromFolder, join(room, "source"));
    expect([ran.code, ran.stdout.match(/"skipped":true/g)?.length ?? 0]).toEqual([0, times * PACKAGES.length]);
    expect(await namesIn("alice/main", "noarch")).toEqual(["one-1-0.conda", "two-1+local-0.conda"]);
    expect(await namesIn("alice/main", "linux-64")).toEqual(["three-1-0.tar.bz2"]);
  }
});

test("the loop of MOVE.md stops at a refusal and prints its reason", async () => {
  const folder = join(room, "broken");
  await mkdir(join(folder, "noarch"), { recursive: true });
  await Bun.write(join(folder, "noarch", "a-1-0.conda"), "no package");
  await Bun.write(join(folder, "noarch", "b-1-0.conda"), buildPackage({ name: "b", version: "1" }).bytes);
  const ran = await typed(fromFolder, folder);
  expect(ran.stdout).toContain("not a ZIP archive");
  expect(await namesIn("alice/main", "noarch")).not.toContain("b-1-0.conda");
});

test("the loop of MOVE.md copies the subdir of a channel, and leaves no file behind", async () => {
  if (Bun.which("jq") === null) return leaveOut("the loop of MOVE.md for a channel", "jq is missing");
  const folder = join(room, "work");
  await mkdir(folder);
  const ran = await typed(fromChannel.replace("conda/main/noarch", "conda/copy/noarch"), folder);
  expect([ran.code, ran.stderr]).toEqual([0, expect.any(String)]);
  expect(await namesIn("alice/copy", "noarch")).toEqual(await namesIn("alice/main", "noarch"));
  expect(await readdir(folder)).toEqual([]);
  expect((await typed(compare, room)).stdout.trim()).toBe("2");
});
