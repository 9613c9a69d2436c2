import { afterAll, beforeAll, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createFileHashes } from "../../src/services/file-hashes.ts";
import type { HashJobs } from "../../src/services/hash-worker.ts";
import { createWorkers, type Workers } from "../../src/services/workers.ts";

const MIB = 1024 ** 2;

let folder: string;
let workers: Workers<HashJobs>;
const threads: Worker[] = [];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "condarium-hashes-"));
  const spawn = (): Worker => {
    const thread = new Worker(new URL("../../src/worker.ts", import.meta.url).href);
    threads.push(thread);
    return thread;
  };
  workers = createWorkers({ spawn, size: 1, queue: 100 });
});
afterAll(() => {
  workers.close();
  rmSync(folder, { recursive: true, force: true });
});

const hex = (name: "sha256" | "md5", content: Uint8Array): string =>
  new Bun.CryptoHasher(name).update(content).digest("hex");

/** Appends to a file in uneven steps and hashes it meanwhile. */
async function hashed(name: string, bytes: number, disturb?: (size: number) => void): Promise<void> {
  const content = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at += 65_536) crypto.getRandomValues(content.subarray(at, Math.min(bytes, at + 65_536)));
  const path = join(folder, name);
  const followed = createFileHashes({ workers }).follow(path);
  for (let at = 0; at < bytes;) {
    const end = Math.min(bytes, at + 700_001);
    appendFileSync(path, content.subarray(at, end));
    at = end;
    disturb?.(at);
    await followed.grown(at);
  }
  expect(await followed.end(bytes)).toEqual({ sha256: hex("sha256", content), md5: hex("md5", content) });
}

test("files that grow side by side get the hashes of their bytes", async () => {
  await Promise.all([hashed("a", 50 * MIB), hashed("b", 23 * MIB + 1), hashed("c", 1)]);
});

test("a hash thread that ends halfway changes no hash", async () => {
  let isEnded = false;
  await hashed("d", 40 * MIB, (size) => {
    if (isEnded || size < 20 * MIB) return;
    isEnded = true;
    threads.at(-1)?.terminate();
  });
  expect(isEnded).toBe(true);
  await hashed("e", 20 * MIB);
});

test("a dropped file frees the hash thread for others", async () => {
  const path = join(folder, "f");
  appendFileSync(path, Buffer.alloc(20 * MIB));
  const followed = createFileHashes({ workers }).follow(path);
  await followed.grown(20 * MIB);
  followed.drop();
  rmSync(path);
  await hashed("g", 9 * MIB);
});

test("extra hashes are computed for a caller that names them, also when the hash thread ends halfway", async () => {
  const content = crypto.getRandomValues(new Uint8Array(64 * 1024));
  for (const isEnded of [false, true]) {
    const path = join(folder, `extra-${isEnded}`);
    const followed = createFileHashes({ workers }).follow(path, ["sha512", "sha1"]);
    const whole = Buffer.concat(Array.from({ length: 160 }, () => content));
    appendFileSync(path, whole.subarray(0, 5 * MIB));
    await followed.grown(5 * MIB);
    if (isEnded) threads.at(-1)?.terminate();
    appendFileSync(path, whole.subarray(5 * MIB));
    const digest = (name: "sha1" | "sha256" | "sha512" | "md5"): string =>
      new Bun.CryptoHasher(name).update(whole).digest("hex");
    expect(await followed.end(whole.length)).toEqual({
      sha256: digest("sha256"),
      md5: digest("md5"),
      sha1: digest("sha1"),
      sha512: digest("sha512"),
    });
  }
});
