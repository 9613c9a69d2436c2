// README.md is run: its commands work in their order, and its examples are true.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { z } from "zod";
import { scripts } from "../package.json";
import { environmentName, SETTINGS } from "../src/config.ts";
import { haveClients } from "./e2e/clients.ts";
import { output, PATH, run } from "./e2e/run.ts";
import { solve } from "./e2e/scene.ts";
import { builtBinary, startServer, type ServerOptions, type TestServer } from "./e2e/server.ts";
import { leaveOut } from "./support/left-out.ts";
import { buildPackage } from "./support/package-builder.ts";
import { hasPostgres, sharedPostgres } from "./support/postgres.ts";
import { codeBlocks, fillIn, shellLines, tableRows, theBlock, type StandIns } from "./support/readme.ts";

const ROOT = join(import.meta.dir, "..");
const readme = await Bun.file(join(ROOT, "README.md")).text();
const blocks = codeBlocks(readme);
const dockerfile = await Bun.file(join(ROOT, "Dockerfile")).text();
const unit = theBlock(blocks, "ini");

const SYSTEM_PATH = `${PATH}:/usr/sbin:/sbin`;
const isPostgresHere = hasPostgres("README.md's lines for PostgreSQL");
const nginx = Bun.which("nginx", { PATH: SYSTEM_PATH });
const systemdAnalyze = Bun.which("systemd-analyze", { PATH: SYSTEM_PATH });

/** How each program of README.md is covered; a line with another program fails. */
const COVER: Readonly<Record<string, (line: string) => Promise<void> | void>> = {
  condarium: typeIt,
  conda: readChannel,
  curl: typeIt,
  docker: useImage,
  install: typeIt,
  mamba: readChannel,
  mkdir: typeIt,
  mv: typeIt,
  npx: runScript,
  pixi: readChannel,
  systemctl: controlService,
  useradd: makeServiceUser,
};

let room: string;
let server: TestServer;
let folders: StandIns["folders"];
const passwords = new Map<string, string>();
let token = "";
let channel = "";
let database: string | undefined;
/** Where the service has its data. */
let service: Pick<ServerOptions, "dataDir" | "settings">;

beforeAll(async () => {
  room = await mkdtemp(join(tmpdir(), "condarium-readme-"));
  folders = { bin: join(room, "bin"), data: join(room, "data"), backups: join(room, "backups") };
  for (const folder of [folders.bin, folders.backups]) await mkdir(folder);
  // Without this, curl takes a refusal for a success.
  await Bun.write(join(room, ".curlrc"), 'fail-with-body\nsilent\nshow-error\nnoproxy = "*"\n');
  await Bun.write(join(room, "condarium.toml"), theBlock(blocks, "toml"));
  if (isPostgresHere) database = await (await sharedPostgres()).createDatabase();
  service = { dataDir: folders.data };
  server = await startServer({ ...service, cwd: room });
  passwords.set("admin", server.adminPassword);
  await haveClients();
}, 300_000);

afterAll(async () => {
  await server.stop();
  await rm(room, { recursive: true, force: true });
});

describe("README.md, line by line", () => {
  test.each(shellLines(blocks).filter((line) => isPostgresHere || !line.includes("postgres://")))(
    "the line works: %s",
    async (typed) => {
      const line = typed.replace(/^sudo (-u condarium )?/, "");
      const cover = COVER[line.split(" ", 1)[0] ?? ""];
      if (cover === undefined) throw new Error(`no test covers this line of README.md: ${typed}`);
      await cover(line);
    },
  );
});

test("README.md's lines leave its channels with the promised contents, and no stranger reads the private one", async () => {
  expect(await namesIn(`${server.url}/alice/main`)).toEqual([
    "sample-1.0-0.tar.bz2",
    "my-package-1.0-0.conda",
    "my-package-1.2-0.conda",
  ]);
  expect(passwords.size).toBe(3);
  expect((await fetch(`${server.url}/alice/secret/noarch/repodata.json`)).status).toBe(401);
  expect(server.log()).not.toContain(token);
});

test("README.md has no code block of an untested language", () => {
  expect([...new Set(blocks.map(({ language }) => language))].sort()).toEqual([
    "ini",
    "json",
    "nginx",
    "sh",
    "text",
    "toml",
  ]);
});

test("README.md's lines for completion name commands that print a script", async () => {
  const shells = [...theBlock(blocks, "text").matchAll(/condarium complete (\w+)/g)].map((match) => match[1] ?? "");
  expect(shells).toEqual(["bash", "zsh", "fish"]);
  for (const shell of shells) expect(await output([builtBinary(), "complete", shell])).toContain("condarium");
});

test("README.md's curl lines end with an error when the server refuses", () => {
  const lines = shellLines(blocks).filter((line) => line.startsWith("curl "));
  expect(lines.length).toBeGreaterThan(10);
  expect(lines.filter((line) => !line.startsWith("curl --fail-with-body "))).toEqual([]);
});

