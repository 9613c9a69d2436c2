// A server of several processes: what holds for one process holds for all of them together.

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { basic, PASSWORD, startTestApp } from "./support/app.ts";
import { readExposition } from "./support/exposition.ts";
import { newToken } from "./support/manage.ts";
import { buildPackage } from "./support/package-builder.ts";
import { openSocket, requestText } from "./support/raw-socket.ts";
import { condarium, serve, type ServerProcess } from "./support/server-process.ts";
import { childrenOf, isRunning, lineToEach, type Line } from "./support/server-processes.ts";
import { authenticator } from "./support/two-factor.ts";

const PROCESSES = ["--processes", "2"];
const UPLOADS = "/api/packages/alice/conda/main";

const SEEDED = 40;

let folder: string;
let token: Record<string, string>;
let admin: Record<string, string>;
const running: ServerProcess[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "condarium-processes-"));
  const server = await startTestApp({ folder });
  const alice = await server.addUser("alice");
  // The documents are so large that they are files, which the processes share.
  for (let at = 0; at < SEEDED; at += 1) {
    const { fileName, bytes } = buildPackage({ name: `seeded-${at}`, version: "1", summary: "long ".repeat(400) });
    expect((await alice.put(`${UPLOADS}/${fileName}`, bytes)).status).toBe(201);
  }
  await server.addUser("root", { admin: true });
  const secret = await newToken(server.manage, { user: "alice", name: "test", scopes: ["all"] });
  token = { authorization: `Bearer ${secret}` };
  admin = basic("root", PASSWORD);
  await server.close();
});
afterEach(async () => {
  for (const { child } of running.splice(0)) {
    child.kill("SIGKILL");
    await child.exited;
  }
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function start(...args: string[]): Promise<ServerProcess> {
  const server = await serve(folder, [...PROCESSES, ...args]);
  running.push(server);
  return server;
}

async function stop(server: ServerProcess): Promise<void> {
  expect((await server.end("SIGTERM")).code).toBe(0);
}

async function publish(line: Line, name: string): Promise<number> {
  const built = buildPackage({ name, version: "1" });
  return (await line.ask(`PUT ${UPLOADS}/${built.fileName}`, token, built.bytes)).status;
}

async function documentsBuilt(line: Line): Promise<number | undefined> {
  const metrics = readExposition((await line.ask("GET /metrics", admin)).body);
  return metrics.value("condarium_documents_built_total", { document: "repodata.json" });
}

async function until(isTrue: () => boolean | Promise<boolean>, ms = 10_000): Promise<boolean> {
  for (let waited = 0; waited < ms; waited += 20) {
    if (await isTrue()) return true;
    await Bun.sleep(20);
  }
  return false;
}

describe("two processes", () => {
  let server: ServerProcess;
  let lines: readonly [Line, Line];
  beforeAll(async () => {
    server = await serve(folder, PROCESSES);
    const [first, second] = await lineToEach(server, 2);
    if (!first || !second) throw new Error("two processes must answer");
    lines = [first, second];
  });
  afterAll(() => stop(server));

  test("show in each a publish that the other has acknowledged, at the very next request, for 500 rounds", async () => {
    const document = "GET /alice/main/noarch/repodata.json";
    for (let round = 0; round < 500; round += 1) {
      const [writer, reader] = round % 2 === 0 ? lines : [lines[1], lines[0]];
      // Stores a response in the reader's cache, which the publish must invalidate.
      await reader.ask(document);
      const name = `round-${round}`;
      expect(await publish(writer, name)).toBe(201);
      const answer = await reader.ask(document);
      if (!answer.body.includes(`"${name}-1-0.conda"`)) throw new Error(`round ${round} is not shown`);
    }
  });

  test("answer with the same bytes and the same ETags", async () => {
    for (const name of ["repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst", "current_repodata.json"]) {
      const [a, b] = await Promise.all(lines.map((line) => line.ask(`GET /alice/main/noarch/${name}`)));
      expect([a?.status, b?.status]).toEqual([200, 200]);
      expect(a?.headers.get("etag")).toBe(b?.headers.get("etag") ?? "");
      expect(a?.body === b?.body).toBe(true);
      expect(a?.headers.get("etag")).not.toBeNull();
    }
  });

  test("publish at the same time without a refusal, and lose nothing", async () => {
    const names = Array.from({ length: 120 }, (_, at) => `both-${at}`);
    const halves = lines.map(async (line, half) => {
      const codes: number[] = [];
      for (const name of names.filter((_, at) => at % 2 === half)) codes.push(await publish(line, name));
      return codes;
    });
    expect(new Set((await Promise.all(halves)).flat())).toEqual(new Set([201]));
    for (const line of lines) {
      const { body } = await line.ask("GET /alice/main/noarch/repodata.json");
      expect(names.filter((name) => !body.includes(`"${name}-1-0.conda"`))).toEqual([]);
    }
  });

  test("keep a document that one has replaced and the other serves again", async () => {
    const document = "GET /alice/main/noarch/repodata.json";
    const [a, b] = lines;
    const before = await b.ask(document);
    // What a process has served, it deletes after it has replaced it.
    await a.ask(document);
    expect(before.body.length).toBeGreaterThan(64 * 1024);
    expect(await publish(a, "short-lived")).toBe(201);
    expect((await a.ask(document)).body).toContain('"short-lived-1-0.conda"');
    const remove = "DELETE /api/packages/alice/conda/main/noarch/short-lived-1-0.conda";
    expect((await b.ask(remove, token)).status).toBe(204);
    expect((await b.ask(document)).headers.get("etag")).toBe(before.headers.get("etag"));
    const built = await documentsBuilt(b);
    // Longer than the other process waits before it deletes the file that it has replaced.
    await Bun.sleep(3000);
    expect((await b.ask(document)).body === before.body).toBe(true);
    expect(await documentsBuilt(b)).toBe(built);
  });

  test("add up to one answer for /metrics, whichever is asked", async () => {
    const totals: (number | undefined)[] = [];
    for (const line of lines) {
      for (let asked = 0; asked < 3; asked += 1) await line.ask("GET /alice/main/noarch/nothing.json");
    }
    for (const line of lines) {
      const metrics = readExposition((await line.ask("GET /metrics", admin)).body);
      totals.push(metrics.value("condarium_publishes_total", { result: "created" }));
      expect(metrics.value("condarium_package_files")).toBe(SEEDED + 620);
      expect(metrics.samples.filter(({ name }) => name === "condarium_build_info")).toHaveLength(1);
      expect(metrics.value("condarium_writable")).toBe(1);
    }
    expect(totals).toEqual([621, 621]);
  });

  test("count failed logins together: ten wrong passwords from one network, through either", async () => {
    const codes: number[] = [];
    for (let attempt = 0; attempt < 12; attempt += 1) {
      const line = lines[attempt % 2] as Line;
      codes.push((await line.ask("GET /alice/main", basic("alice", `wrong-password-${attempt}`))).status);
    }
    expect(codes).toEqual([...Array.from({ length: 10 }, () => 401), 429, 429]);
    expect((await condarium(["user", "unlock", "alice", "--data", folder])).code).toBe(0);
  });

  test("accept a two-factor code once, whichever of them it is sent to", async () => {
    const json = { ...basic("coded", PASSWORD), "content-type": "application/json" };
    expect(
      (await condarium(["user", "create", "coded", "--password-stdin", "--data", folder], {}, { input: PASSWORD }))
        .code,
    ).toBe(0);
    const post = async (path: string, body: object): Promise<Response> =>
      await fetch(`${server.url}/api/v1/user/two-factor${path}`, {
        method: "POST",
        headers: json,
        body: JSON.stringify(body),
      });
    const app = authenticator(((await (await post("", {})).json()) as { uri: string }).uri, Date.now);
    expect((await post("/confirm", { code: app.code() })).status).toBe(200);
    // The next code, in case the present one has confirmed.
    const headers = { ...basic("coded", PASSWORD), "x-gitea-otp": app.code(1) };
    const all = await Promise.all(lines.map((line) => line.ask("GET /coded/noarch/repodata.json", headers)));
    const statuses = all.map(({ status }) => status);
    expect(statuses.sort()).toEqual([200, 401]);
  });

  test("reserve failed logins together: parallel guesses get no more than ten checks", async () => {
    const sockets = await Promise.all(Array.from({ length: 30 }, () => openSocket(server.port)));
    const statuses = await Promise.all(
      sockets.map(async (socket, at) => {
        await socket.send(requestText("GET /alice/main", basic("alice", `parallel-guess-${at}`)));
        return (await socket.answer())?.status;
      }),
    );
    for (const socket of sockets) socket.close();
    expect(statuses.filter((status) => status === 401)).toHaveLength(10);
    expect(statuses.filter((status) => status === 429)).toHaveLength(20);
    expect((await condarium(["user", "unlock", "alice", "--data", folder])).code).toBe(0);
  });

  test("leave the commands beside them working", async () => {
    expect(await publish(lines[0], "beside-commands")).toBe(201);
    expect((await condarium(["user", "create", "bob", "--data", folder])).code).toBe(0);
    for (const command of [["verify", "--deep"], ["reindex"], ["gc"]])
      expect(await condarium([...command, "--data", folder])).toMatchObject({ code: 0 });
    for (const line of lines) expect((await line.ask("GET /alice/main/noarch/repodata.json")).status).toBe(200);
  });

  test("keep a second server from the folder and from the port", async () => {
    const onFolder = ["serve", "--data", folder, "--listen", "127.0.0.1:0"];
    for (const args of [onFolder, [...onFolder, ...PROCESSES]]) {
      const ended = await condarium(args);
      expect([ended.code, ended.stdout]).toEqual([2, ""]);
      expect(ended.stderr).toContain("Another condarium server is using this data folder");
    }
    const other = join(folder, "other");
    const onPort = ["serve", "--data", other, "--listen", `127.0.0.1:${server.port}`];
    for (const args of [onPort, [...onPort, ...PROCESSES]]) {
      const ended = await condarium(args);
      expect([ended.code, ended.stdout]).toEqual([2, ""]);
      expect(ended.stderr).toContain("another program already listens there");
    }
    expect(existsSync(other)).toBe(false);
  });
});

test("concurrent uploads count over both processes", async () => {
  const server = await start("--uploads-per-token", "2");
  const lines = [...(await lineToEach(server, 2)), ...(await lineToEach(server, 2))];
  const begin = async (line: Line, name: string): Promise<void> => {
    await line.socket.send(requestText(`PUT ${UPLOADS}/${name}-1-0.conda`, { ...token, "content-length": 1000 }, "x"));
  };
  await begin(lines[0] as Line, "open-0");
  await begin(lines[1] as Line, "open-1");
  await Bun.sleep(200);
  for (const line of lines.slice(2)) {
    const { status, headers } = await line.ask(`PUT ${UPLOADS}/more-1-0.conda`, token, "some bytes");
    expect([status, headers.get("retry-after")]).toEqual([429, "5"]);
  }
  // After three seconds without a byte, and one until its process has told, an upload yields its slot.
  await Bun.sleep(4500);
  const [more] = await lineToEach(server, 1);
  expect(await publish(more as Line, "yielded-to")).toBe(201);
  const answers = await Promise.all(
    lines.slice(0, 2).map(({ socket }) => Promise.race([socket.answer(), Bun.sleep(500)])),
  );
  expect(answers.map((answer) => answer?.status).filter((status) => status === 408)).toHaveLength(1);
  for (const { socket } of lines) socket.reset();
  // An ended upload frees its slot.
  expect(
    await until(
      async () => (await publish((await lineToEach(server, 1))[0] as Line, `free-${Bun.nanoseconds()}`)) === 201,
    ),
  ).toBe(true);
  await stop(server);
});

test("a process killed amid publishes is back, and every acknowledged package is there", async () => {
  const server = await start();
  const acknowledged: string[] = [];
  const ending = new AbortController();
  const publisher = async (who: number): Promise<void> => {
    for (let at = 0; !ending.signal.aborted; at += 1) {
      const built = buildPackage({ name: `killed-${who}-${at}`, version: "1" });
      const answer = await fetch(`${server.url}${UPLOADS}/${built.fileName}`, {
        method: "PUT",
        headers: token,
        body: new Uint8Array(built.bytes),
      }).catch(() => undefined);
      if (answer?.status === 201) acknowledged.push(built.fileName);
      else await Bun.sleep(20);
    }
  };
  const publishers = [0, 1, 2, 3].map(publisher);
  for (let round = 0; round < 6; round += 1) {
    const before = acknowledged.length;
    await Bun.sleep(500);
    // A busy machine takes longer to start a process.
    await until(() => acknowledged.length > before + 4);
    const victims = childrenOf(server.child.pid);
    process.kill(victims[round % victims.length] ?? 0, "SIGKILL");
  }
  await Bun.sleep(500);
  ending.abort();
  await Promise.all(publishers);
  expect(acknowledged.length).toBeGreaterThan(20);
  expect(await until(() => childrenOf(server.child.pid).length === 2)).toBe(true);
  for (const line of await lineToEach(server, 2)) {
    const { body } = await line.ask("GET /alice/main/noarch/repodata.json");
    expect(acknowledged.filter((name) => !body.includes(`"${name}"`))).toEqual([]);
  }
  expect(server.stderr().match(/"event":"process-ended"/g)).toHaveLength(6);
  await stop(server);
  expect(await condarium(["verify", "--full", "--data", folder])).toMatchObject({ code: 0, stdout: "" });
});

describe("the main process", () => {
  test("ends all processes at a SIGTERM once their transfers have ended, and exits with 0", async () => {
    const server = await start();
    const children = childrenOf(server.child.pid);
    expect(children).toHaveLength(2);
    const built = buildPackage({ name: "last", version: "1" });
    const uploads = await lineToEach(server, 2);
    for (const [at, { socket }] of uploads.entries())
      await socket.send(requestText(`PUT ${UPLOADS}/last-${at}-1-0.conda`, { ...token, "content-length": 5 }, "hell"));
    const begun = await openSocket(server.port);
    const head = { ...token, "content-length": built.bytes.length };
    await begun.send(requestText(`PUT ${UPLOADS}/${built.fileName}`, head));
    await Bun.sleep(300);
    const ending = server.end("SIGTERM");
    // As systemd does: only the main process may act on the signal.
    for (const child of children) process.kill(child, "SIGTERM");
    await Bun.sleep(300);
    expect(server.child.exitCode).toBeNull();
    expect(children.filter((child) => !isRunning(child))).toEqual([]);
    await begun.send(built.bytes);
    expect((await begun.answer())?.status).toBe(201);
    for (const { socket } of uploads) {
      await socket.send("o");
      expect((await socket.answer())?.status).toBe(400);
    }
    const { code, ms } = await ending;
    expect([code, ms < 3000]).toEqual([0, true]);
    expect(children.filter(isRunning)).toEqual([]);
    expect(server.stderr()).toContain('"event":"stopped"');
    expect(server.stderr()).not.toContain("parent-ended");
    expect(server.stderr()).not.toContain("process-ended");
  });

  test("ends all at once at a second signal", async () => {
    const server = await start();
    const children = childrenOf(server.child.pid);
    const [line] = await lineToEach(server, 1);
    await line?.socket.send(requestText(`PUT ${UPLOADS}/x-1-0.conda`, { ...token, "content-length": 5 }, "hell"));
    await Bun.sleep(200);
    server.child.kill("SIGTERM");
    await Bun.sleep(300);
    const { code, ms } = await server.end("SIGTERM");
    expect([code, ms < 1000]).toEqual([143, true]);
    expect(await until(() => !children.some(isRunning), 1000)).toBe(true);
  });

  test("killed takes its processes along, and a new server starts at once on the folder and the port", async () => {
    const server = await start();
    const children = childrenOf(server.child.pid);
    await server.end("SIGKILL");
    const next = await start("--listen", `127.0.0.1:${server.port}`);
    expect(children.filter(isRunning)).toEqual([]);
    const [line] = await lineToEach(next, 1);
    expect(await publish(line as Line, "after-the-kill")).toBe(201);
    await stop(next);
  });

  test("gives up a process that dies at once again and again, and exits with 1", async () => {
    const server = await start();
    let [kills, code] = [0, null as number | null];
    for (; code === null && kills < 100; kills += 1) {
      for (const child of childrenOf(server.child.pid)) process.kill(child, "SIGKILL");
      await Bun.sleep(200);
      code = server.child.exitCode;
    }
    expect(await server.child.exited).toBe(1);
    expect(server.stderr()).toContain("right after its start");
    expect(server.stderr()).toContain('"event":"stopped"');
  });

  test("does once what is done once: one first start, one collection per interval", async () => {
    const fresh = join(folder, "fresh");
    const server = await serve(fresh, [...PROCESSES, "--gc-interval", "1s"]);
    running.push(server);
    expect(server.stdout().match(/created an administrator/g)).toHaveLength(1);
    await Bun.sleep(3500);
    await stop(server);
    const runs = server.stderr().match(/"event":"gc"/g)?.length ?? 0;
    expect(runs).toBeWithin(1, 4);
  });
});

test("a killed process's temporary files are swept by its successor, and those of the other are not", async () => {
  const server = await start();
  const staged = (slot: number): Promise<string[]> => readdir(join(folder, "tmp", `process-${slot}`));
  const lines = await lineToEach(server, 2);
  for (const [at, { socket }] of lines.entries())
    await socket.send(requestText(`PUT ${UPLOADS}/t-${at}-1-0.conda`, { ...token, "content-length": 9 }, "x"));
  expect(await until(async () => (await staged(1)).length === 1 && (await staged(2)).length === 1)).toBe(true);
  const children = childrenOf(server.child.pid);
  process.kill(children[0] ?? 0, "SIGKILL");
  expect(await until(() => /"event":"process-ended"/.test(server.stderr()))).toBe(true);
  const dead = Number(/"process":(\d),"code":null/.exec(server.stderr())?.[1]);
  expect(await until(async () => (await staged(dead)).length === 0)).toBe(true);
  expect(await staged(3 - dead)).toHaveLength(1);
  for (const { socket } of lines) socket.reset();
  await stop(server);
});

test("metrics-listen gives the sum of all processes, also after one was killed", async () => {
  const probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = probe;
  probe.stop(true);
  const server = await start("--metrics-listen", `127.0.0.1:${port}`);
  const scrape = async (): Promise<number | undefined> => {
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    return readExposition(text).value("condarium_requests_total", { route: "/", method: "GET", status: "200" });
  };
  for (const line of await lineToEach(server, 2)) for (let asked = 0; asked < 5; asked += 1) await line.ask("GET /");
  expect(await scrape()).toBe(10);
  process.kill(childrenOf(server.child.pid)[0] ?? 0, "SIGKILL");
  expect(await until(() => childrenOf(server.child.pid).length === 2)).toBe(true);
  expect(await scrape()).toBe(10);
  await stop(server);
});

test("the command of a process is refused to people", async () => {
  const ended = await condarium(["serve-process"]);
  expect([ended.code, ended.stdout]).toEqual([2, ""]);
  expect(ended.stderr).toMatch(/^condarium: [^\n]+ condarium serve --processes 2\.\n$/);
});

test("one process, the default, starts no other", async () => {
  const server = await serve(folder);
  running.push(server);
  expect(childrenOf(server.child.pid)).toEqual([]);
  await stop(server);
});
