// The TCP proxy of the fault tests: before a small line server, and before PostgreSQL.

import { SQL } from "bun";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { hasPostgres, sharedPostgres } from "./postgres.ts";
import { says, startTcpProxy, type TcpProxy } from "./tcp-proxy.ts";

describe("the TCP proxy", () => {
  let server: Server;
  let proxy: TcpProxy;
  /** All that the server has got. */
  let received = "";
  const clients: Socket[] = [];

  beforeAll(async () => {
    server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => undefined);
      socket.on("data", (chunk: Buffer) => {
        received += chunk.toString();
        socket.write(`echo ${chunk.toString()}`);
      });
      socket.on("end", () => socket.end("bye"));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  });
  beforeAll(async () => {
    proxy = await startTcpProxy({ port: (server.address() as AddressInfo).port });
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy();
    await proxy.setFault({ kind: "none" });
    await until(() => proxy.connectionCount() === 0);
    received = "";
  });
  afterAll(async () => {
    await proxy.close();
    server.close();
  });

  /** A connection through the proxy: what it got, and whether it has ended. */
  async function open() {
    const socket = connect({ port: proxy.port, host: "127.0.0.1", allowHalfOpen: true });
    clients.push(socket);
    const state = { got: "", ended: false };
    socket.on("data", (chunk: Buffer) => void (state.got += chunk.toString()));
    for (const event of ["end", "error", "close"]) socket.on(event, () => void (state.ended = true));
    await once(socket, "connect");
    return { socket, state, say: (words: string) => socket.write(words) };
  }

  test("passes both directions, and the end of one before that of the other", async () => {
    const { socket, state, say } = await open();
    say("one");
    await until(() => state.got === "echo one");
    socket.end("two");
    await until(() => state.ended);
    expect(state.got).toBe("echo oneecho twobye");
    expect(received).toBe("onetwo");
    await until(() => proxy.connectionCount() === 0);
  });

  test("passes 32 MiB whole to a client that reads slowly", async () => {
    const { socket, state } = await open();
    const size = 32 * 1024 * 1024;
    const sent = "0123456789abcdef".repeat(size / 16);
    socket.pause();
    socket.end(sent);
    await Bun.sleep(50);
    socket.resume();
    await until(() => state.ended, 20_000);
    expect(state.got.replaceAll("echo ", "")).toBe(`${sent}bye`);
  });

  test("refuses new connections and cuts open ones, until told otherwise, at one port", async () => {
    const { state } = await open();
    await proxy.setFault({ kind: "refuse" });
    await until(() => state.ended);
    expect(open()).rejects.toMatchObject({ code: "ECONNREFUSED" });
    await proxy.setFault({ kind: "none" });
    const again = await open();
    again.say("one");
    await until(() => again.state.got === "echo one");
  });

  test("keeps silent on old and new connections, and delivers what it held back", async () => {
    const old = await open();
    await proxy.setFault({ kind: "hang" });
    const fresh = await open();
    old.say("one");
    fresh.say("two");
    await Bun.sleep(100);
    expect([old.state, fresh.state]).toEqual([
      { got: "", ended: false },
      { got: "", ended: false },
    ]);
    expect(received).toBe("");
    expect(proxy.hits()).toBe(2);
    await proxy.setFault({ kind: "none" });
    await until(() => old.state.got === "echo one" && fresh.state.got === "echo two");
  });

  test("delays each chunk in both directions", async () => {
    const { state, say } = await open();
    await proxy.setFault({ kind: "delay", ms: 60 });
    const started = performance.now();
    say("one");
    await until(() => state.got === "echo one");
    expect(performance.now() - started).toBeGreaterThan(115);
  });

  test("cuts a connection after so many bytes to the server, and each new one too", async () => {
    await proxy.setFault({ kind: "cut after", direction: "to server", bytes: 5 });
    for (const round of [1, 2]) {
      const { state, say } = await open();
      say("one");
      await until(() => state.got === "echo one");
      say("two");
      await until(() => state.ended);
      expect(received).toBe("onetw".repeat(round));
    }
    expect(proxy.hits()).toBe(2);
  });

  test("cuts a connection after so many bytes to the client", async () => {
    await proxy.setFault({ kind: "cut after", direction: "to client", bytes: 6 });
    const { state, say } = await open();
    say("one");
    await until(() => state.ended);
    expect([state.got, received]).toEqual(["echo o", "one"]);
  });

  test("cuts a connection at the end of a chunk", async () => {
    await proxy.setFault({ kind: "cut after", direction: "to client", bytes: "echo one".length });
    const { state, say } = await open();
    say("one");
    await until(() => state.ended);
    expect(state.got).toBe("echo one");
  });

  test("delivers all bytes before the cut to a client that reads slowly", async () => {
    const bytes = 12 * 1024 * 1024 + 7;
    await proxy.setFault({ kind: "cut after", direction: "to client", bytes });
    const { socket, state } = await open();
    socket.pause();
    socket.write("x".repeat(2 * bytes));
    await Bun.sleep(200);
    socket.resume();
    await until(() => state.ended, 20_000);
    expect(state.got.length).toBe(bytes);
  });

  test.each(["cut", "silence"] as const)("delivers half an answer once, then %s", async (end) => {
    const [one, two] = [await open(), await open()];
    await proxy.setFault({ kind: "halve", direction: "to client", end });
    one.say("one");
    await until(() => one.state.got === "echo");
    await Bun.sleep(50);
    expect(one.state).toEqual({ got: "echo", ended: end === "cut" });
    two.say("two");
    await until(() => two.state.got === "echo two");
    expect(proxy.hits()).toBe(1);
  });

  test.each(["cut", "silence"] as const)("keeps a request from the server once, then %s", async (end) => {
    const { state, say } = await open();
    await proxy.setFault({ kind: "lose request", matches: says("COMMIT"), end });
    say("BEGIN");
    await until(() => state.got === "echo BEGIN");
    say("COMMIT");
    await until(() => proxy.hits() === 1);
    await Bun.sleep(50);
    expect(received).toBe("BEGIN");
    expect(state).toEqual({ got: "echo BEGIN", ended: end === "cut" });
    const again = await open();
    again.say("COMMIT");
    await until(() => again.state.got === "echo COMMIT");
  });

  test.each(["cut", "silence"] as const)("keeps the answer to a request from the client once, then %s", async (end) => {
    const { state, say } = await open();
    await proxy.setFault({ kind: "lose answer", matches: says("COMMIT"), end });
    say("BEGIN");
    await until(() => state.got === "echo BEGIN");
    say("COMMIT");
    await until(() => proxy.hits() === 1);
    await Bun.sleep(50);
    expect(received).toBe("BEGINCOMMIT");
    expect(state).toEqual({ got: "echo BEGIN", ended: end === "cut" });
    const again = await open();
    again.say("COMMIT");
    await until(() => again.state.got === "echo COMMIT");
  });

  test("cuts all connections now, and takes new ones", async () => {
    const [one, two] = [await open(), await open()];
    await until(() => proxy.connectionCount() === 2);
    proxy.cutAll();
    await until(() => one.state.ended && two.state.ended);
    expect(proxy.connectionCount()).toBe(0);
    const again = await open();
    again.say("one");
    await until(() => again.state.got === "echo one");
  });

  describe.skipIf(!hasPostgres("the proxy before PostgreSQL"))("before PostgreSQL", () => {
    test.each([
      ["lose request", 0],
      ["lose answer", 1],
    ] as const)("can %s of a COMMIT, which the client sees as a failure either way", async (kind, rows) => {
      const postgres = await sharedPostgres();
      const url = await postgres.createDatabase();
      const before = await startTcpProxy(postgres);
      await using direct = new SQL(url, { max: 1 });
      await using sql = new SQL(before.through(url), { max: 1 });
      await direct`CREATE TABLE things (id integer)`;
      await sql`SELECT 1`;
      await before.setFault({ kind, matches: says("COMMIT"), end: "cut" });
      const done = sql.begin(async (transaction) => {
        await transaction`INSERT INTO things VALUES (1)`;
      });
      expect(done).rejects.toThrow();
      await done.catch(() => undefined);
      expect(before.hits()).toBe(1);
      expect(Number((await direct`SELECT count(*) AS n FROM things`)[0].n)).toBe(rows);
      expect([...(await sql`SELECT 1 AS one`)]).toEqual([{ one: 1 }]);
      await before.close();
    });
  });
});

async function until(holds: () => boolean, ms = 2000): Promise<void> {
  for (const end = performance.now() + ms; !holds() && performance.now() < end;) await Bun.sleep(5);
  expect(holds()).toBe(true);
}
