// The limits for a client that sends requests and does not read: memory, and the time of other clients.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { basic } from "./support/app.ts";
import { isInBucket } from "./support/engines.ts";
import { getText, unreadAll } from "./support/hostile-connections.ts";
import { leaveOut } from "./support/left-out.ts";
import { residentBytes } from "./support/memory.ts";
import { buildPackage } from "./support/package-builder.ts";
import { openSocket, requestText } from "./support/raw-socket.ts";
import { serve, type ServerProcess } from "./support/server-process.ts";

const MIB = 1024 ** 2;
const SUBDIR = "/admin/main/noarch";
const PACKAGES = 60;
const PACKAGE_BYTES = 900_000;

let folder: string;
let server: ServerProcess;
beforeAll(async () => {
  if (residentBytes(process.pid) === undefined) leaveOut("the memory of floods", "the system does not tell it");
  folder = await mkdtemp(join(tmpdir(), "condarium-floods-"));
  server = await serve(folder);
  const password = (): string | undefined => /password:\s+(\S+)/.exec(server.stdout())?.[1];
  for (let waited = 0; password() === undefined && waited < 500; waited += 1) await Bun.sleep(10);
  const credentials = basic("admin", password() ?? "");
  for (let at = 0; at < PACKAGES; at += 1) {
    const noise = Buffer.concat(Array.from({ length: 15 }, () => crypto.getRandomValues(new Uint8Array(60_000))));
    const built = buildPackage({ name: `n${at}`, version: "1", license: "text ".repeat(200), files: { noise } });
    const put = { method: "PUT", headers: credentials, body: built.bytes.slice() };
    expect((await fetch(`${server.url}/api/packages/admin/conda/main/${built.fileName}`, put)).status).toBe(201);
  }
});
afterAll(async () => {
  await server.end("SIGKILL");
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

/** The peak of the additional memory while `work` runs. */
async function growth(work: () => Promise<unknown>): Promise<number> {
  const resident = (): number => residentBytes(server.child.pid) ?? 0;
  const before = resident();
  let most = before;
  const sampling = setInterval(() => (most = Math.max(most, resident())), 10);
  await work();
  clearInterval(sampling);
  return Math.max(most, resident()) - before;
}

const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${server.url}${path}`, { headers });

test("400 clients that request 60 packages and read nothing share memory, and other clients get their packages", async () => {
  const texts = Array.from({ length: 400 }, (_, at) =>
    getText(`${SUBDIR}/n${at % PACKAGES}-1-0.conda`, { at: `${at}` }),
  );
  const grown = await growth(async () => {
    const open = await unreadAll(server.port, texts);
    expect(open).toHaveLength(texts.length);
    for (let at = 0; at < PACKAGES; at += 1) {
      const answer = await get(`${SUBDIR}/n${at}-1-0.conda`, { at: "other" });
      expect(answer.status).toBe(200);
      expect((await answer.bytes()).length).toBeGreaterThan(PACKAGE_BYTES - 1);
    }
    for (const connection of open) connection.end();
  });
  // Together they request 360 MB. A download from a bucket has buffers of its own.
  expect(grown).toBeLessThan((isInBucket ? 340 : 220) * MIB);
});

const ENDLESS: readonly [string, string, Record<string, string>][] = [
  ["HEAD", `${SUBDIR}/repodata.json`, {}],
  ["GET", `${SUBDIR}/repodata.json`, { "if-none-match": "*" }],
  ["GET", `${SUBDIR}/repodata.json`, { range: "bytes=99999999-" }],
  ["GET", `${SUBDIR}/repodata.json`, {}],
  ["HEAD", "/health/live", {}],
  ["GET", "/nothing", {}],
];

/** The number of responses after all requests have been sent, or as many of them as the server accepts. */
async function answersTo(text: string, count: number, atOnce: number): Promise<number> {
  const socket = await openSocket(server.port);
  try {
    socket.pause();
    for (let sent = 0; sent < count; sent += atOnce) {
      const taken = await Promise.race([socket.send(text.repeat(atOnce)), Bun.sleep(1000).then(() => false)]);
      if (!taken) break;
      if (atOnce === 1) await Bun.sleep(1);
    }
    socket.resume();
    let answers = 0;
    while (answers < count && (await socket.answer({ head: text.startsWith("HEAD") }))) answers += 1;
    return answers;
  } finally {
    socket.close();
  }
}

test.each(ENDLESS)(
  "5,000 pipelined requests %s %s %j from a client that reads nothing get few answers",
  async (...request) => {
    const [method, path, headers] = request;
    for (const header of ["none", "none", "flood"]) await get(path, { ...headers, header });
    const answers = await answersTo(getText(path, headers, method), 5000, 1000);
    expect(answers).toBeLessThan(50);
  },
);

test.each(ENDLESS.slice(0, 2))(
  "a client that repeats %s %s %j and reads nothing is disconnected",
  async (...request) => {
    const [method, path, headers] = request;
    const answers = await answersTo(getText(path, headers, method), 2000, 1);
    expect(answers).toBeLessThan(1000);
  },
);

test("a client that reads each answer before the next request is never limited", async () => {
  const socket = await openSocket(server.port);
  try {
    for (let at = 0; at < 2000; at += 1) {
      await socket.send(requestText(`HEAD ${SUBDIR}/repodata.json`));
      const answer = await socket.answer({ head: true });
      expect([at, answer?.status, answer?.headers.get("connection")]).toEqual([at, 200, null]);
    }
  } finally {
    socket.close();
  }
});
