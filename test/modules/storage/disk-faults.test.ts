// Faults that only the kernel can cause: a full disk, a failing fsync, a file system without links.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createDiskStore } from "../../../src/modules/storage/disk.ts";
import { blobKey, fileListKey } from "../../../src/modules/storage/keys.ts";
import { errorOf } from "../error-of.ts";
import { canMountHere, runs } from "../../support/system.ts";

const HASH = "ab".repeat(32);
const KEY = blobKey(HASH);
const MIB = 1024 ** 2;

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "condarium-faults-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const canMount = await canMountHere();
const canTrace = runs("strace", "-qq", "-o", "/dev/null", "true");
if (!canMount) console.log("skipped: a full disk needs the right to mount a tmpfs");
if (!canTrace) console.log("skipped: failing system calls need strace");

describe.skipIf(!canMount)("a disk of 4 MiB", () => {
  beforeEach(() => {
    runs("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", root);
  });
  afterEach(() => {
    runs("umount", root);
  });

  test("refuses data that does not fit, leaves nothing of it, still reads, and accepts the next that fits", async () => {
    const store = createDiskStore({ root, reserve: 0 });
    await store.put(KEY, new Uint8Array(MIB));
    const staged = await store.stage();
    const fill = async (): Promise<void> => {
      for (let count = 0; count < 5; count++) await staged.append(new Uint8Array(MIB));
    };
    expect(await errorOf(fill())).toMatchObject({ code: "no-space" });
    expect(staged.size).toBeLessThan(4 * MIB);
    expect(await errorOf(staged.sync())).toBeInstanceOf(Error);
    expect(await errorOf(staged.promote(blobKey("0".repeat(64))))).toBeInstanceOf(Error);
    expect((await store.open(KEY))?.size).toBe(MIB);
    await staged.discard();
    expect(await errorOf(store.put(fileListKey(HASH), new Uint8Array(5 * MIB)))).toMatchObject({ code: "no-space" });
    expect(readdirSync(join(root, "tmp"))).toEqual([]);
    expect(await store.stat(fileListKey(HASH))).toBeUndefined();
    await store.put(fileListKey(HASH), new Uint8Array(2 * MIB));
    expect((await store.stat(fileListKey(HASH)))?.size).toBe(2 * MIB);
  });

  test("refuses a stage once the reserve is reached", async () => {
    const store = createDiskStore({ root, reserve: 3 * MIB });
    await (await store.stage()).discard();
    await store.put(KEY, new Uint8Array(2 * MIB));
    expect(await store.free()).toBe(0);
    expect(await errorOf(store.stage())).toMatchObject({ code: "no-space" });
    await store.delete(KEY);
    await (await store.stage()).discard();
  });

  test("promises no two uploads the same space: an announced size counts until it is written or released", async () => {
    const store = createDiskStore({ root, reserve: MIB });
    expect((await errorOf(store.stage(10 * MIB))).message).toContain(String(10 * MIB));
    const many = await Promise.allSettled(Array.from({ length: 10 }, () => store.stage(2 * MIB)));
    const staged = many.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    const refusals = many.flatMap((one) => (one.status === "rejected" ? [one.reason as unknown] : []));
    expect([staged.length, refusals.length]).toEqual([1, 9]);
    for (const error of refusals) expect(error).toMatchObject({ code: "no-space" });
    await (await store.stage(MIB / 2)).discard();
    await staged[0]?.append(new Uint8Array(2 * MIB));
    await (await store.stage(MIB / 2)).discard();
    expect(await errorOf(store.stage(MIB + 1))).toMatchObject({ code: "no-space" });
    await staged[0]?.discard();
    await (await store.stage(2 * MIB)).discard();
  });

  test("ends an upload of unknown length at the reserve, and before the space that others announced", async () => {
    runs("mount", "-o", "remount,size=40m", root);
    const store = createDiskStore({ root, reserve: 10 * MIB });
    const announced = await store.stage(12 * MIB);
    const unknown = await store.stage();
    const fill = async (): Promise<void> => {
      for (let count = 0; count < 40; count++) await unknown.append(new Uint8Array(MIB));
    };
    expect(await errorOf(fill())).toMatchObject({ code: "no-space" });
    expect(unknown.size).toBeWithin(16 * MIB, 19 * MIB);
    expect(await errorOf(unknown.sync())).toBeInstanceOf(Error);
    for (let count = 0; count < 12; count++) await announced.append(new Uint8Array(MIB));
    expect(announced.size).toBe(12 * MIB);
    for (const staged of [unknown, announced]) await staged.discard();
    expect(await store.free()).toBeGreaterThan(25 * MIB);
  });

  test("that holds only a part of the data folder is refused", async () => {
    const store = async (): Promise<unknown> => createDiskStore({ root: join(root, "data"), reserve: 0 });
    await mkdir(join(root, "data", "blobs"), { recursive: true });
    runs("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", join(root, "data", "blobs"));
    try {
      expect(await errorOf(store())).toMatchObject({ code: "usage" });
    } finally {
      runs("umount", join(root, "data", "blobs"));
    }
    await store();
  });
});

