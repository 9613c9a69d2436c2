import { describe, expect, test } from "bun:test";
import { heapStats } from "bun:jsc";
import { connect, type Socket } from "node:net";
import { malformed } from "../../src/errors.ts";
import { pump } from "../../src/modules/streams.ts";
import { errorOf } from "./error-of.ts";

const KIB = 1024;

describe("pump", () => {
  test("passes everything on in order, in large chunks, and counts it", async () => {
    const source = Array.from({ length: 1000 }, (_, at) => new Uint8Array(at).fill(at));
    const taken: Uint8Array[] = [];
    const total = await pump(from(source), { limit: 1e6, onChunk: (chunk) => void taken.push(chunk) });
    expect(total).toBe((1000 * 999) / 2);
    expect(Bun.hash(Buffer.concat(taken))).toBe(Bun.hash(Buffer.concat(source)));
    expect(taken.length).toBeLessThan(4);
    for (const chunk of taken) expect(chunk.byteLength).toBeGreaterThan(0);
  });

  test("accepts web streams, and an empty body", async () => {
    const sizes: number[] = [];
    const onChunk = (chunk: Uint8Array): void => void sizes.push(chunk.byteLength);
    expect(await pump(bodyOf(new Uint8Array(300 * KIB)), { limit: 1e6, onChunk })).toBe(300 * KIB);
    expect(await pump(from([]), { limit: 0, expected: 0, onChunk })).toBe(0);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(300 * KIB);
  });

  test("combines single bytes in order and in little memory", async () => {
    const count = 400_000;
    let most = 0;
    async function* bytes(): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < count; at++) {
        if (at % 100_000 === 99_999) {
          Bun.gc(true);
          most = Math.max(most, heapStats().objectTypeCounts.Uint8Array ?? 0);
        }
        yield Uint8Array.of(at % 251);
        if (at === 1000) yield new Uint8Array(10_000).fill(7);
      }
    }
    const taken: Uint8Array[] = [];
    const total = await pump(bytes(), { limit: 1e6, onChunk: (chunk) => void taken.push(chunk) });
    expect(total).toBe(count + 10_000);
    const whole = Buffer.concat(taken);
    const expected = Uint8Array.from({ length: count }, (_, at) => at % 251);
    const [head, tail] = [expected.subarray(0, 1001), expected.subarray(1001)];
    expect(Buffer.compare(whole, Buffer.concat([head, new Uint8Array(10_000).fill(7), tail]))).toBe(0);
    expect(taken.length).toBeLessThan(4);
    expect(most).toBeLessThan(10_000);
  });

  test("stops at the limit, reports it, and passes on nothing beyond", async () => {
    let taken = 0;
    let pulled = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) {
        pulled += 1;
        yield new Uint8Array(100 * KIB);
      }
    }
    const limit = 1000 * KIB;
    const error = await errorOf(pump(endless(), { limit, onChunk: (chunk) => void (taken += chunk.byteLength) }));
    expect(error).toMatchObject({ code: "too-large", facts: { members: { limit } } });
    expect(error.message).toContain(String(limit));
    expect(taken).toBeLessThanOrEqual(limit);
    expect(pulled).toBe(11);
    expect(await pump(from([new Uint8Array(10)]), { limit: 10, onChunk: () => undefined })).toBe(10);
  });

  test.each([
    [5, "is too long"],
    [15, "ended early"],
  ])("refuses ten bytes when %i are announced: the body %s", async (expected, how) => {
    const sizes: number[] = [];
    const onChunk = (chunk: Uint8Array): void => void sizes.push(chunk.byteLength);
    const error = await errorOf(pump(from([new Uint8Array(10)]), { limit: 100, expected, onChunk }));
    expect(error).toMatchObject({ code: "malformed" });
    expect(error.message).toContain(how);
    expect(sizes).toEqual([]);
  });

  test("waits for a slow consumer before it reads on", async () => {
    let pulled = 0;
    async function* source(): AsyncGenerator<Uint8Array> {
      for (; pulled < 20; pulled++) yield new Uint8Array(256 * KIB);
    }
    const opened = Promise.withResolvers<void>();
    const pumping = pump(source(), { limit: 1e9, onChunk: () => opened.promise });
    await Bun.sleep(10);
    expect(pulled).toBe(0);
    opened.resolve();
    expect(await pumping).toBe(20 * 256 * KIB);
  });

  test("ends with the consumer's own failure and releases the source", async () => {
    let isReleased = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield new Uint8Array(256 * KIB);
      } finally {
        isReleased = true;
      }
    }
    const pumping = pump(source(), { limit: 1e9, onChunk: () => Promise.reject(new Error("disk")) });
    expect((await errorOf(pumping)).message).toBe("disk");
    await Bun.sleep(1);
    expect(isReleased).toBe(true);
  });

  test("passes on the source's error, and does not report a bug as a bad body", async () => {
    const ours = malformed("The form has no file.");
    expect(await errorOf(pump(failing(ours), { limit: 9, onChunk: () => undefined }))).toBe(ours);
    const bug = new TypeError("x is not a function");
    expect(await errorOf(pump(failing(bug), { limit: 9, onChunk: () => undefined }))).toBe(bug);
  });
});

