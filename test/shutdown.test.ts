// The start and the end of a server process: signals, exit codes, and open transfers.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { basic, PASSWORD, startTestApp } from "./support/app.ts";
import { noise } from "./support/noise.ts";
import { bzip2, buildPackage, joinBzip2, packageParts, tar } from "./support/package-builder.ts";
import { exchange, openSocket, requestText, type RawSocket } from "./support/raw-socket.ts";
import { condarium, serve, type ServerProcess } from "./support/server-process.ts";

const ALICE = basic("alice", PASSWORD);
/** More than the buffers of two sockets hold. */
const LARGE_BYTES = 24 * 1024 ** 2;
const large = buildPackage({ name: "large", version: "1", files: { "share/noise": noise(LARGE_BYTES) } });
const FILE = `/alice/main/noarch/${large.fileName}`;

let folder: string;
const running: ServerProcess[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "condarium-shutdown-"));
  const server = await startTestApp({ folder });
  const alice = await server.addUser("alice");
  expect((await alice.put(`/api/packages/alice/conda/main/${large.fileName}`, large.bytes)).status).toBe(201);
  await server.close();
});
afterAll(async () => {
  for (const { child } of running) child.kill("SIGKILL");
  await rm(folder, { recursive: true, force: true });
});

async function start(...args: string[]): Promise<ServerProcess> {
  const server = await serve(folder, args);
  running.push(server);
  return server;
}

async function sending(server: ServerProcess, name: string, headers: Record<string, string | number>, body = "") {
  const socket = await openSocket(server.port);
  await socket.send(requestText(`PUT /api/packages/alice/conda/main/${name}`, { ...ALICE, ...headers }, body));
  // The password is checked first, which takes some time.
  await Bun.sleep(300);
  return socket;
}

/** A download of which only the beginning is read. */
async function receiving(server: ServerProcess): Promise<RawSocket> {
  const socket = await openSocket(server.port);
  await socket.send(requestText(`GET ${FILE}`));
  socket.pause();
  await Bun.sleep(100);
  return socket;
}

describe("a SIGTERM", () => {
  test("lets an upload and a download finish, accepts no new request, and exits with 0", async () => {
    const server = await start();
    const built = buildPackage({ name: "last", version: "1" });
    const upload = await sending(server, built.fileName, { "content-length": built.bytes.length });
    await upload.send(built.bytes.slice(0, 100));
    const download = await receiving(server);
    const ending = server.end("SIGTERM");
    await Bun.sleep(200);
    expect(server.child.exitCode).toBeNull();
    expect(await refusesConnections(server.port)).toBe(true);
    await upload.send(built.bytes.slice(100));
    expect((await upload.answer())?.status).toBe(201);
    download.resume();
    const received = await download.answer();
    expect(received?.body.length).toBe(large.bytes.length);
    expect(new Bun.CryptoHasher("sha256").update(received?.body ?? "", "latin1").digest("hex")).toBe(large.sha256);
    const { code, ms } = await ending;
    expect([code, ms < 3000]).toEqual([0, true]);
    expect(server.stderr()).toContain('"event":"stopped"');
    expect(server.stderr()).not.toContain("stop-forced");

    const next = await startTestApp({ folder });
    expect((await next.as("alice").get(`/alice/main/noarch/${built.fileName}`)).status).toBe(200);
    await next.close();
  });

  test("does not wait for connections without a request", async () => {
    const server = await start();
    const idle = await openSocket(server.port);
    await idle.send(requestText("GET /health/live"));
    expect((await idle.answer())?.status).toBe(200);
    const silent = await openSocket(server.port);
    const { code, ms } = await server.end("SIGTERM");
    expect([code, ms < 1000]).toEqual([0, true]);
    silent.close();
  });

  test("cuts off stuck requests at its deadline, keeps nothing of them, and still exits with 0", async () => {
    const server = await start("--shutdown-timeout", "1s");
    const sockets = [
      await sending(server, "stuck-1-0.conda", { "content-length": 1000 }, "x".repeat(10)),
      await sending(server, "chunks-1-0.conda", { "transfer-encoding": "chunked" }, "5\r\nhello\r\n"),
      await receiving(server),
      await openSocket(server.port),
    ];
    await sockets.at(-1)?.send("GET /half HTTP/1.1\r\nhost: local");
    const { code, ms } = await server.end("SIGTERM");
    expect(code).toBe(0);
    expect(ms).toBeWithin(900, 2500);
    expect(server.stderr()).toContain("stop-forced");
    expect(server.stderr()).not.toContain("unhandled");
    for (const socket of sockets) socket.close();
    expect(await condarium(["verify", "--full", "--data", folder])).toMatchObject({ code: 0, stdout: "" });
  });

  test("does not wait past its deadline for a package that is being read", async () => {
    const server = await start("--shutdown-timeout", "1s");
    const body = slowPackage();
    const upload = await sending(server, "slow-1-0.tar.bz2", { "content-length": body.length });
    await upload.send(body);
    await Bun.sleep(100);
    const { code, ms } = await server.end("SIGTERM");
    expect(code).toBe(0);
    expect(ms).toBeWithin(900, 2500);
    expect(server.stderr()).toContain("stop-forced");
    expect(server.stderr()).not.toContain("unhandled");
    upload.close();
  });

  test("that arrives twice at once acts as one, because npx delivers a Ctrl-C twice", async () => {
    const server = await start();
    const upload = await sending(server, "twice-1-0.conda", { "content-length": 5 }, "hell");
    // Two signals of different kinds: the system merges equal ones.
    server.child.kill("SIGTERM");
    const ending = server.end("SIGINT");
    await Bun.sleep(400);
    expect(server.child.exitCode).toBeNull();
    await upload.send("o");
    expect((await upload.answer())?.status).toBe(400);
    expect((await ending).code).toBe(0);
  });
});

