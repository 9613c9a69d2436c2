// What the S3 store does when the service fails, hangs, loses connections or answers wrongly.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppError } from "../../../../src/errors.ts";
import { sha256Hex } from "../../../../src/modules/hash.ts";
import type { BlobStore } from "../../../../src/modules/storage/blob-store.ts";
import { blobKey } from "../../../../src/modules/storage/keys.ts";
import { createBreaker } from "../../../../src/modules/storage/s3/breaker.ts";
import { createS3Store } from "../../../../src/modules/storage/s3/store.ts";
import { errorOf } from "../../error-of.ts";
import { startFaultyService, type FaultyService } from "./faulty-service.ts";

const KEY = blobKey("ab".repeat(32));
const MIB = 1024 ** 2;
const SLOW_DOWN = { kind: "answer", status: 503, code: "SlowDown" } as const;
const FAILED = { kind: "answer", status: 500, code: "InternalError" } as const;
const HANG = { kind: "hang" } as const;

let service: FaultyService;
let root: string;
let store: BlobStore;

beforeEach(async () => {
  service = await startFaultyService();
  root = await mkdtemp(join(tmpdir(), "condarium-s3-"));
  store = createS3Store({
    root,
    reserve: 0,
    offersUrls: false,
    description: {
      kind: "s3",
      bucket: "bucket",
      prefix: "",
      endpoint: service.endpoint,
      region: "us-east-1",
      pathStyle: true,
      credentials: { accessKeyId: "a", secretAccessKey: "b", sessionToken: undefined },
    },
  });
});
afterEach(async () => {
  await service.stop();
  await rm(root, { recursive: true });
});

const calls: readonly (readonly [string, () => Promise<unknown>, unknown])[] = [
  ["stat", () => store.stat(KEY), { size: 7, modified: 0 }],
  ["open", async () => await (await store.open(KEY))?.text(), "content"],
  ["put", () => store.put(KEY, Buffer.from("content")), undefined],
  ["delete", () => store.delete(KEY), undefined],
  ["list", () => Array.fromAsync(store.list("blobs/")), [KEY]],
  ["promote", () => promote(Buffer.from("content")), undefined],
];

describe("a service that fails", () => {
  beforeEach(() => store.put(KEY, Buffer.from("content")));

  test.each(calls)("once: %s tries again and succeeds", async (_, call, result) => {
    for (const fault of [FAILED, SLOW_DOWN, { kind: "lost-answer" }] as const) {
      service.objects.set(`/bucket/${KEY}`, Buffer.from("content"));
      service.fail([fault]);
      expect(await call()).toEqual(result);
    }
  });

  test.each(calls)("always: %s is unavailable after three attempts, and says when to retry", async (_, call) => {
    service.fail([SLOW_DOWN], true);
    const before = service.asked.length;
    const error = await errorOf(call());
    expect(error).toMatchObject({ code: "unavailable", facts: { retryAfter: 10 } });
    expect(service.asked.length - before).toBe(3);
  });

  test("always: the breaker opens, requests fail at once, and one request later closes it", async () => {
    service.fail([SLOW_DOWN], true);
    for (let round = 0; round < 2; round += 1) {
      await Promise.all([1, 2].map(() => errorOf(store.stat(KEY))));
      await Bun.sleep(1000);
    }
    await errorOf(store.stat(KEY));
    const before = service.asked.length;
    const startedAt = performance.now();
    const error = await errorOf(store.stat(KEY));
    expect(performance.now() - startedAt).toBeLessThan(200);
    expect(error).toMatchObject({ code: "unavailable" });
    const { retryAfter } = error instanceof AppError ? error.facts : {};
    expect(retryAfter).toBeGreaterThan(0);
    expect(retryAfter).toBeLessThanOrEqual(10);
    expect(service.asked.length).toBe(before);
    service.fail([]);
    await Bun.sleep(5100);
    expect((await store.stat(KEY))?.size).toBe(7);
  }, 20_000);

  test.each([
    ["a refused key", { kind: "answer", status: 403, code: "AccessDenied" }],
    ["a bucket that is gone", { kind: "answer", status: 404, code: "NoSuchBucket" }],
  ] as const)("with %s: unavailable at once, and the cause is for the log alone", async (_, fault) => {
    service.fail([fault], true);
    const before = service.asked.length;
    const error = await errorOf(store.put(KEY, Buffer.from("x")));
    expect(error).toMatchObject({ code: "unavailable", facts: { retryAfter: 60 }, cause: { name: fault.code } });
    expect(error.message).not.toContain(fault.code);
    expect(service.asked.length - before).toBe(1);
  });

  test("by silence: every small call ends within ten seconds", async () => {
    service.fail([HANG], true);
    const startedAt = performance.now();
    const errors = await Promise.all([store.stat(KEY), store.open(KEY), store.put(KEY, Buffer.from("x"))].map(errorOf));
    for (const error of errors) expect(error).toMatchObject({ code: "unavailable" });
    expect(performance.now() - startedAt).toBeLessThan(10_500);
  }, 20_000);

  test("by silence at a deletion: it fails only when no request of it is valid any more", async () => {
    service.fail([HANG], true);
    const error = await errorOf(store.delete(KEY));
    const endedAt = Date.now();
    expect(error).toMatchObject({ code: "unavailable" });
    const requests = service.asked.filter(({ method }) => method === "DELETE");
    expect(requests.length).toBeGreaterThan(0);
    for (const { url } of requests) {
      const signed =
        url.searchParams.get("X-Amz-Date")?.replace(/^(....)(..)(..T..)(..)(..)Z$/, "$1-$2-$3:$4:$5Z") ?? "";
      const validMs = Number(url.searchParams.get("X-Amz-Expires")) * 1000;
      expect(validMs).toBeLessThan(10_000);
      expect(endedAt).toBeGreaterThan(Date.parse(signed) + validMs);
    }
  }, 30_000);
});

