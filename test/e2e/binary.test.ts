import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, chown, cp, mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { leaveOut } from "../support/left-out.ts";
import { buildPackage } from "../support/package-builder.ts";
import { output, run } from "./run.ts";
import {
  builtBinary,
  condariumCommand,
  fromSource,
  type ServerOptions,
  startServer,
  type TestServer,
} from "./server.ts";

const NOBODY = 65_534;
const isRoot = process.getuid?.() === 0;
const canStepDown = isRoot && Bun.which("setpriv") !== null;

if (fromSource) leaveOut("the compiled binary", "CONDARIUM_TEST_SOURCE is set");
else if (!canStepDown) leaveOut("the binary run as an unprivileged user", "it takes root and setpriv");

describe.skipIf(fromSource)("the compiled binary", () => {
  let room: string;
  beforeAll(async () => {
    room = await mkdtemp(join(tmpdir(), "condarium-binary-"));
    await chmod(room, 0o755);
  });
  afterAll(() => rm(room, { recursive: true, force: true }));

  test("is at most 130 MB", () => {
    expect(Bun.file(builtBinary()).size).toBeLessThanOrEqual(130_000_000);
  });

  test("prints its version", async () => {
    const { version } = await Bun.file(join(import.meta.dir, "../../package.json")).json();
    expect(await output([builtBinary(), "version"])).toContain(version);
  });

  test("serves and stops cleanly in an empty folder, and leaves only its data there", async () => {
    const cwd = await folder("empty");
    await publishes({ cwd, dataDir: undefined });
    expect(await readdir(cwd)).toEqual(["data"]);
  });

  test("ignores .env and bunfig.toml of the current folder", async () => {
    const cwd = await hostileFolder("hostile");
    const before = await readdir(cwd);
    const shown = await output([builtBinary(), "config", "show"], { cwd });
    expect(shown).not.toContain("stolen");
    expect(shown).not.toContain("127.0.0.9");
    await publishes({ cwd, dataDir: undefined });
    expect((await readdir(cwd)).sort()).toEqual([...before, "data"].sort());
  });

  test("would read these files if it were plain bun", async () => {
    // Shows that the folder of the test above is harmful to plain bun.
    const cwd = await hostileFolder("hostile-to-bun");
    const ran = await run([process.execPath, "--print", "process.env.CONDARIUM_DATA"], { cwd });
    expect(ran.stdout).toContain("stolen");
    expect(await readdir(cwd)).toContain("preloaded");
  });

  test.skipIf(!canStepDown)("serves as an unprivileged user from a folder that nobody can write to", async () => {
    const cwd = await folder("read-only");
    const dataDir = await folder("nobody");
    const binary = join(room, "condarium");
    await cp(builtBinary(), binary);
    await chown(dataDir, NOBODY, NOBODY);
    await chmod(cwd, 0o555);
    const stepDown = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
    const command = [...stepDown, binary];
    await publishes({ command, cwd, dataDir });
    expect(await readdir(cwd)).toEqual([]);
  });

  test("refuses wrong usage with exit code 2 and writes nothing", async () => {
    const cwd = await folder("usage");
    const ran = await run([...condariumCommand(), "serve", "--no-such-flag"], { cwd });
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain("--no-such-flag");
    expect(await readdir(cwd)).toEqual([]);
  });

  async function hostileFolder(name: string): Promise<string> {
    const cwd = await folder(name);
    await Bun.write(join(cwd, ".env"), "CONDARIUM_DATA=./stolen\nCONDARIUM_LISTEN=127.0.0.9:1\n");
    await Bun.write(join(cwd, "bunfig.toml"), 'preload = ["./preload.ts"]\n');
    await Bun.write(join(cwd, "preload.ts"), 'await Bun.write("preloaded", "");\n');
    return cwd;
  }

  async function folder(name: string): Promise<string> {
    const made = join(room, name);
    await mkdir(made);
    return made;
  }
});

/** Starts a server, publishes a package as the first administrator, reads it back, and stops. */
async function publishes(options: ServerOptions): Promise<void> {
  const server = await startServer(options);
  try {
    const { fileName, bytes } = buildPackage({ name: "small", version: "1.0" });
    const answer = await fetch(`${server.url}/api/packages/admin/conda/main/${fileName}`, {
      method: "PUT",
      headers: { Authorization: basic("admin", server.adminPassword) },
      body: new Uint8Array(bytes),
    });
    expect(answer.status).toBe(201);
    const download = await fetch(`${server.url}/admin/main/noarch/${fileName}`);
    expect(await download.bytes()).toEqual(new Uint8Array(bytes));
    await lists(server, fileName);
  } finally {
    expect(await server.stop()).toBe(0);
  }
}

async function lists(server: TestServer, fileName: string): Promise<void> {
  const section = `${server.url}/admin/main/noarch`;
  expect(await (await fetch(`${section}/repodata.json`)).text()).toContain(fileName);
  const compressed = await (await fetch(`${section}/repodata.json.zst`)).bytes();
  expect(new TextDecoder().decode(await Bun.zstdDecompress(compressed))).toContain(fileName);
}

function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
}