test("README.md's table of settings equals the program's settings", () => {
  const settings: Readonly<Record<string, { readonly default: string | undefined; readonly help: string }>> = SETTINGS;
  const rows = Object.entries(settings).map(([name, setting]) => [
    name,
    environmentName(name),
    setting.default === undefined || setting.default === "" ? "-" : setting.default,
    setting.help,
  ]);
  expect(tableRows(readme, "name")).toEqual(rows);
});

test("README.md's settings file is accepted", async () => {
  const shown = await output([builtBinary(), "config", "show", "--config", join(room, "condarium.toml"), "--json"]);
  const rows = z.array(z.object({ setting: z.string(), source: z.string() })).parse(JSON.parse(shown));
  const fromFile = rows.filter(({ source }) => source === "file").map(({ setting }) => setting);
  expect(fromFile.sort()).toEqual(Object.keys(Bun.TOML.parse(theBlock(blocks, "toml"))).sort());
});

test("README.md links only to existing files", async () => {
  for (const page of [
    "README.md",
    "MOVE.md",
    "PEOPLE.md",
    "SCALE.md",
    "CHANGELOG.md",
    "src/README.md",
    "test/README.md",
    "drizzle/README.md",
  ]) {
    const text = await Bun.file(join(ROOT, page)).text();
    const targets = [...text.matchAll(/\]\(([^):]+)\)/g)].map((match) => join(ROOT, dirname(page), match[1] ?? ""));
    expect(targets.filter((target) => !existsSync(target))).toEqual([]);
  }
});

test("README.md's systemd unit passes systemd's check and disables Bun's own switches", async () => {
  expect(unit).toContain("UnsetEnvironment=BUN_OPTIONS BUN_BE_BUN\n");
  if (systemdAnalyze === null) return leaveOut("README.md's unit", "systemd-analyze is missing");
  const file = join(room, "condarium.service");
  await Bun.write(file, fillIn(unit, standIns()));
  const ran = await run([systemdAnalyze, "verify", "--man=no", file]);
  expect([ran.code, ran.stderr, ran.stdout]).toEqual([0, "", ""]);
});

test("README.md's nginx setup publishes and serves a package larger than nginx's default limit", async () => {
  if (nginx === null) return leaveOut("README.md's lines for nginx", "nginx is missing");
  const { config, url } = await nginxConfig();
  const checked = await run([nginx, "-t", "-e", "stderr", "-c", config]);
  expect(checked.stderr).not.toContain("[warn]");
  expect(checked.code).toBe(0);
  const proxy = Bun.spawn([nginx, "-e", "stderr", "-c", config], { stdin: "ignore", stdout: "ignore" });
  try {
    await answered(url);
    // More than nginx's default limit, and incompressible.
    const part = (_: unknown, at: number) => [`share/${at}`, crypto.getRandomValues(new Uint8Array(65_536))] as const;
    const files = Object.fromEntries(Array.from({ length: 40 }, part));
    const built = buildPackage({ name: "large", version: "1", files });
    const headers = { authorization: `Basic ${btoa(`alice:${passwords.get("alice")}`)}` };
    const target = `${url}/api/packages/alice/conda/main/${built.fileName}`;
    const answer = await fetch(target, { method: "PUT", headers, body: new Uint8Array(built.bytes) });
    expect(answer.status).toBe(201);
    const download = await fetch(`${url}/alice/main/noarch/${built.fileName}`);
    expect(await download.bytes()).toEqual(new Uint8Array(built.bytes));
  } finally {
    proxy.kill();
    await proxy.exited;
  }
});

function standIns(): StandIns {
  return { url: server.url, binary: builtBinary(), folders, database, passwords, token };
}

/** Runs a line as a person would, in the folder where the server was started. */
async function typeIt(line: string): Promise<void> {
  await makePackages(line);
  const ran = await run(["sh", "-c", fillIn(line, standIns())], {
    cwd: room,
    env: { HOME: room, PATH: `${folders.bin}:${PATH}`, CONDARIUM_LISTEN: server.host },
  });
  expect({ code: ran.code, said: ran.code === 0 ? "" : ran.stderr + ran.stdout }).toEqual({ code: 0, said: "" });
  const user = /^condarium user (?:create|set-password) (\S+)/.exec(line)?.[1];
  if (user !== undefined) passwords.set(user, ran.stdout.trim());
  if (line.startsWith("condarium token create ")) token = ran.stdout.trim();
  const moved = /^condarium restore \S+ --data (\S+) --database (\S+)$/.exec(fillIn(line, standIns()));
  if (moved) service = { dataDir: moved[1], settings: ["--database", moved[2] ?? ""] };
}

async function makePackages(line: string): Promise<void> {
  for (const [fileName, name, version, build, format] of line.matchAll(/([a-z-]+)-([\d.]+)-(\w+)\.(conda|tar\.bz2)/g)) {
    if (name === undefined || version === undefined || existsSync(join(room, fileName))) continue;
    const built = buildPackage({ name, version, build, format: format === "conda" ? "conda" : "tar.bz2" });
    await Bun.write(join(room, fileName), built.bytes);
  }
}