describe("a download", () => {
  const large = Buffer.from(new Uint8Array(40 * MIB).map((_, at) => Math.imul(at, 2_654_435_761) >>> 24));
  beforeEach(() => void service.objects.set(`/bucket/${KEY}`, large));

  test("that is cut continues where it was, from the same object", async () => {
    service.fail([
      { kind: "cut", after: 3 * MIB },
      { kind: "cut", after: 5 * MIB },
    ]);
    expect(sha256Hex((await (await store.open(KEY))?.bytes()) ?? "")).toBe(sha256Hex(large));
    const [, second] = service.asked;
    expect(second?.headers.range).toMatch(/^bytes=[1-9]\d*-41943039$/);
    expect(second?.headers["if-match"]).toBeString();
  });

  test("of a range that is cut continues within the range", async () => {
    service.fail([{ kind: "cut", after: MIB }]);
    const part = await (await store.open(KEY, { start: 5, end: 9 * MIB }))?.bytes();
    expect(part && Buffer.compare(part, large.subarray(5, 9 * MIB + 1))).toBe(0);
  });

  test("that is cut again and again fails, and never ends early", async () => {
    service.fail([{ kind: "cut", after: MIB }], true);
    const opened = await store.open(KEY);
    let received = 0;
    const reading = (async () => {
      for await (const chunk of opened?.stream() ?? []) received += chunk.byteLength;
    })();
    expect(await errorOf(reading)).toBeInstanceOf(Error);
    expect(received).toBeLessThan(large.byteLength);
    expect(service.asked).toHaveLength(4);
  });

  test("whose object is replaced in the middle fails instead of joining two contents", async () => {
    service.fail([{ kind: "cut", after: 3 * MIB }]);
    const opened = await store.open(KEY);
    service.objects.set(`/bucket/${KEY}`, Buffer.alloc(large.byteLength, 1));
    expect(await errorOf(opened?.bytes() ?? Promise.resolve())).toBeInstanceOf(Error);
  });

  test("of small content that is cut is read again before the caller sees it", async () => {
    service.objects.set(`/bucket/${KEY}`, large.subarray(0, 500_000));
    service.fail([
      { kind: "cut", after: 100_000 },
      { kind: "cut", after: 0 },
    ]);
    expect(sha256Hex((await (await store.open(KEY))?.bytes()) ?? "")).toBe(sha256Hex(large.subarray(0, 500_000)));
    service.fail([{ kind: "cut", after: 100_000 }], true);
    expect(await errorOf(store.open(KEY))).toMatchObject({ code: "unavailable" });
  });

  test("takes from the service only what its reader takes, and gives the connection up when the reader pauses", async () => {
    const reader = (await store.open(KEY))?.stream().getReader();
    const first = await reader?.read();
    await Bun.sleep(300);
    expect(service.sentBytes).toBeLessThan(16 * MIB);
    await Bun.sleep(5500);
    let received = first?.value?.byteLength ?? 0;
    for (let step = await reader?.read(); step?.value; step = await reader?.read()) received += step.value.byteLength;
    expect(received).toBe(large.byteLength);
    expect(service.asked.map(({ headers }) => headers.range === undefined)).toEqual([true, false]);
  }, 20_000);

  test("of a slow reader makes room for others, however many slow readers there are", async () => {
    const readers: { read(): Promise<unknown>; cancel(): Promise<void> }[] = [];
    for (let count = 0; count < 100; count += 1) {
      const opened = await store.open(KEY);
      if (opened) readers.push(opened.stream().getReader());
    }
    // Slower than any client, but none of them pauses for long.
    const trickle = setInterval(() => readers.forEach((reader) => void reader.read()), 1500);
    await Bun.sleep(100);
    const startedAt = performance.now();
    const opened = await Promise.all([1, 2, 3].map(() => store.open(KEY, { start: 0, end: 9 })));
    expect(performance.now() - startedAt).toBeLessThan(2000);
    expect(opened.map((blob) => blob?.size)).toEqual([10, 10, 10]);
    clearInterval(trickle);
    await Promise.all(readers.map((reader) => reader.cancel()));
  }, 30_000);

  test("that its reader gives up frees its place: many more than there are places can follow", async () => {
    for (let round = 0; round < 130; round += 1) {
      const opened = await store.open(KEY);
      const reader = opened?.stream().getReader();
      if (round % 2 === 0) await reader?.read();
      await reader?.cancel();
    }
    expect(service.asked).toHaveLength(130);
  }, 30_000);
});

