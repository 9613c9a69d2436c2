// The start of a server beside others: on a used port, and on a used folder.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startTestApp } from "./support/app.ts";
import { copyClosedFolder } from "./support/copy-folder.ts";
import { leaveOut } from "./support/left-out.ts";
import { openTables } from "./support/rows.ts";
import { condarium, serve, type ServerProcess } from "./support/server-process.ts";

const AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
const canStepDown = process.getuid?.() === 0 && Bun.which("setpriv") !== null;
if (!canStepDown) leaveOut("commands of another user", "it takes root and setpriv");

let root: string;
let first: ServerProcess;
const running: ServerProcess[] = [];
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "condarium-start-"));
  await chmod(root, 0o755);
  const app = await startTestApp({ folder: join(root, "template") });
  await app.addUser("alice");
  await app.app.close();
  first = await start(join(root, "first"), "--metrics-listen", "127.0.0.1:0");
});
afterAll(async () => {
  for (const { child } of running) child.kill("SIGKILL");
  await rm(root, { recursive: true, force: true });
});

async function start(folder: string, ...args: string[]): Promise<ServerProcess> {
  const server = await serve(folder, args);
  running.push(server);
  return server;
}

/** A used folder, with a file that a start sweeps. */
async function usedFolder(name: string): Promise<string> {
  const folder = join(root, name);
  await copyClosedFolder(join(root, "template"), folder);
  await Bun.write(join(folder, "tmp", "left"), "of an upload");
  await Bun.write(join(folder, "derived", "99", "noarch", "left"), "of a channel");
  return folder;
}

/** Folders by name, because a running server checks every second whether it can write; files with their times. */
async function contents(folder: string): Promise<[string, number][]> {
  const names = (await readdir(folder, { recursive: true })).sort();
  const infos = await Promise.all(names.map(async (name) => ({ name, info: await stat(join(folder, name)) })));
  return infos.map(({ name, info }) => [name, info.isFile() ? info.mtimeMs : 0]);
}

describe("a second server on a used port", () => {
  const places: [string, (port: number) => string[]][] = [
    ["the same address", (port) => ["--listen", `127.0.0.1:${port}`]],
    ["all addresses", (port) => ["--listen", `0.0.0.0:${port}`]],
    ["all addresses of both families", (port) => ["--listen", `[::]:${port}`]],
    ["for its metrics", (port) => ["--listen", "127.0.0.1:0", "--metrics-listen", `127.0.0.1:${port}`]],
  ];
  test.each(places)("exits with 2 and one sentence and touches nothing when it requests %s", async (name, args) => {
    const folder = await usedFolder(`second ${name}`);
    const before = await contents(folder);
    const flags = args(first.port);
    const ended = await condarium(["serve", "--data", folder, ...flags]);
    expect([ended.code, ended.stdout]).toEqual([2, ""]);
    expect(ended.stderr).toBe(
      `condarium: Cannot listen on ${flags.at(-1)}: another program already listens there. Give another address with ${flags.at(-2)}.\n`,
    );
    expect(await contents(folder)).toEqual(before);
    expect((await fetch(`${first.url}/health/ready`)).status).toBe(200);
  });

  test("creates no missing data folder", async () => {
    const folder = join(root, "never");
    expect((await condarium(["serve", "--data", folder, "--listen", `127.0.0.1:${first.port}`])).code).toBe(2);
    expect(await stat(folder).catch(() => undefined)).toBeUndefined();
  });

  test("is refused also when the first listens on all addresses, and can start as soon as the first ends", async () => {
    const wide = await serve(join(root, "wide"), ["--listen", "0.0.0.0:0"]);
    running.push(wide);
    const args = ["serve", "--data", join(root, "narrow"), "--listen", `127.0.0.1:${wide.port}`];
    expect((await condarium(args)).code).toBe(2);
    expect((await fetch(`http://127.0.0.1:${wide.port}/health/live`)).status).toBe(200);
    expect((await wide.end("SIGTERM")).code).toBe(0);
    const next = await start(join(root, "wide"), "--listen", `0.0.0.0:${wide.port}`);
    expect((await next.end("SIGTERM")).code).toBe(0);
  });

  test("cannot use the port of its own requests for metrics", async () => {
    const free = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const address = `127.0.0.1:${free.port}`;
    free.stop(true);
    const flags = ["--listen", address, "--metrics-listen", address];
    const ended = await condarium(["serve", "--data", join(root, "own"), ...flags]);
    expect([ended.code, ended.stderr]).toEqual([2, expect.stringContaining(`Cannot listen on ${address}`)]);
  });
});

test("a server starts while a command holds a change, and a killed server leaves nothing in its way", async () => {
  const folder = await usedFolder("busy");
  using command = openTables(folder);
  await command.lock();
  const server = await start(folder);
  expect((await fetch(`${server.url}/health/ready`)).status).toBe(200);
  command.unlock();
  await server.end("SIGKILL");
  const next = await start(folder);
  expect(await readdir(join(folder, "tmp"))).toEqual([]);
  expect((await next.end("SIGTERM")).code).toBe(0);
});

describe("a data folder that another server uses", () => {
  test("is not touched by a second server: nothing is swept or changed", async () => {
    const folder = await usedFolder("shared");
    const server = await start(folder);
    await Bun.write(join(folder, "tmp", "upload"), "being received");
    const before = await contents(folder);
    const ended = await condarium(["serve", "--data", folder, "--listen", "127.0.0.1:0"]);
    expect([ended.code, ended.stdout]).toEqual([2, ""]);
    expect(ended.stderr).toMatch(/^condarium: Another condarium server is using this data folder [^\n]+\n$/);
    expect(await contents(folder)).toEqual(before);
    expect((await server.end("SIGTERM")).code).toBe(0);
  });

  test.skipIf(!canStepDown)("is refused to commands of another user, with the owner's name", async () => {
    const folder = await usedFolder("private");
    const args = ["user", "list", "--data", folder];
    for (const command of [
      args,
      ["verify", "--data", folder],
      ["serve", "--data", folder, "--listen", "127.0.0.1:0"],
    ]) {
      const ended = await condarium(command, {}, { under: AS_NOBODY });
      expect([ended.code, ended.stdout]).toEqual([2, ""]);
      expect(ended.stderr).toBe(
        `condarium: ${folder} cannot be used: it belongs to user 0 and has mode 0700, but condarium runs as user 65534. Run condarium as that user.\n`,
      );
    }
  });

  test("is opened by exactly one of two servers that start at once", async () => {
    const folder = await usedFolder("raced");
    const both = await Promise.allSettled([start(folder), start(folder)]);
    expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    const [lost] = both.flatMap((one) => (one.status === "rejected" ? [String(one.reason)] : []));
    expect(lost).toContain("condarium: Another condarium server is using this data folder");
  });
});