/** conda, mamba and pixi are not run; their channel is read as they would read it, by py-rattler too if available. */
async function readChannel(line: string): Promise<void> {
  channel = /--channel (\S+)/.exec(fillIn(line, standIns()))?.[1] ?? channel;
  const names = await namesIn(channel, line.startsWith("mamba ") ? mambaHeaders(channel) : {});
  expect(names).toContain("my-package-1.0-0.conda");
  if (line.startsWith("mamba ") || !(await haveClients())) return;
  const solved = await solve(channel, ["my-package"]);
  expect(solved.map(({ name }) => name)).toEqual(["my-package"]);
}

/** The header that mamba sends because of its credentials file. */
function mambaHeaders(url: string): Record<string, string> {
  const entry = z.object({ type: z.literal("BearerToken"), token: z.string() });
  const file = z.record(z.string(), entry).parse(JSON.parse(fillIn(theBlock(blocks, "json"), standIns())));
  const secret = file[new URL(url).host]?.token;
  // A token that does not exist yet is not sent; a public channel needs none.
  return secret === undefined || secret === "" ? {} : { authorization: `Bearer ${secret}` };
}

async function namesIn(url: string, headers: Record<string, string> = {}): Promise<string[]> {
  const answer = await fetch(`${url}/noarch/repodata.json`, { headers });
  expect(answer.status).toBe(200);
  const shape = z.object({ packages: z.looseObject({}), "packages.conda": z.looseObject({}) });
  const document = shape.parse(await answer.json());
  return [...Object.keys(document.packages), ...Object.keys(document["packages.conda"])];
}

async function runScript(line: string): Promise<void> {
  const script = /^npx -y bun@(\S+) run (\w+)$/.exec(line);
  expect(script?.[1]).toBe(Bun.version);
  expect(Object.keys(scripts)).toContain(script?.[2] ?? "");
  if (script?.[2] === "check") expect(await Bun.file(join(ROOT, ".ci/run")).text()).toContain(` ${line}\n`);
  if (script?.[2] === "start") await startFromSource();
}

/** `run start` for real, with its own folder and port. */
async function startFromSource(): Promise<void> {
  const place = ["--data", join(room, "from-source"), "--listen", "127.0.0.1:0"];
  const child = Bun.spawn([process.execPath, "run", "start", ...place], { cwd: ROOT, stdout: "pipe", stderr: "pipe" });
  const decoder = new TextDecoder();
  let log = "";
  let url: string | undefined;
  for await (const part of child.stderr) {
    log += decoder.decode(part, { stream: true });
    if (url !== undefined) continue;
    url = /"event":"started","url":"([^"]+)"/.exec(log)?.[1];
    if (url === undefined) continue;
    expect((await fetch(`${url}/health/ready`)).status).toBe(200);
    child.kill("SIGTERM");
  }
  expect([log.includes('"event":"stopped"'), await child.exited, log]).toEqual([true, 0, log]);
}

/** `.ci/image.sh` builds and runs the image; this checks that it matches README.md. */
async function useImage(line: string): Promise<void> {
  if (line.startsWith("docker exec condarium ")) return await typeIt(line.replace("docker exec condarium ", ""));
  if (line === "docker build --tag condarium .") return;
  expect(line).toStartWith("docker run ");
  expect(line).toEndWith(" condarium");
  expect(dockerfile).toContain(`EXPOSE ${/--publish \d+:(\d+) /.exec(line)?.[1]}\n`);
  expect(dockerfile).toContain(`VOLUME ${/--volume \w+:(\S+) /.exec(line)?.[1]}\n`);
  expect(Object.keys(SETTINGS).map(environmentName)).toContain(/--env (\w+)=/.exec(line)?.[1] ?? "");
}

function makeServiceUser(line: string): void {
  expect(unit).toContain(`\nUser=${line.split(" ").at(-1)}\n`);
  expect(unit).toContain(`\nEnvironment=CONDARIUM_DATA=${/--home-dir (\S+)/.exec(line)?.[1]}\n`);
}

async function controlService(line: string): Promise<void> {
  const [, verb] = line.split(" ");
  expect(line).toEndWith(" condarium");
  expect(readme).toContain("`/etc/systemd/system/condarium.service`");
  if (verb === "stop") expect(await server.stop()).toBe(0);
  else if (verb === "start") server = await startServer({ ...service, cwd: room });
  else expect(line).toBe("systemctl enable --now condarium");
}

async function nginxConfig(): Promise<{ config: string; url: string }> {
  const probe = Bun.serve({ port: 0, fetch: () => new Response() });
  const { port } = probe;
  await probe.stop(true);
  const config = join(room, "nginx.conf");
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (kind) => `${kind}_temp_path ${room}/${kind};`,
  );
  const location = fillIn(theBlock(blocks, "nginx"), standIns());
  await Bun.write(
    config,
    `daemon off; master_process off; pid ${room}/nginx.pid; events {}
     http { ${temporary.join(" ")} access_log off; server { listen 127.0.0.1:${port}; ${location} } }`,
  );
  return { config, url: `http://127.0.0.1:${port}` };
}

async function answered(url: string): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const ok = await fetch(`${url}/health/live`).then(
      (answer) => answer.ok,
      () => false,
    );
    if (ok) return;
    await Bun.sleep(50);
  }
  throw new Error(`${url} does not answer`);
}