describe.skipIf(!canTrace)("a failing system call", () => {
  test("fsync of the file fails the upload, and no fsync is retried", async () => {
    const { report, calls } = await promoteTwice(["fsync:error=EIO"]);
    expect(report.outcomes).toEqual(["done", "EIO", "refused", "refused", "refused"]);
    expect(report.size).toBeUndefined();
    expect(calls.filter((call) => call.includes("fsync("))).toHaveLength(1);
    expect(readdirSync(join(root, "tmp"))).toEqual([]);
  });

  test("fsync of a folder fails the upload and every later one into that folder", async () => {
    const { report, calls } = await promoteTwice(["fsync:error=EIO"], ["-P", root]);
    expect(report.outcomes).toEqual(["done", "done", "refused", "EIO", "unavailable"]);
    expect(calls.filter((call) => call.includes("fsync("))).toHaveLength(1);
    expect(readdirSync(join(root, "tmp"))).toEqual([]);
  });

  test("link on a file system without links leads to a durable copy that is renamed", async () => {
    const { report, calls } = await promoteTwice(["link,linkat:error=EPERM"]);
    expect(report).toEqual({ outcomes: ["done", "done", "refused", "done", "done"], size: 100_000, isWhole: true });
    const named = calls.findIndex((call) => /rename.*blobs/.test(call));
    expect(calls.slice(0, named).filter((call) => call.includes("fsync("))).toHaveLength(2);
    expect(calls.slice(named).filter((call) => call.includes("fsync("))).toHaveLength(5);
    expect(readdirSync(join(root, "tmp"))).toEqual([]);
  });

  test("write that accepts only a part is followed by a write of the rest", async () => {
    const { calls } = await promoteTwice(["pwrite64:retval=50000:when=1"], ["-e", "trace=pwrite64"]);
    const spans = calls.flatMap((call) => /, (\d+), (\d+)(?:\)| <unfinished)/.exec(call)?.slice(1) ?? []);
    expect(spans).toEqual(["100000", "0", "50000", "50000"]);
  });

  test("write that is interrupted is repeated", async () => {
    const { report } = await promoteTwice(["pwrite64:error=EINTR:when=1"], ["-e", "trace=pwrite64"]);
    expect(report).toEqual({ outcomes: ["done", "done", "refused", "done", "done"], size: 100_000, isWhole: true });
  });

  test("the folders up to the root are all synced after the name exists, when no call fails", async () => {
    const { report, calls } = await promoteTwice([]);
    expect(report).toEqual({ outcomes: ["done", "done", "refused", "done", "done"], size: 100_000, isWhole: true });
    const order = calls.flatMap((call) => /(fsync|link)(?:at)?\(/.exec(call)?.[1] ?? []);
    // The second promotion finds the name taken and the folders above durable already.
    expect(order).toEqual(["fsync", "link", "fsync", "fsync", "fsync", "fsync", "link", "fsync"]);
  });
});

type Report = { readonly outcomes: string[]; readonly size?: number; readonly isWhole: boolean };

async function promoteTwice(
  injections: readonly string[],
  more: readonly string[] = [],
): Promise<{ report: Report; calls: string[] }> {
  const trace = join(root, "..", `${crypto.randomUUID()}.trace`);
  const script = fileURLToPath(new URL("./promote-twice.ts", import.meta.url));
  const injected = injections.flatMap((injection) => ["-e", `inject=${injection}`]);
  const calls = ["-e", "trace=fsync,link,linkat,rename,renameat,renameat2"];
  const command = ["strace", "-f", "-qq", "-o", trace, ...calls, ...injected, ...more, process.execPath, script, root];
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "inherit" });
  const text = await new Response(child.stdout).text();
  const lines = (await Bun.file(trace).text()).split("\n").filter((line) => !line.includes("resumed>"));
  await rm(trace);
  return { report: JSON.parse(text), calls: lines };
}
