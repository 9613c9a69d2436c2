import { afterEach, expect, test } from "bun:test";
import { createListener, type Listener } from "../../src/cli/listener.ts";
import type { Handles } from "../../src/modules/handles.ts";
import { createLogger } from "../../src/modules/log.ts";
import { openSocket, requestText } from "../support/raw-socket.ts";

let listener: Listener;
afterEach(() => listener.stop(true));

type Scene = { readonly ports: (number | undefined)[]; readonly lines: string[] };

function start(count: (server: Bun.Server<undefined>) => number): Scene {
  const scene: Scene = { ports: [], lines: [] };
  let server: Bun.Server<undefined> | undefined;
  listener = createListener({
    log: createLogger({ level: "info", write: (line) => void scene.lines.push(line) }),
    count: (): Handles => ({ open: server ? count(server) : 0, limit: 100 }),
    serve: (port) => {
      scene.ports.push(port);
      server = Bun.serve({
        hostname: "127.0.0.1",
        port: port ?? 0,
        idleTimeout: 255,
        fetch: () => new Response("here"),
      });
      return server;
    },
  });
  return scene;
}

const isHere = async (): Promise<boolean> =>
  fetch(`http://127.0.0.1:${listener.port}/`, { keepalive: false }).then(
    (answer) => answer.ok,
    () => false,
  );

async function eventually(holds: () => boolean | Promise<boolean>): Promise<boolean> {
  for (let tries = 0; tries < 200; tries += 1) {
    if (await holds()) return true;
    await Bun.sleep(20);
  }
  return false;
}

test("the listener closes idle connections first and keeps the port", async () => {
  let open = true;
  const scene = start(() => (open ? 99 : 10));
  const socket = await openSocket(listener.port);
  await socket.send(requestText("GET /"));
  await socket.answer();
  void socket.closesWithin(10_000).then(() => (open = false));
  expect(await eventually(() => !open && !listener.isShort())).toBe(true);
  expect(await eventually(isHere)).toBe(true);
  expect(scene.ports).toEqual([undefined]);
  expect(scene.lines.filter((line) => line.includes("handles-short"))).toHaveLength(1);
  expect(scene.lines.filter((line) => line.includes("handles-free"))).toHaveLength(1);
});

test("the listener closes the port while closing connections does not help, and reopens the same port afterwards", async () => {
  let open = 99;
  const scene = start(() => open);
  expect(await eventually(async () => listener.isShort() && !(await isHere()))).toBe(true);
  expect(scene.ports).toEqual([undefined]);
  open = 10;
  expect(await eventually(isHere)).toBe(true);
  expect([listener.isShort(), scene.ports]).toEqual([false, [undefined, listener.port]]);
});

test("a listener that stays short of handles accepts no connection, and needs more free handles to reopen than to close", async () => {
  let open = 80;
  start(() => open);
  expect(await eventually(async () => !(await isHere()))).toBe(true);
  open = 70;
  await Bun.sleep(600);
  expect([listener.isShort(), await isHere()]).toEqual([true, false]);
  open = 40;
  expect(await eventually(isHere)).toBe(true);
});
