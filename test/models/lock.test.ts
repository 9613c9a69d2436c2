import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { joinFolder, lockFolder } from "../../src/models/lock.ts";

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "condarium-lock-"));
  path = join(folder, "lock");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const IN_USE = "Another condarium server is using this data folder";

test("a lock keeps others out, shared or not, until its release", () => {
  const lock = lockFolder(path);
  expect(() => lockFolder(path)).toThrow(IN_USE);
  lock.share();
  expect(() => lockFolder(path)).toThrow(IN_USE);
  lock.release();
  lockFolder(path).release();
});

test("only a process of a server that shares its lock can join", () => {
  expect(() => joinFolder(path)).toThrow("No server shares");
  const lock = lockFolder(path);
  expect(() => joinFolder(path)).toThrow(IN_USE);
  lock.share();
  const [first, second] = [joinFolder(path), joinFolder(path)];
  first.release();
  second.release();
  lock.release();
  expect(() => joinFolder(path)).toThrow("No server shares");
});

test("a process that has joined keeps new servers out after its own has ended, and a new server waits for its end", async () => {
  const lock = lockFolder(path);
  lock.share();
  const script = `
    const { joinFolder } = await import(${JSON.stringify(join(import.meta.dir, "../../src/models/lock.ts"))});
    globalThis.joined = joinFolder(process.argv[1]);
    console.log("joined");
    setTimeout(() => process.exit(), 1000);
  `;
  await using orphan = Bun.spawn([process.execPath, "-e", script, path], { stdout: "pipe" });
  await orphan.stdout.getReader().read();
  lock.release();
  const started = performance.now();
  lockFolder(path).release();
  expect(performance.now() - started).toBeGreaterThan(300);
  expect(await orphan.exited).toBe(0);
});
