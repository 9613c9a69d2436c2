import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { z } from "zod";
import { createEvents } from "../../src/events.ts";
import { systemClock } from "../../src/modules/clock.ts";
import { createLogger } from "../../src/modules/log.ts";
import { createMetrics } from "../../src/modules/metrics.ts";
import { createAccessLog } from "../../src/routers/access-log.ts";
import { basic, PASSWORD } from "../support/app.ts";
import { listen, type Listening } from "../support/listening.ts";
import { buildPackage } from "../support/package-builder.ts";
import { openSocket, requestText } from "../support/raw-socket.ts";

const LARGE = 24 * 1024 ** 2;
const FILE = "/api/packages/alice/generic/large/1/file";
const CONDA = "/api/packages/alice/conda/main";
let server: Listening;

beforeAll(async () => {
  server = await listen();
  await server.addUser("alice");
  await server.addUser("bob");
  const sent = await put(FILE, new Uint8Array(LARGE));
  expect(sent.status).toBe(201);
});
afterAll(() => server.stop());

const line = z.looseObject({ event: z.string().default(""), requestId: z.string().optional() });
type Line = z.infer<typeof line>;

function linesOf(requestId: string | null): Line[] {
  return server
    .log()
    .split("\n")
    .filter((text) => text.startsWith("{"))
    .map((text) => line.parse(JSON.parse(text)))
    .filter((one) => one.requestId === requestId);
}

async function linesWhen(requestId: string | null, count: number): Promise<Line[]> {
  for (let tries = 0; tries < 100 && linesOf(requestId).length < count; tries += 1) await Bun.sleep(20);
  return linesOf(requestId);
}

function put(path: string, body: Uint8Array<ArrayBuffer>, headers: Record<string, string> = basic("alice", PASSWORD)) {
  return fetch(server.url + path, { method: "PUT", headers, body });
}

describe("the log line of a refused request", () => {
  test("says why, under the request id of the response", async () => {
    const refusals: readonly (readonly [() => Promise<Response>, number, why?: string])[] = [
      [() => put(`${CONDA}/x-1-0.conda`, new Uint8Array(9), {}), 401, "no credentials for publish"],
      [
        () => put(`${CONDA}/x-1-0.conda`, new Uint8Array(9), basic("alice", "wrong")),
        401,
        "login to alice with a wrong password",
      ],
      [() => put(`${CONDA}/x-1-0.conda`, new Uint8Array(9), basic("bob", PASSWORD)), 403],
      [
        () => put(`${CONDA}/x-1-0.conda`, new Uint8Array(9), { ...basic("alice", PASSWORD), "content-encoding": "br" }),
        415,
      ],
      [() => fetch(`${server.url}/api/packages/alice/generic/large/1/nothing`), 404],
    ];
    for (const [send, status, why] of refusals) {
      const response = await send();
      const { detail } = z.object({ detail: z.string() }).parse(await response.json());
      const [request] = (await linesWhen(response.headers.get("x-request-id"), 1)).filter(
        ({ event }) => event === "request",
      );
      expect([response.status, request?.status, request?.why]).toEqual([status, status, why ?? detail]);
    }
  });

  test("names the rules that a package breaks, and every other line of the request has its id", async () => {
    const response = await put(`${CONDA}/broken-1-0.conda`, new TextEncoder().encode("no archive"));
    expect(response.status).toBe(400);
    const lines = await linesWhen(response.headers.get("x-request-id"), 2);
    expect(lines.map(({ event }) => event).sort()).toEqual(["publish", "request"]);
    expect(lines.find(({ event }) => event === "request")?.rules).toBe("file-not-an-archive");
  });

  test("counts the bytes of its content", async () => {
    const response = await fetch(`${server.url}/nobody/main/noarch/repodata.json`);
    const text = await response.text();
    const [request] = await linesWhen(response.headers.get("x-request-id"), 1);
    expect(request?.bytes).toBe(Buffer.byteLength(text));
  });
});

test("the log line of an accepted request names neither a reason nor rules", async () => {
  const built = buildPackage({ name: "fine", version: "1" });
  const response = await server.publish("alice", CONDA, built);
  expect(response.status).toBe(201);
  const [request] = (await linesWhen(response.headers.get("x-request-id"), 2)).filter(
    ({ event }) => event === "request",
  );
  expect([request?.status, request?.why, request?.rules, request?.aborted]).toEqual([
    201,
    undefined,
    undefined,
    undefined,
  ]);
});

describe("the log line of a transfer", () => {
  const inFlight = (): Line[] => linesOf(id).filter(({ event }) => event === "request");
  let id: string | null = null;

  test("is written when the transfer ends, with all its bytes", async () => {
    const socket = await openSocket(server.port);
    socket.pause();
    await socket.send(requestText(`GET ${FILE}`));
    await Bun.sleep(300);
    const before = server.log();
    expect(before.match(/"method":"GET","path":"[^"]*large\/1\/file/g) ?? []).toHaveLength(0);
    socket.resume();
    const answer = await socket.answer();
    expect([answer?.status, answer?.body.length]).toEqual([200, LARGE]);
    id = answer?.headers.get("x-request-id") ?? null;
    const [request] = await linesWhen(id, 1);
    expect([request?.bytes, request?.aborted]).toEqual([LARGE, undefined]);
    expect(z.number().parse(request?.ms)).toBeGreaterThan(250);
    expect(inFlight()).toHaveLength(1);
    socket.close();
  });

  test("says that the client aborted it, and claims no bytes", async () => {
    const socket = await openSocket(server.port);
    await socket.send(requestText(`GET ${FILE}`, { range: `bytes=0-${LARGE - 2}` }));
    socket.pause();
    await Bun.sleep(100);
    socket.reset();
    const aborted = (): Line | undefined =>
      server
        .log()
        .split("\n")
        .filter((text) => text.includes('"status":206'))
        .map((text) => line.parse(JSON.parse(text)))[0];
    for (let tries = 0; tries < 100 && !aborted(); tries += 1) await Bun.sleep(20);
    expect([aborted()?.aborted, aborted()?.bytes]).toEqual([true, undefined]);
  });

  test("says so too when the client had left before its response was ready", () => {
    const lines: string[] = [];
    const log = createLogger({ level: "info", write: (text) => void lines.push(text) });
    const accessLog = createAccessLog({ events: createEvents({ log, metrics: createMetrics() }), clock: systemClock });
    const context = { requestId: "r", address: "192.0.2.1", path: FILE, pathToken: undefined };
    for (const signal of [AbortSignal.abort(), new AbortController().signal])
      accessLog.write({
        request: new Request(`http://localhost${FILE}`, { signal }),
        response: new Response(null, { headers: { "content-length": `${LARGE}` } }),
        context,
        route: "a route",
        started: systemClock.elapsed(),
        user: undefined,
        isOpen: () => false,
      });
    const said = lines.map((text) => line.parse(JSON.parse(text)));
    expect(said.map(({ aborted, bytes }) => [aborted, bytes])).toEqual([
      [true, undefined],
      [undefined, LARGE],
    ]);
  });
});
