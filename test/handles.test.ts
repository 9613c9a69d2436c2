// A server out of file handles stops accepting, tells the clients it can reach, and recovers by itself.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { basic } from "./support/app.ts";
import { getText, unread, unreadAll, type Connection } from "./support/hostile-connections.ts";
import { leaveOut } from "./support/left-out.ts";
import { buildPackage } from "./support/package-builder.ts";
import { serve, type ServerProcess } from "./support/server-process.ts";
import { runs } from "./support/system.ts";

const HANDLES = 96;
const CLIENTS = 200;
const PATH = "/admin/main/noarch/big-1-0.conda";
const canRun = process.platform === "linux" && runs("sh", "-c", `ulimit -n ${HANDLES}`);
if (!canRun) leaveOut("running out of file handles", "the system does not count them");

let folder: string;
let server: ServerProcess;
let credentials: { authorization: string };
beforeAll(async () => {
  if (!canRun) return;
  folder = await mkdtemp(join(tmpdir(), "condarium-handles-"));
  server = await serve(folder, [], ["sh", "-c", `ulimit -n ${HANDLES} && exec "$@"`, "sh"]);
  const password = (): string | undefined => /password:\s+(\S+)/.exec(server.stdout())?.[1];
  for (let waited = 0; password() === undefined && waited < 500; waited += 1) await Bun.sleep(10);
  credentials = basic("admin", password() ?? "");
  const noise = Buffer.concat(Array.from({ length: 70 }, () => crypto.getRandomValues(new Uint8Array(60_000))));
  expect((await put("big", { noise })).status).toBe(201);
});
afterAll(async () => {
  if (!canRun) return;
  await server.end("SIGKILL");
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

function put(name: string, files: Record<string, Uint8Array> = {}): Promise<Response> {
  const built = buildPackage({ name, version: "1", files });
  const options = { method: "PUT", headers: credentials, body: built.bytes.slice() };
  return fetch(`${server.url}/api/packages/admin/conda/main/${built.fileName}`, options);
}

/** Processor time of all threads so far. */
function cpuSeconds(): number {
  const stat = readFileSync(`/proc/${server.child.pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function isLive(): Promise<boolean> {
  const answer = await fetch(`${server.url}/health/live`, { signal: AbortSignal.timeout(2000) }).catch(() => undefined);
  return answer?.status === 200;
}

async function livesAgain(): Promise<boolean> {
  for (let tries = 0; tries < 100; tries += 1) {
    if (await isLive()) return true;
    await Bun.sleep(100);
  }
  return false;
}

function end(connections: readonly Connection[]): void {
  for (const connection of connections) connection.end();
}

test.skipIf(!canRun).each([
  ["send nothing", ""],
  ["send half a request", "GET /admin/main/noa"],
  ["have had an answer", getText("/health/live")],
])("more connections than handles that %s neither lock out others nor keep a processor busy", async (_, text) => {
  const open = await unreadAll(
    server.port,
    Array.from({ length: CLIENTS }, () => text),
  );
  const before = cpuSeconds();
  await Bun.sleep(2000);
  expect(cpuSeconds() - before).toBeLessThan(1);
  expect(await livesAgain()).toBe(true);
  end(open);
});

test.skipIf(!canRun)("more downloads than handles get 200 or 503, and a retry succeeds", async () => {
  const slow = await Promise.allSettled(Array.from({ length: CLIENTS }, () => unread(server.port, getText(PATH))));
  const before = cpuSeconds();
  await Bun.sleep(2000);
  expect(cpuSeconds() - before).toBeLessThan(1.5);
  end(slow.flatMap((each) => (each.status === "fulfilled" ? [each.value] : [])));
  expect(await livesAgain()).toBe(true);
  const seen = new Set<number>();
  const again = async (at: number): Promise<boolean> => {
    for (let tries = 0; tries < 40; tries += 1) {
      const answer = await (
        at % 4 === 0 ? put(`one-${at}`) : fetch(`${server.url}${PATH}`, { keepalive: false })
      ).catch(() => undefined);
      await answer?.arrayBuffer().catch(() => undefined);
      if (answer) seen.add(answer.status);
      if (answer?.status === 503) expect(answer.headers.get("retry-after")).not.toBeNull();
      if (answer?.ok) return true;
      await Bun.sleep(250);
    }
    return false;
  };
  const all = await Promise.all(Array.from({ length: CLIENTS / 2 }, (_, at) => again(at)));
  expect(all.filter((each) => !each)).toEqual([]);
  expect([...seen].filter((status) => ![200, 201, 429, 503].includes(status))).toEqual([]);
});

test.skipIf(!canRun)("the log reports the start and the end of a handle shortage, and not each request", async () => {
  expect(await livesAgain()).toBe(true);
  const lines = (event: string): number => server.stderr().split(`"event":"${event}"`).length - 1;
  expect(lines("handles-short")).toBeGreaterThan(0);
  expect(lines("handles-short")).toBeLessThan(30);
  expect(lines("handles-free")).toBe(lines("handles-short"));
});