describe("a body's deadlines", () => {
  const quick = { limit: 1e9, windowMs: 100, minBytesPerSecond: 1000, onChunk: () => undefined };

  test("cut off a stalled sender, also of a web stream", async () => {
    const stalled = new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(new Uint8Array(10)) });
    for (const body of [stalled, from([new Uint8Array(10)], Number.POSITIVE_INFINITY)]) {
      const started = performance.now();
      const error = await errorOf(pump(body, quick));
      expect(error).toMatchObject({ code: "timeout" });
      expect(error.message).toContain("too slowly");
      expect(performance.now() - started).toBeLessThan(1000);
    }
  });

  test("cut off a sender below the minimum rate, and not one above it", async () => {
    const slow = Array.from({ length: 100 }, () => new Uint8Array(1));
    expect(await errorOf(pump(from(slow, 5), quick))).toMatchObject({ code: "timeout" });
    const honest = Array.from({ length: 30 }, () => new Uint8Array(1000));
    expect(await pump(from(honest, 5), quick)).toBe(30_000);
  });

  test("cut off a body at the total deadline, whatever the rate", async () => {
    const endless = Array.from({ length: 1000 }, () => new Uint8Array(1000));
    const error = await errorOf(pump(from(endless, 2), { ...quick, totalMs: 50 }));
    expect(error).toMatchObject({ code: "timeout" });
    expect(error.message).toContain("0.05 seconds");
  });

  test("cut off a body that stands still, and not a slow one", async () => {
    const options = { limit: 1e6, minBytesPerSecond: 0, idleMs: 120, onChunk: () => undefined };
    const still = await errorOf(pump(from([new Uint8Array(9)], Number.POSITIVE_INFINITY), options));
    expect(still).toMatchObject({ code: "timeout", message: expect.stringContaining("No byte") });
    const slow = from(
      Array.from({ length: 20 }, () => new Uint8Array(1)),
      15,
    );
    expect(await pump(slow, options)).toBe(20);
  });

  test("let the consumer stop the reading with its own error", async () => {
    const ended = new AbortController();
    const arrived: number[] = [];
    const pumping = pump(from([new Uint8Array(9)], Number.POSITIVE_INFINITY), {
      limit: 1e6,
      signal: ended.signal,
      onBytes: (count) => {
        arrived.push(count);
        setTimeout(() => ended.abort(malformed("make room")), 5);
      },
      onChunk: () => undefined,
    });
    expect((await errorOf(pumping)).message).toBe("make room");
    expect(arrived).toEqual([9]);
  });

  test("include the time in which the consumer works", async () => {
    const large = [new Uint8Array(300 * KIB), new Uint8Array(300 * KIB)];
    let taken = 0;
    const onChunk = async (): Promise<void> => {
      taken += 1;
      await Bun.sleep(80);
    };
    expect(await errorOf(pump(from(large), { ...quick, totalMs: 20, onChunk }))).toMatchObject({ code: "timeout" });
    expect(taken).toBe(1);
  });

  test("do not count the time of a slow disk of the server", async () => {
    const large = [new Uint8Array(300 * KIB), new Uint8Array(300 * KIB)];
    expect(await pump(from(large), { ...quick, onChunk: () => Bun.sleep(250) })).toBe(600 * KIB);
  });

  test("end with the body: no timer keeps the process alive", async () => {
    const script = `import { pump } from ${JSON.stringify(`${import.meta.dir}/../../src/modules/streams.ts`)};
      await pump((async function* () { yield new Uint8Array(9); })(), { limit: 9, onChunk() {} });
      await pump((async function* () { yield new Uint8Array(9); })(), { limit: 1, onChunk() {} }).catch(() => {});`;
    const child = Bun.spawn([process.execPath, "-e", script], { stderr: "inherit" });
    const ended = await Promise.race([child.exited, Bun.sleep(5000)]);
    if (ended === undefined) child.kill(9);
    expect(ended).toBe(0);
  });
});

describe("a connection that ends during a body", () => {
  const head = "PUT / HTTP/1.1\r\nHost: localhost\r\n";
  const half = `${head}Content-Length: 100\r\n\r\nabc`;
  const chunked = `${head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`;

  test.each<[string, string, (socket: Socket) => void]>([
    ["closed", half, (socket) => socket.destroy()],
    ["reset", half, (socket) => socket.resetAndDestroy()],
    ["half closed", half, (socket) => socket.end()],
    ["closed before the last chunk", chunked, (socket) => socket.end()],
    ["broken in its chunks", chunked, (socket) => socket.write("zz\r\n")],
  ])("%s gives the error that the body ended early", async (_, sent, leave) => {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    using server = Bun.serve({
      port: 0,
      fetch: async (request) => {
        const body = request.body ?? from([]);
        resolve(await pump(body, { limit: 1000, onChunk: () => undefined }).catch((error: unknown) => error));
        return new Response();
      },
    });
    const socket = connect(server.port ?? 0, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.write(sent, () => setTimeout(() => leave(socket), 20));
    expect(await promise).toMatchObject({ code: "malformed", message: expect.stringContaining("body ended early") });
    socket.destroy();
  });

  test("larger than the limit gives the error that the body is too large", async () => {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    using server = Bun.serve({
      port: 0,
      maxRequestBodySize: 1000,
      fetch: async (request) => {
        const body = request.body ?? from([]);
        resolve(await pump(body, { limit: 900, onChunk: () => Bun.sleep(20) }).catch((error: unknown) => error));
        return new Response();
      },
    });
    const socket = connect(server.port ?? 0, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.write(`${head}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n`);
    setTimeout(() => socket.write(`7d0\r\n${"b".repeat(2000)}\r\n0\r\n\r\n`), 20);
    expect(await promise).toMatchObject({ code: "too-large" });
    socket.destroy();
  });
});

async function* from(chunks: Iterable<Uint8Array>, ms = 0): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) {
    yield chunk;
    if (ms === Number.POSITIVE_INFINITY) await new Promise(() => undefined);
    if (ms > 0) await Bun.sleep(ms);
  }
}

async function* failing(error: Error): AsyncGenerator<Uint8Array> {
  yield new Uint8Array(1);
  throw error;
}

function bodyOf(content: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array> {
  const { body } = new Response(content);
  if (!body) throw new Error("a response of bytes has a body");
  return body;
}