describe("an upload", () => {
  test.each([
    ["finds the digest of a body wrong", { kind: "answer", status: 400, code: "BadDigest" }],
    ["is deleting the same key in its folder", { kind: "answer", status: 409, code: "ExistingObjectIsDirectory" }],
    ["stores another checksum", { kind: "other-checksum" }],
  ] as const)("to a service that %s fails after three attempts", async (_, fault) => {
    service.fail([fault], true);
    expect(await errorOf(promote(Buffer.from("content")))).toMatchObject({ code: "unavailable" });
    expect(service.asked.filter(({ method }) => method === "PUT")).toHaveLength(3);
    service.fail([fault]);
    await promote(Buffer.from("content"));
    expect(service.objects.get(`/bucket/${KEY}`)?.toString()).toBe("content");
  });

  test("of a small file is one request, and of a larger one begins by asking whether it is there", async () => {
    const methods = (): string[] => service.asked.splice(0).map(({ method }) => method);
    for (let time = 0; time < 2; time += 1) {
      await promote(Buffer.alloc(MIB, 1));
      expect(methods()).toEqual(["PUT"]);
    }
    await promote(Buffer.alloc(MIB + 1, 1));
    expect(methods()).toEqual(["HEAD", "PUT"]);
  });

  test("of many megabytes is repeated from its beginning", async () => {
    const content = Buffer.alloc(20 * MIB, 7);
    service.fail([undefined, FAILED]);
    await promote(content);
    expect(service.objects.get(`/bucket/${KEY}`)?.equals(content)).toBe(true);
    const sums = service.asked.flatMap(({ method, headers }) =>
      method === "PUT" ? [headers["x-amz-checksum-sha256"]] : [],
    );
    expect(sums).toEqual(Array(2).fill(new Bun.CryptoHasher("sha256").update(content).digest("base64")));
  });

  test("in parts repeats a part, and is complete", async () => {
    const content = Buffer.from(new Uint8Array(70 * MIB).map((_, at) => at >>> 16));
    service.fail([undefined, undefined, undefined, FAILED]);
    await promote(content);
    expect(service.objects.get(`/bucket/${KEY}`)?.equals(content)).toBe(true);
  });

  test("in parts of which one fails for good is aborted, and leaves no object", async () => {
    const wrong = { kind: "answer", status: 400, code: "InvalidPart" } as const;
    service.fail([undefined, undefined, undefined, wrong]);
    expect(await errorOf(promote(Buffer.alloc(70 * MIB)))).toMatchObject({ code: "unavailable" });
    expect(service.objects.size).toBe(0);
    expect(service.asked.some(({ method, url }) => method === "POST" && url.searchParams.has("uploadId"))).toBe(false);
    expect(service.asked.at(-1)).toMatchObject({ method: "DELETE" });
  });

  test("in parts whose last answer is lost is found complete", async () => {
    const count = 9;
    service.fail([undefined, undefined, ...Array<undefined>(count).fill(undefined), { kind: "lost-answer" }]);
    await promote(Buffer.alloc(70 * MIB, 3));
    expect(service.objects.get(`/bucket/${KEY}`)?.byteLength).toBe(70 * MIB);
  });

  test("of a staged file that is gone is not the service's fault", async () => {
    const staged = await store.stage();
    await staged.append(Buffer.from("content"));
    await staged.sync();
    await rm(staged.path);
    for (let round = 0; round < 6; round += 1)
      expect(await errorOf(staged.promote(KEY))).toMatchObject({ code: "ENOENT" });
    expect(await store.stat(KEY)).toBeUndefined();
  });
});

describe("the breaker", () => {
  test("opens after five failures in a row, lets one attempt through after five seconds, and closes on success", () => {
    let now = 0;
    const breaker = createBreaker({ now: () => now });
    const isOpen = (): boolean => {
      try {
        breaker.enter();
        return false;
      } catch {
        return true;
      }
    };
    for (let count = 0; count < 4; count += 1) breaker.failed();
    breaker.succeeded();
    for (let count = 0; count < 4; count += 1) breaker.failed();
    now = 1000;
    expect(isOpen()).toBe(false);
    breaker.failed();
    expect(isOpen()).toBe(true);
    now = 5999;
    expect(isOpen()).toBe(true);
    now = 6000;
    expect([isOpen(), isOpen()]).toEqual([false, true]);
    breaker.failed();
    expect(isOpen()).toBe(true);
    now = 11_000;
    expect(isOpen()).toBe(false);
    breaker.succeeded();
    expect([isOpen(), isOpen()]).toEqual([false, false]);
    // Many attempts that time out at one moment prove nothing.
    for (let count = 0; count < 50; count += 1) breaker.failed();
    expect(isOpen()).toBe(false);
  });
});

async function promote(content: Buffer): Promise<void> {
  const staged = await store.stage();
  try {
    await staged.append(content);
    await staged.sync();
    await staged.promote(KEY);
  } finally {
    await staged.discard();
  }
}