describe("a second signal", () => {
  test.each([
    ["SIGTERM", "SIGTERM", 143],
    ["SIGINT", "SIGINT", 130],
    ["SIGTERM", "SIGINT", 130],
    ["SIGHUP", "SIGTERM", 143],
  ] as const)(
    "(%s, then %s) ends the server at once with exit code %d, and keeps what was acknowledged",
    async (first, second, code) => {
      const server = await start();
      const built = buildPackage({ name: `before-${first}-${second}`.toLowerCase(), version: "1" });
      const publish = await sending(server, built.fileName, { "content-length": built.bytes.length });
      await publish.send(built.bytes);
      expect((await publish.answer())?.status).toBe(201);
      const upload = await sending(server, "stuck-1-0.conda", { "content-length": 1000 }, "x".repeat(10));
      server.child.kill(first);
      await Bun.sleep(400);
      expect(server.child.exitCode).toBeNull();
      const ended = await server.end(second);
      expect([ended.code, ended.ms < 1000]).toEqual([code, true]);
      expect(server.stderr()).toMatch(new RegExp(`"event":"stopped-at-once","signal":"${second}"[^\\n]*interrupted`));
      expect(server.stderr()).not.toContain('"event":"stopped"');
      upload.close();
      const next = await start();
      const response = await exchange(next.port, requestText(`GET /alice/main/noarch/${built.fileName}`));
      expect([response?.status, response?.body.length]).toEqual([200, built.bytes.length]);
      expect((await next.end("SIGTERM")).code).toBe(0);
      expect(await condarium(["verify", "--full", "--data", folder])).toMatchObject({ code: 0, stdout: "" });
    },
  );

  test("is not a SIGHUP, which a closed terminal can send twice", async () => {
    const server = await start();
    const upload = await sending(server, "hung-1-0.conda", { "content-length": 5 }, "hell");
    server.child.kill("SIGTERM");
    await Bun.sleep(400);
    const ending = server.end("SIGHUP");
    await Bun.sleep(200);
    expect(server.child.exitCode).toBeNull();
    await upload.send("o");
    expect((await upload.answer())?.status).toBe(400);
    expect((await ending).code).toBe(0);
  });
});

test.each(["SIGINT", "SIGHUP"] as const)("%s ends the server like SIGTERM", async (signal) => {
  const server = await start();
  const { code, ms } = await server.end(signal);
  expect([code, ms < 1000]).toEqual([0, true]);
  expect(server.stderr()).toContain('"event":"stopped"');
});

test("SIGHUP ends a server whose output was closed together with its terminal", async () => {
  const server = await start();
  await server.closeOutput();
  expect((await server.end("SIGHUP")).code).toBe(0);
});

test("SIGHUP does not end a server under nohup", async () => {
  const server = await serve(folder, [], ["nohup"]);
  running.push(server);
  server.child.kill("SIGHUP");
  await Bun.sleep(300);
  expect((await exchange(server.port, requestText("GET /health/ready")))?.status).toBe(200);
  expect((await server.end("SIGTERM")).code).toBe(0);
});

test.each(["SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGCONT", "SIGWINCH"] as const)(
  "%s does nothing to a server, and opens no port",
  async (signal) => {
    const server = await start();
    const upload = await sending(server, `during-${signal}-1-0.conda`.toLowerCase(), { "content-length": 5 }, "hell");
    const before = listeningPorts(server.child.pid);
    for (let times = 0; times < 3; times++) {
      server.child.kill(signal);
      await Bun.sleep(50);
    }
    expect((await exchange(server.port, requestText("GET /health/ready")))?.status).toBe(200);
    expect(listeningPorts(server.child.pid)).toEqual(before);
    await upload.send("o");
    expect((await upload.answer())?.status).toBe(400);
    expect((await server.end("SIGTERM")).code).toBe(0);
  },
);

test("a server whose output nobody reads continues", async () => {
  const server = await start();
  await server.closeOutput();
  for (let request = 0; request < 5; request++) {
    expect((await exchange(server.port, requestText("GET /health/nowhere")))?.status).toBe(404);
    await Bun.sleep(10);
  }
  expect((await exchange(server.port, requestText("GET /health/ready")))?.status).toBe(200);
  expect((await server.end("SIGTERM")).code).toBe(0);
});

describe("a server that cannot start says why in one line and exits with 2", () => {
  const busy = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = busy;
  afterAll(() => busy.stop(true));

  test.each([
    ["its port is taken", () => ["--listen", `127.0.0.1:${port}`], "Cannot listen on 127.0.0.1:"],
    ["an address is not its own", () => ["--listen", "192.0.2.1:0"], "Cannot listen on 192.0.2.1:0"],
    [
      "the port of the metrics is taken",
      () => ["--metrics-listen", `127.0.0.1:${port}`],
      "Cannot listen on 127.0.0.1:",
    ],
    [
      "a value is wrong",
      () => ["--workers", "none"],
      "--workers must be a whole number from 1 to 10000, for example 2.",
    ],
    [
      "the file of settings is missing",
      () => ["--config", "/nowhere.toml"],
      "Cannot read /nowhere.toml. --config must be a TOML file",
    ],
    ["a setting of the file is unknown", () => ["--config", join(folder, "odd.toml")], "unknown setting colour"],
    ["the file is no TOML", () => ["--config", join(folder, "broken.toml")], "is not valid TOML"],
  ])("when %s", async (_, args, message) => {
    await Bun.write(join(folder, "odd.toml"), 'colour = "blue"\n');
    await Bun.write(join(folder, "broken.toml"), "colour = = blue\n");
    const ended = await condarium(["serve", "--data", folder, "--listen", "127.0.0.1:0", ...args()]);
    expect([ended.code, ended.stdout]).toEqual([2, ""]);
    expect(ended.stderr).toMatch(/^condarium: [^\n]+\n$/);
    expect(ended.stderr).toContain(message);
  });

  test("when a variable of the environment is unknown", async () => {
    const ended = await condarium(["serve", "--data", folder], { CONDARIUM_COLOUR: "blue" });
    expect([ended.code, ended.stdout]).toEqual([2, ""]);
    expect(ended.stderr).toMatch(/^condarium: Unknown setting CONDARIUM_COLOUR in the environment\.[^\n]+\n$/);
  });
});

/** Takes seconds to unpack: a repeated text of two letters. */
function slowPackage(): Uint8Array {
  const [piece, pieces] = [64 * 1024, 1200];
  const { info } = packageParts({ name: "slow", version: "1" });
  const size = new TextEncoder().encode((piece * pieces).toString(8).padStart(11, "0"));
  const members = [...info, { path: "share/letters", edit: (header: Uint8Array) => header.set(size, 124) }];
  const letters = bzip2(noise(piece).map((byte) => 0x61 + (byte & 1)));
  const repeated = Array.from({ length: pieces }, () => letters);
  return joinBzip2([bzip2(tar(members, new Uint8Array(0))), ...repeated, bzip2(new Uint8Array(1024))]);
}

/** Inodes of the sockets of the process that listen, from `/proc`; empty on a system without it. */
function listeningPorts(pid: number): string[] {
  if (!existsSync("/proc/net/tcp")) return [];
  const handles = readdirSync(`/proc/${pid}/fd`).map((name) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${name}`);
    } catch {
      return "";
    }
  });
  const sockets = new Set(handles.map((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1]));
  const lines = ["tcp", "tcp6"].flatMap((table) => readFileSync(`/proc/net/${table}`, "utf8").trim().split("\n"));
  const listening = lines.map((line) => line.trim().split(/\s+/)).filter((columns) => columns[3] === "0A");
  return listening
    .map((columns) => columns[9] ?? "")
    .filter((inode) => sockets.has(inode))
    .sort();
}

async function refusesConnections(port: number): Promise<boolean> {
  return await openSocket(port).then(
    (socket) => {
      socket.close();
      return false;
    },
    () => true,
  );
}
